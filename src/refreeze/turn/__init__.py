"""TURN (RFC 8656): what a client says to a server to be relayed. Sans-IO."""

from refreeze.turn.allocation import Allocation
from refreeze.turn.credentials import TurnCredentials, time_limited
from refreeze.turn.events import (
    Allocated,
    AllocationFailed,
    AllocationLost,
    ChannelBound,
    PermissionRefused,
    Released,
    TryAlternate,
    TurnEvent,
    TurnProblem,
)
from refreeze.turn.framing import FramingError, StreamFramer
from refreeze.turn.settings import TurnSettings
from refreeze.turn.states import AllocationState

__all__ = [
    "Allocated",
    "Allocation",
    "AllocationFailed",
    "AllocationLost",
    "AllocationState",
    "ChannelBound",
    "FramingError",
    "PermissionRefused",
    "Released",
    "StreamFramer",
    "TryAlternate",
    "TurnCredentials",
    "TurnEvent",
    "TurnProblem",
    "TurnSettings",
    "time_limited",
]
