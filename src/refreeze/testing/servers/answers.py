"""Answers before they are bytes: attributes in order, and refusals as exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

from refreeze.basics import Address
from refreeze.net.port import Port
from refreeze.stun import Attribute, Message
from refreeze.stun.attributes import (
    decode_xor_address,
    encode_address,
    encode_types,
    xor_address,
)

Attributes: TypeAlias = Sequence[tuple[int, bytes]]

REASONS: Final = {
    300: "Try Alternate",
    400: "Bad Request",
    401: "Unauthenticated",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    500: "Server Error",
    508: "Insufficient Capacity",
}
"""RFC 8489 section 14.8, RFC 8656 section 19."""


@frozen
class Answer:
    """A success response: its attributes, and the port that it leaves from if not the flow's."""

    attributes: Attributes = ()
    via: Port | None = field(default=None, kw_only=True)
    to: Address | None = field(default=None, kw_only=True)
    """Whom it is sent to if not to the client (RESPONSE-PORT)."""


class Refused(Exception):
    """A request is answered with *code*. A *challenge* also says realm and nonce, unsigned."""

    def __init__(
        self,
        code: int,
        *,
        reason: str | None = None,
        challenge: bool = False,
        attributes: Attributes = (),
    ) -> None:
        super().__init__(code)
        self.code, self.challenge = code, challenge
        self.reason = REASONS.get(code, "Refused") if reason is None else reason
        self.attributes = attributes


def unknown(types: Sequence[int]) -> Refused:
    """What a request with attributes gets that have to be understood and are not."""
    return Refused(420, attributes=[(Attribute.UNKNOWN_ATTRIBUTES, encode_types(tuple(types)))])


def xored(kind: int, address: Address, transaction_id: bytes) -> tuple[int, bytes]:
    """An XOR-...-ADDRESS attribute."""
    return kind, xor_address(encode_address(address), transaction_id)


def peers(message: Message) -> list[Address]:
    """Every XOR-PEER-ADDRESS of a request that parsed; StunError for a malformed one."""
    values = message.attributes(Attribute.XOR_PEER_ADDRESS)
    return [decode_xor_address(value, message.transaction_id) for value in values]


def seconds(value: float) -> bytes:
    """The value of LIFETIME."""
    return int(value).to_bytes(4, "big")
