"""One attempt on its way, and one round under way: at most one of each per session."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define

from .settings import PolicySettings
from .words import Cause, RoundOutcome


class Stage(Enum):
    """How far an attempt has come. Every way out of a stage drops or replaces the attempt."""

    DELAY = auto()
    GRANT = auto()
    ASK = auto()
    START = auto()


@define(eq=False, repr=False)
class Attempt:
    """A restart that is wanted and not begun."""

    cause: Cause
    number: int
    due: float
    """DELAY: when it goes on. ASK, START: when we give up. GRANT: unused."""
    direct: bool = False
    """Offer ourselves even if the peer is the configured offerer."""
    supersedes: bool = False
    """Newer knowledge than the pending round has: give that one up."""
    forced: bool = False
    """An operator insisted: neither a hold nor an absent peer stops it."""
    stage: Stage = Stage.DELAY
    ticket: int = 0


@define(eq=False, repr=False)
class Round:
    """A restart under way, ours or by the peer's offer."""

    id: int
    cause: Cause
    ours: bool
    recovering: bool
    """It began while the path was broken after a connection."""
    started_at: float
    """Moves forward by the time that the round stood still."""
    answered: bool = False
    resent: int = 0
    paused_at: float | None = None
    ending: tuple[RoundOutcome, str] | None = None
    """We asked the session to give it up; it has until *end_by* to report."""
    end_by: float = 0.0

    def resume(self, now: float) -> None:
        """Go on with the time that was left."""
        if self.paused_at is not None:
            self.started_at += now - self.paused_at
            self.paused_at = None

    def next_resend(self, settings: PolicySettings) -> float | None:
        """When the unanswered offer goes out again."""
        if self.answered or not self.ours or self.resent >= len(settings.offer_resends):
            return None
        return self.started_at + settings.offer_resends[self.resent]

    def gives_up_at(self, settings: PolicySettings) -> float:
        """No answer by then, or no connection."""
        waits_for_answer = self.ours and not self.answered
        return self.started_at + (
            settings.answer_timeout if waits_for_answer else settings.round_timeout
        )

    def next_deadline(self, settings: PolicySettings) -> float | None:
        if self.ending is not None:
            return self.end_by
        if self.paused_at is not None:
            return None
        resend = self.next_resend(settings)
        end = self.gives_up_at(settings)
        return end if resend is None else min(resend, end)
