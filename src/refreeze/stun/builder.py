"""From attributes to a datagram: any message, at leisure (``templates`` has the fast path)."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, Self

from attrs import define, field

from refreeze.stun.attributes import (
    COOKIE_BYTES,
    Attribute,
    encode_error_code,
    encode_types,
)
from refreeze.stun.integrity import IntegrityKey, fingerprint
from refreeze.stun.message_type import HIGHEST_METHOD, MessageClass, Method, encode_type

_PAIR: Final = Struct("!HH")
_LARGEST_BODY: Final = 0xFFFC


def _tlv(kind: int, value: bytes) -> bytes:
    return _PAIR.pack(kind, len(value)) + value + bytes(-len(value) & 3)


@define(eq=False, repr=False)
class MessageBuilder:
    """Any message, attribute by attribute, in the order of the calls.

    ValueError for what has no place in the format. Values are not looked at.
    """

    method: int
    message_class: MessageClass
    transaction_id: bytes
    _body: bytearray = field(init=False, factory=bytearray, repr=False)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.method <= HIGHEST_METHOD:
            raise ValueError("a STUN method has 12 bits")
        if len(self.transaction_id) != 12:
            raise ValueError("a transaction id has 12 bytes")

    def add(self, kind: int, value: bytes) -> Self:
        """Append an attribute, padded with zeros."""
        if not 0 <= kind <= 0xFFFF:
            raise ValueError("an attribute type has 16 bits")
        if len(self._body) + 4 + len(value) > _LARGEST_BODY:
            raise ValueError("a STUN message has at most 65532 bytes of attributes")
        self._body += _tlv(kind, value)
        return self

    def build(
        self, key: IntegrityKey | None = None, *, fingerprint: bool = True, sha256: bool = False
    ) -> bytes:
        """The datagram. With a key it is signed: SHA-256 if *sha256* or the key say so.

        May be called again: it changes nothing here.
        """
        body = bytes(self._body)
        if key is not None:
            body += self._signature(body, key, sha256 or key.sha256)
        if fingerprint:
            body += self._fingerprint(body)
        return self._head(len(body)) + body

    def _head(self, length: int) -> bytes:
        if length > _LARGEST_BODY:
            raise ValueError("a STUN message has at most 65532 bytes of attributes")
        kind = encode_type(self.method, self.message_class)
        return _PAIR.pack(kind, length) + COOKIE_BYTES + self.transaction_id

    def _signature(self, body: bytes, key: IntegrityKey, sha256: bool) -> bytes:
        """The length that is signed counts the signature too (RFC 8489 section 14.5)."""
        if sha256:
            signed = self._head(len(body) + 36) + body
            return _tlv(Attribute.MESSAGE_INTEGRITY_SHA256, key.sign_sha256(signed))
        signed = self._head(len(body) + 24) + body
        return _tlv(Attribute.MESSAGE_INTEGRITY, key.sign(signed))

    def _fingerprint(self, body: bytes) -> bytes:
        return _tlv(Attribute.FINGERPRINT, fingerprint(self._head(len(body) + 8) + body))


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
    builder.add(Attribute.ERROR_CODE, encode_error_code(code, reason))
    if unknown:
        builder.add(Attribute.UNKNOWN_ATTRIBUTES, encode_types(tuple(unknown)))
    return builder.build(key)
