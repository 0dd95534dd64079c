"""The kinds of machines that the matrix pairs, and which pairings have a direct path."""

from __future__ import annotations

from enum import Enum
from itertools import combinations_with_replacement

from tests.lab.nat import Behavior, NatKind


class HostKind(Enum):
    """What is between a machine and the public segment."""

    FULL_CONE = "full-cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    UDP_BLOCKED = "udp-blocked"
    IPV6_ONLY = "ipv6-only"
    """Behind a firewall for IPv6 that lets in what was asked for."""
    DUAL_STACK = "dual-stack"
    """The same, and IPv4 behind a port-restricted NAT."""
    NONE = "none"
    """A public IPv4 address of its own."""

    @property
    def nat(self) -> NatKind | None:
        """The router's kind; None: there is no router."""
        if self is HostKind.NONE:
            return None
        if self in (HostKind.IPV6_ONLY, HostKind.DUAL_STACK):
            return NatKind.PORT_RESTRICTED
        return NatKind(self.value)

    @property
    def v4(self) -> bool:
        """Whether it has an IPv4 address."""
        return self is not HostKind.IPV6_ONLY

    @property
    def v6(self) -> bool:
        """Whether it has an IPv6 address."""
        return self in (HostKind.IPV6_ONLY, HostKind.DUAL_STACK)

    @property
    def mapping(self) -> Behavior:
        """Of UDP over IPv4."""
        return Behavior.ENDPOINT_INDEPENDENT if self.nat is None else self.nat.mapping

    @property
    def filtering(self) -> Behavior:
        """Of UDP over IPv4."""
        return Behavior.ENDPOINT_INDEPENDENT if self.nat is None else self.nat.filtering


PAIRINGS = tuple(combinations_with_replacement(HostKind, 2))


def is_direct(one: HostKind, two: HostKind) -> bool:
    """Whether RFC 5780's terms allow a path without a relay.

    Over IPv6 two firewalls open for each other. Over IPv4 a mapping that depends on the remote
    end is unknown beforehand, so the other side's filter must not ask for its port.
    """
    if one.v6 and two.v6:
        return True
    if not (one.v4 and two.v4) or Behavior.BLOCKED in (one.mapping, two.mapping):
        return False
    return _lets_in(one, two) and _lets_in(two, one)


def _lets_in(one: HostKind, sender: HostKind) -> bool:
    known = sender.mapping is Behavior.ENDPOINT_INDEPENDENT
    return known or one.filtering is not Behavior.ADDRESS_AND_PORT_DEPENDENT
