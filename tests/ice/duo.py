"""Two agents and a network between them in virtual time: no sleeping, everything by seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final

from attrs import define, evolve, field

from refreeze.basics import Address
from refreeze.ice import (
    Agent,
    AgentSettings,
    Candidate,
    CandidateType,
    CheckBucket,
    Credentials,
    IceRole,
    IceState,
    Pair,
    Transmit,
    candidate_foundation,
    candidate_priority,
    new_credentials,
)
from refreeze.ice.events import AgentEvent, StateChanged
from refreeze.ice.states import TRANSITIONS
from refreeze.stun import Message, MessageClass, parse

SETTINGS: Final = AgentSettings()
START: Final = 1000.0


def host(address: Address, preference: int = 65535) -> Candidate:
    """A local host candidate."""
    kind = CandidateType.HOST
    return Candidate(
        type=kind,
        address=address,
        priority=candidate_priority(kind, preference),
        foundation=candidate_foundation(kind, address[0]),
        base=address,
    )


def reflexive(address: Address, base: Address, preference: int = 65535) -> Candidate:
    """A local server-reflexive candidate."""
    kind = CandidateType.SRFLX
    return Candidate(
        type=kind,
        address=address,
        priority=candidate_priority(kind, preference),
        foundation=candidate_foundation(kind, base[0], server_host="192.0.2.53"),
        base=base,
        related=base,
    )


def relay(address: Address, preference: int = 65535) -> Candidate:
    """A local relay candidate: its base is the relayed address."""
    kind = CandidateType.RELAY
    return Candidate(
        type=kind,
        address=address,
        priority=candidate_priority(kind, preference),
        foundation=candidate_foundation(kind, address[0], server_host="192.0.2.53"),
        base=address,
        related=("0.0.0.0", 0),
    )


def signaled(candidate: Candidate) -> Candidate:
    """As the other side learns it."""
    return evolve(candidate, base=None)


@define(eq=False)
class Side:
    """One agent with all that happened to it."""

    name: str
    agent: Agent
    events: list[tuple[float, AgentEvent]] = field(factory=list)
    sent: list[tuple[float, Transmit]] = field(factory=list)
    data_in: list[tuple[float, bool]] = field(factory=list)

    def of(self, kind: type) -> list[AgentEvent]:
        """The events of one kind."""
        return [event for _, event in self.events if isinstance(event, kind)]

    def at(self, state: IceState) -> float:
        """When the state was first taken; AssertionError when never."""
        for at, event in self.events:
            if isinstance(event, StateChanged) and event.state is state:
                return at
        raise AssertionError(f"{self.name} never became {state.value}")

    @property
    def states(self) -> list[str]:
        """All states in order."""
        return [e.state.value for _, e in self.events if isinstance(e, StateChanged)]

    def requests(self, since: float = 0.0) -> list[tuple[float, Message, Transmit]]:
        """All requests that left, parsed."""
        return [
            (at, parse(t.data), t)
            for at, t in self.sent
            if t.transaction is not None and at >= since
        ]

    def answers(self, since: float = 0.0) -> list[tuple[float, Message, Transmit]]:
        """All responses that left, parsed."""
        return [
            (at, parse(t.data), t) for at, t in self.sent if t.transaction is None and at >= since
        ]


@define(eq=False)
class Nat:
    """Port-restricted filtering; *symmetric*: another mapping for every destination."""

    public: str
    symmetric: bool = False
    ports: count[int] = field(factory=lambda: count(40000))
    out: dict[tuple[Address, Address | None], Address] = field(factory=dict)
    permitted: set[tuple[Address, Address]] = field(factory=set)

    def outbound(self, base: Address, remote: Address) -> Address:
        """The source that the world sees."""
        key = (base, remote if self.symmetric else None)
        if key not in self.out:
            self.out[key] = (self.public, next(self.ports))
        self.permitted.add((self.out[key], remote))
        return self.out[key]

    def inbound(self, mapped: Address, source: Address) -> Address | None:
        """The base behind *mapped*, if *source* may come in."""
        if (mapped, source) not in self.permitted:
            return None
        return next((base for (base, _), known in self.out.items() if known == mapped), None)

    def rebind(self) -> None:
        """Forget all mappings."""
        self.out.clear()
        self.permitted.clear()


Drop = Callable[[Side, Address, Address, bytes], bool]


@define(eq=False)
class Duo:
    """Sides ``a`` and ``b``, their network, and the clock."""

    a: Side
    b: Side
    random: Random
    now: float = START
    delay: float = 0.02
    jitter: float = 0.0
    loss: float = 0.0
    nats: dict[str, Nat] = field(factory=dict)
    """By the name of a side."""
    bases: dict[Address, Side] = field(factory=dict)
    public: set[Address] = field(factory=set)
    """Relayed addresses: no NAT of their side is on the way."""
    dead: set[tuple[Address, Address]] = field(factory=set)
    """Directions (source base, destination) that lose everything."""
    drop: Drop | None = None
    frozen: set[str] = field(factory=set)
    """Sides whose process is stopped: nothing is received, no timer runs."""
    _flying: list[tuple[float, int, Side, Address, Address, bytes]] = field(factory=list)
    _order: count[int] = field(factory=count)

    # Set-up

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.a, self.b

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def add(self, side: Side, *candidates: Candidate, tell: bool = True) -> None:
        """Gather *candidates* at *side*, and signal them (trickle) if *tell*."""
        for candidate in candidates:
            assert candidate.base is not None
            self.bases[candidate.base] = side
            if candidate.type is CandidateType.RELAY:
                self.public.add(candidate.base)
            side.agent.add_local_candidate(candidate, self.now)
            if tell:
                self.other(side).agent.add_remote_candidate(signaled(candidate), self.now)
        self.pump()

    def introduce(self, *, ended: bool = True) -> None:
        """Both learn the other's credentials; *ended*: and that there is no more to come."""
        for side in self.sides:
            side.agent.set_remote(self.other(side).agent.local, self.now)
        if ended:
            self.end()
        self.pump()

    def end(self) -> None:
        """Neither gathers any more, and both know."""
        for side in self.sides:
            side.agent.end_of_local_candidates(self.now)
            self.other(side).agent.end_of_remote_candidates(self.now)
        self.pump()

    # Running

    def pump(self) -> None:
        """Move what the agents want sent to the network, and note their events."""
        for side in self.sides:
            for transmit in side.agent.take_transmits():
                side.sent.append((self.now, transmit))
                self._send(side, transmit.base, transmit.remote, transmit.data)
            for event in side.agent.take_events():
                side.events.append((self.now, event))

    def _send(self, side: Side, base: Address, remote: Address, data: bytes) -> None:
        if (base, remote) in self.dead or self.random.random() < self.loss:
            return
        if self.drop is not None and self.drop(side, base, remote, data):
            return
        nat = self.nats.get(side.name)
        source = base if nat is None or base in self.public else nat.outbound(base, remote)
        at = self.now + self.delay + self.random.uniform(0, self.jitter)
        heappush(self._flying, (at, next(self._order), side, source, remote, data))

    def _arrive(self, side: Side, source: Address, remote: Address, data: bytes) -> None:
        receiver = self.other(side)
        nat = self.nats.get(receiver.name)
        if nat is not None and remote not in self.public:
            inside = nat.inbound(remote, source)
            if inside is None:
                return
            remote = inside
        if self.bases.get(remote) is not receiver or receiver.name in self.frozen:
            return
        if data[:4] == b"data":
            known = receiver.agent.data_received(remote, source, self.now, len(data))
            receiver.data_in.append((self.now, known))
        else:
            receiver.agent.receive(parse(data), remote, source, self.now)

    def deadlines(self) -> list[float]:
        """Of all that may happen next."""
        times = [s.agent.next_deadline() for s in self.sides if s.name not in self.frozen]
        return [at for at in times if at is not None]

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True when *until* came true."""
        end = self.now + seconds
        self.pump()
        for _ in range(200_000):
            if until is not None and until():
                return True
            times = self.deadlines() + ([self._flying[0][0]] if self._flying else [])
            at = min(times, default=float("inf"))
            if at > end:
                self.now = end
                return until is not None and until()
            self.now = max(self.now, at)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, side, source, remote, data = heappop(self._flying)
                self._arrive(side, source, remote, data)
                self.pump()
            for side in self.sides:
                due = side.agent.next_deadline()
                if side.name not in self.frozen and due is not None and due <= self.now:
                    side.agent.handle_timeout(self.now)
                    self.pump()
        raise AssertionError("time stands still: a deadline that is never served")

    def data(self, side: Side, payload: bytes = b"data") -> Pair | None:
        """Send one datagram of data, if *side* may."""
        pair = side.agent.data_pair
        if pair is not None:
            self._send(side, pair.base, pair.remote_address, payload)
            side.agent.data_sent(self.now, len(payload))
        return pair

    def traffic(self, seconds: float, every: float = 0.02, senders: str = "ab") -> None:
        """Data both ways while time passes."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            for side in self.sides:
                if side.name in senders:
                    self.data(side)
            self.run(min(every, end - self.now))

    # Looking

    def connected(self) -> bool:
        """Both sides have selected the same path."""
        return all(s.agent.selected is not None for s in self.sides)

    def connect(self, seconds: float = 5.0) -> None:
        """Run until both have a selected pair."""
        if not self.run(seconds, self.connected):
            raise AssertionError(f"not connected: {self.a.states} {self.b.states}")

    def cut(self, *, both: bool = True) -> None:
        """The selected path loses everything from now on (or only from ``a`` to ``b``)."""
        for side in self.sides if both else (self.a,):
            pair = side.agent.selected
            assert pair is not None
            self.dead.add((pair.base, pair.remote_address))

    def heal(self) -> None:
        self.dead.clear()

    def check_transitions(self) -> None:
        """Every change of state is one of the table."""
        for side in self.sides:
            before = IceState.NEW
            for state in side.states:
                after = IceState(state)
                assert (before, after) in TRANSITIONS, f"{before.value} -> {after.value}"
                before = after


