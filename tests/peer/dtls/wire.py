"""Two associations and the wire between them, in virtual time.

What the wire does with a datagram is a function of its sender and of how many that one has sent:
it returns the delays after which copies arrive, none when the datagram is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TypeAlias

from attrs import define, field

from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.dtls import Association, AssociationState, DtlsContext
from refreeze.peer.dtls.fingerprints import fingerprint
from refreeze.testing import VirtualCall, VirtualClock

CLIENT, SERVER = "client", "server"
SIDES = (CLIENT, SERVER)
DELAY = 0.02
"""Seconds that a datagram is under way."""
OVER = (AssociationState.CONNECTED, AssociationState.CLOSED, AssociationState.FAILED)

Fate: TypeAlias = Callable[[str, int, bytes], Sequence[float]]


def good(_sender: str, _number: int, _datagram: bytes) -> Sequence[float]:
    """Everything arrives, in order."""
    return (DELAY,)


@cache
def context(name: str) -> DtlsContext:
    """Somebody's: made once, for keys are slow and are not what is tested."""
    return DtlsContext(RTCCertificate.generate(datetime(2026, 1, 1, tzinfo=UTC)))


def fingerprints(of: DtlsContext) -> tuple[str, ...]:
    """As its owner's description has them."""
    return tuple(" ".join(each) for each in of.fingerprints)


def foreign_fingerprint() -> str:
    """Nobody's."""
    return fingerprint(b"somebody else")


@define(eq=False, repr=False)
class End:
    """One association, and what its owner does for it."""

    wire: Wire
    name: str
    association: Association
    received: list[bytes] = field(factory=list, init=False)
    sent: list[bytes] = field(factory=list, init=False)
    """Datagrams that it gave to the wire."""
    at: float | None = field(default=None, init=False)
    """When its handshake was over, well or badly."""
    _call: VirtualCall | None = field(default=None, init=False)

    @property
    def state(self) -> AssociationState:
        """Of the association."""
        return self.association.state

    @property
    def reason(self) -> str | None:
        """Why it failed."""
        problem = self.association.problem
        return None if problem is None else problem.reason

    def start(self) -> None:
        """Begin."""
        self.association.start(self.wire.now)
        self.settle()

    def take(self, datagram: bytes) -> None:
        """Something comes."""
        self.received += self.association.receive([datagram], self.wire.now)
        self.settle()

    def send(self, *payloads: bytes) -> None:
        """Something goes."""
        for datagram in self.association.send(payloads):
            self.wire.carry(self, datagram)

    def authenticate(self, named: Iterable[str]) -> None:
        """The other one's description has come."""
        self.received += self.association.authenticate(named, self.wire.now)
        self.settle()

    def repeat(self) -> None:
        """The path is another one."""
        self.association.repeat(self.wire.now)
        self.settle()

    def close(self) -> None:
        """Enough."""
        self.association.close(self.wire.now)
        self.settle()

    def settle(self) -> None:
        """Carry what it wants to send, and wake it when it wants to be."""
        association, clock = self.association, self.wire.clock
        for datagram in association.take_transmits():
            self.wire.carry(self, datagram)
        if self.at is None and association.state in OVER:
            self.at = self.wire.now
        if self._call is not None and self._call.active():
            self._call.cancel()
        deadline = association.next_deadline()
        if deadline is not None:
            self._call = clock.callLater(max(0.0, deadline - clock.seconds()), self._wake)

    def _wake(self) -> None:
        self.association.handle_timeout(self.wire.now)
        self.settle()


@define(eq=False, repr=False)
class Wire:
    """Both ends. *known* says whether each side knows the other's fingerprints from the start."""

    fate: Fate = good
    contexts: tuple[DtlsContext, DtlsContext] = field(
        factory=lambda: (context(CLIENT), context(SERVER)), kw_only=True
    )
    roles: tuple[bool, bool] = field(default=(True, False), kw_only=True)
    """Whether each is a client, for pairs that disagree about it."""
    known: tuple[bool, bool] = field(default=(True, True), kw_only=True)
    expected: tuple[tuple[str, ...] | None, tuple[str, ...] | None] = field(
        default=(None, None), kw_only=True
    )
    """What each believes to be the other's fingerprints; None: what they are."""
    mtu: int = field(default=1200, kw_only=True)
    clock: VirtualClock = field(factory=VirtualClock, init=False)
    client: End = field(init=False)
    server: End = field(init=False)
    lost: int = field(default=0, init=False)
    carried: Counter[str] = field(factory=Counter, init=False)
    """Datagrams of each side's until now."""

    def __attrs_post_init__(self) -> None:
        ends = []
        for number, name in enumerate(SIDES):
            truth = self.expected[number] or fingerprints(self.contexts[1 - number])
            association = Association(
                self.contexts[number],
                client=self.roles[number],
                fingerprints=truth if self.known[number] else None,
                mtu=self.mtu,
            )
            ends.append(End(self, name, association))
        self.client, self.server = ends

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.client, self.server

    @property
    def client_fingerprints(self) -> tuple[str, ...]:
        """The true ones."""
        return fingerprints(self.contexts[0])

    @property
    def server_fingerprints(self) -> tuple[str, ...]:
        """The true ones."""
        return fingerprints(self.contexts[1])

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.clock.seconds()

    @property
    def over(self) -> bool:
        """Whether both handshakes are, well or badly."""
        return all(end.state in OVER for end in self.ends)

    @property
    def connected(self) -> bool:
        """Whether both are."""
        return all(end.state is AssociationState.CONNECTED for end in self.ends)

    def other(self, end: End) -> End:
        """Who gets what *end* sends."""
        return self.server if end is self.client else self.client

    def carry(self, sender: End, datagram: bytes) -> None:
        """On its way, or lost."""
        number = self.carried[sender.name]
        self.carried[sender.name] += 1
        sender.sent.append(datagram)
        delays = self.fate(sender.name, number, datagram)
        self.lost += not delays
        for delay in delays:
            self.clock.run_at(self.now + delay, self.other(sender).take, datagram)

    def start(self) -> None:
        """The server waits, the client speaks."""
        self.server.start()
        self.client.start()

    def conclude(self, limit: float = 40.0) -> float:
        """Until both are over; the seconds that took, or NeverHappened."""
        return self.clock.run_until(lambda: self.over, limit)

    def flows(self) -> bool:
        """Whether data gets through in both directions, from now on, on a good wire."""
        self.fate = good
        for end in self.ends:
            other = self.other(end)
            before = len(other.received)
            payloads = [f"{end.name} {number}".encode() for number in range(3)]
            end.send(*payloads)
            self.clock.advance(1.0)
            if other.received[before:] != payloads:
                return False
        return True

    def story(self) -> str:
        """What a person needs who looks for the reason."""
        return "; ".join(
            f"{end.name} {end.state} {end.association.problem} at {end.at} after"
            f" {len(end.sent)} datagrams, {end.association.timeouts} timeouts,"
            f" dropped {dict(end.association.dropped)}"
            for end in self.ends
        )
