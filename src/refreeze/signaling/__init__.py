"""How the two sides of a session reach each other before there is a path between them."""

from refreeze.signaling.carrier import Carrier, CarrierReceiver, Signaling
from refreeze.signaling.conversation import (
    Apply,
    Conversation,
    Dropped,
    Outcome,
    Reply,
    Resend,
)
from refreeze.signaling.envelope import (
    CandidateInit,
    Envelope,
    EnvelopeError,
    EnvelopeKind,
    format_envelope,
    parse_envelope,
)

__all__ = [
    "Apply",
    "CandidateInit",
    "Carrier",
    "CarrierReceiver",
    "Conversation",
    "Dropped",
    "Envelope",
    "EnvelopeError",
    "EnvelopeKind",
    "Outcome",
    "Reply",
    "Resend",
    "Signaling",
    "format_envelope",
    "parse_envelope",
]
