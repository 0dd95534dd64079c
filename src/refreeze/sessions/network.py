"""The machine's addresses as they come and go: sockets follow them, and sessions are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from refreeze.basics import Address, format_address
from refreeze.net.pool import SocketPool
from refreeze.sessions.session import Session

BURST: Final = 0.05
"""Seconds between two looks: changes come in bursts, of which the first is looked at at once."""

_GOOD: Final = ("connected", "completed")


class Sessions(Protocol):
    """Who holds the sessions (the supervisor)."""

    def all_sessions(self) -> Iterable[Session]:
        """Those that are open."""
        ...

    def network_spread(self) -> float:
        """Seconds over which the restarts of a common cause are spread."""
        ...

    def network_available(self, available: bool) -> None:
        """There is an address at all, or there is none."""
        ...


@define(eq=False, repr=False, kw_only=True)
class LocalNetwork:
    """I keep the pool's sockets in step with the addresses, and say what that means.

    A session whose path lost its address restarts (a major change), and so does one without a
    path when an address comes; any other only has one more to offer (a minor change).
    """

    pool: SocketPool
    hosts: Callable[[], Sequence[str]]
    """The addresses to bind now, in order of preference."""
    sessions: Sessions
    emit: Callable[[str, dict[str, Any]], None]
    clock: IReactorTime
    forget: Callable[[Address], None] = lambda base: None
    """Told of every base that is gone."""
    looked: Callable[[], None] = lambda: None
    """Told after every look, when sockets are in step."""
    _look: IDelayedCall | None = field(default=None, init=False)
    _looked_at: float = field(default=-inf, init=False)
    _stopped: bool = field(default=False, init=False)

    def hint(self) -> None:
        """Something may have changed: look in a turn of its own, and not too often."""
        if self._look is None and not self._stopped:
            wait = max(0.0, self._looked_at + BURST - self.clock.seconds())
            self._look = self.clock.callLater(wait, self.look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        waiting, self._look = self._look, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def look(self) -> None:
        """Compare what there is with what the sockets are bound to, and act on it."""
        self._cancel()
        if self._stopped:
            return
        self._looked_at = self.clock.seconds()
        before, hosts = list(self.pool.hosts), self.hosts()
        came = [host for host in hosts if host not in before]
        lost = self.pool.set_hosts(hosts)
        gone = [host for host in before if host not in hosts]
        lost += self.pool.refresh_all()
        for base in lost:
            self.forget(base)
        if came or gone or lost:
            self._report(came, gone, lost)
        if bool(hosts) is not bool(before):
            self.sessions.network_available(bool(hosts))
        if came or lost:
            self._tell(bool(came), lost)
        self.looked()

    def _report(self, came: list[str], gone: list[str], lost: list[Address]) -> None:
        fields: dict[str, Any] = {"why": "addresses" if came or gone else "sockets"}
        if came:
            fields["came"] = ",".join(came)
        if gone:
            fields["gone"] = ",".join(gone)
        if lost:
            fields["sockets"] = ",".join(map(format_address, lost))
        self.emit("net.change", fields)

    def _tell(self, came: bool, lost: list[Address]) -> None:
        now, spread = self.clock.seconds(), self.sessions.network_spread()
        for session in self.sessions.all_sessions():
            transport = session.connection.iceTransport
            route = transport.transport.route
            hit = route is not None and route.base in lost
            for base in lost:
                transport.base_gone(base)
            if hit or (came and session.state not in _GOOD):
                session.policy.network("major", now, spread=spread)
            elif came:
                session.policy.network("minor", now)
            session.settle()
