"""The fake TURN server on streams, which go through the fake network."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.ssl import CertificateOptions, KeyPair, PrivateCertificate
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.stun import Method
from refreeze.testing import UDP_BLOCKED, Fate, Lie, LinkSettings, VirtualWorld
from tests.testing.desk import Ear
from tests.testing.turnclient import UDP, StreamClient, UdpClient, lifetime

SERVER = "203.0.113.10"
PEER: Address = ("198.51.100.1", 6000)


def server_options() -> Any:
    """TLS with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "turn.example")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return PrivateCertificate.load(
        certificate.public_bytes(serialization.Encoding.DER), KeyPair.load(pem, 1), 2
    ).options()


class StreamCase(SynchronousTestCase):
    """A server, a client behind a NAT that blocks UDP, and a peer."""

    settings: dict[str, Any] = {}

    def setUp(self) -> None:
        self.world = VirtualWorld(1, link=LinkSettings(delay=0.02))
        network = self.network = self.world.network
        self.clock = self.world.reactor
        self.machine = network.host("turn", [SERVER])
        self.nat = network.nat("nat", "203.0.113.1", UDP_BLOCKED)
        self.host = network.host("alice", ["10.0.0.2"], nat=self.nat)
        self.peer = Ear(network.host("bob", [PEER[0]]), PEER)
        self.server = self.world.turn_server(self.machine, **self.settings)

    def connect(self, port: int = 3478, timeout: float = 30.0) -> StreamClient:
        """A client that is on its way to the server."""
        client = StreamClient(self.clock)
        reactor = self.clock.on("alice")
        reactor.connectTCP(SERVER, port, self.wrapped(client.factory()), timeout)
        return client

    def wrapped(self, factory: Any) -> Any:
        """What the client speaks on the stream."""
        return factory

    def connected(self) -> StreamClient:
        """A client with an allocation."""
        client = self.connect()
        self.clock.advance(1.0)
        client.allocate()
        return client


class TcpTests(StreamCase):
    """TURN over TCP."""

    def test_where_udp_is_blocked_tcp_gets_through(self) -> None:
        ear = Ear(self.host, ("10.0.0.2", 5000))
        udp = UdpClient(self.clock, ear=ear, server=(SERVER, 3478))
        self.assertIsNone(udp.ask(Method.BINDING))
        self.assertEqual(self.network.log.of(Fate.NAT_DROPPED)[0].detail, "UDP blocked")
        client = self.connect()
        self.clock.advance(1.0)
        answer = client.allocate()
        mapped = answer.xor_mapped_address
        assert mapped is not None
        self.assertEqual(mapped[0], self.nat.address)
        self.assertEqual(self.server.allocations[0].flow.remote, mapped)

    def test_it_relays_to_peers_on_udp_with_padded_channel_data(self) -> None:
        client = self.connected()
        client.permit(PEER[0])
        client.send_to(PEER, b"indication")
        client.bind(0x4000, PEER)
        client.transmit(b"\x40\0\0\x05hello\0\0\0" + b"\x40\0\0\x01!\0\0\0")
        self.clock.advance(1.0)
        self.assertEqual(self.peer.data, [b"indication", b"hello", b"!"])
        self.peer.send(self.peer.sources[0], b"12345")
        self.clock.advance(1.0)
        self.assertEqual(client.heard[-1], b"\x40\0\0\x0512345\0\0\0")

    def test_messages_may_come_in_any_pieces(self) -> None:
        client = self.connected()
        whole = client._request(Method.REFRESH, b"twelve bytes", ()) * 3
        before = len(client.heard)
        for at in range(0, len(whole), 7):
            client.transmit(whole[at : at + 7])
            self.clock.advance(0.01)
        self.clock.advance(1.0)
        self.assertEqual(len(client.heard) - before, 3)

    def test_an_allocation_ends_with_its_connection(self) -> None:
        client = self.connected()
        client.connection.transport.loseConnection()
        self.clock.advance(1.0)
        self.assertEqual(self.server.allocations, [])
        self.assertEqual(self.server.journal.counts["disconnected"], 1)
        self.assertEqual(self.server.connections, 0)

    def test_what_can_be_no_frame_closes_the_connection(self) -> None:
        for bad in (b"\x80\0\0\0", b"\0\x01\0\x01", b"\xff" * 100):
            client = self.connected()
            client.transmit(bad)
            self.clock.advance(1.0)
            self.assertTrue(client.end.check(ConnectionDone))

    def test_a_killed_server_resets_and_refuses_until_it_is_back(self) -> None:
        client = self.connected()
        self.server.kill()
        self.clock.advance(1.0)
        self.assertTrue(client.end.check(ConnectionLost))
        again = self.connect()
        self.clock.advance(1.0)
        self.assertTrue(again.end.check(ConnectionRefusedError))
        self.server.restart()
        self.assertEqual(len(self.connected().heard), 2)

    def test_it_can_hang_up_and_break_frames(self) -> None:
        client = self.connected()
        self.server.hang_up()
        self.clock.advance(1.0)
        self.assertTrue(client.end.check(ConnectionDone))
        self.assertEqual(self.server.allocations, [])
        for lie, rest in ((Lie.MID_FRAME, b"\x01\x04"), (Lie.BAD_LENGTH, b"\x40\0\xff\xff")):
            client = self.connected()
            self.server.lies.add(lie)
            client.ask(Method.REFRESH)
            self.server.lies.clear()
            self.assertTrue(client._rest.startswith(rest), client._rest)
            self.assertEqual(client.end is not None, lie is Lie.MID_FRAME)

    def test_a_stopped_world_shows_what_was_left_on_the_server(self) -> None:
        client = self.connected()
        self.assertEqual(self.world.stop(), [])
        self.assertEqual(len(self.server.allocations), 1)
        client.code(Method.REFRESH, lifetime(0))
        self.assertEqual(self.server.allocations, [])


class TlsTests(StreamCase):
    """TURN over TLS: real TLS, in virtual time."""

    def setUp(self) -> None:
        self.settings = {"tls": server_options()}
        super().setUp()

    def wrapped(self, factory: Any) -> Any:
        options = CertificateOptions()
        return TLSMemoryBIOFactory(options, True, factory, clock=self.clock)

    def test_it_is_the_same_server(self) -> None:
        client = self.connect(5349)
        self.clock.advance(1.0)
        client.challenge()
        self.assertEqual(client.code(Method.ALLOCATE, UDP), 0)
        self.assertEqual(self.server.allocations[0].flow.kind, "tls")
        client.permit(PEER[0])
        client.send_to(PEER, b"through")
        self.assertEqual(self.peer.data, [b"through"])
        client.connection.transport.loseConnection()
        self.clock.advance(1.0)
        self.assertEqual(self.server.allocations, [])
