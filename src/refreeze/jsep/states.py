"""The signaling states and what leads from one to the next (RFC 9429 section 3.2), as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from refreeze.jsep.descriptions import DescriptionType
from refreeze.jsep.errors import InvalidStateError


class SignalingState(StrEnum):
    """RTCSignalingState."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"
    HAVE_LOCAL_PRANSWER = "have-local-pranswer"
    HAVE_REMOTE_PRANSWER = "have-remote-pranswer"
    CLOSED = "closed"


class Side(StrEnum):
    """Who made the description."""

    LOCAL = "local"
    REMOTE = "remote"


_S, _T = SignalingState, DescriptionType

TRANSITIONS: Final[Mapping[tuple[SignalingState, Side, DescriptionType], SignalingState]] = {
    (_S.STABLE, Side.LOCAL, _T.OFFER): _S.HAVE_LOCAL_OFFER,
    (_S.STABLE, Side.REMOTE, _T.OFFER): _S.HAVE_REMOTE_OFFER,
    (_S.HAVE_LOCAL_OFFER, Side.LOCAL, _T.OFFER): _S.HAVE_LOCAL_OFFER,
    # Glare: an implicit rollback comes first (rule 28).
    (_S.HAVE_LOCAL_OFFER, Side.REMOTE, _T.OFFER): _S.HAVE_REMOTE_OFFER,
    (_S.HAVE_LOCAL_OFFER, Side.REMOTE, _T.PRANSWER): _S.HAVE_REMOTE_PRANSWER,
    (_S.HAVE_LOCAL_OFFER, Side.REMOTE, _T.ANSWER): _S.STABLE,
    (_S.HAVE_REMOTE_OFFER, Side.REMOTE, _T.OFFER): _S.HAVE_REMOTE_OFFER,
    (_S.HAVE_REMOTE_OFFER, Side.LOCAL, _T.PRANSWER): _S.HAVE_LOCAL_PRANSWER,
    (_S.HAVE_REMOTE_OFFER, Side.LOCAL, _T.ANSWER): _S.STABLE,
    (_S.HAVE_LOCAL_PRANSWER, Side.LOCAL, _T.PRANSWER): _S.HAVE_LOCAL_PRANSWER,
    (_S.HAVE_LOCAL_PRANSWER, Side.LOCAL, _T.ANSWER): _S.STABLE,
    (_S.HAVE_REMOTE_PRANSWER, Side.REMOTE, _T.PRANSWER): _S.HAVE_REMOTE_PRANSWER,
    (_S.HAVE_REMOTE_PRANSWER, Side.REMOTE, _T.ANSWER): _S.STABLE,
}
"""A rollback, from whichever side, leads from everything but stable and closed to stable."""


def after(state: SignalingState, side: Side, kind: DescriptionType) -> SignalingState:
    """The next state; InvalidStateError when there is none."""
    if kind is DescriptionType.ROLLBACK and state not in {_S.STABLE, _S.CLOSED}:
        return _S.STABLE
    following = TRANSITIONS.get((state, side, kind))
    if following is None:
        raise InvalidStateError(f"a {side} {kind} in the state {state}")
    return following
