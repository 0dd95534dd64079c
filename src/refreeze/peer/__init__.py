"""W3C's objects over the core: peer connection, ICE transport, and the door for data."""

from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.connection import (
    PeerEnvironment,
    RTCPeerConnection,
    RTCSessionDescription,
)
from refreeze.peer.door import DatagramDoor, DoorCounters
from refreeze.peer.events import Event, EventTarget
from refreeze.peer.gathering import RTCIceCandidate, RTCIceCandidateError
from refreeze.peer.icetransport import RTCIceTransport
from refreeze.peer.protect import RawProtect

__all__ = [
    "DatagramDoor",
    "DoorCounters",
    "Event",
    "EventTarget",
    "PeerEnvironment",
    "RTCCertificate",
    "RTCIceCandidate",
    "RTCIceCandidateError",
    "RTCIceTransport",
    "RTCPeerConnection",
    "RTCSessionDescription",
    "RawProtect",
]
