"""The verdict on every kind of envelope in every standing of its sender: the table. Sans-IO."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from refreeze.signaling.envelope import EnvelopeKind


class Standing(StrEnum):
    """Where a message stands against what is known of its sender."""

    NEW_EPOCH = "new-epoch"
    """Its epoch is greater than the known one, or none is known."""
    OLD_EPOCH = "old-epoch"
    PAST = "past"
    """Known epoch; its generation is below that of the last applied description."""
    PRESENT = "present"
    """Known epoch; the generation of the last applied description."""
    FUTURE = "future"
    """Known epoch; a generation above it."""


class Verdict(StrEnum):
    """What is done with a message."""

    ADOPT = "adopt"
    """The epoch becomes the known one, then the message is applied."""
    APPLY = "apply"
    IF_OURS = "if-ours"
    """Applied (its epoch adopted) if it names our current offer or request; else dropped."""
    AGAIN = "again"
    """The last applied offer, sent again, gets the stored answer again; anything else is late."""
    HOLD = "hold"
    """Too early: kept, bounded, until its description is applied (T2)."""
    TELL = "tell"
    """Dropped, and the sender is told the epoch we know."""
    TOO_LATE = "too-late"
    UNKNOWN_EPOCH = "unknown-epoch"
    RAISE = "raise"
    """We were told that our epoch is old: move above it and send again."""


def _row(*verdicts: Verdict) -> Mapping[Standing, Verdict]:
    return dict(zip(Standing, verdicts, strict=True))


_K = EnvelopeKind
_V = Verdict

TABLE: Mapping[EnvelopeKind, Mapping[Standing, Verdict]] = {
    # new epoch, old epoch, past, present, future
    _K.OFFER: _row(_V.ADOPT, _V.TELL, _V.TOO_LATE, _V.AGAIN, _V.APPLY),
    _K.RESTART_PLEASE: _row(_V.ADOPT, _V.TELL, _V.TOO_LATE, _V.TOO_LATE, _V.APPLY),
    _K.ANSWER: _row(_V.IF_OURS, _V.TELL, _V.TOO_LATE, _V.TOO_LATE, _V.IF_OURS),
    _K.CANDIDATE: _row(_V.UNKNOWN_EPOCH, _V.TOO_LATE, _V.TOO_LATE, _V.APPLY, _V.HOLD),
    _K.END_OF_CANDIDATES: _row(_V.UNKNOWN_EPOCH, _V.TOO_LATE, _V.TOO_LATE, _V.APPLY, _V.HOLD),
    _K.BYE: _row(_V.UNKNOWN_EPOCH, _V.TOO_LATE, _V.TOO_LATE, _V.APPLY, _V.APPLY),
    _K.ACK: _row(_V.IF_OURS, _V.TOO_LATE, _V.IF_OURS, _V.IF_OURS, _V.IF_OURS),
    _K.STALE: _row(_V.RAISE, _V.RAISE, _V.RAISE, _V.RAISE, _V.RAISE),
    _K.UNDELIVERABLE: _row(_V.IF_OURS, _V.IF_OURS, _V.IF_OURS, _V.IF_OURS, _V.IF_OURS),
}
"""Every kind against every standing. Past and TOO_LATE is *stale* in the design's words, FUTURE
candidates and unknown epochs are *too early*."""
