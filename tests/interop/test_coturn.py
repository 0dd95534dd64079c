"""A real TURN server at the other end: coturn, over UDP, TCP and TLS."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from refreeze.basics import Address
from refreeze.net.mux import Mux
from refreeze.net.opener import ChannelOpener
from refreeze.net.port import Batch, Port
from refreeze.net.relay import Relay
from refreeze.net.relayattempt import RelayTools
from refreeze.net.relayrelease import Releases
from refreeze.net.relays import RelayLease, RelayPool
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.resolve import Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import IceServer
from refreeze.net.udp import UdpPortFactory
from refreeze.testing.names import FakeNames
from refreeze.turn import TurnSettings
from tests.interop.coturn import HOST, LOOK, PASSWORD, USER, Coturn, free_ports
from tests.net.authority import Authority

reactor: Any = installed
PATIENCE = 15.0


@define(eq=False)
class Client:
    """Relays on real sockets; what happens to them is written down, and can be waited for."""

    case: TestCase
    servers: dict[str, IceServer]
    scheduler: Scheduler = field(factory=lambda: Scheduler(reactor), init=False)
    names: FakeNames = field(init=False)
    mux: Mux = field(init=False)
    pool: RelayPool = field(init=False)
    ports: UdpPortFactory = field(factory=lambda: UdpPortFactory(reactor), init=False)
    settled: list[Relay] = field(factory=list, init=False)
    lost: list[tuple[Sequence[Address], str]] = field(factory=list, init=False)
    lease: RelayLease = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.names = FakeNames(reactor, {"turn.test": [HOST, "::1"], "other.test": [HOST]})
        self.mux = Mux(self.scheduler.now)
        opener = ChannelOpener(
            reactor=reactor,
            ports=self.ports,
            scheduler=self.scheduler,
            hosts=lambda: [HOST, "::1"],
        )
        self.pool = RelayPool(
            tools=RelayTools(
                opener=opener,
                resolver=Resolver(names=self.names, clock=reactor),
                scheduler=self.scheduler,
                random=random.SystemRandom(),
                releases=Releases(),
                settings=RelaySettings(),
                turn=TurnSettings(),
            ),
            mux=self.mux,
            wall=time.time,
            servers=lambda: self.servers,
        )
        self.lease = self.pool.lease(peer="bob", session="s", listener=self)
        self.case.addCleanup(self._close)

    async def settle(self) -> list[Relay]:
        """All of the lease's relays, once each has an answer."""
        await until(lambda: all(relay.settled for relay in self.lease.relays))
        return self.lease.relays

    def _close(self) -> Deferred[None]:
        return self.pool.close().addCallback(lambda _: self.scheduler.stop())

    # RelayListener

    def relay_settled(self, relay: Relay) -> None:
        self.settled.append(relay)

    def relay_lost(self, relay: Relay, bases: Sequence[Address], reason: str) -> None:
        self.lost.append((bases, reason))


