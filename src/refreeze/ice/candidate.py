"""Candidates, their foundations and priorities (RFC 8445 sections 5.1.1 and 5.1.2)."""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Final

from attrs import field, frozen

from refreeze.basics import Address, is_ipv6

COMPONENT: Final = 1
"""One component, one ICE transport per session: BUNDLE and rtcp-mux, as WebRTC has it."""


class CandidateType(StrEnum):
    """The four types of RFC 8445, by their SDP names."""

    HOST = "host"
    SRFLX = "srflx"
    PRFLX = "prflx"
    RELAY = "relay"


TYPE_PREFERENCE: Final = {
    CandidateType.HOST: 126,
    CandidateType.PRFLX: 110,
    CandidateType.SRFLX: 100,
    CandidateType.RELAY: 0,
}


@frozen
class Candidate:
    """One transport address somebody may reach, local or remote.

    Between signaling and the peer connection, which resolves it, the host of a remote one may
    be a ``.local`` name; no agent sees such a candidate.
    ``base`` is set on local candidates only and is never signaled; for host and relay candidates
    it equals ``address``. ``related`` is SDP's raddr and rport. ``ufrag`` names the generation
    when the signaling told it (rule 49). ``extensions`` keeps unknown name/value pairs in order.
    """

    type: CandidateType
    address: Address
    priority: int
    foundation: str
    base: Address | None = None
    related: Address | None = None
    component: int = COMPONENT
    transport: str = "udp"
    ufrag: str | None = None
    extensions: tuple[tuple[str, str], ...] = field(default=())
    url: str | None = field(default=None, eq=False)
    """Of the server that told a local reflexive one, or gave a relayed one; never signaled."""
    name: str | None = field(default=None, eq=False)
    """The ``.local`` name that a remote one was signaled with, once it is resolved."""

    @property
    def is_ipv6(self) -> bool:
        """True when the candidate's address is an IPv6 one."""
        return is_ipv6(self.address[0])


def candidate_priority(
    kind: CandidateType, local_preference: int = 65535, component: int = COMPONENT
) -> int:
    """RFC 8445 section 5.1.2.1; *local_preference* is 0..65535, unique per type and component."""
    return (TYPE_PREFERENCE[kind] << 24) | (local_preference << 8) | (256 - component)


def candidate_foundation(
    kind: CandidateType, base_host: str, *, server_host: str = "", transport: str = "udp"
) -> str:
    """Equal for equal type, base address, server address and transport (RFC 8445 5.1.1.3).

    A short digest, so that a foundation tells nothing of an address that privacy hides.
    """
    text = "|".join((kind.value, base_host, server_host, transport))
    return str(int.from_bytes(sha256(text.encode()).digest()[:4], "big"))


def pair_priority(controlling: int, controlled: int) -> int:
    """RFC 8445 section 6.1.2.3: 2^32*MIN(G,D) + 2*MAX(G,D) + (G>D?1:0)."""
    low, high = sorted((controlling, controlled))
    return (low << 32) + 2 * high + (1 if controlling > controlled else 0)
