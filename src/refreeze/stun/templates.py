"""The fast path: what a pair sends again and again is laid out once.

A check of a pair differs from the next in its transaction id alone; a success response in id and
mapped address. Everything else, the keyed hash states too, is kept.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final
from zlib import crc32

from attrs import define, field, frozen

from refreeze.basics import Address
from refreeze.stun.attributes import COOKIE_BYTES, Attribute, encode_address, xor_address
from refreeze.stun.builder import MessageBuilder
from refreeze.stun.integrity import FINGERPRINT_XOR, IntegrityKey
from refreeze.stun.message_type import MessageClass, Method, encode_type

_INTEGRITY_HEAD: Final = bytes((0, Attribute.MESSAGE_INTEGRITY, 0, 20))
_FINGERPRINT: Final = Struct("!HHI").pack
_FINGERPRINT_TYPE: Final = int(Attribute.FINGERPRINT)
_V6_MASK_HEAD: Final = COOKIE_BYTES[:2] + COOKIE_BYTES


@frozen
class _Layout:
    """A message before its id is known: the head as it is signed, as it is sent, the body."""

    signed_head: bytes
    final_head: bytes
    body: bytes


def _lay_out(message_class: MessageClass, body: bytes, length: int) -> _Layout:
    """*length* is the attributes' before MESSAGE-INTEGRITY; *body* is what is known of them."""
    kind = encode_type(Method.BINDING, message_class).to_bytes(2, "big")
    signed = kind + (length + 24).to_bytes(2, "big") + COOKIE_BYTES
    final = kind + (length + 32).to_bytes(2, "big") + COOKIE_BYTES
    return _Layout(signed, final, body)


def _attributes(builder: MessageBuilder) -> bytes:
    return builder.build(fingerprint=False)[20:]


@define(eq=False, init=False, repr=False)
class RequestTemplate:
    """The connectivity checks of one pair in one role (RFC 8445 section 7.2.2)."""

    _key: IntegrityKey
    _ordinary: _Layout = field()
    _nominating: _Layout = field()

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
        body = _attributes(builder)
        self._ordinary = _lay_out(MessageClass.REQUEST, body, len(body))
        body = _attributes(builder.add(Attribute.USE_CANDIDATE, b""))
        self._nominating = _lay_out(MessageClass.REQUEST, body, len(body))

    def encode(self, transaction_id: bytes, use_candidate: bool = False) -> bytes:
        """A signed, fingerprinted Binding request; *transaction_id* is 12 bytes."""
        layout = self._nominating if use_candidate else self._ordinary
        return _seal(layout, transaction_id + layout.body, self._key)


def _seal(layout: _Layout, rest: bytes, key: IntegrityKey) -> bytes:
    """Sign and fingerprint; *rest* is all between the cookie and the signature."""
    signature = key.sign(layout.signed_head + rest)
    data = layout.final_head + rest + _INTEGRITY_HEAD + signature
    return data + _FINGERPRINT(_FINGERPRINT_TYPE, 4, crc32(data) ^ FINGERPRINT_XOR)


@lru_cache(maxsize=4096)
def _success_layout(mapped: Address) -> _Layout:
    """For an IPv4 address it is whole: its mask is the cookie, not the transaction id."""
    value = encode_address(mapped)
    if len(value) == 8:
        value = xor_address(value, b"")
    head = bytes((0, Attribute.XOR_MAPPED_ADDRESS, 0, len(value)))
    return _lay_out(MessageClass.SUCCESS, head + value, 4 + len(value))


def encode_success(transaction_id: bytes, mapped: Address, key: IntegrityKey) -> bytes:
    """The answer to a check: where it came from, signed with the key it was signed with.

    *transaction_id* is 12 bytes; ValueError when *mapped* is no address.
    """
    layout = _success_layout(mapped)
    body = layout.body
    if len(body) == 24:
        mask = int.from_bytes(_V6_MASK_HEAD + transaction_id, "big")
        masked = int.from_bytes(body[6:], "big") ^ mask
        body = body[:6] + masked.to_bytes(18, "big")
    return _seal(layout, transaction_id + body, key)


def encode_indication(transaction_id: bytes) -> bytes:
    """ICE's keepalive: FINGERPRINT alone (RFC 8445 section 11, rule 48)."""
    return MessageBuilder(Method.BINDING, MessageClass.INDICATION, transaction_id).build()
