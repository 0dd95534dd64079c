"""Streams between hosts of the fake network: routes, NATs, delays, and what blocks them."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import LinkSettings, VirtualWorld

HUB = "203.0.113.10"
HUB6 = "2001:db8::10"


class Talk(Protocol):
    """Remembers what it heard, and its end."""

    def __init__(self) -> None:
        self.heard = b""
        self.end: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.end = reason

    @property
    def wire(self) -> Any:
        """The transport."""
        return self.transport


class Talks(ClientFactory):
    """Makes them; for either side."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Talk] = []
        self.failure: Any = None

    def buildProtocol(self, addr: Any) -> Talk:
        talk = Talk()
        self.made.append(talk)
        return talk

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.failure = reason


class WayCase(SynchronousTestCase):
    """Alice behind a NAT, a hub in public."""

    def setUp(self) -> None:
        self.world = VirtualWorld(1, link=LinkSettings(delay=0.05))
        self.network, self.reactor = self.world.network, self.world.reactor
        self.hub = self.network.host("hub", [HUB, HUB6])
        self.nat = self.network.nat("nat", "203.0.113.1")
        self.alice = self.network.host("alice", ["10.0.0.2"], nat=self.nat)
        self.servers = Talks()
        for host in (HUB, HUB6):
            self.reactor.on("hub").listenTCP(4000, self.servers, interface=host)

    def connect(self, to: str = HUB, timeout: float = 30.0, bind: Any = None) -> Talks:
        """Alice is on her way."""
        clients = Talks()
        reactor = self.reactor.on("alice")
        reactor.connectTCP(to, 4000, clients, timeout, bindAddress=bind)
        return clients

    def pair(self, **how: Any) -> tuple[Talk, Talk]:
        """Both ends of a connection."""
        clients = self.connect(**how)
        self.reactor.advance(1.0)
        self.assertIsNone(clients.failure)
        return clients.made[0], self.servers.made[-1]

    def end_of(self, talk: Talk, kind: type[Exception]) -> None:
        """It ended so."""
        self.assertIsNotNone(talk.end)
        self.assertTrue(talk.end.check(kind), talk.end)


class RouteTests(WayCase):
    """Who gets where, and as whom."""

    def test_a_nat_gives_a_stream_another_address(self) -> None:
        one, at_hub = self.pair()
        _two, also = self.pair()
        here, seen = one.wire.getHost(), at_hub.wire.getPeer()
        self.assertEqual((here.host, seen.host), ("10.0.0.2", "203.0.113.1"))
        self.assertNotEqual(here.port, seen.port)
        self.assertNotEqual(seen.port, also.wire.getPeer().port)
        self.assertEqual(one.wire.getPeer().host, at_hub.wire.getHost().host)

    def test_two_nats_give_it_two(self) -> None:
        home = self.network.nat("home", "10.0.0.9", behind=self.nat)
        self.network.host("carol", ["192.168.0.2"], nat=home)
        self.reactor.on("carol").connectTCP(HUB, 4000, Talks())
        self.reactor.advance(1.0)
        self.assertEqual(self.servers.made[0].wire.getPeer().host, "203.0.113.1")

    def test_the_links_delay_is_the_streams(self) -> None:
        self.network.link("alice", "hub", LinkSettings(delay=0.2))
        clients = self.connect()
        self.assertAlmostEqual(self.reactor.run_until(lambda: clients.made, 2.0), 0.4)
        clients.made[0].wire.write(b"x")
        at_hub = self.servers.made[0]
        self.assertAlmostEqual(self.reactor.run_until(lambda: at_hub.heard, 2.0), 0.2)

    def test_without_an_address_of_the_family_there_is_no_route(self) -> None:
        clients = self.connect(HUB6)
        self.reactor.advance(0)
        self.assertTrue(clients.failure.check(NoRouteError))
        self.alice.add_address("2001:db8::2")
        client, at_hub = self.pair(to=HUB6)
        self.assertEqual(at_hub.wire.getPeer().host, "2001:db8::2")
        self.assertEqual(client.wire.getHost().host, "2001:db8::2")

    def test_a_stream_leaves_from_the_address_that_is_asked_for(self) -> None:
        self.alice.add_address("10.0.0.3", interface="wlan0")
        client, _at_hub = self.pair(bind=("10.0.0.3", 0))
        self.assertEqual(client.wire.getHost().host, "10.0.0.3")
        for nobodys in (("10.0.0.4", 0), ("2001:db8::2", 0)):
            clients = self.connect(bind=nobodys)
            self.reactor.advance(0)
            self.assertIsNotNone(clients.failure)
        self.assertEqual(len(self.servers.made), 1)

    def test_an_address_that_nobody_has_is_silent_and_a_port_without_a_listener_refuses(
        self,
    ) -> None:
        nobody = self.connect("203.0.113.77", timeout=5.0)
        self.network.host("other", ["203.0.113.78"])
        refused = self.connect("203.0.113.78")
        self.reactor.advance(4.0)
        self.assertIsNone(nobody.failure)
        self.assertTrue(refused.failure.check(ConnectionRefusedError))
        self.reactor.advance(1.0)
        self.assertTrue(nobody.failure.check(TimeoutError, TCPTimedOutError))

    def test_who_listens_everywhere_listens_on_its_own_addresses(self) -> None:
        self.reactor.on("hub").listenTCP(4001, self.servers)
        self.network.host("other", ["203.0.113.78"])
        clients = Talks()
        for host in (HUB, "203.0.113.78"):
            self.reactor.on("alice").connectTCP(host, 4001, clients)
        self.reactor.advance(1.0)
        self.assertEqual(len(clients.made), 1)
        self.assertTrue(clients.failure.check(ConnectionRefusedError))

    def test_loopback_and_who_is_no_host_are_not_of_the_network(self) -> None:
        self.reactor.on("hub").listenTCP(4000, self.servers, interface="127.0.0.1")
        self.pair(to="127.0.0.1")
        clients = Talks()
        self.reactor.on("nobody").connectTCP(HUB, 4000, clients)
        self.reactor.advance(0)
        self.assertEqual(len(clients.made), 1)


