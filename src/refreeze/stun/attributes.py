"""Attribute types and their values (RFC 8489 section 14, RFC 8445 section 16.1)."""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from typing import Final

from refreeze.basics import Address
from refreeze.stun.errors import StunError

MAGIC_COOKIE: Final = 0x2112A442
COOKIE_BYTES: Final = MAGIC_COOKIE.to_bytes(4, "big")


class Attribute(IntEnum):
    """The types that refreeze knows."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


KNOWN: Final = frozenset(int(attribute) for attribute in Attribute)

FIXED_LENGTHS: Final = {
    int(Attribute.MESSAGE_INTEGRITY): 20,
    int(Attribute.PRIORITY): 4,
    int(Attribute.USE_CANDIDATE): 0,
    int(Attribute.FINGERPRINT): 4,
    int(Attribute.ICE_CONTROLLED): 8,
    int(Attribute.ICE_CONTROLLING): 8,
}

LONGEST_TEXTS: Final = {
    int(Attribute.USERNAME): 513,
    int(Attribute.REALM): 763,
    int(Attribute.NONCE): 763,
    int(Attribute.SOFTWARE): 763,
}
"""Bytes; RFC 8489 sections 14.3, 14.9, 14.10 and 14.14."""


def encode_address(address: Address) -> bytes:
    """The value of MAPPED-ADDRESS; a zone is local and stays behind."""
    host, port = address
    packed = ipaddress.ip_address(host.partition("%")[0]).packed
    family = 1 if len(packed) == 4 else 2
    return bytes((0, family)) + port.to_bytes(2, "big") + packed


def decode_address(value: bytes) -> Address:
    """The inverse of :func:`encode_address`; StunError for anything else."""
    expected = {1: 8, 2: 20}.get(value[1] if len(value) > 1 else 0)
    if expected is None or len(value) != expected:
        raise StunError("attribute")
    return ipaddress.ip_address(value[4:]).compressed, int.from_bytes(value[2:4], "big")


def xor_address(value: bytes, transaction_id: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS's value from MAPPED-ADDRESS's and back (RFC 8489 section 14.2)."""
    mask = (COOKIE_BYTES[:2] + COOKIE_BYTES + transaction_id)[: len(value) - 2]
    size = len(mask)
    if len(value) not in (8, 20):
        raise StunError("attribute")
    mixed = int.from_bytes(value[2:], "big") ^ int.from_bytes(mask, "big")
    return value[:2] + mixed.to_bytes(size, "big")


def encode_error(code: int, reason: str) -> bytes:
    """The value of ERROR-CODE; *code* is 300..699."""
    return bytes((0, 0, code // 100, code % 100)) + reason.encode()


def decode_error(value: bytes) -> tuple[int, str]:
    """(code, reason phrase); StunError for what is no error code."""
    if not 4 <= len(value) <= 4 + 763:
        raise StunError("attribute")
    klass, number = value[2] & 7, value[3]
    if not 3 <= klass <= 6 or number > 99:
        raise StunError("attribute")
    return klass * 100 + number, value[4:].decode(errors="replace")
