"""Offer and answer (RFC 9429): rules in, effects out. Sans-IO."""

from refreeze.jsep.descriptions import Description, DescriptionType, SectionSpec
from refreeze.jsep.effects import (
    AbandonGeneration,
    AddRemoteCandidate,
    DtlsAgreed,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    ForgetRemote,
    IceDropped,
    RemoteCredentialsPending,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.errors import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    JsepError,
    NotRestarted,
    NotSupportedError,
    OperationError,
    RTCError,
    SyntaxProblem,
)
from refreeze.jsep.media import Direction, Part
from refreeze.jsep.negotiator import Negotiator
from refreeze.jsep.states import SignalingState

__all__ = [
    "AbandonGeneration",
    "AddRemoteCandidate",
    "Description",
    "DescriptionType",
    "Direction",
    "DtlsAgreed",
    "Effect",
    "EndOfRemoteCandidates",
    "Fire",
    "ForgetRemote",
    "IceDropped",
    "InvalidAccessError",
    "InvalidModificationError",
    "InvalidStateError",
    "JsepError",
    "Negotiator",
    "NotRestarted",
    "NotSupportedError",
    "OperationError",
    "Part",
    "RTCError",
    "RemoteCredentialsPending",
    "SectionSpec",
    "SignalingState",
    "StageGeneration",
    "StartGeneration",
    "SyntaxProblem",
]
