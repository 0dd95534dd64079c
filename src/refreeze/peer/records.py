"""What getStats reports: W3C's records, as far as there is something to say (webrtc-stats).

A member that is unknown, or that belongs to nothing here, is None and is left out of toJSON().
Durations are in seconds, timestamps in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from attrs import asdict, field, frozen


@frozen(kw_only=True)
class RTCStats:
    """What every record has."""

    type: ClassVar[str]
    id: str
    """The same in every report for as long as the thing lives."""
    timestamp: float
    """Milliseconds since 1970, or since some moment where the connection knows no date."""

    def toJSON(self) -> dict[str, object]:
        """Its members that are there, by name."""
        known = asdict(self, filter=lambda _, value: value is not None)
        return {"id": known.pop("id"), "type": self.type, **known}


@frozen(kw_only=True)
class RTCPeerConnectionStats(RTCStats):
    """Channels that were open at some time: none, because there is no SCTP."""

    type = "peer-connection"
    dataChannelsOpened: int = 0
    dataChannelsClosed: int = 0


@frozen(kw_only=True)
class RTCTransportStats(RTCStats):
    """The one transport. Packets and bytes are payload of all generations, without checks."""

    type = "transport"
    packetsSent: int
    packetsReceived: int
    bytesSent: int
    bytesReceived: int
    iceRole: str
    iceLocalUsernameFragment: str | None
    iceState: str
    dtlsState: str
    """``new`` for good where payload is not protected."""
    dtlsRole: str
    tlsVersion: str | None
    """As on the wire, in hex: ``FEFD`` is DTLS 1.2."""
    dtlsCipher: str | None
    """IANA's name."""
    selectedCandidatePairId: str | None
    selectedCandidatePairChanges: int
    localCertificateId: str | None
    remoteCertificateId: str | None


@frozen(kw_only=True)
class RTCIceCandidatePairStats(RTCStats):
    """A pair of any living generation."""

    type = "candidate-pair"
    transportId: str
    localCandidateId: str
    remoteCandidateId: str
    state: str
    nominated: bool
    packetsSent: int
    packetsReceived: int
    bytesSent: int
    bytesReceived: int
    totalRoundTripTime: float
    currentRoundTripTime: float | None
    requestsReceived: int
    requestsSent: int
    """Checks, without repetitions and consent."""
    responsesReceived: int
    responsesSent: int
    consentRequestsSent: int


@frozen(kw_only=True)
class RTCIceCandidateStats(RTCStats):
    """What the candidate's line says, where scripts may see it."""

    transportId: str
    candidateType: str | None
    address: str | None
    port: int | None
    protocol: str | None
    priority: int | None
    foundation: str | None
    usernameFragment: str | None
    tcpType: str | None
    relatedAddress: str | None
    relatedPort: int | None
    url: str | None
    relayProtocol: str | None


@frozen(kw_only=True)
class LocalCandidateStats(RTCIceCandidateStats):
    """One of ours."""

    type = "local-candidate"


@frozen(kw_only=True)
class RemoteCandidateStats(RTCIceCandidateStats):
    """One of the peer's."""

    type = "remote-candidate"


@frozen(kw_only=True)
class RTCCertificateStats(RTCStats):
    """Of either side; it is its own issuer, so no other is named."""

    type = "certificate"
    fingerprint: str
    fingerprintAlgorithm: str
    base64Certificate: str


@frozen(eq=False)
class RTCStatsReport(Mapping[str, RTCStats]):
    """Records by id: a picture of one moment."""

    _records: dict[str, RTCStats] = field(repr=False)

    @classmethod
    def of(cls, records: Iterable[RTCStats]) -> RTCStatsReport:
        """Of these, in their order."""
        return cls({each.id: each for each in records})

    def __getitem__(self, key: str) -> RTCStats:
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)
