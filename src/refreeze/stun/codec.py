"""The message format (RFC 8489 section 5): parse once, read attributes lazily, build any."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from hmac import compare_digest
from struct import Struct
from typing import Final

from attrs import define, field

from refreeze.basics import Address
from refreeze.stun import attributes as attrs_
from refreeze.stun.attributes import (
    COOKIE_BYTES,
    FIXED_LENGTHS,
    KNOWN,
    LONGEST_TEXTS,
    Attribute,
)
from refreeze.stun.errors import StunError
from refreeze.stun.integrity import IntegrityKey, fingerprint

_TLV: Final = Struct("!HH")
_HEADER: Final = Struct("!HH")
_USERNAME: Final = int(Attribute.USERNAME)
_INTEGRITY: Final = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)
_AFTER_INTEGRITY: Final = frozenset({_INTEGRITY_SHA256, _FINGERPRINT})


class MessageClass(IntEnum):
    """The two class bits, where they stand in the type field."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Method(IntEnum):
    """RFC 8489 section 18.2 and RFC 8656 section 17."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9


_CLASSES: Final = {int(each): each for each in MessageClass}


def encode_type(method: int, message_class: MessageClass) -> int:
    """The 14-bit type with the class bits woven in (RFC 8489 figure 3)."""
    spread = (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2
    return spread | message_class


def decode_type(value: int) -> tuple[int, MessageClass]:
    """The inverse of :func:`encode_type`."""
    method = (value & 0x000F) | (value & 0x00E0) >> 1 | (value & 0x3E00) >> 2
    return method, _CLASSES[value & 0x0110]


def is_stun(data: bytes) -> bool:
    """Whether *data* can be STUN and nothing else that shares the port (RFC 7983)."""
    return len(data) >= 20 and data[0] < 4 and data[4:8] == COOKIE_BYTES


@define(eq=False, repr=False)
class Message:
    """A message that parsed. Attribute values are as they came; properties decode them."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    raw: bytes
    values: dict[int, bytes]
    unknown_required: tuple[int, ...] = ()
    _integrity_at: int = 0
    _integrity_sha256_at: int = 0

    def __repr__(self) -> str:
        return f"<Message method={self.method} {self.message_class.name} {len(self.raw)} bytes>"

    def attribute(self, kind: int) -> bytes | None:
        """The value of the first attribute of that type."""
        return self.values.get(kind)

    def _text(self, kind: int) -> str | None:
        value = self.values.get(kind)
        return None if value is None else value.decode()

    def _number(self, kind: int) -> int | None:
        value = self.values.get(kind)
        return None if value is None else int.from_bytes(value, "big")

    @property
    def username(self) -> str | None:
        return self._text(_USERNAME)

    @property
    def realm(self) -> str | None:
        return self._text(Attribute.REALM)

    @property
    def nonce(self) -> str | None:
        return self._text(Attribute.NONCE)

    @property
    def software(self) -> str | None:
        return self._text(Attribute.SOFTWARE)

    @property
    def priority(self) -> int | None:
        return self._number(Attribute.PRIORITY)

    @property
    def use_candidate(self) -> bool:
        return Attribute.USE_CANDIDATE in self.values

    @property
    def ice_controlling(self) -> int | None:
        return self._number(Attribute.ICE_CONTROLLING)

    @property
    def ice_controlled(self) -> int | None:
        return self._number(Attribute.ICE_CONTROLLED)

    @property
    def xor_mapped_address(self) -> Address | None:
        value = self.values.get(Attribute.XOR_MAPPED_ADDRESS)
        if value is None:
            return None
        return attrs_.decode_address(attrs_.xor_address(value, self.transaction_id))

    @property
    def mapped_address(self) -> Address | None:
        value = self.values.get(Attribute.MAPPED_ADDRESS)
        return None if value is None else attrs_.decode_address(value)

    @property
    def error_code(self) -> tuple[int, str] | None:
        value = self.values.get(Attribute.ERROR_CODE)
        return None if value is None else attrs_.decode_error(value)

    @property
    def unknown_attributes(self) -> tuple[int, ...]:
        value = self.values.get(Attribute.UNKNOWN_ATTRIBUTES, b"")
        return tuple(int.from_bytes(value[i : i + 2], "big") for i in range(0, len(value), 2))

    @property
    def has_integrity(self) -> bool:
        return self._integrity_at > 0

    @property
    def has_integrity_sha256(self) -> bool:
        return self._integrity_sha256_at > 0

    @property
    def has_fingerprint(self) -> bool:
        return _FINGERPRINT in self.values

    def verify(self, key: IntegrityKey) -> bool:
        """Whether MESSAGE-INTEGRITY, or else its SHA-256 sibling, is there and right."""
        at = self._integrity_at
        if at:
            signed = self.raw[:2] + (at + 4).to_bytes(2, "big") + self.raw[4:at]
            return compare_digest(key.sign(signed), self.values[_INTEGRITY])
        at = self._integrity_sha256_at
        if at:
            value = self.values[_INTEGRITY_SHA256]
            end = at + 4 + len(value) - 20
            signed = self.raw[:2] + end.to_bytes(2, "big") + self.raw[4:at]
            return compare_digest(key.sign_sha256(signed)[: len(value)], value)
        return False


