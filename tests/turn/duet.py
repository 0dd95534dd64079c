"""An allocation and a model server, and the virtual time between them."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random

from attrs import define, field

from refreeze.basics import Address
from refreeze.turn import (
    Allocation,
    AllocationState,
    TurnCredentials,
    TurnEvent,
    TurnSettings,
)
from tests.turn.server import ModelServer

SERVER: Address = ("192.0.2.1", 3478)
PEER: Address = ("203.0.113.5", 6000)
DATA = b"\x80 payload that is no STUN"


@define(eq=False, kw_only=True)
class Duet:
    """Both ends, and a wire that takes ``delay`` seconds each way and does what ``fate`` says.

    ``fate`` gives the delays of the copies of one datagram that arrive: none is a loss.
    """

    server: ModelServer = field(factory=ModelServer)
    families: tuple[int, ...] = (4,)
    reliable: bool = False
    password: str = "secret"
    settings: TurnSettings = field(factory=TurnSettings)
    seed: int = 1
    delay: float = 0.02
    fate: Callable[[], list[float]] | None = None
    now: float = 1000.0
    events: list[tuple[float, TurnEvent]] = field(factory=list)
    received: list[tuple[int, Address, bytes]] = field(factory=list)
    sent: list[tuple[float, bytes]] = field(factory=list)
    states: list[AllocationState] = field(factory=list)
    allocation: Allocation = field(init=False)
    _wire: list[tuple[float, int, bool, bytes]] = field(factory=list)
    _order: count[int] = field(factory=count)

    def __attrs_post_init__(self) -> None:
        self.allocation = Allocation(
            server=SERVER,
            reliable=self.reliable,
            credentials=TurnCredentials(username="user", password=self.password),
            families=self.families,
            settings=self.settings,
            random=Random(self.seed),
        )

    # What happens

    def start(self, seconds: float = 1.0) -> Duet:
        """Ask for the allocation, and let *seconds* pass."""
        self.allocation.start(self.now)
        return self.run(seconds)

    def ready(self, *peers: Address) -> Duet:
        """An allocation with permissions for *peers*."""
        self.start()
        assert self.allocation.state is AllocationState.READY, self.allocation.problem
        for host, _ in peers:
            self.allocation.permit(host, self.now)
        return self.run(1.0)

    def send(self, payload: bytes = DATA, peer: Address = PEER) -> bool:
        taken = self.allocation.send(peer, payload, self.now)
        self.collect()
        return taken

    def arrive(self, data: bytes) -> None:
        """*data* comes from the server now."""
        self.allocation.receive(data, self.now)
        self.collect()

    def from_peer(self, payload: bytes, peer: Address = PEER) -> None:
        for data in self.server.data_from(peer, payload, self.now):
            self._put(False, data)

    # Time

    def run(self, seconds: float) -> Duet:
        """Let *seconds* pass, and everything happen that is due in them."""
        end = self.now + seconds
        self.collect()
        steps = 0
        while (at := self._next()) <= end:
            steps += 1
            assert steps < 100_000, "it never rests"
            self.now = max(self.now, at)
            self._step()
        self.now = end
        return self

    def _next(self) -> float:
        wire = self._wire[0][0] if self._wire else float("inf")
        deadline = self.allocation.next_deadline()
        return min(wire, float("inf") if deadline is None else deadline)

    def _step(self) -> None:
        while self._wire and self._wire[0][0] <= self.now:
            _, _, to_server, data = heappop(self._wire)
            if to_server:
                for answer in self.server.receive(data, self.now):
                    self._put(False, answer)
            else:
                self.allocation.receive(data, self.now)
                self.collect()
        deadline = self.allocation.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.allocation.handle_timeout(self.now)
            after = self.allocation.next_deadline()
            assert after is None or after > self.now, "the same deadline again"
        self.collect()

    def collect(self) -> None:
        """Take everything there is to take."""
        allocation = self.allocation
        for data in allocation.take_transmits():
            self.sent.append((self.now, data))
            self._put(True, data)
        self.received += allocation.take_received()
        self.events += [(self.now, each) for each in allocation.take_events()]
        if not self.states or self.states[-1] is not allocation.state:
            self.states.append(allocation.state)

    def _put(self, to_server: bool, data: bytes) -> None:
        for delay in [self.delay] if self.fate is None else self.fate():
            heappush(self._wire, (self.now + delay, next(self._order), to_server, data))

    # What is to be seen

    @property
    def told(self) -> list[TurnEvent]:
        return [event for _, event in self.events]

    @property
    def at_peers(self) -> list[tuple[Address, bytes, str]]:
        return self.server.relayed_to_peers
