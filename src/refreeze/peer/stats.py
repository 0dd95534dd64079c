"""The collector behind getStats: it reads what the transports count (webrtc-stats section 8).

It counts nothing itself, so a connection whose stats nobody asks for pays nothing.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Hashable, Iterable, Iterator
from typing import Final

from attrs import define, field

from refreeze.ice import Agent, Candidate
from refreeze.ice.generation import Generation
from refreeze.ice.pair import Pair
from refreeze.peer.candidate import RTCIceCandidate
from refreeze.peer.dtls import Association, RTCDtlsTransport
from refreeze.peer.dtls.fingerprints import fingerprint
from refreeze.peer.icetransport import RTCIceTransport
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

_CONNECTION: Final = "P"
_TRANSPORT: Final = "T0"
_VERSIONS: Final = {"DTLSv1.2": "FEFD"}
_CIPHERS: Final = {
    f"ECDHE-{key}-{openssl}": f"TLS_ECDHE_{key}_WITH_{iana}"
    for key in ("ECDSA", "RSA")
    for openssl, iana in (
        ("AES128-GCM-SHA256", "AES_128_GCM_SHA256"),
        ("AES256-GCM-SHA384", "AES_256_GCM_SHA384"),
        ("CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"),
    )
}
"""IANA's names by OpenSSL's, of all that :mod:`~refreeze.peer.dtls.context` offers."""


@define(eq=False, repr=False)
class StatsIds:
    """I give every thing an id that stays, says nothing of it, and is forgotten with it."""

    _known: dict[Hashable, str] = field(factory=dict, init=False)
    _asked: set[Hashable] = field(factory=set, init=False)
    _count: int = field(default=0, init=False)

    def of(self, prefix: str, *key: Hashable) -> str:
        """The id of what *key* names; *prefix* belongs to the kind."""
        whole = (prefix, *key)
        self._asked.add(whole)
        if whole not in self._known:
            self._count += 1
            self._known[whole] = f"{prefix}{self._count}"
        return self._known[whole]

    def forget(self) -> None:
        """What was not asked for since the last time is gone."""
        self._known = {key: value for key, value in self._known.items() if key in self._asked}
        self._asked.clear()


@define(eq=False, repr=False)
class StatsCollector:
    """I make the reports of one connection."""

    _ice: RTCIceTransport
    _dtls: RTCDtlsTransport | None
    _ids: StatsIds = field(factory=StatsIds, init=False)

    def report(self, timestamp: float) -> RTCStatsReport:
        """As it is now; *timestamp* is in milliseconds."""
        records: list[RTCStats] = [RTCPeerConnectionStats(id=_CONNECTION, timestamp=timestamp)]
        certificates = list(self._certificates(timestamp))
        records.append(self._transport(timestamp, [each.id for each in certificates]))
        records += certificates
        for generation in self._ice.transport.generations():
            records += self._candidates(generation, timestamp)
            records += [self._pair(generation, pair, timestamp) for pair in generation.agent.pairs]
        self._ids.forget()
        return RTCStatsReport.of(records)

    # Records

    def _transport(self, timestamp: float, certificates: list[str]) -> RTCTransportStats:
        ice, dtls = self._ice, self._dtls
        association = None if dtls is None else dtls.association
        parameters = ice.getLocalParameters()
        route = ice.shown_route
        local, remote = [*certificates, None, None][:2]
        traffic = ice.traffic
        return RTCTransportStats(
            id=_TRANSPORT,
            timestamp=timestamp,
            packetsSent=traffic.packets_out,
            packetsReceived=traffic.packets_in,
            bytesSent=traffic.bytes_out,
            bytesReceived=traffic.bytes_in,
            iceRole=ice.role,
            iceLocalUsernameFragment=None if parameters is None else parameters.usernameFragment,
            iceState=ice.state,
            dtlsState="new" if dtls is None else dtls.state,
            dtlsRole=_role(association),
            tlsVersion=None if association is None else _VERSIONS.get(association.protocol or ""),
            dtlsCipher=None if association is None else _CIPHERS.get(association.cipher or ""),
            selectedCandidatePairId=None if route is None else self._pair_id(*route),
            selectedCandidatePairChanges=ice.pair_changes,
            localCertificateId=local,
            remoteCertificateId=remote,
        )

    def _certificates(self, timestamp: float) -> Iterator[RTCCertificateStats]:
        """Ours, then the peer's if it is believed."""
        if self._dtls is None:
            return
        for der in (self._dtls.certificate.der, *self._dtls.getRemoteCertificates()):
            algorithm, _, value = fingerprint(der).partition(" ")
            yield RTCCertificateStats(
                id=self._ids.of("CF", value),
                timestamp=timestamp,
                fingerprint=value,
                fingerprintAlgorithm=algorithm,
                base64Certificate=b64encode(der).decode(),
            )

    def _candidates(
        self, generation: Generation, timestamp: float
    ) -> Iterator[RTCIceCandidateStats]:
        """Those that were told, and those that stand in pairs."""
        ice, agent = self._ice, generation.agent
        ours = [*ice.told_candidates(agent), *(pair.local for pair in agent.pairs)]
        for candidate in _once(ours):
            yield _candidate(
                LocalCandidateStats,
                self._candidate_id(generation, "IL", candidate),
                timestamp,
                ice.local_shown(agent, candidate),
            )
        for candidate in _once([*agent.remote_candidates, *(pair.remote for pair in agent.pairs)]):
            yield _candidate(
                RemoteCandidateStats,
                self._candidate_id(generation, "IR", candidate),
                timestamp,
                ice.remote_shown(agent, candidate),
            )

    def _pair(
        self, generation: Generation, pair: Pair, timestamp: float
    ) -> RTCIceCandidatePairStats:
        counters = pair.counters
        return RTCIceCandidatePairStats(
            id=self._pair_id(generation.agent, pair),
            timestamp=timestamp,
            transportId=_TRANSPORT,
            localCandidateId=self._candidate_id(generation, "IL", pair.local),
            remoteCandidateId=self._candidate_id(generation, "IR", pair.remote),
            state=pair.state.value,
            nominated=pair.nominated,
            packetsSent=counters.packets_out,
            packetsReceived=counters.packets_in,
            bytesSent=counters.bytes_out,
            bytesReceived=counters.bytes_in,
            totalRoundTripTime=counters.rtt_total,
            currentRoundTripTime=counters.rtt_latest,
            requestsReceived=counters.requests_received,
            requestsSent=counters.checks_sent,
            responsesReceived=counters.responses_received,
            responsesSent=counters.responses_sent,
            consentRequestsSent=counters.consent_sent,
        )

    # Ids

    def _pair_id(self, agent: Agent, pair: Pair) -> str:
        return self._ids.of("CP", agent.local.ufrag, pair.base, pair.remote_address)

    def _candidate_id(self, generation: Generation, prefix: str, candidate: Candidate) -> str:
        """Another one when a learnt candidate turns out to be a signaled one."""
        return self._ids.of(
            prefix, generation.ufrag, candidate.type, candidate.address, candidate.base
        )


def _candidate(
    kind: type[RTCIceCandidateStats], name: str, timestamp: float, shown: RTCIceCandidate
) -> RTCIceCandidateStats:
    return kind(
        id=name,
        timestamp=timestamp,
        transportId=_TRANSPORT,
        candidateType=shown.type,
        address=shown.address,
        port=shown.port,
        protocol=shown.protocol,
        priority=shown.priority,
        foundation=shown.foundation,
        usernameFragment=shown.usernameFragment,
        tcpType=shown.tcpType,
        relatedAddress=shown.relatedAddress,
        relatedPort=shown.relatedPort,
        url=shown.url,
        relayProtocol=shown.relayProtocol,
    )


def _role(association: Association | None) -> str:
    if association is None:
        return "unknown"
    return "client" if association.client else "server"


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Each object once, in the order in which they came."""
    return list({id(each): each for each in candidates}.values())
