"""Streams in memory, through Twisted's own endpoints and protocols."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from refreeze.signaling.peercred import peer_credentials
from refreeze.testing import Credentials, HostReactor, Streams, VirtualReactor

PATH = "/virtual/socket"


class Talker(LineReceiver):
    """Remembers its lines and its end; answers when *answers*."""

    delimiter = b"\n"

    def __init__(self, answers: bool = False) -> None:
        self.answers = answers
        self.lines: list[tuple[bytes, float]] = []
        self.end: Failure | None = None
        self.clock: Any = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append((line, self.clock.seconds()))
        if self.answers:
            self.sendLine(b"re: " + line)

    def connectionLost(self, reason: Any = None) -> None:
        self.end = reason


class Servers(Factory):
    """Makes talkers and remembers them."""

    noisy = False

    def __init__(self, clock: Any, answers: bool = False, kind: type[Talker] = Talker) -> None:
        self.clock, self.answers, self.kind = clock, answers, kind
        self.made: list[Talker] = []

    def buildProtocol(self, addr: Any) -> Talker:
        talker = self.kind(self.answers)
        talker.clock = self.clock
        self.made.append(talker)
        return talker


@implementer(IHalfCloseableProtocol)
class HalfTalker(Talker):
    """Hears when only one direction ends."""

    def __init__(self, answers: bool = False) -> None:
        super().__init__(answers)
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


class StreamCase(SynchronousTestCase):
    """One server and one client."""

    kind = Talker

    def setUp(self) -> None:
        self.reactor = VirtualReactor()
        self.servers = Servers(self.reactor, answers=True, kind=self.kind)
        self.clients = Servers(self.reactor, kind=self.kind)

    @property
    def streams(self) -> Streams:
        """All streams of the world."""
        return self.reactor.streams

    def listen(self, reactor: Any = None, path: str = PATH) -> Any:
        """On a UNIX socket."""
        endpoint = UNIXServerEndpoint(reactor or self.reactor, path)
        return self.successResultOf(endpoint.listen(self.servers))

    def connect(self, reactor: Any = None, timeout: float = 30.0) -> Any:
        """A Deferred of the client's protocol."""
        endpoint = UNIXClientEndpoint(reactor or self.reactor, PATH, timeout=timeout)
        return endpoint.connect(self.clients)

    def connected(self, client: Any = None, server: Any = None) -> tuple[Any, Any]:
        """Both protocols."""
        self.listen(server)
        connecting = self.connect(client)
        self.reactor.advance(1.0)
        self.successResultOf(connecting)
        return self.clients.made[0], self.servers.made[0]

    def connected_slowly(self) -> tuple[Any, Any]:
        """With a delay that :meth:`connected` does not wait for."""
        self.listen()
        connecting = self.connect()
        self.reactor.run_until(lambda: connecting.called, 60.0)
        return self.clients.made[0], self.servers.made[0]


