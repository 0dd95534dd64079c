"""The machine's addresses as they come and go: sockets follow them, and sessions are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, Final, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from refreeze.basics import Address, format_address
from refreeze.ice import CandidateType
from refreeze.ice.pair import Pair
from refreeze.net.pool import SocketPool
from refreeze.net.port import Port
from refreeze.sessions.refusals import REFUSALS, Refusals
from refreeze.sessions.session import Session
from refreeze.sessions.ways import Ways

BURST: Final = 0.05
"""Seconds between two looks: changes come in bursts, of which the first is looked at at once."""

LONGEST_BURST: Final = 0.8
"""Seconds between two looks while hints keep coming that mean nothing to us."""
CALM: Final = 2.0
"""Seconds without a look after which the next hint is a first one."""
FIRST_AGAIN: Final = 1.0
LONGEST_AGAIN: Final = 60.0
"""Seconds after which an address that could not be bound is tried again, at first and at last."""

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


@define(eq=False)
class _Change:
    """What one look found."""

    came: list[str] = field(factory=list)
    """Hosts that can be used and could not before."""
    gone: list[str] = field(factory=list)
    lost: list[Address] = field(factory=list)
    """Bases whose sockets are no more."""
    moved: Sequence[str] = ()
    """Hosts that reach the world by another way."""
    back: Sequence[str] = ()
    """Hosts that reach it again."""

    def __bool__(self) -> bool:
        return bool(self.came or self.gone or self.lost or self.moved or self.back)

    def fields(self) -> dict[str, Any]:
        """For the event `net.change`."""
        hosts = self.came or self.gone
        why = "addresses" if hosts else "sockets" if self.lost else "routes"
        named = {
            "came": self.came,
            "gone": self.gone,
            "sockets": [format_address(base) for base in self.lost],
            "moved": self.moved,
            "back": self.back,
        }
        return {"why": why} | {key: ",".join(value) for key, value in named.items() if value}


@define(eq=False, repr=False, kw_only=True)
class LocalNetwork:
    """I keep the pool's sockets in step with the addresses, and say what that means.

    ==========================================  ==================================================
    a session                                   restarts (a major change) when
    ==========================================  ==================================================
    whose path has a base that is gone          at once
    whose path leaves the default way           that way is another: router or interface
    without a path                              an address came, or reaches the world again
    any other                                   never: it has one more address to offer (minor)
    ==========================================  ==================================================
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
    ways: Ways = field(factory=lambda: Ways(lambda source, remote: None))
    _refusals: Refusals = field(factory=Refusals, init=False)
    _look: IDelayedCall | None = field(default=None, init=False)
    _looked_at: float = field(default=-inf, init=False)
    _in_vain: int = field(default=0, init=False)
    """Looks in a row that found nothing."""
    _again: IDelayedCall | None = field(default=None, init=False)
    _patience: float = field(default=FIRST_AGAIN, init=False)
    _stopped: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.ways.look(self.pool.hosts)

    def hint(self) -> None:
        """Something may have changed: look in a turn of its own, and not too often.

        Hints without end, of which none is a change to us, are followed up more and more rarely.
        """
        if self._look is not None or self._stopped:
            return
        since = self.clock.seconds() - self._looked_at
        if since >= CALM:
            self._in_vain = 0
        pause = min(BURST * 2**self._in_vain, LONGEST_BURST)
        self._look = self.clock.callLater(max(0.0, pause - since), self.look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._cancel()
        self._look_no_more_for_absent()

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
        before = list(self.pool.hosts)
        change = self._compare(before, self.hosts())
        self._in_vain = 0 if change else self._in_vain + 1
        self._wait_for_absent(anew=bool(change))
        if change:
            self.emit("net.change", change.fields())
        if bool(self.pool.hosts) is not bool(before):
            self.sessions.network_available(bool(self.pool.hosts))
        if change:
            self._tell(change)
        self.looked()

    def _compare(self, before: list[str], hosts: Sequence[str]) -> _Change:
        """Sockets first: what is told of afterwards is true."""
        pool, change = self.pool, _Change()
        waiting = pool.absent
        change.gone = [host for host in before if host not in hosts]
        change.lost = pool.set_hosts(hosts) + pool.refresh_all()
        new = [host for host in hosts if host not in before or host in waiting]
        change.came = [host for host in new if host not in pool.absent]
        change.moved, change.back = self.ways.look(hosts)
        for base in change.lost:
            self.forget(base)
            self._refusals.forget(base)
        return change

    # Addresses that are there and cannot be used yet

    def _wait_for_absent(self, *, anew: bool) -> None:
        """Look again: nobody may tell when a tentative IPv6 address becomes usable."""
        self._look_no_more_for_absent()
        if not self.pool.absent.intersection(self.pool.hosts):
            return
        self._patience = FIRST_AGAIN if anew else min(2 * self._patience, LONGEST_AGAIN)
        self._again = self.clock.callLater(self._patience, self.hint)

    def _look_no_more_for_absent(self) -> None:
        again, self._again = self._again, None
        if again is not None and again.active():
            again.cancel()

    # What it means

    def _tell(self, change: _Change) -> None:
        now, spread = self.clock.seconds(), self.sessions.network_spread()
        for session in self.sessions.all_sessions():
            transport = session.connection.iceTransport
            route = transport.transport.route
            hit = route is not None and self._hits(change, route)
            for base in change.lost:
                transport.base_gone(base)
            if change.moved and (route is None or route.local.type is CandidateType.RELAY):
                session.gatherer.warm()
            better = change.came or change.back
            if hit or (better and session.state not in _GOOD):
                session.policy.network("major", now, spread=spread)
            elif change.came:
                session.policy.network("minor", now)
            session.settle()

    def _hits(self, change: _Change, route: Pair) -> bool:
        """Whether that path is another now, or none."""
        if route.base in change.lost:
            return True
        host = route.base[0]
        return host in change.moved and self.ways.by_default(host, route.remote_address[0])

    # Sends that the machine refuses

    def refused(self, port: Port, error: str) -> None:
        """A hint for the sessions whose path that is; a storm of them is worth a new socket (T35).

        The socket itself stays good: a check of the peer's may still come in by it (T36).
        """
        if self._stopped:
            return
        base, now = port.local, self.clock.seconds()
        if error in REFUSALS and self._refusals.refused(base, port.counters.sent, now):
            self._open_again(base)
        for session in self.sessions.all_sessions():
            route = session.connection.iceTransport.transport.route
            if route is not None and route.base == base:
                session.policy.send_error(error, now)
                session.settle()

    def _open_again(self, base: Address) -> None:
        if not self.pool.has(base):
            return
        change = _Change() if self.pool.replace(base) == base else _Change(lost=[base])
        self.emit("net.change", {"why": "refused", "sockets": format_address(base)})
        if change:
            self.forget(base)
            self._tell(change)
