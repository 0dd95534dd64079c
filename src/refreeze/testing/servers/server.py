"""The server: where it listens, and what tests do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.tls import TLSMemoryBIOFactory

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.stun import Method
from refreeze.testing.hosts import FakeHost, is_link_local
from refreeze.testing.randomness import SeededRandom
from refreeze.testing.reactor import HostReactor
from refreeze.testing.servers.allocation import ServerAllocation, family_of
from refreeze.testing.servers.binding import Binder
from refreeze.testing.servers.desk import Desk, Refusal
from refreeze.testing.servers.flows import DatagramFlow, Flow
from refreeze.testing.servers.gate import Gate
from refreeze.testing.servers.journal import ServerJournal
from refreeze.testing.servers.lies import Lie
from refreeze.testing.servers.relaying import Relaying
from refreeze.testing.servers.streams import StreamFactory, StreamFlow

MAX_CLIENTS: Final = 4096
"""Clients that are remembered for :meth:`FakeTurnServer.say`; the oldest are forgotten."""

DEFAULT_USERS: Final = {"user": "secret"}


@define(eq=False, repr=False)
class FakeTurnServer:
    """A STUN and TURN server on every address that its host has when it starts.

    UDP on *port*; with the host's *reactor* TCP there too, and with *tls* (an
    ``IOpenSSLServerConnectionCreator``) TLS on *tls_port*. Where the host has two addresses of a
    family, both also listen on *other_port*, and Binding requests get the answers of RFC 5780.
    Relayed ports are ports of the host: NATs, links and blackholes see them as any other's.
    """

    host: FakeHost
    reactor: HostReactor | None = None
    users: Mapping[str, str] = field(factory=lambda: dict(DEFAULT_USERS), kw_only=True)
    """Names and passwords."""
    secret: str | None = field(default=None, kw_only=True)
    """Of time-limited credentials, as coturn's ``use-auth-secret``; *users* count no more."""
    realm: str = field(default="refreeze.test", kw_only=True)
    sha256: bool = field(default=False, kw_only=True)
    """Offer PASSWORD-ALGORITHMS, SHA-256 first."""
    anonymous: bool = field(default=False, kw_only=True)
    """Understand USERHASH, and say so."""
    nonce_seconds: float = field(default=3600.0, kw_only=True)
    max_lifetime: float = field(default=3600.0, kw_only=True)
    """Seconds of an allocation; below 600 every one is so short."""
    quota: int | None = field(default=None, kw_only=True)
    """Allocations a user, then 486."""
    capacity: int | None = field(default=None, kw_only=True)
    """Allocations in all, then 508."""
    additional: bool = field(default=True, kw_only=True)
    """False: ADDITIONAL-ADDRESS-FAMILY is left out without a word (RFC 5766)."""
    relays: bool = field(default=True, kw_only=True)
    """False: a STUN server, which answers 400 to TURN."""
    port: int = field(default=3478, kw_only=True)
    other_port: int = field(default=3479, kw_only=True)
    tls_port: int = field(default=5349, kw_only=True)
    tls: Any = field(default=None, kw_only=True)
    software: str = field(default="refreeze-fake", kw_only=True)
    journal: ServerJournal = field(factory=ServerJournal, init=False)
    running: bool = field(default=False, init=False)
    _desk: Desk = field(init=False)
    _relaying: Relaying = field(init=False)
    _ports: dict[Address, Port] = field(factory=dict, init=False)
    _foreign: dict[Address, Port] = field(factory=dict, init=False)
    _listeners: list[IListeningPort] = field(factory=list, init=False)
    _factories: list[StreamFactory] = field(factory=list, init=False)
    _clients: dict[Address, Flow] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        random = SeededRandom(self.host.network.seed).child(f"server/{self.host.name}/{self.port}")
        software = self.software.encode()
        self._relaying = Relaying(
            host=self.host,
            journal=self.journal,
            addresses=self._relay_host,
            software=software,
            max_lifetime=self.max_lifetime,
            quota=self.quota,
            capacity=self.capacity,
            additional=self.additional,
        )
        gate = Gate(
            realm=self.realm,
            users=self.users,
            secret=self.secret,
            sha256=self.sha256,
            anonymous=self.anonymous,
            nonce_seconds=self.nonce_seconds,
            random=random.child("nonce"),
        )
        self._desk = Desk(
            gate=gate,
            binder=Binder(ports=self._ports, software=software),
            relaying=self._relaying,
            journal=self.journal,
            random=random,
            foreign=self._another_port,
            relays=self.relays,
        )

    # Life

    def start(self) -> FakeTurnServer:
        """Listen; OSError or CannotListenError when an address is taken."""
        self.running = True
        hosts = [host for host in self.host.interfaces if not is_link_local(host)]
        for host in hosts:
            siblings = [other for other in hosts if family_of(other) == family_of(host)]
            for number in (self.port, self.other_port)[: len(siblings)]:
                opened = self.host.factory.open_udp(host, number)
                opened.on_batch(self._datagrams)
                self._ports[host, number] = opened
            if self.reactor is not None:
                self._listen(self.reactor, host)
        return self

    def stop(self) -> None:
        """As :meth:`kill`."""
        self.kill()

    def kill(self) -> None:
        """The process is gone, its allocations too: UDP is silence, connections are reset.

        For a machine that is gone, see :meth:`FakeNetwork.blackhole`. Idempotent.
        """
        self.running = False
        for allocation in self.allocations:
            self._relaying.end(allocation, "killed")
        for port in (*self._ports.values(), *self._foreign.values()):
            port.close()
        for listener in self._listeners:
            listener.stopListening()
        for factory in self._factories:
            for flow in list(factory.flows):
                flow.abort()
        for each in (self._ports, self._foreign, self._listeners, self._factories, self._clients):
            each.clear()

    def restart(self) -> None:
        """Killed and started again: it knows nobody, and its old nonce is stale."""
        self.kill()
        self.expire_nonces()
        self.start()

    # What it has

    @property
    def allocations(self) -> list[ServerAllocation]:
        """Those that are alive, the oldest first."""
        return list(self._relaying.allocations.values())

    @property
    def connections(self) -> int:
        """Streams that are open."""
        return sum(len(factory.flows) for factory in self._factories)

    @property
    def lies(self) -> set[Lie]:
        """How it lies; empty at first, and changed at any time."""
        return self._desk.lies

    # Faults

    def rotate_credentials(
        self, users: Mapping[str, str] | None = None, *, secret: str | None = None
    ) -> None:
        """Only these count from now on; allocations stay, for whom they were made."""
        gate = self._desk.gate
        gate.secret = secret
        gate.users = {} if users is None else users

    def expire_nonces(self) -> None:
        """What clients have is stale: their next request gets 438."""
        self._desk.gate.expire()

    def forget(self, allocation: ServerAllocation | None = None) -> None:
        """Lose one allocation, or all, and tell nobody."""
        for each in self.allocations if allocation is None else [allocation]:
            self._relaying.end(each, "forgotten")

    def refuse(
        self, method: Method, code: int, count: int | None = 1, *, reason: str | None = None
    ) -> None:
        """Answer the next *count* (None: all) requests of *method* with *code*.

        Those that are not signed well get their 401 or 438 first, as ever.
        """
        self._desk.refusals[int(method)] = Refusal(code, reason, count)

    def accept(self, method: Method) -> None:
        """End :meth:`refuse`."""
        self._desk.refusals.pop(int(method), None)

    def redirect(self, server: Address | None, domain: str | None = None) -> None:
        """Send who allocates to *server* (300), which may be this one; None: nobody any more."""
        self._desk.alternate = None if server is None else (server, domain)

    def limit(self, *, quota: int | None = None, capacity: int | None = None) -> None:
        """From now on: allocations a user (486) and in all (508). Those that are there stay."""
        self._relaying.quota, self._relaying.capacity = quota, capacity

    def forbid(self, host: str) -> None:
        """Nobody gets a permission for that peer any more (403)."""
        self._relaying.forbidden.add(host)

    def say(self, data: bytes, client: Address | None = None) -> None:
        """Send these bytes as they are to one client (as I see it), or to every one I heard."""
        for flow in self._heard(client):
            flow.send(data)

    def flood(self, count: int, client: Address | None = None) -> None:
        """*count* datagrams of noise to one client, or to each."""
        for flow in self._heard(client):
            self._desk.junk_for(flow, count)

    def hang_up(self) -> None:
        """Close every stream; what was allocated on it goes with it."""
        for factory in self._factories:
            for flow in list(factory.flows):
                flow.close()

    # Inside

    def _relay_host(self, family: int) -> str | None:
        """The first address of that family that I listen on."""
        return next((host for host, _ in self._ports if family_of(host) == family), None)

    def _listen(self, reactor: HostReactor, host: str) -> None:
        self._factories.append(tcp := StreamFactory("tcp", self._received, self._lost))
        self._listeners.append(reactor.listenTCP(self.port, tcp, interface=host))
        if self.tls is not None:
            self._factories.append(tls := StreamFactory("tls", self._received, self._lost))
            wrapped = TLSMemoryBIOFactory(self.tls, False, tls, clock=reactor)
            self._listeners.append(reactor.listenTCP(self.tls_port, wrapped, interface=host))

    def _datagrams(self, port: Port, batch: Batch) -> None:
        for data, source, _tos in batch:
            self._received(DatagramFlow(port, source), data)

    def _received(self, flow: Flow, data: bytes) -> None:
        self._clients.pop(flow.remote, None)
        self._clients[flow.remote] = flow
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._desk.receive(flow, data)

    def _lost(self, flow: StreamFlow) -> None:
        """The connection's allocation goes with it (RFC 8656 section 5)."""
        self._clients.pop(flow.remote, None)
        for allocation in self.allocations:
            if allocation.flow is flow:
                self._relaying.end(allocation, "disconnected")

    def _heard(self, client: Address | None) -> list[Flow]:
        return [flow for at, flow in self._clients.items() if client in (None, at)]

    def _another_port(self, local: Address) -> Port:
        """Not the one at *local*: on another address of the family if there is one."""
        port = self._foreign.get(local)
        if port is None:
            hosts = [each for each, _ in self._ports if family_of(each) == family_of(local[0])]
            host = next((each for each in hosts if each != local[0]), local[0])
            port = self._foreign[local] = self.host.factory.open_udp(host)
        return port
