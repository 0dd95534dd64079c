"""When to restart: the policy of one session (:class:`Policy`) and the budget of all
(:class:`Storm`). Sans-IO: facts and the time go in, actions come out."""

from .actions import (
    AbandonRound,
    Action,
    CheckNetwork,
    GatherMore,
    Note,
    RequestGrant,
    ResendOffer,
    SendRestartPlease,
    StartRound,
    WithdrawGrant,
)
from .counters import Counters
from .policy import Policy
from .settings import PolicySettings, StormSettings
from .snapshot import PolicySnapshot
from .storm import Storm, StormPhase, StormSnapshot
from .words import Cause, Circuit, NetworkChange, Refusal, RoundOutcome, WatchState

__all__ = [
    "AbandonRound",
    "Action",
    "Cause",
    "CheckNetwork",
    "Circuit",
    "Counters",
    "GatherMore",
    "NetworkChange",
    "Note",
    "Policy",
    "PolicySettings",
    "PolicySnapshot",
    "Refusal",
    "RequestGrant",
    "ResendOffer",
    "RoundOutcome",
    "SendRestartPlease",
    "StartRound",
    "Storm",
    "StormPhase",
    "StormSettings",
    "StormSnapshot",
    "WatchState",
    "WithdrawGrant",
]
