"""W3C's objects over the core: peer connection, ICE transport, and the door for data."""

from refreeze.peer.candidate import RTCIceCandidate, RTCIceCandidateInit, RTCIceCandidatePair
from refreeze.peer.certificate import KeygenAlgorithm, RTCCertificate, RTCDtlsFingerprint
from refreeze.peer.configuration import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCRtcpMuxPolicy,
)
from refreeze.peer.connection import RTCPeerConnection, RTCSessionDescription
from refreeze.peer.datachannel import RTCDataChannel, RTCSctpTransport
from refreeze.peer.door import DatagramDoor, DoorCounters
from refreeze.peer.dtls import (
    DtlsClosed,
    DtlsConnected,
    DtlsContext,
    DtlsEvent,
    DtlsFailed,
    RTCDtlsTransport,
)
from refreeze.peer.environment import PeerEnvironment
from refreeze.peer.events import Event, EventTarget
from refreeze.peer.gathering import RTCPeerConnectionIceErrorEvent
from refreeze.peer.icetransport import RTCIceParameters, RTCIceTransport
from refreeze.peer.protect import Protect, RawProtect
from refreeze.peer.records import (
    LocalCandidateStats,
    RemoteCandidateStats,
    RTCCertificateStats,
    RTCIceCandidatePairStats,
    RTCIceCandidateStats,
    RTCPeerConnectionStats,
    RTCStats,
    RTCStatsReport,
    RTCTransportStats,
)
from refreeze.peer.transceiver import RTCRtpTransceiver

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
    "KeygenAlgorithm",
    "LocalCandidateStats",
    "PeerEnvironment",
    "Protect",
    "RTCBundlePolicy",
    "RTCCertificate",
    "RTCCertificateStats",
    "RTCConfiguration",
    "RTCDataChannel",
    "RTCDtlsFingerprint",
    "RTCDtlsTransport",
    "RTCIceCandidate",
    "RTCIceCandidateInit",
    "RTCIceCandidatePair",
    "RTCIceCandidatePairStats",
    "RTCIceCandidateStats",
    "RTCIceParameters",
    "RTCIceServer",
    "RTCIceTransport",
    "RTCIceTransportPolicy",
    "RTCPeerConnection",
    "RTCPeerConnectionIceErrorEvent",
    "RTCPeerConnectionStats",
    "RTCRtcpMuxPolicy",
    "RTCRtpTransceiver",
    "RTCSctpTransport",
    "RTCSessionDescription",
    "RTCStats",
    "RTCStatsReport",
    "RTCTransportStats",
    "RawProtect",
    "RemoteCandidateStats",
]