class StreamTests(StreamCase):
    """What every protocol relies on."""

    def test_it_is_a_reactor(self) -> None:
        for interface in (IReactorTime, IReactorUNIX, IReactorTCP):
            verifyObject(interface, self.reactor)
            verifyObject(interface, self.reactor.on("alice"))

    def test_lines_go_both_ways_with_their_delay(self) -> None:
        self.streams.delay = 0.02
        self.listen()
        connecting = self.connect()
        self.reactor.advance(0.039)
        self.assertNoResult(connecting)
        self.reactor.advance(0.002)
        self.successResultOf(connecting)
        client, server = self.clients.made[0], self.servers.made[0]
        verifyObject(ITCPTransport, client.transport)
        client.sendLine(b"hello")
        began = self.reactor.seconds()
        self.reactor.advance(1.0)
        self.assertEqual(server.lines[0][0], b"hello")
        self.assertAlmostEqual(server.lines[0][1] - began, 0.02)
        self.assertEqual(client.lines[0][0], b"re: hello")
        self.assertAlmostEqual(client.lines[0][1] - began, 0.04)

    def test_nothing_is_delivered_inside_a_write(self) -> None:
        client, server = self.connected()
        client.sendLine(b"a")
        self.assertEqual(server.lines, [])

    def test_tcp_with_a_chosen_port(self) -> None:
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = self.successResultOf(endpoint.listen(self.servers)).getHost().port
        connecting = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port).connect(self.clients)
        self.reactor.advance(0)
        client: Any = self.successResultOf(connecting)
        self.assertEqual(client.transport.getPeer().port, port)
        self.assertEqual(self.servers.made[0].transport.getHost().port, port)
        self.assertIsNone(peer_credentials(self.servers.made[0].transport))

    def test_a_wildcard_listener_is_found_by_address(self) -> None:
        self.reactor.listenTCP(80, self.servers)
        connecting = TCP4ClientEndpoint(self.reactor, "127.0.0.1", 80).connect(self.clients)
        self.reactor.advance(0)
        self.successResultOf(connecting)

    def test_a_unix_server_sees_root_or_whoever_it_was_told(self) -> None:
        _client, server = self.connected()
        credentials = peer_credentials(server.transport)
        assert credentials is not None
        self.assertEqual((credentials.uid, credentials.gid), (0, 0))
        self.connect(self.reactor.on("eve", Credentials(5, 1000, 1001)))
        self.reactor.advance(0)
        credentials = peer_credentials(self.servers.made[1].transport)
        assert credentials is not None
        self.assertEqual((credentials.pid, credentials.uid, credentials.gid), (5, 1000, 1001))

    def test_nobody_listens(self) -> None:
        connecting = self.connect()
        self.reactor.advance(0)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_place_is_taken_once_and_free_again(self) -> None:
        port = self.listen()
        failing = UNIXServerEndpoint(self.reactor, PATH).listen(self.servers)
        self.failureResultOf(failing, CannotListenError)
        self.successResultOf(port.stopListening())
        self.listen()

    def test_closing_delivers_what_was_written_first(self) -> None:
        self.streams.delay = 0.5
        client, server = self.connected_slowly()
        client.sendLine(b"last")
        client.transport.loseConnection()
        client.sendLine(b"")
        self.reactor.advance(0.1)
        self.assertTrue(client.end.check(ConnectionDone))
        self.assertIsNone(server.end)
        self.reactor.advance(1.0)
        self.assertEqual(server.lines[0][0], b"last")
        self.assertTrue(server.end.check(ConnectionDone))

    def test_aborting_loses_what_is_on_its_way(self) -> None:
        client, server = self.connected()
        client.sendLine(b"lost")
        client.transport.abortConnection()
        self.assertIsNone(client.end)
        self.reactor.advance(1.0)
        self.assertTrue(client.end.check(ConnectionAborted))
        self.assertTrue(server.end.check(ConnectionLost))
        self.assertEqual(server.lines, [])

    def test_a_protocol_that_raises_loses_its_connection(self) -> None:
        client, server = self.connected()
        self.patch(server, "lineReceived", lambda line: 1 / 0)
        client.sendLine(b"x")
        self.reactor.advance(1.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(server.end.check(ZeroDivisionError))
        self.assertIsNotNone(client.end)

    def test_many_lines_arrive_whole_and_in_order(self) -> None:
        client, server = self.connected()
        server.answers = False
        lines = [b"%d" % number * 50 for number in range(2000)]
        client.transport.writeSequence(line + b"\n" for line in lines)
        self.reactor.advance(1.0)
        self.assertEqual([line for line, _ in server.lines], lines)

    def test_a_connection_attempt_can_be_cancelled(self) -> None:
        self.streams.delay = 1.0
        self.listen()
        connecting = self.connect()
        self.reactor.advance(1.5)
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.reactor.advance(10.0)
        self.assertEqual(self.clients.made, [])
        self.assertIsNotNone(self.servers.made[0].end)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class PressureTests(StreamCase):
    """Slow readers pause those who write."""

    class Producer:
        """Remembers what it was told."""

        def __init__(self) -> None:
            self.told: list[str] = []

        def pauseProducing(self) -> None:
            self.told.append("pause")

        def resumeProducing(self) -> None:
            self.told.append("resume")

        def stopProducing(self) -> None:
            self.told.append("stop")

    def test_a_reader_that_pauses_pauses_the_writers_producer(self) -> None:
        client, server = self.connected()
        server.answers = False
        server.transport.pauseProducing()
        producer = self.Producer()
        client.transport.registerProducer(producer, True)
        for _ in range(300):
            client.sendLine(b"x" * 1000)
            self.reactor.advance(0)
        self.assertEqual(producer.told, ["pause"])
        self.assertEqual(server.lines, [])
        server.transport.resumeProducing()
        self.reactor.advance(1.0)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(len(server.lines), 300)

    def test_a_producer_is_stopped_with_its_connection(self) -> None:
        client, _server = self.connected()
        producer = self.Producer()
        client.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, client.transport.registerProducer, producer, True)
        client.transport.abortConnection()
        self.reactor.advance(0)
        client.transport.registerProducer(producer, True)
        self.assertEqual(producer.told, ["stop", "stop"])

    def test_a_pull_producer_is_asked_again_and_again(self) -> None:
        client, server = self.connected()
        server.answers = False

        class Pull(self.Producer):
            def resumeProducing(self) -> None:
                client.sendLine(b"%d" % len(self.told))
                self.told.append("resume")
                if len(self.told) == 5:
                    client.transport.unregisterProducer()

        client.transport.registerProducer(Pull(), False)
        self.reactor.advance(1.0)
        self.assertEqual([line for line, _ in server.lines], [b"0", b"1", b"2", b"3", b"4"])


