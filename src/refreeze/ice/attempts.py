"""Checks that are out: each carries its role, id and send time (T26)."""

from __future__ import annotations

from enum import Enum, auto
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from attrs import define, field

from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole
from refreeze.stun import RetransmissionSchedule

MAX_CONSENT_ATTEMPTS: Final = 32
"""Consent checks that may still be answered: 30 s of them at the quickest pace of default."""


class Purpose(Enum):
    """Checks and nominations are retransmitted; consent is asked once each (RFC 7675 5.1)."""

    CHECK = auto()
    NOMINATION = auto()
    CONSENT = auto()


@define(eq=False)
class Attempt:
    """One transaction. *data* is what was sent, to be sent again; *due* is when."""

    transaction: bytes
    pair: Pair
    role: IceRole
    purpose: Purpose
    use_candidate: bool
    sent_at: float
    data: bytes
    schedule: RetransmissionSchedule
    last_sent: float = 0.0
    sends: int = 1
    due: float = 0.0
    hurried: bool = False
    """Its next sending was pulled forward and is not one of the schedule."""
    measurable: bool = True
    """Sent once and not held up: its response tells the round trip."""
    over: bool = False

    def next_at(self) -> float:
        """When it is sent again, or given up."""
        if self.sends >= self.schedule.rc:
            return self.sent_at + self.schedule.timeout
        return self.sent_at + self.schedule.send_times()[self.sends]


@define(eq=False)
class Attempts:
    """The outstanding transactions of one agent, by id and by the time they are due."""

    _by_id: dict[bytes, Attempt] = field(factory=dict)
    _consent: dict[bytes, Attempt] = field(factory=dict)
    _due: list[tuple[float, int, Attempt]] = field(factory=list)
    _order: count[int] = field(factory=count)

    def __len__(self) -> int:
        return len(self._by_id) + len(self._consent)

    def add(self, attempt: Attempt) -> None:
        """A request just left. Consent has no timer of its own: liveness keeps its time."""
        attempt.last_sent = attempt.sent_at
        if attempt.purpose is Purpose.CONSENT:
            while len(self._consent) >= MAX_CONSENT_ATTEMPTS:
                del self._consent[next(iter(self._consent))]
            self._consent[attempt.transaction] = attempt
        else:
            self._by_id[attempt.transaction] = attempt
            self.plan(attempt, attempt.next_at())

    def plan(self, attempt: Attempt, at: float) -> None:
        """It is due at *at* and at no other time."""
        attempt.due = at
        heappush(self._due, (at, next(self._order), attempt))

    def find(self, transaction: bytes) -> Attempt | None:
        """The attempt that a response is about."""
        return self._by_id.get(transaction) or self._consent.get(transaction)

    def drop(self, attempt: Attempt) -> None:
        """Nobody waits for its response any more."""
        attempt.over = True
        if self._by_id.pop(attempt.transaction, None) is None:
            self._consent.pop(attempt.transaction, None)

    def check_of(self, pair: Pair) -> Attempt | None:
        """The check or nomination that is out on *pair*."""
        return next((each for each in self._by_id.values() if each.pair is pair), None)

    def drop_all(self, pair: Pair) -> None:
        """Whatever is out on *pair* is of no interest any more."""
        for table in (self._by_id, self._consent):
            for attempt in [each for each in table.values() if each.pair is pair]:
                self.drop(attempt)

    def clear_checks(self) -> None:
        """Forget all but those for consent."""
        for attempt in self._by_id.values():
            attempt.over = True
        self._by_id.clear()
        self._due.clear()

    def clear(self) -> None:
        """Forget them all."""
        self.clear_checks()
        self._consent.clear()

    def postpone(self, late: float) -> None:
        """Nobody ran for *late* seconds: all that was due in them is due that much later."""
        for attempt in self._by_id.values():
            attempt.sent_at += late
            attempt.due += late
            attempt.measurable = False
        for attempt in self._consent.values():
            attempt.measurable = False
        self._due = [(each.due, next(self._order), each) for each in self._by_id.values()]
        heapify(self._due)

    def next_deadline(self) -> float | None:
        """When :meth:`pop_due` has something."""
        while self._due:
            at, _, attempt = self._due[0]
            if not attempt.over and attempt.due == at:
                return at
            heappop(self._due)
        return None

    def pop_due(self, now: float) -> Attempt | None:
        """One attempt whose moment has come; plan it again, or drop it."""
        at = self.next_deadline()
        if at is None or at > now:
            return None
        return heappop(self._due)[2]
