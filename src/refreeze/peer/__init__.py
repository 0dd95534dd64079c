"""W3C's objects over the core: peer connection, ICE transport, and the door for data."""

from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.connection import (
    PeerEnvironment,
    RTCPeerConnection,
    RTCSessionDescription,
)
from refreeze.peer.door import DatagramDoor, DoorCounters
from refreeze.peer.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsContext,
    DtlsEvent,
    DtlsFailed,
    RTCDtlsTransport,
)
from refreeze.peer.events import Event, EventTarget
from refreeze.peer.gathering import RTCIceCandidate, RTCIceCandidateError
from refreeze.peer.icetransport import RTCIceTransport
from refreeze.peer.protect import Protect, RawProtect

__all__ = [
    "DatagramDoor",
    "DoorCounters",
    "DtlsClosed",
    "DtlsConnected",
    "DtlsContext",
    "DtlsEvent",
    "DtlsFailed",
    "Event",
    "EventTarget",
    "PeerEnvironment",
    "Protect",
    "RTCCertificate",
    "RTCDtlsTransport",
    "RTCIceCandidate",
    "RTCIceCandidateError",
    "RTCIceTransport",
    "RTCPeerConnection",
    "RTCSessionDescription",
    "RawProtect",
]