class HalfCloseTests(StreamCase):
    """Protocols that know half-closed connections."""

    kind = HalfTalker

    def test_the_other_direction_goes_on(self) -> None:
        client, server = self.connected()
        client.sendLine(b"a")
        client.transport.loseWriteConnection()
        client.sendLine(b"b")
        self.reactor.advance(1.0)
        self.assertEqual((client.halves, server.halves), (["write"], ["read"]))
        server.sendLine(b"more")
        self.reactor.advance(1.0)
        self.assertEqual([line for line, _ in server.lines], [b"a"])
        self.assertEqual([line for line, _ in client.lines], [b"re: a", b"more"])
        server.transport.loseWriteConnection()
        self.reactor.advance(1.0)
        self.assertTrue(client.end.check(ConnectionDone))
        self.assertTrue(server.end.check(ConnectionDone))

    def test_a_half_closeable_end_notices_a_full_close_when_it_writes(self) -> None:
        client, server = self.connected()
        client.sendLine(b"last")
        client.transport.loseConnection()
        self.reactor.advance(1.0)
        self.assertEqual(server.lines[0][0], b"last")
        self.assertTrue(server.end.check(ConnectionLost))


class OutageTests(StreamCase):
    """Signaling that fails."""

    def test_a_cut_resets_and_refuses_until_it_is_restored(self) -> None:
        client, server = self.connected()
        outage = self.streams.cut()
        self.assertTrue(client.end.check(ConnectionLost))
        self.assertTrue(server.end.check(ConnectionLost))
        connecting = self.connect()
        self.reactor.advance(0)
        self.failureResultOf(connecting, ConnectionRefusedError)
        outage.restore()
        outage.restore()
        connecting = self.connect()
        self.reactor.advance(0)
        self.successResultOf(connecting)

    def test_a_silent_cut_holds_everything_up(self) -> None:
        client, server = self.connected()
        self.streams.cut(silent=True)
        client.sendLine(b"late")
        waiting, failing = self.connect(), self.connect(timeout=3.0)
        self.reactor.advance(5.0)
        self.assertEqual((server.lines, client.end), ([], None))
        self.assertNoResult(waiting)
        self.failureResultOf(failing, TimeoutError)
        self.streams.restore()
        self.reactor.advance(0)
        self.assertEqual(server.lines[0][0], b"late")
        self.successResultOf(waiting)

    def test_streams_of_a_suspended_host_wait_for_it(self) -> None:
        alice = self.reactor.on("alice")
        client, server = self.connected(alice)
        alice.suspend(5.0)
        server.sendLine(b"good morning")
        self.reactor.advance(4.9)
        self.assertEqual(client.lines, [])
        self.reactor.advance(0.2)
        self.assertEqual(client.lines[0][0], b"good morning")

    def test_only_one_place_or_one_host_is_cut(self) -> None:
        alice, bob = self.reactor.on("alice"), self.reactor.on("bob")
        self.listen(self.reactor.on("hub"))
        for reactor in (alice, bob):
            self.connect(reactor)
        self.reactor.advance(0)
        first, second = self.clients.made
        self.streams.cut("unix:/elsewhere")
        self.streams.cut(host="carol")
        self.assertIsNone(first.end)
        self.streams.cut(f"unix:{PATH}", host="alice")
        self.assertIsNotNone(first.end)
        self.assertIsNone(second.end)
        self.streams.cut(host="hub")
        self.assertIsNotNone(second.end)


