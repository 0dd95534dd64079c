"""One allocation as a server has it: relayed ports, permissions, channels (RFC 8656)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from refreeze.basics import Address, is_ipv6
from refreeze.net.port import Batch, Port
from refreeze.stun import Attribute, MessageBuilder, MessageClass, Method
from refreeze.testing.servers.answers import xored
from refreeze.testing.servers.flows import Flow

PERMISSION_SECONDS: Final = 300.0
"""RFC 8656 section 9."""

CHANNEL_SECONDS: Final = 600.0
"""RFC 8656 section 12."""

FIRST_CHANNEL: Final = 0x4000
LAST_CHANNEL: Final = 0x4FFF


def family_of(host: str) -> int:
    """4 or 6."""
    return 6 if is_ipv6(host) else 4


@define(eq=False)
class Channel:
    """A number for a peer, until then."""

    number: int
    peer: Address
    until: float


@define(eq=False, repr=False, kw_only=True)
class ServerAllocation:
    """I relay between one client and its peers, on ports of my own."""

    flow: Flow
    username: str
    transaction_id: bytes
    """Of the request that made me: who repeats it did not hear the answer."""
    ports: dict[int, Port]
    """By family."""
    until: float
    _now: Callable[[], float]
    over: str | None = field(default=None, init=False)
    """Why it is no more."""
    to_peers: int = field(default=0, init=False)
    from_peers: int = field(default=0, init=False)
    not_permitted: int = field(default=0, init=False)
    """Datagrams of either side, to or from whom nothing was permitted."""
    permissions: dict[str, float] = field(factory=dict, init=False)
    """Peer's host to the end of its permission."""
    channels: dict[int, Channel] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        for port in self.ports.values():
            port.on_batch(self._from_peers)

    @property
    def relayed(self) -> dict[int, Address]:
        """Family to the relayed transport address."""
        return {family: port.local for family, port in self.ports.items()}

    def end(self, why: str) -> None:
        """Close my ports."""
        self.over = why
        for port in self.ports.values():
            port.close()

    # What the client asks

    def permit(self, host: str, now: float) -> None:
        """Let *host* through for five minutes from now."""
        self.permissions[host] = now + PERMISSION_SECONDS

    def bind(self, number: int, peer: Address, now: float) -> bool:
        """Bind or refresh; False when either is bound to another (RFC 8656 section 12.2)."""
        for channel in self._live_channels(now):
            if (channel.number == number) is not (channel.peer == peer):
                return False
        self.channels[number] = Channel(number, peer, now + CHANNEL_SECONDS)
        self.permit(peer[0], now)
        return True

    def to_peer(self, peer: Address, data: bytes, now: float) -> None:
        """From a Send indication."""
        port = self.ports.get(family_of(peer[0]))
        if port is None or not self.permits(peer[0], now):
            self.not_permitted += 1
            return
        self.to_peers += 1
        port.send([(data, peer, 0)])

    def to_channel(self, number: int, data: bytes, now: float) -> None:
        """From a ChannelData message."""
        channel = self.channels.get(number)
        if channel is None or channel.until <= now:
            self.not_permitted += 1
            return
        self.to_peer(channel.peer, data, now)

    def permits(self, host: str, now: float) -> bool:
        """Whether *host* may be sent to, and send, now."""
        return self.permissions.get(host, 0.0) > now

    # What comes from peers

    def _from_peers(self, port: Port, batch: Batch) -> None:
        for data, peer, _tos in batch:
            self.from_peer(peer, data)

    def from_peer(self, peer: Address, data: bytes) -> None:
        """Hand it to the client, or count that it may not."""
        now = self._now()
        if not self.permits(peer[0], now):
            self.not_permitted += 1
            return
        self.from_peers += 1
        bound = next((each for each in self._live_channels(now) if each.peer == peer), None)
        if bound is None:
            self.flow.send(self._indication(peer, data))
        else:
            self.flow.send(channel_data(bound.number, data, self.flow.kind))

    def _indication(self, peer: Address, data: bytes) -> bytes:
        self._number += 1
        identity = self._number.to_bytes(12, "big")
        builder = MessageBuilder(Method.DATA, MessageClass.INDICATION, identity)
        builder.add(*xored(Attribute.XOR_PEER_ADDRESS, peer, identity))
        return builder.add(Attribute.DATA, data).build(fingerprint=False)

    def _live_channels(self, now: float) -> list[Channel]:
        return [each for each in self.channels.values() if each.until > now]


def channel_data(number: int, data: bytes, kind: str) -> bytes:
    """The message; padded on a stream only (RFC 8656 section 12.5)."""
    framed = number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data
    return framed if kind == "udp" else framed + bytes(-len(framed) % 4)