def parse(data: bytes) -> Message:
    """A message, strictly: StunError for a wrong length, padding, value or fingerprint.

    The first of equal attributes counts; what follows MESSAGE-INTEGRITY does not, other than
    its SHA-256 sibling and FINGERPRINT, which is verified here (RFC 8489 section 14).
    """
    size = len(data)
    if size < 20:
        raise StunError("truncated")
    kind, length = _HEADER.unpack_from(data)
    if kind & 0xC000 or data[4:8] != COOKIE_BYTES:
        raise StunError("cookie")
    if length != size - 20 or length & 3:
        raise StunError("length")
    method, message_class = decode_type(kind)
    message = Message(method, message_class, data[8:20], data, {})
    _read_attributes(message, data, size)
    return message


def _read_attributes(message: Message, data: bytes, size: int) -> None:
    values, unknown = message.values, []
    position, sealed = 20, False
    while position < size:
        kind, length = _TLV.unpack_from(data, position)
        end = position + 4 + length
        if end > size:
            raise StunError("attribute")
        if kind not in values and not (sealed and kind not in _AFTER_INTEGRITY):
            value = data[position + 4 : end]
            if kind in KNOWN:
                _check_value(kind, value)
                values[kind] = value
                if kind == _INTEGRITY:
                    message._integrity_at, sealed = position, True
                elif kind == _INTEGRITY_SHA256:
                    message._integrity_sha256_at, sealed = position, True
                elif kind == _FINGERPRINT:
                    if end != size:
                        raise StunError("fingerprint")
                    if fingerprint(data[:position]) != value:
                        raise StunError("fingerprint")
            else:
                values[kind] = value
                if kind < 0x8000:
                    unknown.append(kind)
        position = end + (-length & 3)
    if position != size:
        raise StunError("attribute")
    if unknown:
        message.unknown_required = tuple(unknown)
    if Attribute.XOR_MAPPED_ADDRESS in values:
        _ = message.xor_mapped_address


def _check_value(kind: int, value: bytes) -> None:
    wanted = FIXED_LENGTHS.get(kind)
    if wanted is not None:
        if len(value) != wanted:
            raise StunError("attribute")
        return
    longest = LONGEST_TEXTS.get(kind)
    if longest is not None:
        if len(value) > longest:
            raise StunError("attribute")
        try:
            value.decode()
        except UnicodeDecodeError:
            raise StunError("attribute") from None
    elif kind == _INTEGRITY_SHA256:
        if not 16 <= len(value) <= 32 or len(value) & 3:
            raise StunError("attribute")
    elif kind == Attribute.ERROR_CODE:
        attrs_.decode_error(value)
    elif kind == Attribute.MAPPED_ADDRESS:
        attrs_.decode_address(value)
    elif kind == Attribute.UNKNOWN_ATTRIBUTES and len(value) & 1:
        raise StunError("attribute")


@define(eq=False)
class MessageBuilder:
    """Any message, attribute by attribute, in the order of the calls."""

    method: int
    message_class: MessageClass
    transaction_id: bytes
    _body: bytearray = field(factory=bytearray)

    def add(self, kind: int, value: bytes) -> MessageBuilder:
        """Append an attribute, padded with zeros."""
        self._body += _TLV.pack(kind, len(value)) + value + b"\0" * (-len(value) & 3)
        return self

    def _head(self, extra: int) -> bytes:
        kind = encode_type(self.method, self.message_class)
        return _HEADER.pack(kind, len(self._body) + extra) + COOKIE_BYTES + self.transaction_id

    def build(
        self, key: IntegrityKey | None = None, *, fingerprinted: bool = True, sha256: bool = False
    ) -> bytes:
        """The datagram, signed when a key is given (SHA-1, or SHA-256 if *sha256*)."""
        if key is not None and sha256:
            signed = self._head(36) + bytes(self._body)
            self.add(_INTEGRITY_SHA256, key.sign_sha256(signed))
        elif key is not None:
            self.add(_INTEGRITY, key.sign(self._head(24) + bytes(self._body)))
        if fingerprinted:
            self.add(_FINGERPRINT, fingerprint(self._head(8) + bytes(self._body)))
        return self._head(0) + bytes(self._body)


def encode_error(
    transaction_id: bytes,
    code: int,
    reason: str,
    *,
    method: int = Method.BINDING,
    key: IntegrityKey | None = None,
    unknown: Sequence[int] = (),
) -> bytes:
    """An error response; *unknown* fills UNKNOWN-ATTRIBUTES of a 420."""
    builder = MessageBuilder(method, MessageClass.ERROR, transaction_id)
    builder.add(Attribute.ERROR_CODE, attrs_.encode_error(code, reason))
    if unknown:
        listed = b"".join(kind.to_bytes(2, "big") for kind in unknown)
        builder.add(Attribute.UNKNOWN_ATTRIBUTES, listed)
    return builder.build(key)
