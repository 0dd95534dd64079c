"""Hosts of the fake network: their addresses, and the ports that programs open on them."""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final
from weakref import WeakSet

from attrs import define, field
from twisted.logger import Logger

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.net.port import Batch, BatchReceiver, Datagram, Port, PortCounters
from refreeze.testing.nat import Nat

if TYPE_CHECKING:
    from refreeze.testing.network import FakeNetwork

FIRST_EPHEMERAL: Final = 40000
LAST_EPHEMERAL: Final = 60999
MAX_WAITING: Final = 256
"""Datagrams that wait for a port's first receiver, as in a kernel's buffer."""

_LARGEST: Final = {False: 65_507, True: 65_527}
"""UDP payload over IPv4 and over IPv6."""
_WILDCARDS: Final = {"0.0.0.0": False, "::": True}


def refuse(number: int) -> OSError:
    """As the kernel would raise it."""
    return OSError(number, os.strerror(number))


def is_loopback(host: str) -> bool:
    """Of a canonical address."""
    return host.startswith("127.") or host == "::1"


def is_link_local(host: str) -> bool:
    """Of a canonical address."""
    return ipaddress.ip_address(host.partition("%")[0]).is_link_local


@define(eq=False, repr=False)
class Realm:
    """An address space: the public one, or the inside of a NAT."""

    name: str
    gateway: Nat | None = field(default=None, init=False)
    """Who takes what this realm has no address for."""
    outer: Realm | None = field(default=None, init=False)
    _places: dict[str, Interface | Nat] = field(factory=dict, init=False)

    def add(self, address: str, place: Interface | Nat) -> None:
        """ValueError when the address is taken."""
        if address in self._places:
            raise ValueError(f"{address} is taken in {self.name}")
        self._places[address] = place

    def remove(self, address: str) -> None:
        """Nobody has it any more."""
        self._places.pop(address, None)

    def find(self, address: str) -> Interface | Nat | None:
        """Who has that address here."""
        return self._places.get(address)


@define(eq=False, repr=False)
class Interface:
    """One address of one host, in one realm."""

    host: FakeHost
    address: str
    realm: Realm
    name: str


