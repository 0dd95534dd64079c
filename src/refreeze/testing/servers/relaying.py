"""Allocations by 5-tuple, and what their clients ask of them (RFC 8656 sections 7 to 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Port
from refreeze.stun import Attribute, Message, Method
from refreeze.stun.attributes import FAMILIES, encode_address_error
from refreeze.testing.hosts import FakeHost
from refreeze.testing.servers.allocation import (
    FIRST_CHANNEL,
    LAST_CHANNEL,
    ServerAllocation,
    family_of,
)
from refreeze.testing.servers.answers import Answer, Attributes, Refused, peers, seconds, xored
from refreeze.testing.servers.flows import Flow
from refreeze.testing.servers.gate import Visitor
from refreeze.testing.servers.journal import ServerJournal

DEFAULT_LIFETIME: Final = 600.0
UDP: Final = 17


@define(eq=False, repr=False, kw_only=True)
class Relaying:
    """I hold the allocations of one server. Lifetimes pass by the network's clock."""

    host: FakeHost
    journal: ServerJournal
    addresses: Callable[[int], str | None]
    """Where relayed ports of a family are opened; None: not at all."""
    software: bytes
    max_lifetime: float
    quota: int | None
    """Allocations a user may have."""
    capacity: int | None
    """Allocations that all users may have."""
    additional: bool
    """Whether ADDITIONAL-ADDRESS-FAMILY is known."""
    forbidden: set[str] = field(factory=set, init=False)
    """Hosts of peers that nobody gets a permission for."""
    allocations: dict[Flow, ServerAllocation] = field(factory=dict, init=False)

    def now(self) -> float:
        """Virtual seconds."""
        return self.host.network.clock.seconds()

    def ask(self, flow: Flow, message: Message, visitor: Visitor) -> Answer:
        """Carry out an authenticated request; Refused when that cannot be."""
        if message.method == Method.ALLOCATE:
            return self._allocate(flow, message, visitor)
        allocation = self.allocations.get(flow)
        if allocation is None:
            raise Refused(437)
        if allocation.username != visitor.username:
            raise Refused(441)
        if message.method == Method.REFRESH:
            return self._refresh(allocation, message)
        if message.method == Method.CREATE_PERMISSION:
            return self._permit(allocation, message)
        if message.method == Method.CHANNEL_BIND:
            return self._bind(allocation, message)
        raise Refused(400)

    def end(self, allocation: ServerAllocation, why: str) -> None:
        """It is no more."""
        if self.allocations.get(allocation.flow) is allocation:
            del self.allocations[allocation.flow]
            allocation.end(why)
            self.journal.write(self.now(), why, allocation.flow.remote)

    # Allocate

    def _allocate(self, flow: Flow, message: Message, visitor: Visitor) -> Answer:
        existing = self.allocations.get(flow)
        if existing is not None:
            if existing.transaction_id != message.transaction_id:
                raise Refused(437)
            return self._allocated(existing, message, ())
        transport = message.attribute(Attribute.REQUESTED_TRANSPORT)
        if transport is None:
            raise Refused(400)
        if transport[0] != UDP:
            raise Refused(442)
        ports, errors = self._open(_families(message, self.additional), visitor)
        made = ServerAllocation(
            flow=flow,
            username=visitor.username,
            transaction_id=message.transaction_id,
            ports=ports,
            until=self.now() + self._lifetime(message),
            now=self.now,
        )
        self.allocations[flow] = made
        self._watch(made)
        self.journal.write(self.now(), "allocated", flow.remote, visitor.username)
        return self._allocated(made, message, errors)

    def _open(
        self, families: tuple[int, ...], visitor: Visitor
    ) -> tuple[dict[int, Port], Attributes]:
        """Relayed ports, and ADDRESS-ERROR-CODE for one that there cannot be."""
        own = [each for each in self.allocations.values() if each.username == visitor.username]
        if self.quota is not None and len(own) >= self.quota:
            raise Refused(486)
        if self.capacity is not None and len(self.allocations) >= self.capacity:
            raise Refused(508)
        hosts = {family: self.addresses(family) for family in families}
        there = {family: host for family, host in hosts.items() if host is not None}
        if not there:
            raise Refused(440)
        errors = [
            (int(Attribute.ADDRESS_ERROR_CODE), encode_address_error(family, 440, ""))
            for family in families
            if family not in there
        ]
        ports: dict[int, Port] = {
            family: self.host.factory.open_udp(host) for family, host in there.items()
        }
        return ports, errors

    def _allocated(
        self, allocation: ServerAllocation, message: Message, errors: Attributes
    ) -> Answer:
        identity = message.transaction_id
        relayed = [
            xored(Attribute.XOR_RELAYED_ADDRESS, address, identity)
            for address in allocation.relayed.values()
        ]
        mapped = xored(Attribute.XOR_MAPPED_ADDRESS, allocation.flow.remote, identity)
        left = (int(Attribute.LIFETIME), seconds(allocation.until - self.now()))
        named = (int(Attribute.SOFTWARE), self.software)
        return Answer([*relayed, left, mapped, *errors, named])

    def _lifetime(self, message: Message) -> float:
        """RFC 8656 section 7.2: what is asked for, up to my maximum, or ten minutes."""
        asked = message.lifetime
        if asked is None:
            return min(DEFAULT_LIFETIME, self.max_lifetime)
        return min(max(float(asked), DEFAULT_LIFETIME), self.max_lifetime)

    def _watch(self, allocation: ServerAllocation) -> None:
        """End it when its time has come, however often that moves."""
        if allocation.over is None:
            if allocation.until <= self.now():
                self.end(allocation, "expired")
            else:
                self.host.network.clock.run_at(allocation.until, self._watch, allocation)

    # What an allocation is asked

    def _refresh(self, allocation: ServerAllocation, message: Message) -> Answer:
        wanted = _family(message, Attribute.REQUESTED_ADDRESS_FAMILY)
        if wanted is not None and wanted not in allocation.ports:
            raise Refused(443)
        if message.lifetime == 0:
            self.end(allocation, "released")
            return Answer([(Attribute.LIFETIME, seconds(0))])
        lifetime = self._lifetime(message)
        sooner = self.now() + lifetime < allocation.until
        allocation.until = self.now() + lifetime
        if sooner:
            self._watch(allocation)
        self.journal.write(self.now(), "refreshed", allocation.flow.remote)
        return Answer([(Attribute.LIFETIME, seconds(lifetime))])

    def _permit(self, allocation: ServerAllocation, message: Message) -> Answer:
        """All of them or none (RFC 8656 section 10.2)."""
        hosts = [self._allowed(allocation, peer) for peer in peers(message)]
        if not hosts:
            raise Refused(400)
        for host in hosts:
            allocation.permit(host, self.now())
        self.journal.write(self.now(), "permitted", allocation.flow.remote, " ".join(hosts))
        return Answer()

    def _bind(self, allocation: ServerAllocation, message: Message) -> Answer:
        number, peer = message.channel_number, message.xor_peer_address
        if number is None or peer is None or not FIRST_CHANNEL <= number <= LAST_CHANNEL:
            raise Refused(400)
        self._allowed(allocation, peer)
        if not allocation.bind(number, peer, self.now()):
            raise Refused(400)
        detail = f"{number:#x} {peer[0]} {peer[1]}"
        self.journal.write(self.now(), "bound", allocation.flow.remote, detail)
        return Answer()

    def _allowed(self, allocation: ServerAllocation, peer: Address) -> str:
        """The peer's host; Refused unless it may be a peer."""
        host = peer[0]
        if family_of(host) not in allocation.ports:
            raise Refused(443)
        if host in self.forbidden:
            raise Refused(403)
        return host

    # Data

    def send(self, flow: Flow, message: Message) -> None:
        """A Send indication; what is wrong with it is nobody's to know (RFC 8656 section 11.2)."""
        allocation, peer, data = self.allocations.get(flow), message.xor_peer_address, message.data
        if allocation is not None and peer is not None and data is not None:
            allocation.to_peer(peer, data, self.now())

    def channel_data(self, flow: Flow, frame: bytes) -> None:
        """A ChannelData message; longer is padding, shorter is dropped (RFC 8656 section 12.6)."""
        allocation, length = self.allocations.get(flow), int.from_bytes(frame[2:4], "big")
        if allocation is not None and len(frame) >= 4 + length:
            number = int.from_bytes(frame[:2], "big")
            allocation.to_channel(number, frame[4 : 4 + length], self.now())


def _family(message: Message, kind: int) -> int | None:
    value = message.attribute(kind)
    if value is None:
        return None
    family = FAMILIES.get(value[0])
    if family is None:
        raise Refused(440)
    return family


def _families(message: Message, knows_additional: bool) -> tuple[int, ...]:
    """RFC 8656 section 7.2: one, or IPv4 and IPv6 at once."""
    wanted = _family(message, Attribute.REQUESTED_ADDRESS_FAMILY)
    additional = None
    if knows_additional:
        additional = _family(message, Attribute.ADDITIONAL_ADDRESS_FAMILY)
    if additional is None:
        return (4 if wanted is None else wanted,)
    if wanted is not None or additional == 4:
        raise Refused(400)
    return 4, 6
