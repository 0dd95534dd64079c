"""The fast path: what a pair sends again and again is laid out once.

A check of a pair differs from the next in its transaction id alone; a success response in id and
mapped address. Everything else, the keyed hash states too, is kept.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from refreeze.basics import Address
from refreeze.stun.attributes import COOKIE_BYTES, Attribute, encode_address, xor_address
from refreeze.stun.codec import MessageBuilder, MessageClass, Method, encode_type
from refreeze.stun.integrity import FINGERPRINT_XOR, IntegrityKey

_INTEGRITY_HEAD: Final = bytes((0, Attribute.MESSAGE_INTEGRITY, 0, 20))
_FINGERPRINT_HEAD: Final = int(Attribute.FINGERPRINT).to_bytes(2, "big") + b"\0\4"
_SUCCESS: Final = encode_type(Method.BINDING, MessageClass.SUCCESS).to_bytes(2, "big")
_XOR_V4: Final = int(Attribute.XOR_MAPPED_ADDRESS).to_bytes(2, "big") + b"\0\x08"
_XOR_V6: Final = int(Attribute.XOR_MAPPED_ADDRESS).to_bytes(2, "big") + b"\0\x14"


class RequestTemplate:
    """The connectivity checks of one pair in one role (RFC 8445 section 7.2.2)."""

    __slots__ = ("_key", "_nominating", "_ordinary")

    def __init__(
        self,
        *,
        username: str,
        key: IntegrityKey,
        priority: int,
        controlling: bool,
        tie_breaker: int,
    ) -> None:
        self._key = key
        role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, bytes(12))
        builder.add(Attribute.USERNAME, username.encode())
        builder.add(Attribute.PRIORITY, priority.to_bytes(4, "big"))
        builder.add(role, tie_breaker.to_bytes(8, "big"))
        self._ordinary = _lay_out(builder.build(fingerprinted=False)[20:])
        builder.add(Attribute.USE_CANDIDATE, b"")
        self._nominating = _lay_out(builder.build(fingerprinted=False)[20:])

    def encode(self, transaction_id: bytes, use_candidate: bool = False) -> bytes:
        """A signed, fingerprinted Binding request."""
        signed_head, final_head, body = self._nominating if use_candidate else self._ordinary
        rest = transaction_id + body
        data = final_head + rest + _INTEGRITY_HEAD + self._key.sign(signed_head + rest)
        check = crc32(data) ^ FINGERPRINT_XOR
        return data + _FINGERPRINT_HEAD + check.to_bytes(4, "big")


def _lay_out(body: bytes) -> tuple[bytes, bytes, bytes]:
    """The head as it is signed (counting the integrity), as it is sent, and the body."""
    kind = encode_type(Method.BINDING, MessageClass.REQUEST).to_bytes(2, "big")
    signed = kind + (len(body) + 24).to_bytes(2, "big") + COOKIE_BYTES
    final = kind + (len(body) + 32).to_bytes(2, "big") + COOKIE_BYTES
    return signed, final, body


def encode_success(transaction_id: bytes, mapped: Address, key: IntegrityKey) -> bytes:
    """The answer to a check: where it came from, signed with the key it was signed with."""
    value = xor_address(encode_address(mapped), transaction_id)
    body = transaction_id + (_XOR_V4 if len(value) == 8 else _XOR_V6) + value
    size = len(value) + 4
    signed = _SUCCESS + (size + 24).to_bytes(2, "big") + COOKIE_BYTES + body
    data = _SUCCESS + (size + 32).to_bytes(2, "big") + COOKIE_BYTES + body
    data += _INTEGRITY_HEAD + key.sign(signed)
    check = crc32(data) ^ FINGERPRINT_XOR
    return data + _FINGERPRINT_HEAD + check.to_bytes(4, "big")


def encode_indication(transaction_id: bytes) -> bytes:
    """ICE's keepalive: FINGERPRINT alone (RFC 8445 section 11)."""
    return MessageBuilder(Method.BINDING, MessageClass.INDICATION, transaction_id).build()
