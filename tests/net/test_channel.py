"""Ways to servers: what goes and comes over UDP and TCP, and what bounds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.channel import ChannelError, ChannelSettings, ServerChannel
from refreeze.net.opener import ChannelOpener
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import Transport
from refreeze.net.tls import ServerTrust
from refreeze.stun import encode_indication
from refreeze.testing import FakeHost, LinkSettings, VirtualWorld
from tests.testing.desk import Ear

CLIENT = ("203.0.113.5", "2001:db8::5")
SERVER: Address = ("203.0.113.10", 3478)
DATA = b"\x40\x00\x03\xe8" + bytes(1000)
"""ChannelData, 1,004 bytes."""
REQUEST = encode_indication(bytes(12))


class Listener(Protocol):
    """A server's end of a stream, which remembers."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


@define(eq=False)
class Client:
    """One channel's user."""

    channel: ServerChannel
    frames: list[bytes] = field(factory=list)
    lost: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.channel.on_frames(self.take)
        self.channel.on_lost(self.lost.append)

    def take(self, frames: Sequence[bytes]) -> None:
        self.frames += frames


class ChannelCase(SynchronousTestCase):
    """A client machine with two addresses, a server machine, 20 ms between them."""

    def setUp(self) -> None:
        self.world = VirtualWorld(1, link=LinkSettings(delay=0.02))
        self.network = self.world.network
        self.host = self.network.host("client", CLIENT)
        self.server: FakeHost = self.network.host("server", [SERVER[0]])
        self.reactor = self.world.reactor.on("client")
        self.hosts = list(CLIENT)
        self.opener = ChannelOpener(
            reactor=self.reactor,
            ports=self.host.factory,
            scheduler=Scheduler(self.reactor),
            hosts=lambda: self.hosts,
        )
        self.ends: list[Listener] = []

    def listen(self) -> None:
        """On TCP."""

        def build(_address: Any) -> Listener:
            self.ends.append(Listener())
            return self.ends[-1]

        factory = Factory()
        factory.buildProtocol = build  # type: ignore[assignment]
        self.world.reactor.on("server").listenTCP(SERVER[1], factory, interface=SERVER[0])

    def begin(
        self, transport: Transport = "udp", server: Address = SERVER
    ) -> Deferred[ServerChannel]:
        return self.opener.open(transport, server, server[0], ServerTrust())

    def open(self, transport: Transport = "udp") -> Client:
        opening = self.begin(transport)
        self.advance(0.1)
        return Client(self.successResultOf(opening))

    def advance(self, seconds: float) -> None:
        self.world.reactor.advance(seconds)

    def refusal(self, opening: Deferred[ServerChannel]) -> ChannelError:
        error: ChannelError = self.failureResultOf(opening, ChannelError).value  # type: ignore[assignment]
        return error


class UdpTests(ChannelCase):
    """A socket of its own."""

    def test_frames_go_to_the_server_and_come_from_nobody_else(self) -> None:
        client = self.open()
        server = Ear(self.server, SERVER)
        self.assertTrue(client.channel.send(REQUEST))
        self.advance(0.1)
        self.assertEqual((server.data, server.sources), ([REQUEST], [client.channel.local]))
        server.send(client.channel.local, b"one", b"two")
        Ear(self.server, (SERVER[0], 3479)).send(client.channel.local, b"same host, other port")
        Ear(self.network.host("mallory", ["203.0.113.66"]), ("203.0.113.66", 3478)).send(
            client.channel.local, *[b"spoof"] * 9
        )
        self.advance(0.1)
        self.assertEqual(client.frames, [b"one", b"two"])
        self.assertEqual(client.channel.counters.foreign, 10)
        self.assertEqual(client.channel.counters.received, 2)

    def test_every_channel_has_a_socket_of_its_own(self) -> None:
        self.assertNotEqual(self.open().channel.local, self.open().channel.local)

    def test_a_broken_socket_is_a_lost_channel_told_later_and_once(self) -> None:
        client = self.open()
        self.host.remove_address(CLIENT[0])
        self.assertFalse(client.channel.send(REQUEST))
        self.assertFalse(client.channel.send(REQUEST))
        self.assertEqual(client.lost, [])
        self.advance(0.0)
        self.assertEqual(client.lost, ["socket EADDRNOTAVAIL"])
        self.advance(1.0)
        self.assertEqual(len(client.lost), 1)

    def test_after_close_nothing_goes_nothing_comes_and_nobody_is_told(self) -> None:
        client = self.open()
        server = Ear(self.server, SERVER)
        client.channel.close()
        client.channel.close()
        self.assertFalse(client.channel.send(REQUEST))
        server.send(client.channel.local, b"late")
        self.advance(1.0)
        self.assertEqual((client.frames, client.lost, server.data), ([], [], []))


