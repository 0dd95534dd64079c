"""The ways of streams through the fake network: routes, NATs, delays, and what blocks them.

A stream has an address at either end as a datagram has, and what a NAT makes of it. Links delay
it and lose nothing: TCP repairs that. Filters do not matter, for only the client opens it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from attrs import define, field

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.testing.hosts import FakeHost, Interface, is_loopback, refuse
from refreeze.testing.nat import Nat

if TYPE_CHECKING:
    from refreeze.testing.network import FakeNetwork

FIRST_PORT: Final = 49152
LAST_PORT: Final = 65535

_WILDCARDS: Final = ("0.0.0.0", "::")


@define(eq=False, repr=False)
class StreamWay:
    """The way of one connection, as it was when the client began to connect."""

    _network: FakeNetwork
    client: Interface
    server: Interface | None
    """None: nobody has that address, or nobody who could be reached there."""
    here: Address
    """The client's address as it has it."""
    seen_as: Address
    """The same as the server sees it."""
    there: Address
    nats: tuple[tuple[Nat, int], ...]
    """Those on the way, and how often they had been rebound."""

    @property
    def delay(self) -> float:
        """One way, in seconds."""
        return self._network.settings_of(self.client, self.server).delay

    @property
    def forgotten(self) -> bool:
        """Whether a NAT no longer knows it: what the client sends gets a reset."""
        return any(nat.rebound != number for nat, number in self.nats)

    def leads_to(self, name: str | None) -> bool:
        """Whether the host *name* is at the end of it."""
        return self.server is not None and self.server.host.name == name

    def passes(self, *, outward: bool) -> bool:
        """Whether anything gets from the client to the server now, or back."""
        if self.server is None or not (_present(self.client) and _present(self.server)):
            return False
        if self.forgotten and not outward:
            return False
        client = (self.client.host.name, self.here, self.here[0], self.seen_as, self.seen_as[0])
        server = (self.server.host.name, self.there, self.there[0])
        ends = (client, server) if outward else (server, client)
        return self._network.blackhole_of(*ends, streams=True) is None


@define(eq=False, repr=False)
class StreamWays:
    """I find the way of every stream between hosts of one network."""

    _network: FakeNetwork
    _next: int = field(default=FIRST_PORT, init=False)

    def find(self, name: str | None, remote: Address, bind: Address | None) -> StreamWay | None:
        """From the host *name* to *remote*; *bind* is where it wants to leave from.

        None for what is not of this network: hosts that it does not have, loopback, names.
        OSError when no kernel would begin: without a route, or from no address of the host.
        """
        host = self._network.hosts.get(name or "")
        if host is None or not _routed(remote[0]):
            return None
        client = self._client(host, canonical_host(remote[0]), bind)
        port = bind[1] if bind is not None and bind[1] else self._port()
        here = seen_as = client.address, port
        realm, nats = client.realm, []
        while (place := realm.find(remote[0])) is None and realm.gateway is not None:
            gateway = realm.gateway
            nats.append((gateway, gateway.rebound))
            seen_as, realm = (gateway.address, self._port()), gateway.outside
        server = place if isinstance(place, Interface) else None
        return StreamWay(self._network, client, server, here, seen_as, remote, tuple(nats))

    def _client(self, host: FakeHost, remote_host: str, bind: Address | None) -> Interface:
        bound = None if bind is None or bind[0] in ("", *_WILDCARDS) else canonical_host(bind[0])
        client = host.route(remote_host) if bound is None else host.interfaces.get(bound)
        if client is None:
            raise refuse(errno.ENETUNREACH if bound is None else errno.EADDRNOTAVAIL)
        if is_ipv6(client.address) is not is_ipv6(remote_host):
            raise refuse(errno.EAFNOSUPPORT)
        return client

    def _port(self) -> int:
        port = self._next
        self._next = FIRST_PORT if port == LAST_PORT else port + 1
        return port


def _present(interface: Interface) -> bool:
    return interface.host.interfaces.get(interface.address) is interface


def _routed(host: str) -> bool:
    try:
        return not is_loopback(canonical_host(host))
    except ValueError:
        return False
