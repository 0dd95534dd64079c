"""The words for roles and states, as W3C spells them."""

from __future__ import annotations

from enum import StrEnum


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
