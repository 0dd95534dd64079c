"""What may change only together with an ICE restart (rules 30 and 31)."""

from __future__ import annotations

from refreeze.jsep.descriptions import Applied, DescriptionType
from refreeze.jsep.errors import InvalidAccessError


def check_unchanged(before: Applied, after: Applied, named_by_us: frozenset[str]) -> None:
    """*before* and *after* have equal credentials; InvalidAccessError for what differs.

    An answer lists only the options that its offer had (rule 21), *named_by_us*; so what the
    peer adds to its own answer's options in a later offer may be what it could not name then.
    """
    old, new = before.parsed, after.parsed
    if old.ice_lite != new.ice_lite:
        raise InvalidAccessError("ice-lite changed without an ICE restart")
    if old.ice_pacing != new.ice_pacing:
        raise InvalidAccessError("ice-pacing changed without an ICE restart")
    if not before.same_dtls(after):
        raise InvalidAccessError("the DTLS identity changed without an ICE restart")
    if before.section is None or after.section is None:
        return
    was, now = before.section.ice_options, after.section.ice_options
    if before.type is DescriptionType.ANSWER and after.type is DescriptionType.OFFER:
        now &= named_by_us
        was &= named_by_us
    elif after.type is not DescriptionType.OFFER:
        return  # an answer's options follow the offer's
    if was != now:
        raise InvalidAccessError("ice-options changed without an ICE restart")
