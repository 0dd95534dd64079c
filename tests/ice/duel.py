"""Two transports joined by a line with delay, loss and cuts, in virtual time."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from itertools import count

from refreeze.basics import Address
from refreeze.ice import (
    AgentSettings,
    Candidate,
    CandidateType,
    CheckBucket,
    IceRole,
    Transport,
    candidate_foundation,
    candidate_priority,
    new_credentials,
)
from refreeze.ice.generation import TransportEvent
from refreeze.stun import is_stun, parse


def host(base: Address, index: int, ufrag: str) -> Candidate:
    """A host candidate."""
    return Candidate(
        type=CandidateType.HOST,
        address=base,
        priority=candidate_priority(CandidateType.HOST, 65535 - index),
        foundation=candidate_foundation(CandidateType.HOST, base[0]),
        base=base,
        ufrag=ufrag,
    )


class Side:
    """One transport, its bases, and all that it told."""

    def __init__(self, name: str, bases: list[Address], settings: AgentSettings, seed: int) -> None:
        self.name = name
        self.bases = bases
        self.random = random.Random(f"{seed}/{name}")
        self.transport = Transport(settings, CheckBucket(), self.random)
        self.events: list[tuple[float, TransportEvent]] = []
        self.data: list[tuple[float, bytes]] = []

    def of(self, kind: type) -> list[TransportEvent]:
        """Events of that kind, in order."""
        return [event for _, event in self.events if isinstance(event, kind)]


class Duel:
    """Two sides; *delay* is one way, in seconds."""

    def __init__(
        self,
        *,
        pairs: int = 1,
        delay: float = 0.01,
        loss: float = 0.0,
        seed: int = 1,
        settings: AgentSettings | None = None,
    ) -> None:
        settings = settings or AgentSettings()
        self.now = 100.0
        self.delay, self.loss = delay, loss
        self.random = random.Random(f"{seed}/line")
        self.a = Side("a", [(f"192.0.2.{i + 1}", 5000) for i in range(pairs)], settings, seed)
        self.b = Side("b", [(f"198.51.100.{i + 1}", 6000) for i in range(pairs)], settings, seed)
        self.cut: set[frozenset[Address]] = set()
        self.cut_all = False
        self.sent = 0
        self._flying: list[tuple[float, int, Side, bytes, Address, Address]] = []
        self._order = count()

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def restart(self, offerer: Side) -> None:
        """A whole exchange: both stage, both start, both know all candidates."""
        roles = {offerer: IceRole.CONTROLLING, self.other(offerer): IceRole.CONTROLLED}
        staged = {side: self.stage(side, role) for side, role in roles.items()}
        for side, own in staged.items():
            self.answer(side, own, staged[self.other(side)])

    def stage(self, side: Side, role: IceRole) -> object:
        """Only what an offer does."""
        generation = side.transport.stage(new_credentials(side.random), self.now, role=role)
        for index, base in enumerate(side.bases):
            candidate = host(base, index, generation.ufrag)
            side.transport.add_local_candidate(generation.ufrag, candidate, self.now)
        side.transport.end_of_local_candidates(generation.ufrag, self.now)
        self.flush(side)
        return generation

    def answer(self, side: Side, own: object, peer: object) -> None:
        """What the other's description does."""
        remote = peer.agent.local
        side.transport.start(own.ufrag, remote, self.now)
        for candidate in peer.agent.local_candidates:
            side.transport.add_remote_candidate(remote.ufrag, candidate, self.now)
        side.transport.end_of_remote_candidates(remote.ufrag, self.now)
        self.flush(side)

    def flush(self, side: Side) -> None:
        """Put what a side wants sent on the line."""
        for transmit in side.transport.take_transmits():
            self.fly(side, transmit.data, transmit.base, transmit.remote)
        side.events += [(self.now, event) for event in side.transport.take_events()]

    def fly(self, side: Side, data: bytes, source: Address, target: Address) -> None:
        cut = self.cut_all or frozenset((source, target)) in self.cut
        if cut or self.random.random() < self.loss:
            return
        item = (self.now + self.delay, next(self._order), self.other(side), data, source, target)
        heappush(self._flying, item)

    def send(self, side: Side, data: bytes) -> bool:
        """Data over the route; False without one."""
        route = side.transport.route
        if route is None:
            return False
        self.sent += 1
        self.fly(side, data, route.base, route.remote_address)
        side.transport.data_sent(self.now, len(data), 1)
        self.flush(side)
        return True

    def run(self, seconds: float, *, traffic: float | None = None) -> None:
        """Let time pass; with *traffic*, each side sends data at that interval."""
        end = self.now + seconds
        next_data = self.now if traffic else end + 1
        while True:
            deadlines = [s.transport.next_deadline() for s in (self.a, self.b)]
            times = [at for at in deadlines if at is not None]
            times += [self._flying[0][0]] if self._flying else []
            times += [next_data]
            moment = min(times, default=end + 1)
            if moment > end:
                self.now = end
                return
            self.now = max(self.now, moment)
            if traffic and self.now >= next_data:
                next_data += traffic
                for side in (self.a, self.b):
                    self.send(side, b"\x80data")
            while self._flying and self._flying[0][0] <= self.now:
                self._arrive(*heappop(self._flying)[2:])
            for side in (self.a, self.b):
                at = side.transport.next_deadline()
                if at is not None and at <= self.now:
                    side.transport.handle_timeout(self.now)
                    self.flush(side)

    def _arrive(self, side: Side, data: bytes, source: Address, target: Address) -> None:
        if target not in side.bases:
            return
        if is_stun(data):
            side.transport.receive(parse(data), target, source, self.now)
        elif side.transport.data_received(target, source, self.now, len(data), 1):
            side.data.append((self.now, data))
        self.flush(side)
