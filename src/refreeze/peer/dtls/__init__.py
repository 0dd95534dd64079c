"""DTLS between two peers: associations, and the transport in which they follow each other."""

from refreeze.peer.dtls.association import Association, AssociationState
from refreeze.peer.dtls.context import DtlsContext
from refreeze.peer.dtls.events import DtlsClosed, DtlsConnected, DtlsEvent, DtlsFailed
from refreeze.peer.dtls.problems import DtlsProblem
from refreeze.peer.dtls.transport import RTCDtlsTransport

__all__ = [
    "Association",
    "AssociationState",
    "DtlsClosed",
    "DtlsConnected",
    "DtlsContext",
    "DtlsEvent",
    "DtlsFailed",
    "DtlsProblem",
    "RTCDtlsTransport",
]
