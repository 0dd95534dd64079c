"""From a datagram to a message, strictly (RFC 8489 sections 5, 6.3 and 14)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final
from zlib import crc32

from refreeze.stun.attributes import (
    COMPREHENSION_OPTIONAL,
    COOKIE_BYTES,
    FIXED_LENGTHS,
    LONGEST_TEXTS,
    MAGIC_COOKIE,
    Attribute,
    check_address,
    check_response_port,
    decode_address_error,
    decode_error_code,
    decode_types,
)
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import FINGERPRINT_XOR
from refreeze.stun.message import Message
from refreeze.stun.message_type import MessageClass, Method, decode_type, encode_type
from refreeze.stun.security import decode_algorithm, decode_algorithms
from refreeze.stun.shapes import Shape, shapes_of_size

_HEADER: Final = Struct("!HHI12s")
_head_at: Final = Struct("!HH").unpack_from
_word_at: Final = Struct("!I").unpack_from
# Plain ints: a member of an IntEnum is slow to hash and to compare.
_INTEGRITY: Final = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_INTEGRITIES: Final = (_INTEGRITY, _INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)
_FIXED: Final = {int(kind): length for kind, length in FIXED_LENGTHS.items()}
_TEXTS: Final = {int(kind): longest for kind, longest in LONGEST_TEXTS.items()}
_TYPES: Final = {
    encode_type(method, each): (int(method), each) for method in Method for each in MessageClass
}


def _anything(value: bytes) -> None:
    """DATA and PADDING: any bytes."""


_OTHERS: Final[dict[int, Callable[[bytes], object]]] = {
    int(Attribute.ERROR_CODE): decode_error_code,
    int(Attribute.UNKNOWN_ATTRIBUTES): decode_types,
    int(Attribute.DATA): _anything,
    int(Attribute.PASSWORD_ALGORITHM): decode_algorithm,
    int(Attribute.PADDING): _anything,
    int(Attribute.RESPONSE_PORT): check_response_port,
    int(Attribute.ADDRESS_ERROR_CODE): decode_address_error,
    int(Attribute.PASSWORD_ALGORITHMS): decode_algorithms,
}
_OTHERS.update(
    (int(kind), check_address)
    for kind in (
        Attribute.MAPPED_ADDRESS,
        Attribute.XOR_PEER_ADDRESS,
        Attribute.XOR_RELAYED_ADDRESS,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.ALTERNATE_SERVER,
        Attribute.RESPONSE_ORIGIN,
        Attribute.OTHER_ADDRESS,
    )
)
"""Types whose values need a look of their own: what raises StunError for a bad one."""

MAX_ATTRIBUTES: Final = 64
"""Nobody needs more; a datagram can hold 16,000, and each takes time."""

_ALLOWED: Final = range(MAX_ATTRIBUTES + 1)


def is_stun(data: bytes) -> bool:
    """Whether *data* can be STUN and nothing else that shares the port (RFC 7983)."""
    return len(data) >= 20 and data[0] < 4 and data[4:8] == COOKIE_BYTES


def parse(data: bytes) -> Message:
    """The message that *data* is; StunError for a wrong length, value or fingerprint.

    The first of equal attributes counts; what follows MESSAGE-INTEGRITY does not, other than
    its SHA-256 sibling and FINGERPRINT, which is verified here (RFC 8489 sections 14.5 to 14.7).
    Padding must be there, but may be anything (section 14).
    """
    size = len(data)
    for shape in shapes_of_size(size) or ():
        if shape.heads(data) == shape.words:
            return _read_like(shape, data)
    if size < 20:
        raise StunError("truncated")
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if cookie != MAGIC_COOKIE:
        raise StunError("cookie")
    if kind > 0x3FFF:
        raise StunError("type")
    if length != size - 20 or length & 3:
        raise StunError("length")
    method, message_class = _TYPES.get(kind) or decode_type(kind)
    places: dict[int, int] = {}
    unknown = _read_attributes(data, size, places)
    return Message(method, message_class, transaction_id, data, places, unknown, True)


def _read_like(shape: Shape, data: bytes) -> Message:
    """The fast path: the places are known, values and fingerprint are not."""
    for kind, start, end in shape.variable:
        _check_value(kind, data[start:end])
    if crc32(data[:-8]) ^ FINGERPRINT_XOR != _word_at(data, len(data) - 4)[0]:
        raise StunError("fingerprint")
    method, message_class = shape.type
    return Message(
        method, message_class, data[8:20], data, shape.places, shape.unknown_required, False
    )


def _read_attributes(data: bytes, size: int, places: dict[int, int]) -> tuple[int, ...]:
    """Fill *places* with the attributes that count; returns the required ones that are unknown."""
    unknown: tuple[int, ...] = ()
    at = 20
    for _ in _ALLOWED:
        if at == size:
            return unknown
        kind, length = _head_at(data, at)
        end = at + 4 + length
        if end > size:
            raise StunError("attribute")
        if kind not in places:
            if kind in _INTEGRITIES:
                _read_after_integrity(data, at, size, places)
                return unknown
            if kind == _FINGERPRINT:
                _check_fingerprint(data, at, length, size)
            elif not _check_value(kind, data[at + 4 : end]) and kind < COMPREHENSION_OPTIONAL:
                unknown += (kind,)
            places[kind] = at
        at = end + 3 & ~3
    raise StunError("too-many")


def _read_after_integrity(data: bytes, at: int, size: int, places: dict[int, int]) -> None:
    """From the first signature on, only signatures and FINGERPRINT count: nobody vouches for
    the rest. MESSAGE-INTEGRITY after its SHA-256 sibling does not count either.
    """
    for _ in _ALLOWED:
        if at == size:
            return
        kind, length = _head_at(data, at)
        if at + 4 + length > size:
            raise StunError("attribute")
        if kind == _FINGERPRINT:
            _check_fingerprint(data, at, length, size)
            places[kind] = at
        elif kind == _INTEGRITY:
            if kind not in places and _INTEGRITY_SHA256 not in places:
                _check_signature(kind, length)
                places[kind] = at
        elif kind == _INTEGRITY_SHA256 and kind not in places:
            _check_signature(kind, length)
            places[kind] = at
        at += 4 + (length + 3 & ~3)
    raise StunError("too-many")


def _check_fingerprint(data: bytes, at: int, length: int, size: int) -> None:
    """It is the last attribute, and right (RFC 8489 section 14.7)."""
    if length != 4 or at + 8 != size:
        raise StunError("fingerprint")
    if crc32(data[:at]) ^ FINGERPRINT_XOR != _word_at(data, at + 4)[0]:
        raise StunError("fingerprint")


def _check_signature(kind: int, length: int) -> None:
    """RFC 8489 sections 14.5 and 14.6: a SHA-256 one may be cut to 16 bytes, in steps of 4."""
    if kind == _INTEGRITY:
        if length != 20:
            raise StunError("attribute")
    elif not 16 <= length <= 32 or length & 3:
        raise StunError("attribute")


def _check_value(kind: int, value: bytes) -> bool:
    """Whether the type is known; StunError when it is and the value is not one of its values."""
    longest, fixed = _TEXTS.get(kind), _FIXED.get(kind)
    if fixed is not None:
        if len(value) != fixed:
            raise StunError("attribute")
    elif longest is not None:
        if len(value) > longest:
            raise StunError("attribute")
        try:
            value.decode()
        except UnicodeDecodeError:
            raise StunError("attribute") from None
    else:
        check = _OTHERS.get(kind)
        if check is None:
            return False
        check(value)
    return True
