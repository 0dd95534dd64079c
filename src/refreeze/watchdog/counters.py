"""What the watchdog counts. Every started round is accounted for exactly once."""

from __future__ import annotations

from collections import Counter

from attrs import Factory, define

from .words import Cause, RoundOutcome

MOST_REASONS = 32
"""Reasons are slugs of our own; a table never grows beyond this many, the rest is `other`."""


def count(table: Counter[str], reason: str, number: int = 1) -> None:
    """Count *reason* in a table that stays small."""
    key = reason if reason in table or len(table) < MOST_REASONS else "other"
    table[key] += number


@define
class Counters:
    """Totals of one session, or, by :meth:`add`, of many."""

    started: Counter[str] = Factory(Counter)
    """Rounds by cause, ours and the peer's."""
    succeeded: int = 0
    failed: Counter[str] = Factory(Counter)
    """Failed rounds by reason."""
    superseded: int = 0
    abandoned: int = 0
    pending: int = 0
    suppressed: Counter[str] = Factory(Counter)
    """Restarts that were wanted and not made, by reason."""
    offers_sent: int = 0
    offers_received: int = 0
    offers_stale: int = 0
    offers_glare: int = 0
    late: int = 0
    """Reports about a round that is not the current one, ignored (T12)."""
    flaps: int = 0

    def round_started(self, cause: Cause) -> None:
        self.started[cause.value] += 1
        self.pending += 1

    def round_ended(self, outcome: RoundOutcome, reason: str) -> None:
        self.pending -= 1
        if outcome is RoundOutcome.SUCCEEDED:
            self.succeeded += 1
        elif outcome is RoundOutcome.FAILED:
            count(self.failed, reason)
        elif outcome is RoundOutcome.SUPERSEDED:
            self.superseded += 1
        else:
            self.abandoned += 1

    def balanced(self) -> bool:
        """started = succeeded + failed + superseded + abandoned + pending."""
        ended = self.succeeded + self.failed.total() + self.superseded + self.abandoned
        return self.pending >= 0 and self.started.total() == ended + self.pending

    def add(self, other: Counters) -> None:
        """Add another session's totals to these (for metrics over all sessions)."""
        for name in ("started", "failed", "suppressed"):
            table: Counter[str] = getattr(self, name)
            for reason, number in getattr(other, name).items():
                count(table, reason, number)
        for name in _PLAIN:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_PLAIN = (
    "succeeded",
    "superseded",
    "abandoned",
    "pending",
    "offers_sent",
    "offers_received",
    "offers_stale",
    "offers_glare",
    "late",
    "flaps",
)
