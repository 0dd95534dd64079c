"""The few words that every floor shares: addresses, randomness, the coarse grid of time."""

from __future__ import annotations

import ipaddress
import re
from math import ceil
from typing import Final, Protocol, TypeAlias

Address: TypeAlias = tuple[str, int]
"""Host and port. The host is a numeric literal in canonical form; a link-local IPv6 host
carries its zone (``fe80::1%eth0``)."""

GRID = 0.05
"""Seconds between two ticks of the grid on which everything that may be late is done."""


_MDNS_NAME: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{0,61}[0-9A-Za-z])?\.local", re.I)


class Randomness(Protocol):
    """What the project draws from; ``random.SystemRandom`` in production, seeded in tests."""

    def random(self) -> float: ...

    def uniform(self, a: float, b: float, /) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...

    def randbytes(self, n: int, /) -> bytes: ...


def on_grid(at: float) -> float:
    """The first grid tick not before *at* (seconds, monotonic).

    Deadlines of many sessions that may be up to 50 ms late fall on the same ticks, so that an
    idle process wakes up once for all of them.
    """
    return ceil(at / GRID - 1e-9) * GRID


def canonical_host(host: str) -> str:
    """*host* as :data:`Address` wants it; ValueError when it is not a numeric literal."""
    bare, percent, zone = host.partition("%")
    address = ipaddress.ip_address(bare)
    if isinstance(address, ipaddress.IPv6Address) and percent and address.is_link_local:
        return f"{address.compressed}%{zone}"
    if percent:
        raise ValueError(f"only a link-local IPv6 address has a zone: {host!r}")
    return address.compressed


def is_ipv6(host: str) -> bool:
    """True for a (canonical) IPv6 literal."""
    return ":" in host


def is_mdns_name(host: str) -> bool:
    """True for ``LABEL.local``, which hides the address of a browser's host candidate.

    draft-ietf-mmusic-mdns-ice-candidates section 3.2.1: a name with more dots is none of them.
    """
    return _MDNS_NAME.fullmatch(host) is not None


def format_address(address: Address) -> str:
    """``host:port`` for people, with brackets around IPv6."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
