"""Whether a certificate is one of those that the peer's description names (RFC 8122 section 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from hmac import compare_digest
from typing import Final

HASHES: Final = ("sha-256", "sha-384", "sha-512")
"""What is believed; others are passed over, as RFC 8122 wants it of hashes nobody knows."""


def fingerprint(der: bytes, algorithm: str = "sha-256") -> str:
    """``sha-256 AB:CD:...`` of a certificate in DER."""
    digest = hashlib.new(algorithm.replace("-", ""), der).digest()
    return f"{algorithm} {digest.hex(':').upper()}"


def usable(fingerprints: Iterable[str]) -> bool:
    """Whether one of them is made by a hash that is believed."""
    return any(_algorithm(each) in HASHES for each in fingerprints)


def matches(der: bytes, fingerprints: Iterable[str]) -> bool:
    """Any may match; every one is compared, each in constant time."""
    found = False
    for each in fingerprints:
        algorithm = _algorithm(each)
        if algorithm in HASHES:
            ours = fingerprint(der, algorithm).partition(" ")[2]
            theirs = each.partition(" ")[2].strip().upper()
            found |= compare_digest(ours.encode(), theirs.encode())
    return found


def _algorithm(text: str) -> str:
    return text.partition(" ")[0].lower()
