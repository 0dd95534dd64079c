"""Restart rounds as a session keeps them: what `history` shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field

from refreeze.watchdog import Cause, RoundOutcome

KEPT = 100


@define(eq=False, repr=False)
class RoundRecord:
    """One round. Times are monotonic seconds, *wall* is the wall clock's at its start."""

    id: int
    cause: Cause
    ours: bool
    reason: str
    started_at: float
    wall: float
    ufrag: str | None = None
    outcome: RoundOutcome | None = None
    ended_at: float | None = None
    detail: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took, once it has ended."""
        return None if self.ended_at is None else self.ended_at - self.started_at

    def told(self) -> dict[str, Any]:
        """What the event `round.done` tells, but for whose it is."""
        outcome = self.outcome.value if self.outcome is not None else ""
        fields = {
            "round": self.id,
            "outcome": outcome,
            "cause": self.cause.value,
            "seconds": round(self.seconds or 0.0, 3),
        }
        return fields if self.outcome is RoundOutcome.SUCCEEDED else fields | {"why": self.detail}


@define(eq=False, repr=False)
class RoundBook:
    """The rounds of one session: the current one, and the latest that ended."""

    on_end: Callable[[RoundRecord], None]
    current: RoundRecord | None = None
    ended: deque[RoundRecord] = field(factory=lambda: deque(maxlen=KEPT))
    count: int = 0
    """How many have begun; the id of the latest."""
    next_reason: str = ""
    """What an operator gave as the reason of the round that comes next."""

    def begin(
        self, cause: Cause, *, ours: bool, ufrag: str | None, now: float, wall: float
    ) -> RoundRecord:
        """A new current round; the one before must have ended. *ufrag* is its generation's."""
        self.count += 1
        reason, self.next_reason = self.next_reason, ""
        self.current = RoundRecord(self.count, cause, ours, reason, now, wall, ufrag)
        return self.current

    def end(self, outcome: RoundOutcome, detail: str, now: float) -> RoundRecord | None:
        """The current round is over."""
        record, self.current = self.current, None
        if record is not None:
            record.outcome, record.detail, record.ended_at = outcome, detail, now
            self.ended.append(record)
            self.on_end(record)
        return record
