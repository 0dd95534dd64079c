"""Remote candidates cannot aim us: what is not even paired (DESIGN, Trust)."""

from __future__ import annotations

import ipaddress

from refreeze.ice.candidate import Candidate


def refusal(candidate: Candidate, *, allow_loopback: bool) -> str | None:
    """Why a signaled candidate is dropped, as a slug; None when it may be paired."""
    host, port = candidate.address
    if candidate.transport.lower() != "udp":
        return "transport"
    if candidate.component != 1:
        return "component"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "address"
    if not 0 < port < 65536:
        return "port"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified:
        return "unspecified"
    if str(address) == "255.255.255.255":
        return "broadcast"
    if address.is_loopback and not allow_loopback:
        return "loopback"
    return None
