"""Data between us and peers: indications and ChannelData (RFC 8656 sections 11 and 12)."""

from __future__ import annotations

from typing import Final

from refreeze.basics import Address, is_ipv6
from refreeze.stun import Attribute, Message, MessageBuilder, MessageClass, Method, is_stun
from refreeze.stun.attributes import encode_address, xor_address

FIRST_CHANNEL: Final = 0x4000
LAST_CHANNEL: Final = 0x4FFF
"""RFC 8656 section 12; what older servers used above is reserved."""

CHANNEL_OVERHEAD: Final = 4
SEND_OVERHEAD: Final = {4: 36, 6: 48}
"""Bytes around the payload of a Send indication, without padding, by the peer's version of IP."""

LONGEST_DATAGRAM: Final = {4: 65507, 6: 65487}
"""Bytes of a UDP payload, by version of IP; without jumbograms."""


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if is_ipv6(host) else 4


def add_peer(builder: MessageBuilder, peer: Address) -> None:
    """Append XOR-PEER-ADDRESS; ValueError for what is no address."""
    value = xor_address(encode_address(peer), builder.transaction_id)
    builder.add(Attribute.XOR_PEER_ADDRESS, value)


def encode_send(peer: Address, payload: bytes, transaction_id: bytes) -> bytes:
    """A Send indication (RFC 8656 section 11.1)."""
    builder = MessageBuilder(Method.SEND, MessageClass.INDICATION, transaction_id)
    add_peer(builder, peer)
    return builder.add(Attribute.DATA, payload).build(fingerprint=False)


def encode_channel_data(number: int, payload: bytes, padded: bool) -> bytes:
    """ChannelData; over a stream it is *padded* to a multiple of 4 (RFC 8656 section 12.5)."""
    size = len(payload)
    head = number.to_bytes(2, "big") + size.to_bytes(2, "big")
    return head + payload + bytes(-size & 3) if padded else head + payload


def is_channel_data(data: bytes) -> bool:
    """Whether the first byte is that of a channel's number (RFC 7983 section 7)."""
    return len(data) > 0 and 0x40 <= data[0] <= 0x4F


def decode_channel_data(data: bytes) -> tuple[int, bytes] | None:
    """(channel number, payload); None for a wrong length. Padding may follow over UDP too."""
    if len(data) < CHANNEL_OVERHEAD:
        return None
    size = data[2] << 8 | data[3]
    if not 0 <= len(data) - CHANNEL_OVERHEAD - size <= 3:
        return None
    return data[0] << 8 | data[1], data[CHANNEL_OVERHEAD : CHANNEL_OVERHEAD + size]


def decode_data(message: Message) -> tuple[Address, bytes] | None:
    """(peer, payload) of a Data indication; None when it carries no data (an ICMP error)."""
    peer, payload = message.xor_peer_address, message.data
    return None if peer is None or payload is None else (peer, payload)


def deserves_channel(payload: bytes) -> bool:
    """Traffic does; checks, that go to every candidate of a peer, do not."""
    return not is_stun(payload)


def longest_payload(server_family: int, families: tuple[int, ...], reliable: bool) -> int:
    """Bytes of data that fit through in either framing, to peers of all *families*."""
    outer = 0xFFFF if reliable else LONGEST_DATAGRAM[server_family]
    overhead = max(SEND_OVERHEAD[each] for each in families)
    inner = min(LONGEST_DATAGRAM[each] for each in families)
    return min(inner, (outer - overhead) & ~3)
