"""ICE (RFC 8445): one agent per generation, and the transport that owns their succession."""

from refreeze.ice.agent import Agent
from refreeze.ice.candidate import (
    Candidate,
    CandidateType,
    candidate_foundation,
    candidate_priority,
)
from refreeze.ice.credentials import Credentials, ice_string, new_credentials
from refreeze.ice.events import Transmit
from refreeze.ice.pacing import CheckBucket
from refreeze.ice.pair import Pair
from refreeze.ice.settings import PROFILES, AgentSettings, LivenessProfile
from refreeze.ice.states import IceRole, IceState, PairState
from refreeze.ice.transport import Transport

__all__ = [
    "PROFILES",
    "Agent",
    "AgentSettings",
    "Candidate",
    "CandidateType",
    "CheckBucket",
    "Credentials",
    "IceRole",
    "IceState",
    "LivenessProfile",
    "Pair",
    "PairState",
    "Transmit",
    "Transport",
    "candidate_foundation",
    "candidate_priority",
    "ice_string",
    "new_credentials",
]
