"""Attribute types and their values (RFC 8489 section 14, RFC 8445 section 16.1, RFC 8656 section
18, RFC 5780 section 7)."""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from functools import lru_cache
from typing import Final

from refreeze.basics import Address
from refreeze.stun.errors import StunError

MAGIC_COOKIE: Final = 0x2112A442
COOKIE_BYTES: Final = MAGIC_COOKIE.to_bytes(4, "big")


class Attribute(IntEnum):
    """The types that refreeze knows. Below 0x8000 a receiver must understand them."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    ADDITIONAL_ADDRESS_FAMILY = 0x8000
    ADDRESS_ERROR_CODE = 0x8001
    PASSWORD_ALGORITHMS = 0x8002
    ALTERNATE_DOMAIN = 0x8003
    ICMP = 0x8004
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C


COMPREHENSION_OPTIONAL: Final = 0x8000
"""The first type that a receiver may ignore when it does not know it."""

FIXED_LENGTHS: Final[dict[int, int]] = {
    Attribute.CHANGE_REQUEST: 4,
    Attribute.CHANNEL_NUMBER: 4,
    Attribute.LIFETIME: 4,
    Attribute.REQUESTED_ADDRESS_FAMILY: 4,
    Attribute.EVEN_PORT: 1,
    Attribute.REQUESTED_TRANSPORT: 4,
    Attribute.DONT_FRAGMENT: 0,
    Attribute.USERHASH: 32,
    Attribute.RESERVATION_TOKEN: 8,
    Attribute.PRIORITY: 4,
    Attribute.USE_CANDIDATE: 0,
    Attribute.ADDITIONAL_ADDRESS_FAMILY: 4,
    Attribute.ICMP: 8,
    Attribute.ICE_CONTROLLED: 8,
    Attribute.ICE_CONTROLLING: 8,
}

LONGEST_TEXTS: Final[dict[int, int]] = {
    Attribute.USERNAME: 513,
    Attribute.REALM: 763,
    Attribute.NONCE: 763,
    Attribute.ALTERNATE_DOMAIN: 255,
    Attribute.SOFTWARE: 763,
}
"""Bytes. 763 is what RFC 5389 allowed (RFC 8489 says 509), 513 is two ufrags of ICE and a colon
at their longest (RFC 8445 section 5.3)."""

ADDRESS_LENGTHS: Final = {1: 8, 2: 20}
"""Family to the length of the value: 1 is IPv4, 2 is IPv6."""

FAMILIES: Final = {1: 4, 2: 6}
"""The family as it stands on the wire, and the version of IP that it means."""

LONGEST_REASON: Final = 763
_MANY: Final = 4096


@lru_cache(maxsize=_MANY)
def _packed(host: str) -> bytes:
    """4 or 16 bytes of a numeric host; a zone is local and stays behind. ValueError."""
    return ipaddress.ip_address(host.partition("%")[0]).packed


@lru_cache(maxsize=_MANY)
def _ipv6_text(packed: bytes) -> str:
    return ipaddress.IPv6Address(packed).compressed


def encode_address(address: Address) -> bytes:
    """The value of MAPPED-ADDRESS (RFC 8489 section 14.1); ValueError for what is no address."""
    host, port = address
    if not 0 <= port <= 0xFFFF:
        raise ValueError("a port is 0..65535")
    packed = _packed(host)
    family = 1 if len(packed) == 4 else 2
    return bytes((0, family)) + port.to_bytes(2, "big") + packed


def check_address(value: bytes) -> None:
    """StunError unless :func:`decode_address` can read *value*."""
    if len(value) < 2 or len(value) != ADDRESS_LENGTHS.get(value[1]):
        raise StunError("attribute")


def decode_address(value: bytes) -> Address:
    """The inverse of :func:`encode_address`; StunError for anything else."""
    check_address(value)
    port = value[2] << 8 | value[3]
    if len(value) == 8:
        return f"{value[4]}.{value[5]}.{value[6]}.{value[7]}", port
    return _ipv6_text(value[4:]), port


def xor_address(value: bytes, transaction_id: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS's value from MAPPED-ADDRESS's and back (RFC 8489 section 14.2)."""
    check_address(value)
    size = len(value) - 2
    mask = (COOKIE_BYTES[:2] + COOKIE_BYTES + transaction_id)[:size]
    mixed = int.from_bytes(value[2:], "big") ^ int.from_bytes(mask, "big")
    return value[:2] + mixed.to_bytes(size, "big")


def decode_xor_address(value: bytes, transaction_id: bytes) -> Address:
    """The address in XOR-MAPPED-ADDRESS; StunError when there is none."""
    if len(value) == 8:
        return _decode_xor_ipv4(value)
    return decode_address(xor_address(value, transaction_id))


@lru_cache(maxsize=_MANY)
def _decode_xor_ipv4(value: bytes) -> Address:
    """An IPv4 address is masked with the cookie alone: the same value is the same address."""
    return decode_address(xor_address(value, b""))


def encode_error_code(code: int, reason: str) -> bytes:
    """The value of ERROR-CODE (RFC 8489 section 14.8); *code* is 300..699, else ValueError."""
    if not 300 <= code <= 699:
        raise ValueError("a STUN error code is 300..699")
    phrase = reason.encode()
    if len(phrase) > LONGEST_REASON:
        raise ValueError("the reason phrase is longer than 763 bytes")
    return bytes((0, 0, code // 100, code % 100)) + phrase


def decode_error_code(value: bytes) -> tuple[int, str]:
    """(code, reason phrase); StunError for what is no error code.

    The phrase is for people only: what is no UTF-8 in it does not spoil the code.
    """
    if not 4 <= len(value) <= 4 + LONGEST_REASON:
        raise StunError("attribute")
    hundreds, number = value[2] & 7, value[3]
    if not 3 <= hundreds <= 6 or number > 99:
        raise StunError("attribute")
    return hundreds * 100 + number, value[4:].decode(errors="replace")


def encode_family(version: int) -> bytes:
    """The value of REQUESTED- and ADDITIONAL-ADDRESS-FAMILY; *version* is 4 or 6, else ValueError
    (RFC 8656 sections 18.6 and 18.11).
    """
    if version not in FAMILIES.values():
        raise ValueError("the version of IP is 4 or 6")
    return bytes((1 if version == 4 else 2, 0, 0, 0))


def encode_address_error(version: int, code: int, reason: str) -> bytes:
    """The value of ADDRESS-ERROR-CODE (RFC 8656 section 18.12)."""
    return encode_family(version)[:1] + encode_error_code(code, reason)[1:]


def decode_address_error(value: bytes) -> tuple[int, int, str]:
    """(version of IP, code, reason phrase); StunError for what is no ADDRESS-ERROR-CODE."""
    code, reason = decode_error_code(value)
    version = FAMILIES.get(value[0])
    if version is None:
        raise StunError("attribute")
    return version, code, reason


def check_response_port(value: bytes) -> None:
    """RFC 5780 section 7.5 can be read as 2 bytes and as 4; servers do both."""
    if len(value) not in (2, 4):
        raise StunError("attribute")


def encode_types(types: tuple[int, ...]) -> bytes:
    """The value of UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13)."""
    return b"".join(kind.to_bytes(2, "big") for kind in types)


def decode_types(value: bytes) -> tuple[int, ...]:
    """The inverse of :func:`encode_types`; StunError for half a type."""
    if len(value) & 1:
        raise StunError("attribute")
    return tuple(int.from_bytes(value[i : i + 2], "big") for i in range(0, len(value), 2))