class KillTests(StreamCase):
    """A process that is no more."""

    def test_its_peers_see_the_end_and_it_sees_nothing(self) -> None:
        alice = self.reactor.on("alice")
        client, server = self.connected(alice)
        fired: list[int] = []
        alice.callLater(1.0, fired.append, 1)
        client.sendLine(b"on its way")
        self.reactor.advance(0)
        alice.kill()
        self.assertFalse(alice.callLater(1.0, fired.append, 2).active())
        self.reactor.advance(5.0)
        self.assertEqual(fired, [])
        self.assertIsNone(client.end)
        self.assertTrue(server.end.check(ConnectionDone))
        self.assertEqual(server.lines[0][0], b"on its way")

    def test_it_is_killed_while_it_connects(self) -> None:
        alice = self.reactor.on("alice")
        self.listen(self.reactor.on("hub"))
        self.reactor.streams.cut(silent=True)
        self.connect(alice)
        self.reactor.advance(1.0)
        alice.kill()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_its_place_is_free_and_refuses_meanwhile(self) -> None:
        hub: HostReactor = self.reactor.on("hub")
        client, server = self.connected(server=hub)
        hub.kill()
        self.reactor.advance(0)
        self.assertIsNotNone(client.end)
        self.assertIsNone(server.end)
        connecting = self.connect()
        self.reactor.advance(0)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.listen(self.reactor.on("hub"))


class ReactorTests(SynchronousTestCase):
    """The rest of a reactor."""

    def test_stop_calls_what_was_registered_for_the_shutdown(self) -> None:
        reactor, seen = VirtualReactor().on("alice"), []
        reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "before")
        number = reactor.addSystemEventTrigger("during", "shutdown", seen.append, "during")
        reactor.removeSystemEventTrigger(number)
        reactor.callWhenRunning(seen.append, "running")
        self.assertTrue(reactor.running)
        reactor.stop()
        self.assertEqual(seen, ["running", "before", "after"])
        self.assertFalse(reactor.running)

    def test_a_suspended_host_stands_still_while_the_world_goes_on(self) -> None:
        """T37: CLOCK_MONOTONIC stops, CLOCK_BOOTTIME and the wall clock do not."""
        world, fired = VirtualReactor(), []
        alice, bob = world.on("alice"), world.on("bob")
        wall = alice.wall()
        for name, reactor in (("alice", alice), ("bob", bob)):
            reactor.callLater(2.0, fired.append, name)
        world.advance(1.0)
        alice.suspend(10.0)
        self.assertRaises(ValueError, alice.suspend, 1.0)
        world.advance(5.0)
        self.assertEqual((alice.seconds(), bob.seconds(), fired), (1.0, 6.0, ["bob"]))
        world.advance(5.5)
        self.assertEqual((alice.seconds(), alice.boottime(), fired), (1.5, 11.5, ["bob"]))
        self.assertEqual(alice.wall() - wall, 11.5)
        world.advance(0.5)
        self.assertEqual(fired, ["bob", "alice"])

    def test_protocols_are_told_nothing_before_they_are_connected(self) -> None:
        """A server that greets at once is heard, although the client connects later."""
        reactor, heard = VirtualReactor(), []
        reactor.streams.delay = 0.1

        class Greeter(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"welcome")

        class Client(Protocol):
            def dataReceived(self, data: bytes) -> None:
                heard.append((data, reactor.seconds()))

        reactor.listenUNIX(PATH, Factory.forProtocol(Greeter))
        UNIXClientEndpoint(reactor, PATH).connect(Factory.forProtocol(Client))
        reactor.advance(1.0)
        self.assertEqual(heard, [(b"welcome", 0.2)])
