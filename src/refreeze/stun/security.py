"""What a server and its client agree on before they sign: password algorithms, and the bits in
the nonce that keep anybody on the path from bidding them down (RFC 8489 section 9.2).
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Final

from refreeze.stun.errors import StunError

NONCE_COOKIE: Final = "obMatJos2"
"""A nonce that begins so goes on with 4 letters of base64: the server's security features."""

MAX_ALGORITHMS: Final = 16


class PasswordAlgorithm(IntEnum):
    """How a long-term key is made (RFC 8489 section 18.5)."""

    MD5 = 1
    SHA256 = 2


class SecurityFeature(IntFlag):
    """The 24 bits after the cookie. Bit 0 is the leftmost (RFC 8489 section 18.1)."""

    NONE = 0
    PASSWORD_ALGORITHMS = 1 << 23
    USERNAME_ANONYMITY = 1 << 22


def nonce_features(nonce: str) -> SecurityFeature:
    """What the server says in its nonce that it can do; bits nobody knows are left out.

    NONE for a nonce without the cookie, and for one whose 4 letters are no base64.
    """
    letters = nonce[len(NONCE_COOKIE) : len(NONCE_COOKIE) + 4]
    if not nonce.startswith(NONCE_COOKIE) or len(letters) < 4:
        return SecurityFeature.NONE
    try:
        bits = int.from_bytes(b64decode(letters, validate=True), "big")
    except ValueError:
        return SecurityFeature.NONE
    known = SecurityFeature.PASSWORD_ALGORITHMS | SecurityFeature.USERNAME_ANONYMITY
    return SecurityFeature(bits & known)


def cookie_of(features: SecurityFeature) -> str:
    """What the nonce of a server that has *features* begins with."""
    return NONCE_COOKIE + b64encode(int(features).to_bytes(3, "big")).decode()


def user_hash(username: str, realm: str) -> bytes:
    """The value of USERHASH: 32 bytes (RFC 8489 section 14.4)."""
    return hashlib.sha256(f"{username}:{realm}".encode()).digest()


def encode_algorithms(algorithms: Sequence[int]) -> bytes:
    """The value of PASSWORD-ALGORITHMS, or of PASSWORD-ALGORITHM for one (RFC 8489 sections 14.11
    and 14.12). The algorithms that exist have no parameters.
    """
    return b"".join(number.to_bytes(2, "big") + bytes(2) for number in algorithms)


def decode_algorithms(value: bytes) -> tuple[int, ...]:
    """The numbers in PASSWORD-ALGORITHMS, unknown ones too; StunError for what is no list.

    Parameters are walked over.
    """
    found: list[int] = []
    at = 0
    while at < len(value):
        parameters = int.from_bytes(value[at + 2 : at + 4], "big")
        end = at + 4 + parameters
        if at + 4 > len(value) or end > len(value) or len(found) == MAX_ALGORITHMS:
            raise StunError("attribute")
        found.append(int.from_bytes(value[at : at + 2], "big"))
        at = end + 3 & ~3
    return tuple(found)


def decode_algorithm(value: bytes) -> int:
    """The number in PASSWORD-ALGORITHM; StunError unless it is exactly one."""
    found = decode_algorithms(value)
    if len(found) != 1:
        raise StunError("attribute")
    return found[0]
