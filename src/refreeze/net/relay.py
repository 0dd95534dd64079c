"""What one TURN URL gives to all who share it: relayed addresses of every family it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from attrs import define, field
from twisted.logger import Logger

from refreeze.basics import Address
from refreeze.net.mux import Mux
from refreeze.net.relayattempt import RelayTools
from refreeze.net.relayport import RelayPort
from refreeze.net.relaywish import Wish
from refreeze.net.servers import IceServer, ServerProblem, ServerUrl
from refreeze.net.tls import ServerTrust


class RelayListener(Protocol):
    """Who uses a relay."""

    def relay_settled(self, relay: Relay) -> None:
        """It has ports (others than before, if its credentials changed), or it has none and its
        latest attempt failed as the one before did not: ``relay.problem`` says why."""
        ...

    def relay_lost(self, relay: Relay, bases: Sequence[Address], reason: str) -> None:
        """Those ports left the mux and are closed; it comes back by itself."""
        ...


@define(eq=False, repr=False, kw_only=True)
class Relay:
    """I am one allocation for all families where the server can do that, else one for each.

    A server that does not know ADDITIONAL-ADDRESS-FAMILY says nothing of the second family: that
    is asked for on its own then, from another socket. One that says why it has none is believed.
    """

    server: IceServer
    url: ServerUrl
    tools: RelayTools
    trust: ServerTrust
    mux: Mux
    wall: Callable[[], float]
    over: bool = field(default=False, init=False)
    _listeners: list[RelayListener] = field(factory=list, init=False)
    _first: Wish = field(init=False)
    _second: Wish | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._first = self._wish(self.tools.settings.families)

    # What can be seen

    @property
    def wishes(self) -> list[Wish]:
        """One or two."""
        return [self._first] if self._second is None else [self._first, self._second]

    @property
    def ports(self) -> list[RelayPort]:
        """In the mux; none unless there is an allocation."""
        return [port for wish in self.wishes for port in wish.ports]

    @property
    def leaving(self) -> list[Address]:
        """Bases that are still there, but have a successor: move off them by a restart."""
        return [base for wish in self.wishes for base in wish.leaving]

    @property
    def settled(self) -> bool:
        """Whether an attempt ended, well or not, since the last loss or the first wish."""
        return all(wish.settled for wish in self.wishes)

    @property
    def problem(self) -> ServerProblem | None:
        """Why the latest attempt gave nothing, or why what it gave was lost."""
        return self._first.problem

    @property
    def state(self) -> str:
        """``trying``, ``ready``, ``renewing``, ``waiting`` or ``over``: see :class:`Wish`."""
        return self._first.state

    @property
    def rtt(self) -> float | None:
        """Seconds to the server and back, as last seen."""
        return None if self._first.life is None else self._first.life.allocation.rtt

    @property
    def mapped(self) -> Address | None:
        """How the server sees our end."""
        return None if self._first.life is None else self._first.life.allocation.mapped

    @property
    def server_address(self) -> Address | None:
        """Which of the server's addresses, or which alternate server, it is."""
        return None if self._first.life is None else self._first.life.channel.server

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return sum(wish.attempts for wish in self.wishes)

    # Who wants it

    def join(self, listener: RelayListener) -> None:
        """One more who wants it; the first makes it begin."""
        self._listeners.append(listener)
        if len(self._listeners) == 1:
            self._first.start()

    def leave(self, listener: RelayListener) -> bool:
        """One less; whether that was the last, who ends it."""
        self._listeners.remove(listener)
        if not self._listeners and not self.over:
            self.over = True
            for wish in self.wishes:
                wish.end()
        return self.over

    # What makes it act at once

    def refresh(self, server: IceServer, trust: ServerTrust) -> None:
        """A restart, or another configuration."""
        self.server, self.trust = server, trust
        for wish in self.wishes:
            wish.server, wish.trust = server, trust
            wish.refresh()

    def verify(self) -> None:
        """Somebody suspects it: what is gone is lost within about 4 s, and tried again."""
        for wish in self.wishes:
            wish.verify()

    def slept(self, seconds: float) -> None:
        """The machine did, and its clock with it."""
        for wish in self.wishes:
            wish.slept(seconds)

    def look(self, hosts: Sequence[str]) -> None:
        """The local addresses are these: what was reached from another one is lost."""
        for wish in self.wishes:
            wish.look(hosts)

    # WishOwner

    def wish_settled(self, wish: Wish) -> None:
        """See WishOwner."""
        if wish is self._first and wish.life is not None:
            self._complete()
        for listener in tuple(self._listeners):
            try:
                listener.relay_settled(self)
            except Exception:
                self._log.failure("a listener of {url} failed", url=str(self.url))

    def wish_lost(self, wish: Wish, bases: Sequence[Address], reason: str) -> None:
        """See WishOwner."""
        for listener in tuple(self._listeners):
            try:
                listener.relay_lost(self, bases, reason)
            except Exception:
                self._log.failure("a listener of {url} failed", url=str(self.url))

    def _complete(self) -> None:
        """Ask for the family that the server left out without a word."""
        assert self._first.life is not None
        missing = self._first.life.allocation.missing
        silent = tuple(family for family, why in missing.items() if why.code is None)
        if silent and self._second is None:
            self._second = self._wish(silent)
            self._second.start()
        elif not silent and self._second is not None:
            second, self._second = self._second, None
            bases = [port.local for port in second.ports]
            second.end()
            self.wish_lost(second, bases, "the other allocation has that family")

    def _wish(self, families: tuple[int, ...]) -> Wish:
        return Wish(
            server=self.server,
            url=self.url,
            families=families,
            owner=self,
            tools=self.tools,
            trust=self.trust,
            mux=self.mux,
            wall=self.wall,
        )
