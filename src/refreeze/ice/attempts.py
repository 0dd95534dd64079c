"""Checks that are out: each carries its role, id and send time."""

from __future__ import annotations

from enum import Enum, auto
from heapq import heappop, heappush
from itertools import count

from attrs import define, field

from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole
from refreeze.stun import RetransmissionSchedule


class Purpose(Enum):
    """Ordinary checks are retransmitted; those for consent are sent once (RFC 7675 5.1)."""

    CHECK = auto()
    CONSENT = auto()


@define(eq=False, repr=False)
class Attempt:
    """One transaction. *data* is what was sent, to be sent again."""

    transaction: bytes
    pair: Pair
    role: IceRole
    purpose: Purpose
    nominating: bool
    sent_at: float
    data: bytes
    schedule: RetransmissionSchedule
    sends: int = 1
    over: bool = False

    def next_at(self) -> float:
        """When it is sent again, or given up."""
        times = self.schedule.send_times()
        if self.purpose is Purpose.CONSENT or self.sends >= len(times):
            return self.sent_at + self.schedule.timeout
        return self.sent_at + times[self.sends]


@define(eq=False, repr=False)
class Attempts:
    """The outstanding transactions of one agent, by id and by the time they are due."""

    _by_id: dict[bytes, Attempt] = field(factory=dict)
    _due: list[tuple[float, int, Attempt]] = field(factory=list)
    _order: count[int] = field(factory=count)

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, attempt: Attempt) -> None:
        """A request just left."""
        self._by_id[attempt.transaction] = attempt
        self.plan(attempt)

    def plan(self, attempt: Attempt) -> None:
        """Put its next moment on the heap."""
        heappush(self._due, (attempt.next_at(), next(self._order), attempt))

    def take(self, transaction: bytes) -> Attempt | None:
        """The attempt that a response is about; it is over."""
        attempt = self._by_id.pop(transaction, None)
        if attempt is not None:
            attempt.over = True
        return attempt

    def drop(self, attempt: Attempt) -> None:
        """Nobody waits for its response any more."""
        attempt.over = True
        self._by_id.pop(attempt.transaction, None)

    def of(self, pair: Pair) -> list[Attempt]:
        """Those on that pair."""
        return [each for each in self._by_id.values() if each.pair is pair]

    def clear(self) -> None:
        """Forget them all."""
        for attempt in self._by_id.values():
            attempt.over = True
        self._by_id.clear()
        self._due.clear()

    def next_deadline(self) -> float | None:
        """When :meth:`pop_due` has something."""
        while self._due and self._due[0][2].over:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def pop_due(self, now: float) -> Attempt | None:
        """One attempt whose moment has come."""
        at = self.next_deadline()
        if at is None or at > now:
            return None
        return heappop(self._due)[2]