@define(eq=False, repr=False)
class FakePort:
    """A :class:`~refreeze.net.port.Port` of the fake network."""

    host: FakeHost
    local: Address
    interface: Interface | None
    """None: bound to loopback, to every address, or to a path."""
    counters: PortCounters = field(factory=PortCounters, init=False)
    broken: str | None = field(default=None, init=False)
    closed: bool = field(default=False, init=False)
    is_unix: bool = field(init=False)
    six: bool = field(init=False)
    _receiver: BatchReceiver | None = field(default=None, init=False)
    _waiting: list[Datagram] = field(factory=list, init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self.is_unix = self.local[0].startswith(("/", "@"))
        self.six = not self.is_unix and is_ipv6(self.local[0])

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        return _LARGEST[self.six]

    def on_batch(self, receiver: BatchReceiver) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        self._receiver = receiver
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.host.network.soon(self.receive, waiting)

    def send(self, batch: Batch) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        counters = self.counters
        host = self.host
        if self.closed or self.broken is not None or host.send_error is not None or host.asleep:
            counters.send_errors += len(batch)
            if host.send_error is not None:
                counters.last_send_error = errno.errorcode[host.send_error]
            return 0
        handed, size, network = 0, 0, host.network
        begin, count = 0, len(batch)
        while begin < count:
            remote = batch[begin][1]
            end = begin + 1
            while end < count and batch[end][1] == remote:
                end += 1
            items = self._sendable(batch[begin:end], remote)
            if items and network.send(self, remote, items):
                handed += len(items)
                size += sum(len(item[0]) for item in items)
            else:
                counters.send_errors += len(items)
            begin = end
        counters.sent += handed
        counters.sent_bytes += size
        return handed

    def _sendable(self, items: Batch, remote: Address) -> Batch:
        """What a kernel would take; the rest is counted."""
        if self.is_unix:
            return items
        if not 0 < remote[1] < 65536 or (":" in remote[0]) is not self.six:
            self.counters.send_errors += len(items)
            return ()
        largest = _LARGEST[self.six]
        if max(len(item[0]) for item in items) <= largest:
            return items
        fitting = [item for item in items if len(item[0]) <= largest]
        self.counters.too_long += len(items) - len(fitting)
        return fitting

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        if not self.closed:
            self.closed = True
            self.host.closed(self)

    def receive(self, batch: list[Datagram]) -> None:
        """For the network: these have arrived."""
        if self.closed:
            return
        if self._receiver is None:
            self._waiting += batch[: MAX_WAITING - len(self._waiting)]
            return
        counters = self.counters
        counters.received += len(batch)
        counters.received_bytes += sum(len(item[0]) for item in batch)
        try:
            self._receiver(self, batch)
        except Exception:
            self._log.failure("the receiver of {port} failed", port=self.local)


@define(eq=False, repr=False)
class FakeHost:
    """A machine of the fake network. Its loopback is its own, and instant."""

    network: FakeNetwork
    name: str
    realm: Realm
    """Where its addresses are, unless they say otherwise."""
    send_error: int | None = field(default=None, init=False)
    """An errno: while set, nothing leaves any port, as behind a firewall of its own (EPERM)."""
    interfaces: dict[str, Interface] = field(factory=dict, init=False)
    """By address."""
    tentative: set[str] = field(factory=set, init=False)
    """Addresses that it has and that cannot be bound yet."""
    wakes_at: float = field(default=0.0, init=False)
    """Until then nothing arrives here and nothing leaves: it is suspended."""
    _ports: dict[Address, FakePort] = field(factory=dict, init=False)
    _next_hops: dict[str, str | None] = field(factory=dict, init=False)
    _watchers: list[Callable[[], None]] = field(factory=list, init=False)
    _next: int = field(default=FIRST_EPHEMERAL, init=False)

    @property
    def factory(self) -> FakePortFactory:
        """A PortFactory for programs on this host."""
        return FakePortFactory(self)

    @property
    def asleep(self) -> bool:
        """Whether it is suspended."""
        return self.network.clock.seconds() < self.wakes_at

    def suspend(self, seconds: float) -> None:
        """Nothing arrives, leaves, or is sent by a local program for so long.

        This is the network's side; :meth:`VirtualWorld.suspend` also stops its clocks.
        """
        self.wakes_at = self.network.clock.seconds() + seconds

    # Addresses

    def add_address(
        self, address: str, *, nat: Nat | None = None, interface: str = "eth0"
    ) -> Interface:
        """One more, behind *nat* or where the host is; ValueError when it is taken."""
        address = canonical_host(address)
        if is_loopback(address):
            raise ValueError("every host has all of loopback already")
        realm = self.realm if nat is None else nat.inside
        while realm.gateway is not None and is_ipv6(address) != is_ipv6(realm.gateway.address):
            realm = realm.gateway.outside
        added = Interface(self, address, realm, interface)
        if address in self.interfaces:
            raise ValueError(f"{self.name} has {address} already")
        realm.add(address, added)
        self.interfaces[address] = added
        self._changed()
        return added

    def remove_address(self, address: str) -> None:
        """It goes, and every port on it breaks."""
        interface = self.interfaces.pop(canonical_host(address))
        interface.realm.remove(interface.address)
        for port in [port for port in self._ports.values() if port.interface is interface]:
            port.broken = "EADDRNOTAVAIL"
            del self._ports[port.local]
        self._changed()

    def change_next_hop(self, host: str, name: str | None) -> None:
        """What is not on a link of its own leaves from *host* by another router; None: by none."""
        self._next_hops[canonical_host(host)] = name
        self._changed()

    def route_via(self, source: str, remote: str) -> str | None:
        """As the kernel's answer: interface and next hop, None where nothing leaves."""
        interface = self.interfaces.get(source)
        if interface is None:
            return None
        if interface.realm.find(remote) is not None:
            return f"{interface.name} link"
        hop = self._next_hops.get(source, "router")
        return None if hop is None else f"{interface.name} {hop}"

    def on_address_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* in a turn of its own after every address that comes or goes."""
        self._watchers.append(callback)

    def forget_watchers(self) -> None:
        """The process that watched is dead."""
        self._watchers.clear()

    def _changed(self) -> None:
        for watcher in self._watchers:
            self.network.soon(watcher)

    # Ports

    def open(self, host: str, port: int) -> FakePort:
        """See :meth:`FakePortFactory.open_udp`."""
        host = canonical_host(host)
        interface = self.interfaces.get(host)
        there = interface is not None or is_loopback(host) or host in _WILDCARDS
        if not there or host in self.tentative:
            raise refuse(errno.EADDRNOTAVAIL)
        if not 0 <= port <= 65535:
            raise OverflowError("port must be 0-65535")
        if port == 0:
            port = self._free_port(host)
        return self._bind((host, port), interface)

    def open_path(self, path: str) -> FakePort:
        """See :meth:`FakePortFactory.open_unix`."""
        return self._bind((path, 0), None)

    def closed(self, port: FakePort) -> None:
        """For ports: it released its address."""
        if self._ports.get(port.local) is port:
            del self._ports[port.local]

    @property
    def bound(self) -> Sequence[Address]:
        """Where programs listen."""
        return list(self._ports)

    def port(self, local: Address) -> FakePort | None:
        """Who is bound to that address, or to all of that port number."""
        found = self._ports.get(local)
        if found is None:
            found = self._ports.get(("::" if ":" in local[0] else "0.0.0.0", local[1]))
        return found

    def source(self, port: FakePort, remote_host: str) -> Interface | None:
        """Whence a datagram of *port* leaves that is not for this host's loopback."""
        if port.interface is not None or port.local[0] not in _WILDCARDS:
            return port.interface
        return self.route(remote_host)

    def route(self, remote_host: str) -> Interface | None:
        """The interface towards *remote_host*: its own, then the first that it is next to,
        then the first of its family, as if that had the default route.
        """
        six, link_local = is_ipv6(remote_host), is_link_local(remote_host)
        able = [
            each
            for each in self.interfaces.values()
            if is_ipv6(each.address) is six and is_link_local(each.address) is link_local
        ]
        near = [each for each in able if each.realm.find(remote_host) is not None]
        own = [each for each in near if each.address == remote_host]
        return next(iter([*own, *near, *able]), None)

    def _bind(self, local: Address, interface: Interface | None) -> FakePort:
        if local in self._ports:
            raise refuse(errno.EADDRINUSE)
        opened = self._ports[local] = FakePort(self, local, interface)
        return opened

    def _free_port(self, host: str) -> int:
        for _ in range(LAST_EPHEMERAL - FIRST_EPHEMERAL + 1):
            number = self._next
            self._next = FIRST_EPHEMERAL if number == LAST_EPHEMERAL else number + 1
            if (host, number) not in self._ports:
                return number
        raise refuse(errno.EADDRINUSE)


@define(eq=False, repr=False)
class FakePortFactory:
    """The :class:`~refreeze.net.port.PortFactory` of one host."""

    host: FakeHost
    _opened: WeakSet[FakePort] = field(factory=WeakSet, init=False)

    def open_udp(self, host: str, port: int = 0) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`."""
        opened = self.host.open(host, port)
        self._opened.add(opened)
        return opened

    def open_unix(self, path: str) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`; no file is made."""
        opened = self.host.open_path(path)
        self._opened.add(opened)
        return opened

    def close_all(self) -> None:
        """What the kernel does when the process that opened them ends."""
        for port in list(self._opened):
            port.close()

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """See :class:`~refreeze.net.port.PortFactory`."""
        own = [(each.name, each.address) for each in self.host.interfaces.values()]
        return [("lo", "127.0.0.1"), ("lo", "::1"), *own]

    def source_host(self, remote_host: str) -> str | None:
        """See :class:`~refreeze.net.port.PortFactory`."""
        try:
            remote = canonical_host(remote_host)
        except ValueError:
            return None
        if is_loopback(remote):
            return "::1" if is_ipv6(remote) else "127.0.0.1"
        interface = self.host.route(remote)
        return None if interface is None else interface.address