class SourceTests(ChannelCase):
    """From which of our addresses."""

    def test_the_kernels_choice_when_it_is_allowed_else_the_first_of_the_family(self) -> None:
        self.host.add_address("203.0.113.6")
        self.assertEqual(self.opener.source(SERVER[0]), CLIENT[0])
        self.assertEqual(self.opener.source("2001:db8::10"), CLIENT[1])
        self.hosts = [CLIENT[1], "203.0.113.6"]
        self.assertEqual(self.opener.source(SERVER[0]), "203.0.113.6")
        client = self.open()
        self.assertEqual(client.channel.local[0], "203.0.113.6")

    def test_tcp_too(self) -> None:
        self.host.add_address("203.0.113.6")
        self.hosts = ["203.0.113.6"]
        self.listen()
        client = self.open("tcp")
        self.assertEqual(client.channel.local[0], "203.0.113.6")
        transport: Any = self.ends[0].transport
        self.assertEqual(transport.getPeer().host, "203.0.113.6")

    def test_without_an_address_of_the_family_there_is_no_way(self) -> None:
        self.hosts = [CLIENT[1]]
        for transport in ("udp", "tcp", "tls"):
            error = self.refusal(self.begin(transport))  # type: ignore[arg-type]
            self.assertEqual(error.reason, "no-address")
            self.assertIn("IPv4", str(error))

    def test_an_address_that_has_just_gone(self) -> None:
        self.host.remove_address(CLIENT[0])
        error = self.refusal(self.begin())
        self.assertEqual(error.reason, "no-address")


class StreamTests(ChannelCase):
    """TCP."""

    def test_frames_in_any_pieces(self) -> None:
        self.listen()
        client = self.open("tcp")
        transport: Any = self.ends[0].transport
        padded = b"\x40\x01\x00\x05" + b"hello" + bytes(3)
        for byte in REQUEST + padded:
            transport.write(bytes([byte]))
            self.advance(0.05)
        transport.write(REQUEST + padded + REQUEST[:7])
        self.advance(0.1)
        self.assertEqual(client.frames, [REQUEST, padded, REQUEST, padded])

    def test_it_does_not_wait_for_more_to_send(self) -> None:
        """TCP_NODELAY: what is relayed is in a hurry."""
        self.listen()
        client = self.open("tcp")
        transport: Any = client.channel.transport  # type: ignore[attr-defined]
        self.assertTrue(transport.getTcpNoDelay())

    def test_a_length_that_cannot_be_closes_the_connection_in_order(self) -> None:
        self.listen()
        client = self.open("tcp")
        transport: Any = self.ends[0].transport
        transport.write(REQUEST + b"\x50\xff\xff\xff")
        self.advance(0.021)
        self.assertEqual(client.lost, ["frame-type"])
        self.assertFalse(client.channel.send(REQUEST))
        self.advance(0.1)
        self.assertTrue(self.ends[0].lost)
        self.assertEqual(len(client.lost), 1)

    def test_a_close_in_the_middle_of_a_frame_is_a_loss(self) -> None:
        self.listen()
        client = self.open("tcp")
        transport: Any = self.ends[0].transport
        transport.write(REQUEST[:9])
        transport.loseConnection()
        self.advance(0.1)
        self.assertEqual((client.frames, client.lost), ([], ["closed by the server"]))

    def test_a_reset_is_a_loss(self) -> None:
        self.listen()
        client = self.open("tcp")
        transport: Any = self.ends[0].transport
        transport.abortConnection()
        self.advance(0.1)
        self.assertEqual(client.lost, ["connection lost"])

    def test_a_server_that_does_not_read_bounds_what_waits(self) -> None:
        self.listen()
        client = self.open("tcp")
        channel, transport = client.channel, self.ends[0].transport
        transport.pauseProducing()  # type: ignore[union-attr]
        taken = 0
        for _ in range(4000):
            taken += channel.send(DATA)
            self.advance(0.001)
        self.assertLess(taken * len(DATA), 1024 * 1024)
        self.assertEqual(channel.counters.would_block, 4000 - taken)
        requests = sum([channel.send(REQUEST) for _ in range(4000)])
        self.assertGreater(requests, 0)
        self.assertLessEqual(requests * len(REQUEST), ChannelSettings().reserve + len(DATA))
        transport.resumeProducing()  # type: ignore[union-attr]
        self.advance(2.0)
        self.assertEqual(len(self.ends[0].received), taken * len(DATA) + requests * len(REQUEST))
        self.assertTrue(channel.send(DATA))
        self.assertEqual(client.lost, [])

    def test_nobody_listens(self) -> None:
        opening = self.begin("tcp")
        self.advance(0.1)
        self.assertEqual(self.refusal(opening).reason, "refused")

    def test_nobody_answers(self) -> None:
        self.network.blackhole(SERVER[0], None)
        opening = self.begin("tcp")
        self.advance(3.9)
        self.assertNoResult(opening)
        self.advance(0.2)
        self.assertEqual(self.refusal(opening).reason, "timeout")

    def test_cancelled_at_any_moment_nothing_stays_open(self) -> None:
        self.listen()
        for step in range(9):
            opening = self.begin("tcp")
            self.advance(step * 0.005)
            opening.cancel()
            if step < 8:
                self.failureResultOf(opening, CancelledError)
            else:
                self.successResultOf(opening).close()
            self.advance(1.0)
            self.assertEqual(dict(self.world.reactor.streams.connections), {}, step)

    def test_a_server_that_does_not_say_goodbye_is_not_waited_for(self) -> None:
        self.listen()
        client = self.open("tcp")
        self.network.blackhole(SERVER[0], None)
        client.channel.send(DATA)
        client.channel.close()
        self.advance(0.6)
        self.assertEqual(dict(self.world.reactor.streams.connections), {})
        self.assertEqual(client.lost, [])