class FaultTests(WayCase):
    """What happens to streams on their way."""

    def test_a_blackhole_holds_a_stream_up_and_its_end_lets_it_go_on(self) -> None:
        client, at_hub = self.pair()
        hole = self.network.blackhole("alice", "hub")
        for number in range(20):
            client.wire.write(b"%d," % number)
            self.reactor.advance(0.5)
        self.assertEqual(at_hub.heard, b"")
        hole.end()
        self.reactor.advance(1.0)
        self.assertEqual(at_hub.heard, b"".join(b"%d," % number for number in range(20)))
        self.assertIsNone(client.end)

    def test_a_blackhole_of_datagrams_does_not(self) -> None:
        client, at_hub = self.pair()
        self.network.blackhole("alice", streams=False)
        client.wire.write(b"x")
        self.reactor.advance(1.0)
        self.assertEqual(at_hub.heard, b"x")

    def test_one_way_is_one_way(self) -> None:
        client, at_hub = self.pair()
        self.network.blackhole("hub", "alice", one_way=True)
        client.wire.write(b"there")
        at_hub.wire.write(b"back")
        self.reactor.advance(5.0)
        self.assertEqual((at_hub.heard, client.heard), (b"there", b""))

    def test_who_connects_into_a_blackhole_gets_through_after_it(self) -> None:
        self.network.blackhole("hub", seconds=3.0)
        clients = self.connect()
        self.reactor.advance(2.9)
        self.assertEqual(clients.made, [])
        self.reactor.advance(1.0)
        self.assertEqual(len(clients.made), 1)

    def test_nobody_hears_the_end_of_a_stream_in_a_blackhole(self) -> None:
        client, at_hub = self.pair()
        hole = self.network.blackhole("alice")
        client.wire.abortConnection()
        self.reactor.advance(10.0)
        self.end_of(client, Exception)
        self.assertIsNone(at_hub.end)
        hole.end()
        at_hub.wire.write(b"anybody there?")
        self.reactor.advance(1.0)
        self.end_of(at_hub, ConnectionLost)

    def test_a_stream_from_an_address_that_went_is_silent(self) -> None:
        client, at_hub = self.pair()
        self.alice.remove_address("10.0.0.2")
        client.wire.write(b"x")
        at_hub.wire.write(b"y")
        self.reactor.advance(10.0)
        self.assertEqual((client.heard, at_hub.heard), (b"", b""))
        self.assertEqual((client.end, at_hub.end), (None, None))

    def test_a_replaced_router_resets_who_sends_and_tells_the_server_nothing(self) -> None:
        client, at_hub = self.pair()
        self.nat.rebind("203.0.113.99")
        at_hub.wire.write(b"y")
        self.reactor.advance(10.0)
        self.assertEqual((client.heard, client.end), (b"", None))
        client.wire.write(b"x")
        self.reactor.advance(1.0)
        self.end_of(client, ConnectionLost)
        self.assertEqual((at_hub.heard, at_hub.end), (b"", None))
        _again, at_hub = self.pair()
        self.assertEqual(at_hub.wire.getPeer().host, "203.0.113.99")

    def test_a_suspended_host_is_silent(self) -> None:
        client, at_hub = self.pair()
        self.world.process(self.alice)
        self.world.suspend(self.alice, 5.0)
        at_hub.wire.write(b"good morning")
        self.reactor.advance(4.0)
        self.assertEqual(client.heard, b"")
        self.reactor.advance(2.0)
        self.assertEqual(client.heard, b"good morning")

    def test_a_closed_stream_closes_through_the_network(self) -> None:
        client, at_hub = self.pair()
        client.wire.write(b"bye")
        client.wire.loseConnection()
        self.reactor.advance(1.0)
        self.end_of(at_hub, ConnectionDone)
        self.assertEqual(at_hub.heard, b"bye")
