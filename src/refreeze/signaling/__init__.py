"""How the two sides of a session reach each other before there is a path between them."""

from refreeze.signaling.carrier import Carrier, CarrierReceiver, Signaling
from refreeze.signaling.control_carrier import ControlSignaling
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
from refreeze.signaling.hub import Hub, HubListener, HubSettings, hub_listener
from refreeze.signaling.link import HubLink, LinkSettings
from refreeze.signaling.places import (
    HubEndpointError,
    HubPlace,
    check_hub_endpoint,
    client_endpoint,
)

__all__ = [
    "Apply",
    "CandidateInit",
    "Carrier",
    "CarrierReceiver",
    "ControlSignaling",
    "Conversation",
    "Dropped",
    "Envelope",
    "EnvelopeError",
    "EnvelopeKind",
    "Hub",
    "HubEndpointError",
    "HubLink",
    "HubListener",
    "HubPlace",
    "HubSettings",
    "LinkSettings",
    "Outcome",
    "Reply",
    "Resend",
    "Signaling",
    "check_hub_endpoint",
    "client_endpoint",
    "format_envelope",
    "hub_listener",
    "parse_envelope",
]
