"""The words for roles and states, as W3C spells them, and the table of an agent's states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class IceRole(StrEnum):
    """RFC 8445 section 6.1.1."""

    CONTROLLING = "controlling"
    CONTROLLED = "controlled"

    @property
    def other(self) -> IceRole:
        """The peer's role, when the two agree."""
        return IceRole.CONTROLLED if self is IceRole.CONTROLLING else IceRole.CONTROLLING


class IceState(StrEnum):
    """RTCIceTransportState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


class PairState(StrEnum):
    """RFC 8445 section 6.1.2.6."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


TRANSITIONS: Final[dict[tuple[IceState, IceState], str]] = {
    (IceState.NEW, IceState.CHECKING): "both credentials and a remote candidate are known",
    (IceState.NEW, IceState.FAILED): "both sides have no more candidates, and PAC expired",
    (IceState.CHECKING, IceState.CONNECTED): "a pair is valid, or nominated",
    (IceState.CHECKING, IceState.COMPLETED): "a pair is nominated, no more candidates",
    (IceState.CHECKING, IceState.FAILED): "no more candidates, all pairs failed, PAC expired",
    (IceState.CONNECTED, IceState.COMPLETED): "a pair is nominated, no more candidates",
    (IceState.CONNECTED, IceState.CHECKING): "the last valid pair died before a nomination",
    (IceState.CONNECTED, IceState.DISCONNECTED): "the selected pair is silent",
    (IceState.COMPLETED, IceState.DISCONNECTED): "the selected pair is silent",
    (IceState.DISCONNECTED, IceState.CONNECTED): "the selected pair is heard again",
    (IceState.DISCONNECTED, IceState.FAILED): "silence, or consent expired",
    (IceState.CONNECTED, IceState.FAILED): "consent expired, or the base is gone",
    (IceState.COMPLETED, IceState.FAILED): "consent expired, or the base is gone",
}
"""Every change of state of one agent, with its cause (rules 59 and 60). ``closed`` may follow any
state and is not told. ``failed`` is final for a generation: only a restart, that is another
agent, comes out of it."""