def make_agent(
    random: Random,
    role: IceRole,
    *,
    settings: AgentSettings = SETTINGS,
    bucket: CheckBucket | None = None,
    local: Credentials | None = None,
    tie_breaker: int | None = None,
    now: float = START,
) -> Agent:
    """An agent as the transport makes it."""
    return Agent(
        local=local or new_credentials(random),
        role=role,
        tie_breaker=random.getrandbits(64) if tie_breaker is None else tie_breaker,
        settings=settings,
        bucket=bucket or CheckBucket(),
        random=random,
        now=now,
    )


def make_duo(
    seed: int = 1,
    *,
    settings: AgentSettings = SETTINGS,
    roles: Sequence[IceRole] = (IceRole.CONTROLLING, IceRole.CONTROLLED),
    ties: Sequence[int | None] = (None, None),
    delay: float = 0.02,
    jitter: float = 0.0,
    loss: float = 0.0,
) -> Duo:
    """Two agents that know nothing of each other yet."""
    random = Random(seed)
    bucket = CheckBucket()
    a, b = (
        Side(name, make_agent(random, role, settings=settings, bucket=bucket, tie_breaker=tie))
        for name, role, tie in zip("ab", roles, ties, strict=True)
    )
    return Duo(a, b, random, delay=delay, jitter=jitter, loss=loss)


A1: Final = ("10.0.0.1", 5001)
A2: Final = ("10.0.1.1", 5001)
B1: Final = ("10.0.0.2", 6001)
B2: Final = ("10.0.1.2", 6001)


def connected_duo(seed: int = 1, **options: object) -> Duo:
    """One host candidate a side, connected and quiet."""
    duo = make_duo(seed, **options)  # type: ignore[arg-type]  # passed on as they are
    duo.add(duo.a, host(A1))
    duo.add(duo.b, host(B1))
    duo.introduce()
    duo.connect()
    duo.run(1.0)
    return duo


def is_request(data: bytes) -> bool:
    """Whether a datagram of the network is a check."""
    return data[:4] != b"data" and parse(data).message_class is MessageClass.REQUEST
