"""In which order a machine's addresses are offered (RFC 8421 section 4).

IPv6 has a head start, and after it the families take turns, so that one that is broken costs
few checks. Within a family the address that the kernel itself would send from comes first, and
those that reach a link only come last.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from math import ceil

from refreeze.basics import Address, is_ipv6


def in_order(bases: Iterable[Address], preferred: Sequence[str] = ()) -> list[Address]:
    """*bases*, best first; *preferred* hosts lead their family, in their order."""
    ranked = sorted(bases, key=lambda base: _rank(base[0], preferred))
    six = [base for base in ranked if is_ipv6(base[0])]
    four = [base for base in ranked if not is_ipv6(base[0])]
    start = _head_start(len(four), len(six))
    mixed = [base for turn in zip_longest(four, six[start:]) for base in turn if base is not None]
    return six[:start] + mixed


def _head_start(four: int, six: int) -> int:
    """How many IPv6 addresses come before the first IPv4 one: (N4 + N6) / N4, rounded up."""
    return min(six, ceil((four + six) / four)) if four else six


def _rank(host: str, preferred: Sequence[str]) -> tuple[int, int]:
    address = ipaddress.ip_address(host.partition("%")[0])
    reach = 2 if address.is_link_local else 1 if address.is_loopback else 0
    place = preferred.index(host) if host in preferred else len(preferred)
    return reach, place
