"""The stage between ICE and the forward of one session, and what its end means for the session.

A path counts as connected when it is protected as the configuration wants. What DTLS refused, no
restart heals, and the session says so; a peer that closed its DTLS said bye.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from attrs import define, field

from refreeze.peer import (
    DtlsClosed,
    DtlsConnected,
    DtlsEvent,
    DtlsFailed,
    Protect,
    RawProtect,
    RTCDtlsTransport,
    RTCPeerConnection,
)
from refreeze.watchdog import Policy

GOOD: Final = ("connected", "completed")
REFUSED: Final = "dtls-refused"
CLOSED: Final = "dtls-close"


@define(eq=False, repr=False, kw_only=True)
class Securing:
    """I choose the protect member, and tell the watchdog and the operator what becomes of it."""

    connection: RTCPeerConnection
    policy: Policy
    now: Callable[[], float]
    tell: Callable[..., None]
    """Emits an event of the session: topic and fields."""
    changed: Callable[[str], None]
    """The outward state may be another now; told why, or an empty text."""
    protect: Protect = field(init=False)
    problem: str = field(default="", init=False)
    """The slug of why there is no association and will be none; empty while all is well."""
    counters: Counter[str] = field(factory=Counter, init=False)
    _protected: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        dtls = self.connection.dtlsTransport
        self.connection.dtls_watcher = self._dtls_event
        self.protect = RawProtect(self.connection.iceTransport.datagrams) if dtls is None else dtls

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """None with ``protect = "none"``."""
        return self.connection.dtlsTransport

    def outward(self, ice: str) -> str:
        """The session's state when ICE's is *ice*: nobody is connected before it is protected."""
        if self.problem:
            return "failed"
        if self.transport is None or self._protected or ice not in GOOD:
            return ice
        return "disconnected" if self.transport.over else "checking"

    @property
    def gave_up(self) -> bool:
        """There is no association, and another round may bring one: no path is good until then."""
        problem = None if self.transport is None else self.transport.problem
        return problem is not None and problem.heals

    # Around the exchange of descriptions

    def before_exchange(self) -> None:
        """Our next description asks for a new association where the old one is of no use.

        There may also be another certificate. It is not shown before: an offer that waits for its
        answer names the old one, and what that answer begins is shown the one that it names.
        """
        if self.transport is None:
            return
        if self.problem or self.transport.over or self.connection.dtls_outdated:
            self.connection.renewDtls()

    def exchanged(self) -> None:
        """An answer was applied: what both sides said about protection is known."""
        agreed = self.connection.dtlsAgreed
        if agreed is None:
            return
        if self.transport is None:
            # A peer that wants DTLS would wait for a handshake that never comes.
            self._refuse(REFUSED if agreed.payload == "dtls" else "")
        elif self.problem and not self.transport.failed:
            self._refuse("")

    def path_came(self) -> None:
        """A round is over: another is needed if the association gave up meanwhile."""
        if self.gave_up:
            self.policy.protection_failed(self.problem, self.now(), heals=True)

    def _refuse(self, problem: str) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem:
            self.tell("session.dtls", state="failed", reason=problem, why="the peer wants DTLS")
            self.policy.protection_failed(problem, self.now(), heals=False)
        else:
            self.policy.protection_ok(self.now())
        self.changed(problem)

    # DTLS

    def _dtls_event(self, event: DtlsEvent) -> None:
        if isinstance(event, DtlsConnected):
            self._connected(event)
        elif isinstance(event, DtlsFailed):
            self._failed(event)
        elif isinstance(event, DtlsClosed):
            self._protected = False
            self.counters["closed"] += 1
            self.tell("session.dtls", state="closed")
            self.policy.peer_closed(self.now(), CLOSED)
            self.changed(CLOSED)

    def _connected(self, event: DtlsConnected) -> None:
        self._protected, self.problem = True, ""
        self.counters["handshakes"] += 1
        self.tell(
            "session.dtls",
            state="connected",
            association=event.association,
            protocol=event.protocol,
            cipher=event.cipher,
        )
        self.policy.protection_ok(self.now())
        self.changed("")

    def _failed(self, event: DtlsFailed) -> None:
        problem = event.problem
        self._protected = False
        self.counters[problem.reason] += 1
        self.problem = problem.reason
        self.tell("session.dtls", state="failed", reason=problem.reason, why=problem.text)
        self.policy.protection_failed(problem.reason, self.now(), heals=problem.heals)
        self.changed(problem.reason)
