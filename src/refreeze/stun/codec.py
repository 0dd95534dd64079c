"""From a datagram to a message, strictly (RFC 8489 sections 5, 6.3 and 14)."""

from __future__ import annotations

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
    decode_error_code,
    decode_types,
)
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import FINGERPRINT_XOR
from refreeze.stun.message import Message, MessageClass, Method, decode_type, encode_type

_HEADER: Final = Struct("!HHI12s")
_word_at: Final = Struct("!I").unpack_from
# Plain ints: a member of an IntEnum is slow to hash and to compare.
_INTEGRITY: Final = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_INTEGRITIES: Final = (_INTEGRITY, _INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)
_closing_heads: Final = Struct("!I20xI").unpack_from
_CLOSING: Final = (_INTEGRITY << 16 | 20, _FINGERPRINT << 16 | 4)
_ADDRESSES: Final = (Attribute.MAPPED_ADDRESS, Attribute.XOR_MAPPED_ADDRESS)
_TEXTS: Final = {int(kind): longest for kind, longest in LONGEST_TEXTS.items()}
_FIXED_STEPS: Final = {kind << 16 | size: 4 + size for kind, size in FIXED_LENGTHS.items()}
"""Type and length of the attributes whose length never differs, as one word: how far to go."""

_TYPES: Final = {
    encode_type(method, each): (int(method), each) for method in Method for each in MessageClass
}

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
    places, unknown = _read_attributes(data, size)
    return Message(method, message_class, transaction_id, data, places, unknown)


def _read_attributes(data: bytes, size: int) -> tuple[dict[int, int], tuple[int, ...]]:
    """Where the attributes are that count, and which required ones are unknown.

    Nearly every message ends with the two attributes of ``_CLOSING``; it is faster to look for
    them there than to come across them. Should something of an earlier attribute only look like
    them, the walk steps over *stop* and goes on to the real end.
    """
    places: dict[int, int] = {}
    unknown: tuple[int, ...] = ()
    stop = size - 32 if _is_closed(data, size) else size
    at = 20
    for _ in _ALLOWED:
        if at >= stop:
            if at == size:
                return places, unknown
            if at == stop:
                _check_fingerprint(data, size - 8, 4, size)
                places[_INTEGRITY], places[_FINGERPRINT] = at, size - 8
                return places, unknown
            stop = size
        (word,) = _word_at(data, at)
        kind = word >> 16
        step = _FIXED_STEPS.get(word)
        if step is None:
            end = at + 4 + (word & 0xFFFF)
            if end > size:
                raise StunError("attribute")
            if kind not in places:
                if kind in _INTEGRITIES:
                    _read_after_integrity(data, at, size, places)
                    return places, unknown
                if kind == _FINGERPRINT:
                    _check_fingerprint(data, at, word & 0xFFFF, size)
                elif not _check_value(kind, data[at + 4 : end]) and kind < COMPREHENSION_OPTIONAL:
                    unknown += (kind,)
                places[kind] = at
            at = end + 3 & ~3
        else:
            if kind not in places:
                places[kind] = at
            at += step
            if at > size:
                raise StunError("attribute")
    raise StunError("too-many")


def _is_closed(data: bytes, size: int) -> bool:
    """Whether the end looks like MESSAGE-INTEGRITY and FINGERPRINT."""
    return size >= 52 and _closing_heads(data, size - 32) == _CLOSING


def _read_after_integrity(data: bytes, at: int, size: int, places: dict[int, int]) -> None:
    """From the first signature on, only signatures and FINGERPRINT count: nobody vouches for
    the rest. MESSAGE-INTEGRITY after its SHA-256 sibling does not count either.
    """
    for _ in _ALLOWED:
        if at == size:
            return
        (word,) = _word_at(data, at)
        kind, length = word >> 16, word & 0xFFFF
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
    longest = _TEXTS.get(kind)
    if longest is not None:
        if len(value) > longest:
            raise StunError("attribute")
        try:
            value.decode()
        except UnicodeDecodeError:
            raise StunError("attribute") from None
    elif kind in _ADDRESSES:
        check_address(value)
    elif kind == Attribute.ERROR_CODE:
        decode_error_code(value)
    elif kind == Attribute.UNKNOWN_ATTRIBUTES:
        decode_types(value)
    elif kind in FIXED_LENGTHS:
        raise StunError("attribute")
    else:
        return False
    return True
