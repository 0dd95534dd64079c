"""Offer and answer (RFC 9429): rules in, effects out. Sans-IO."""

from refreeze.jsep.descriptions import Description, DescriptionType, SectionSpec
from refreeze.jsep.effects import (
    AbandonGeneration,
    AddRemoteCandidate,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    ForgetRemote,
    IceDropped,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.errors import (
    InvalidAccessError,
    InvalidStateError,
    JsepError,
    OperationError,
)
from refreeze.jsep.negotiator import Negotiator, SignalingState

__all__ = [
    "AbandonGeneration",
    "AddRemoteCandidate",
    "Description",
    "DescriptionType",
    "Effect",
    "EndOfRemoteCandidates",
    "Fire",
    "ForgetRemote",
    "IceDropped",
    "InvalidAccessError",
    "InvalidStateError",
    "JsepError",
    "Negotiator",
    "OperationError",
    "SectionSpec",
    "SignalingState",
    "StageGeneration",
    "StartGeneration",
]
