"""NATs by the terms of RFC 4787: how they map (section 4.1) and how they filter (section 5)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import define, evolve, field, frozen

from refreeze.basics import Address, Randomness, is_ipv6

if TYPE_CHECKING:
    from refreeze.testing.hosts import Realm

Key: TypeAlias = str | Address | None
"""The part of a remote address that a behavior depends on."""

FIRST_PORT: Final = 1024
LAST_PORT: Final = 65535


class Behavior(StrEnum):
    """Of mapping: whether another destination gets another external port. Of filtering: who
    may answer through a mapping (any; the hosts that were sent to; the endpoints)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"

    def key(self, remote: Address) -> Key:
        """What of *remote* matters."""
        if self is Behavior.ENDPOINT_INDEPENDENT:
            return None
        return remote[0] if self is Behavior.ADDRESS_DEPENDENT else remote


@frozen(kw_only=True)
class NatSettings:
    """*timeout*: seconds of a mapping and of a filter's entry since the last datagram out.

    Datagrams in count too with *refresh_inbound* (RFC 4787, REQ-6). *preserve_ports*: the
    external port is the internal one while that is free (section 4.2.1). *hairpin*: two hosts
    behind it reach each other by their external addresses (REQ-9). *udp_blocked*: no datagram
    gets through, in silence, as behind many a company's firewall; streams do.
    """

    mapping: Behavior = Behavior.ENDPOINT_INDEPENDENT
    filtering: Behavior = Behavior.ADDRESS_AND_PORT_DEPENDENT
    timeout: float = 120.0
    refresh_inbound: bool = False
    preserve_ports: bool = True
    hairpin: bool = False
    udp_blocked: bool = False


PORT_RESTRICTED: Final = NatSettings()
ADDRESS_RESTRICTED: Final = evolve(PORT_RESTRICTED, filtering=Behavior.ADDRESS_DEPENDENT)
FULL_CONE: Final = evolve(PORT_RESTRICTED, filtering=Behavior.ENDPOINT_INDEPENDENT)
SYMMETRIC: Final = evolve(
    PORT_RESTRICTED, mapping=Behavior.ADDRESS_AND_PORT_DEPENDENT, preserve_ports=False
)
UDP_BLOCKED: Final = evolve(PORT_RESTRICTED, udp_blocked=True)


@define(eq=False)
class Mapping:
    """An external port of an internal endpoint, towards *key*."""

    internal: Address
    key: Key
    port: int
    used: float
    permits: dict[Key, float] = field(factory=dict)
    """Who may send in, by what filtering depends on, and when it was last sent to."""


@define(eq=False, repr=False)
class Nat:
    """I translate between a realm inside and one outside, where I have one address.

    I translate my address's family only; others pass by me, in both directions.
    """

    name: str
    address: str
    inside: Realm
    outside: Realm
    settings: NatSettings
    _random: Randomness
    rebound: int = field(default=0, init=False)
    """How often it forgot its streams too."""
    _out: dict[tuple[Address, Key], Mapping] = field(factory=dict, init=False)
    _in: dict[int, Mapping] = field(factory=dict, init=False)
    _avoided: frozenset[int] = field(default=frozenset(), init=False)
    _preserving: bool = field(default=True, init=False)

    # What tests do to it

    def rebind(self, address: str | None = None) -> None:
        """Forget every mapping, and give everyone another external port from now on.

        With *address* the external address changes instead, and ports are chosen as before: the
        router was replaced. Streams through it are reset when their client sends.
        """
        if address is None:
            self._avoided = frozenset(self._in)
            self._preserving = False
        elif is_ipv6(address) != is_ipv6(self.address):
            raise ValueError("a NAT keeps its family")
        else:
            self.outside.remove(self.address)
            self.address = address
            self.outside.add(address, self)
        self.rebound += 1
        self.forget()

    def forget(self) -> None:
        """Lose all state, as by a power cut; a preserved port comes back as it was."""
        self._out.clear()
        self._in.clear()

    def mappings(self, now: float) -> list[Mapping]:
        """Those that are alive."""
        return [mapping for mapping in self._in.values() if self._alive(mapping.used, now)]

    # What the network asks

    def outbound(self, internal: Address, remote: Address, now: float) -> Address | str:
        """The external source of a datagram out, or why there is none."""
        if self.settings.udp_blocked:
            return "UDP blocked"
        key = self.settings.mapping.key(remote)
        mapping = self._out.get((internal, key))
        if mapping is None or not self._alive(mapping.used, now):
            mapping = self._map(internal, key, now)
            if mapping is None:
                return "no port"
        mapping.used = now
        mapping.permits[self.settings.filtering.key(remote)] = now
        return self.address, mapping.port

    def inbound(self, port: int, source: Address, now: float) -> Address | str:
        """The internal endpoint of a datagram to *port*, or why there is none."""
        if self.settings.udp_blocked:
            return "UDP blocked"
        mapping = self._in.get(port)
        if mapping is None or not self._alive(mapping.used, now):
            return "no mapping"
        settings = self.settings
        key = settings.filtering.key(source)
        if settings.filtering is not Behavior.ENDPOINT_INDEPENDENT:
            permitted = mapping.permits.get(key)
            if permitted is None or not self._alive(permitted, now):
                return "filtered"
        if settings.refresh_inbound:
            mapping.used = mapping.permits[key] = now
        return mapping.internal

    def peek(self, port: int) -> Address | None:
        """Where a datagram to *port* would go, filters aside."""
        mapping = self._in.get(port)
        return None if mapping is None else mapping.internal

    # Ports

    def _alive(self, used: float, now: float) -> bool:
        return now - used < self.settings.timeout

    def _map(self, internal: Address, key: Key, now: float) -> Mapping | None:
        old = self._out.pop((internal, key), None)
        if old is not None and self._in.get(old.port) is old:
            del self._in[old.port]
        port = self._choose(internal[1], now)
        if port is None:
            return None
        mapping = self._out[internal, key] = self._in[port] = Mapping(internal, key, port, now)
        return mapping

    def _choose(self, wanted: int, now: float) -> int | None:
        preserving = self.settings.preserve_ports and self._preserving
        if preserving and self._free(wanted, now):
            return wanted
        span = LAST_PORT - FIRST_PORT + 1
        begin = int(self._random.random() * span)
        for step in range(span):
            port = FIRST_PORT + (begin + step) % span
            if port not in self._avoided and self._free(port, now):
                return port
        return None

    def _free(self, port: int, now: float) -> bool:
        mapping = self._in.get(port)
        if mapping is None:
            return True
        if self._alive(mapping.used, now):
            return False
        del self._in[port]
        if self._out.get((mapping.internal, mapping.key)) is mapping:
            del self._out[mapping.internal, mapping.key]
        return True