async def until(happened: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Look often, for a bounded time."""
    for _ in range(int(seconds / LOOK)):
        if happened():
            return
        await deferLater(reactor, LOOK)
    raise AssertionError("it did not happen")


@define(eq=False)
class Inbox:
    """What a port received."""

    port: Port
    items: list[tuple[bytes, Address]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.port.on_batch(self._take)

    def _take(self, port: Port, batch: Batch) -> None:
        self.items += [(data, source) for data, source, _tos in batch]

    def payloads(self) -> list[bytes]:
        return [data for data, _source in self.items]


class Rude(Protocol):
    """No TLS server."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class CoturnTests(TestCase):
    """Real sockets on loopback only."""

    timeout = 60.0

    def new_directory(self) -> Path:
        path = Path(self.mktemp()).resolve()
        path.mkdir(parents=True)
        return path

    async def coturn(self, **options: Any) -> Coturn:
        server = Coturn(self, self.new_directory(), **options)
        await server.start()
        return server

    def client(self, *urls: str, credential: str = PASSWORD, ca: str | None = None) -> Client:
        server = IceServer(urls=urls, username=USER, credential=credential, ca=ca)
        return Client(self, {"here": server})

    async def echoes(self, client: Client, relay: Relay) -> None:
        """Data both ways on every family, before and after there is a channel."""
        for port in relay.ports:
            inbox, host = Inbox(port), port.local[0]
            peer = Inbox(client.ports.open_udp(host, 0))
            self.addCleanup(peer.port.close)
            for number in range(3):
                port.send([(b"\x80to peer %d" % number, peer.port.local, 0)])
                await until(lambda n=number, p=peer: len(p.items) > n)  # type: ignore[misc]
                self.assertEqual(peer.items[-1], (b"\x80to peer %d" % number, port.local))
                peer.port.send([(b"\x80back %d" % number, port.local, 0)])
                await until(lambda n=number, i=inbox: len(i.items) > n)  # type: ignore[misc]
                self.assertEqual(inbox.items[-1], (b"\x80back %d" % number, peer.port.local))

    async def story_of(self, url: Callable[[Coturn], str]) -> None:
        server = await self.coturn()
        client = self.client(url(server), ca=server.ca)
        (relay,) = await client.settle()
        self.assertIsNone(relay.problem)
        self.assertEqual([port.local[0] for port in relay.ports], [HOST, "::1"])
        self.assertEqual(list(client.mux.ports), [port.local for port in relay.ports])
        assert relay.rtt is not None
        self.assertLess(relay.rtt, 1.0)
        await self.echoes(client, relay)
        client.lease.release()
        self.assertEqual(dict(client.mux.ports), {})
        await until(lambda: not len(client.pool.tools.releases), 3.0)
        await until(lambda: "delete: realm" in server.said(), 3.0)

    def test_udp_carries_data_both_ways_and_release_leaves_nothing(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.story_of(lambda s: f"turn:{HOST}:{s.port}"))

    def test_tcp_carries_data_both_ways_and_release_leaves_nothing(self) -> Deferred[None]:
        return Deferred.fromCoroutine(
            self.story_of(lambda s: f"turn:{HOST}:{s.port}?transport=tcp")
        )

    def test_tls_carries_data_both_ways_and_release_leaves_nothing(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.story_of(lambda s: f"turns:turn.test:{s.tls_port}"))

    async def refused(self, reason: str, code: int, client: Client) -> None:
        (relay,) = await client.settle()
        self.assertEqual(list(relay.ports), [])
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), (reason, code))

    def test_a_certificate_that_nobody_trusts_is_named(self) -> Deferred[None]:
        async def story() -> None:
            server = await self.coturn()
            for ca in (None, Authority("another").write(self.new_directory())):
                client = self.client(f"turns:turn.test:{server.tls_port}", ca=ca)
                await self.refused("untrusted-certificate", 701, client)
            self.assertNotIn("ALLOCATE", server.said())

        return Deferred.fromCoroutine(story())

    def test_a_certificate_for_another_name_is_named(self) -> Deferred[None]:
        async def story() -> None:
            server = await self.coturn()
            client = self.client(f"turns:other.test:{server.tls_port}", ca=server.ca)
            await self.refused("wrong-name", 701, client)

        return Deferred.fromCoroutine(story())

    def test_an_expired_certificate_is_named(self) -> Deferred[None]:
        async def story() -> None:
            server = await self.coturn(days=-1)
            client = self.client(f"turns:turn.test:{server.tls_port}", ca=server.ca)
            await self.refused("expired-certificate", 701, client)

        return Deferred.fromCoroutine(story())

    def test_tls_to_the_port_without_tls_is_named(self) -> Deferred[None]:
        """coturn takes both on both ports, so it is another server that cannot."""

        async def story() -> None:
            listening = reactor.listenTCP(0, Factory.forProtocol(Rude), interface=HOST)
            self.addCleanup(listening.stopListening)
            client = self.client(f"turns:{HOST}:{listening.getHost().port}")
            await self.refused("not-tls", 701, client)

        return Deferred.fromCoroutine(story())

    def test_wrong_credentials_are_unauthorized(self) -> Deferred[None]:
        async def story() -> None:
            server = await self.coturn()
            url = f"turn:{HOST}:{server.port}"
            await self.refused("unauthorized", 401, self.client(url, credential="wrong"))

        return Deferred.fromCoroutine(story())

    def test_nobody_at_that_port(self) -> Deferred[None]:
        async def story() -> None:
            (port,) = free_ports(1)
            tcp = self.client(f"turn:{HOST}:{port}?transport=tcp")
            await self.refused("refused", 701, tcp)
            udp = self.client(f"turn:{HOST}:{port}")
            await self.refused("unreachable", 701, udp)

        return Deferred.fromCoroutine(story())

    async def comes_back(self, url: Callable[[Coturn], str], *, by_itself: bool) -> None:
        server = await self.coturn()
        client = self.client(url(server), ca=server.ca)
        (relay,) = await client.settle()
        await until(lambda: len(relay.ports) == 2)
        before = [port.local for port in relay.ports]
        gone = server.kill()
        assert gone is not None
        await gone
        if not by_itself:
            relay.verify()
        await until(lambda: not relay.ports, 6.0)
        self.assertLessEqual(set(before), {base for bases, _why in client.lost for base in bases})
        await server.start()
        await until(lambda: len(relay.ports) == 2, 10.0)
        await self.echoes(client, relay)

    def test_a_server_that_was_killed_and_started_again_over_udp(self) -> Deferred[None]:
        """T33: suspected by somebody, else found by the next refresh."""
        return Deferred.fromCoroutine(
            self.comes_back(lambda s: f"turn:{HOST}:{s.port}", by_itself=False)
        )

    def test_a_server_that_was_killed_and_started_again_over_tls(self) -> Deferred[None]:
        """T33: the connection's end tells it."""
        return Deferred.fromCoroutine(
            self.comes_back(lambda s: f"turns:turn.test:{s.tls_port}", by_itself=True)
        )

    def test_credentials_of_a_shared_secret_that_are_renewed_beside(self) -> Deferred[None]:
        """T30: the new ones on a socket of their own; the old allocation is given back."""

        async def story() -> None:
            server = await self.coturn(options=["use-auth-secret", "static-auth-secret=s3cr3t"])
            url = f"turn:{HOST}:{server.port}"
            client = Client(self, {"here": IceServer(urls=(url,), secret="s3cr3t", ttl=60.0)})
            (relay,) = await client.settle()
            await until(lambda: len(relay.ports) == 2)
            before = [port.local for port in relay.ports]
            client.servers["here"] = IceServer(
                urls=(url,), secret="s3cr3t", ttl=60.0, username="another"
            )
            client.lease.refresh()
            await until(lambda: set(relay.leaving) == set(before))
            self.assertEqual(len(relay.ports), 2)
            self.assertEqual(client.lost, [])
            await self.echoes(client, relay)
            client.lease.release()
            await until(lambda: server.said().count("delete: realm") == 2, 3.0)
            # A port of its may have the digits.
            self.assertNotIn("error 437", server.said())
            self.assertNotIn("error 441", server.said())

        return Deferred.fromCoroutine(story())
