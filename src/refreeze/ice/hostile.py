"""Remote candidates cannot aim us: what is not even paired (DESIGN, Trust)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from refreeze.basics import Address
from refreeze.ice.candidate import COMPONENT, Candidate

_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
"""RFC 1918, 6598, 3927 and 4193, and what never leaves a link or a host."""
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


def refusal(candidate: Candidate, *, allow_loopback: bool) -> str | None:
    """Why a remote candidate is dropped, as a slug; None when it may be paired.

    ``transport`` ``component`` ``family`` ``port-0`` ``multicast`` ``unspecified`` ``broadcast``
    ``reserved`` ``loopback``.
    """
    if candidate.transport.lower() != "udp":
        return "transport"
    if candidate.component != COMPONENT:
        return "component"
    return refused_address(candidate.address, allow_loopback)


def refused_address(address: Address, allow_loopback: bool) -> str | None:
    """The same for a bare address: also where an authenticated check came from."""
    if not 0 < address[1] < 65536:
        return "port-0"
    return _refused_host(address[0], allow_loopback)


@lru_cache(maxsize=4096)
def _refused_host(host: str, allow_loopback: bool) -> str | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "family"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return "family"  # an IPv4 address in disguise would pass by the rules below
    elif address == _BROADCAST:
        return "broadcast"
    elif address in _THIS_NETWORK:
        return "unspecified"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return None if allow_loopback else "loopback"
    if isinstance(address, ipaddress.IPv4Address) and address.is_reserved:
        return "reserved"
    return None


@lru_cache(maxsize=4096)
def is_private(host: str) -> bool:
    """Whether *host* means another machine in every network that has it."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return any(address in network for network in _PRIVATE if network.version == address.version)
