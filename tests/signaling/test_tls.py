"""Hub and links over mutual TLS 1.3, with real OpenSSL over wires in memory."""

from __future__ import annotations

import os
from random import Random
from typing import Any

from attrs import define
from cryptography import x509
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from refreeze.ctl.authority import issue, make_authority
from refreeze.signaling.access import TlsAccess
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.door import WASTED_PER_SECOND
from refreeze.signaling.envelope import Envelope
from refreeze.signaling.hub import Hub, HubListener, HubSettings
from refreeze.signaling.link import HubLink
from refreeze.signaling.tls import TlsIdentity
from tests.signaling.pki import HUB, Pki, custom, days_ago, tls_door, tls_link
from tests.signaling.test_link import offer
from tests.signaling.wires import Door, Network, Receiver


@define(eq=False, slots=False)
class Stranger(Protocol):
    """Anything that is no link of ours."""

    data: bytes = b""
    lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class TlsCase(SynchronousTestCase):
    """A hub with a certificate for hub.example.net and 192.0.2.1."""

    def setUp(self) -> None:
        self.network = Network()
        self.pki = Pki(self.mktemp())
        self.door = Door()
        self.hub_identity = TlsIdentity(self.pki.issue("hub", [HUB, "192.0.2.1"]))
        self.hub = self.serve(self.hub_identity)

    def serve(self, identity: TlsIdentity, **settings: Any) -> Hub:
        """A hub at the door."""
        listener = HubListener(tls_door(self.door, identity, self.network.clock), TlsAccess())
        hub = Hub([listener], self.network.clock, HubSettings(**settings))
        hub.startService()
        return hub

    def link(
        self, name: str, files: CertificateFiles | None = None, host: str = HUB
    ) -> tuple[HubLink, str]:
        """A link of *name* with these files, some seconds later; and what was logged."""
        identity = TlsIdentity(files or self.pki.issue(name))
        with capturedLogs() as events:
            link = tls_link(self.network, self.door, name, identity, host)
            self.network.pass_time(3)
        return link, " ".join(str(event.get("why", event.get("error", ""))) for event in events)

    def refused(self, link: HubLink, logged: str, by_hub: str, by_link: str) -> None:
        """Both ends say why."""
        self.assertFalse(link.up)
        self.assertIn(by_link, link.problem)
        self.assertIn(by_link, logged)
        self.assertIn(by_hub, logged)
        self.assertGreater(self.hub.counters["refused"], 0)
        self.assertEqual(self.hub.online, ())


class JoinTests(TlsCase):
    def test_daemons_of_one_ca_exchange_envelopes(self) -> None:
        alice, _ = self.link("alice")
        bob, _ = self.link("bob")
        self.assertEqual(self.hub.online, ("alice", "bob"))
        self.assertEqual((alice.problem, bob.problem), ("", ""))
        receiver = Receiver()
        bob.attach("demo", "alice", receiver)
        self.assertTrue(alice.send(offer()))
        self.network.pass_time(1)
        self.assertEqual([e for e in receiver.heard if isinstance(e, Envelope)], [offer()])

    def test_it_is_tls_1_3(self) -> None:
        self.link("alice")
        protocol: Any = self.network.wires[0].protocol
        self.assertEqual(protocol.getHandle().get_protocol_version_name(), "TLSv1.3")

    def test_a_hub_may_be_named_by_address(self) -> None:
        self.assertTrue(self.link("alice", host="192.0.2.1")[0].up)

    def test_a_name_with_every_kind_of_letter_is_in_a_certificate(self) -> None:
        name = "edge-17.north:a@b+c_d"
        self.assertTrue(self.link(name)[0].up)

    def test_a_certificate_of_several_daemons_may_be_each_of_them(self) -> None:
        """Another tool may put more than one into it, and things that are no daemons."""
        uris = ["https://example.net/", "refreeze:alice", "refreeze:", "refreeze:bob", "refreeze:-"]
        made = custom(self.pki.authority, [x509.UniformResourceIdentifier(uri) for uri in uris])
        files = self.pki.write("both", made)
        for name, may in (("alice", True), ("bob", True), ("carol", False)):
            self.assertIs(self.link(name, files)[0].up, may)

    def test_the_connection_ends_in_order(self) -> None:
        alice, _ = self.link("alice")
        stopped = alice.stopService()
        self.network.pass_time(1)
        self.successResultOf(stopped)
        self.assertEqual(self.hub.online, ())
        stopped = self.hub.stopService()
        self.network.pass_time(1)
        self.successResultOf(stopped)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])


class RefusalTests(TlsCase):
    """A wrong, expired, foreign or missing certificate: named at both ends."""

    def test_a_certificate_of_a_foreign_ca(self) -> None:
        foreign = Pki(self.mktemp())
        files = foreign.issue("alice")
        files = CertificateFiles(certificate=files.certificate, key=files.key, ca=self.ca)
        self.refused(
            *self.link("alice", files),
            by_hub="its certificate for alice comes from a CA that is not ours",
            by_link="it does not trust the CA of our certificate",
        )

    @property
    def ca(self) -> str:
        return os.path.join(self.pki.directory, "ca.crt")

    def test_an_expired_certificate(self) -> None:
        files = self.pki.issue("alice", now=days_ago(10), days=3)
        self.refused(
            *self.link("alice", files),
            by_hub="its certificate for alice has expired",
            by_link="it says that our certificate has expired",
        )

    def test_a_certificate_that_is_not_valid_yet(self) -> None:
        files = self.pki.issue("alice", now=days_ago(-10))
        self.refused(
            *self.link("alice", files),
            by_hub="is not valid yet (is the clock right?)",
            by_link="it refuses our certificate",
        )

    def test_another_daemons_certificate(self) -> None:
        """Bob's machine cannot be alice: the hub goes by the certificate, not by the hello."""
        link, logged = self.link("alice", self.pki.issue("bob"))
        self.refused(link, logged, by_hub="alice is not its name", by_link="not-permitted")

    def test_a_hub_of_a_foreign_ca(self) -> None:
        foreign = Pki(self.mktemp())
        self.refused(
            *self.link("alice", foreign.issue("alice")),
            by_hub="it does not trust the CA of our certificate",
            by_link="192.0.2.1 comes from a CA that is not ours",
        )

    def test_a_hub_of_another_name(self) -> None:
        self.refused(
            *self.link("alice", host="other.example.net"),
            by_hub="it refuses the names in our certificate",
            by_link=(
                "its certificate is for hub, hub.example.net, 192.0.2.1, not for other.example.net"
            ),
        )

    def test_a_hub_of_another_address(self) -> None:
        link, logged = self.link("alice", host="192.0.2.9")
        self.refused(link, logged, "it refuses the names in our", "not for 192.0.2.9")

    def test_a_daemons_certificate_is_no_hubs(self) -> None:
        """Else every daemon could play the hub for the others."""
        self.hub.stopService()
        plain = issue(self.pki.authority, "mallory", [], days_ago(0))
        self.hub = self.serve(TlsIdentity(self.pki.write("mallory", plain)))
        link, logged = self.link("alice")
        self.refused(
            link, logged, "it refuses our certificate", "is not for this end of a connection"
        )

    def test_it_goes_on_trying_with_its_back_off_and_tells_each_reason_once(self) -> None:
        files = self.pki.issue("alice", now=days_ago(10), days=3)
        identity = TlsIdentity(files)
        with capturedLogs() as events:
            link = tls_link(self.network, self.door, "alice", identity)
            self.network.pass_time(100)
        told = [e for e in events if "error" in e and "no signaling" in str(e["log_format"])]
        self.assertEqual(len(told), 1)
        self.pki.issue("alice")
        self.assertTrue(identity.reread())
        self.network.pass_time(31)
        self.assertTrue(link.up)
        self.assertEqual(link.problem, "")

    def test_the_log_does_not_fill(self) -> None:
        files = self.pki.issue("alice", now=days_ago(10), days=3)
        with capturedLogs() as events:
            for _ in range(200):
                tls_link(self.network, self.door, "alice", TlsIdentity(files)).stopService()
                self.network.pump()
        self.assertEqual(self.hub.counters["refused"], 200)
        self.assertEqual(len([event for event in events if "why" in event]), 20)


class StrangerTests(TlsCase):
    """What is no daemon at all at the hub's port."""

    def come(self) -> Stranger:
        """A plain stream."""
        stranger = Stranger()
        self.network.join(stranger, self.door)
        self.network.pump()
        return stranger

    def come_with_tls(self, **options: Any) -> Stranger:
        """A TLS client that trusts everybody."""
        stranger = Stranger()
        make: Any = CertificateOptions
        factory = TLSMemoryBIOFactory(
            _Creator(make(**options).getContext()),
            True,
            Factory.forProtocol(Stranger),
            clock=self.network.clock,
        )
        wrapper: Any = factory.buildProtocol(UNIXAddress(None))
        wrapper.wrappedProtocol = stranger
        self.network.join(wrapper, self.door)
        with capturedLogs() as events:
            wrapper.write(b'{"v":1,"hello":{"name":"alice"}}\n')
            self.network.pass_time(1)
        self.logged = [str(event["why"]) for event in events if "why" in event]
        return stranger

    def said(self, stranger: Stranger) -> str:
        """The alert that it got."""
        assert stranger.lost is not None
        return str(stranger.lost.value)

    def test_no_certificate(self) -> None:
        stranger = self.come_with_tls()
        self.assertEqual(self.logged, ["it showed no certificate"])
        self.assertIn("certificate required", self.said(stranger))
        self.assertEqual(stranger.data, b"")
        self.assertEqual(self.hub.online, ())

    def test_tls_1_2(self) -> None:
        stranger = self.come_with_tls(lowerMaximumSecurityTo=TLSVersion.TLSv1_2)
        self.assertEqual(self.logged, ["it does not speak TLS 1.3"])
        self.assertIn("protocol version", self.said(stranger))

    def test_a_certificate_without_a_daemons_name(self) -> None:
        made = custom(self.pki.authority, [x509.DNSName("alice")])
        stranger = self.come_with_tls(privateKey=made.key, certificate=made.certificate)
        self.assertEqual(self.logged, ["its certificate for alice names no daemon"])
        self.assertEqual(stranger.data, b"")

    def test_plain_text_ends_at_once(self) -> None:
        for said in (b"GET / HTTP/1.1\r\n\r\n", b'{"v":1,"hello":{"name":"alice"}}\n', b"\0" * 99):
            with capturedLogs() as events:
                stranger = self.come()
                self.assertIsNone(stranger.lost)
                stranger.transport.write(said)
                self.network.pump()
            self.assertIsNotNone(stranger.lost)
            self.assertNotIn(b"bye", stranger.data)
            self.assertEqual([e["why"] for e in events if "why" in e], ["it does not speak TLS"])

    def test_random_bytes_end_the_connection_or_wait_for_more_and_never_a_traceback(self) -> None:
        seed = int.from_bytes(os.urandom(4))
        print(f"seed {seed}", end=" ")
        random = Random(seed)
        for _ in range(300):
            stranger = self.come()
            head = random.choice([b"", b"\x16\x03\x01", b"\x16\x03\x03\x00\x40\x01"])
            stranger.transport.write(head + random.randbytes(random.randrange(1, 2000)))
            self.network.pump()
        self.network.pass_time(12)
        self.assertEqual(self.hub._connections, set())
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertTrue(self.link("alice")[0].up)

    def test_a_slow_handshake_is_given_up_in_time(self) -> None:
        stranger = self.come()
        stranger.transport.write(b"\x16\x03\x01\x02\x00")
        self.network.pass_time(9)
        self.assertIsNone(stranger.lost)
        with capturedLogs() as events:
            self.network.pass_time(2)
        self.assertIsNotNone(stranger.lost)
        self.assertEqual(
            [e["why"] for e in events if "why" in e],
            ["it was not done with its greeting in time"],
        )

    def test_who_comes_and_goes_without_a_word_is_no_news(self) -> None:
        with capturedLogs() as events:
            stranger = self.come()
            stranger.transport.loseConnection()
            self.network.pump()
        self.assertEqual([e for e in events if "why" in e], [])
        self.assertEqual(self.hub._connections, set())

    def test_handshakes_under_way_are_bounded_by_origin_and_in_all(self) -> None:
        hub = self.serve(self.hub_identity, max_pending=10, max_pending_per_origin=4)
        at: Any = self.door.factory
        with capturedLogs() as logged:
            for host, admitted in (("192.0.2.1", 4), ("192.0.2.2", 4), ("192.0.2.3", 2)):
                made = []
                for _ in range(6):
                    protocol = at.buildProtocol(IPv4Address("TCP", host, 7))
                    if protocol is not None:
                        made.append(protocol)
                        protocol.makeConnection(StringTransport())
                self.assertEqual(len(made), admitted)
        self.assertEqual(hub.counters["turned_away"], 8)
        self.assertEqual([e["host"] for e in logged if "host" in e][:2], ["192.0.2.1"] * 2)
        made[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(at.buildProtocol(IPv4Address("TCP", "192.0.2.3", 7)))

    def test_a_flood_of_bad_handshakes_is_not_even_tried_and_others_get_in(self) -> None:
        """Each costs the daemon a millisecond, which its sessions need."""
        at: Any = self.door.factory
        tried = 0
        for _ in range(500):
            protocol = at.buildProtocol(IPv4Address("TCP", "192.0.2.66", 7))
            if protocol is not None:
                tried += 1
                protocol.makeConnection(StringTransport())
                protocol.dataReceived(b"?" * 99)
                protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(tried, WASTED_PER_SECOND)
        self.assertEqual(self.hub.counters["turned_away"], 500 - WASTED_PER_SECOND)
        self.assertTrue(self.link("alice")[0].up)
        self.assertIsNotNone(at.buildProtocol(IPv4Address("TCP", "192.0.2.66", 7)))

    def test_a_link_that_is_in_takes_no_place_at_the_door(self) -> None:
        self.hub.stopService()
        self.hub = self.serve(self.hub_identity, max_pending=1)
        for name in ("alice", "bob", "carol"):
            self.assertTrue(self.link(name)[0].up)

    def test_a_session_cannot_be_resumed_without_the_certificate(self) -> None:
        """TLS 1.3's tickets would let in whom an expired certificate keeps out."""
        link, _ = self.link("alice")
        protocol: Any = self.network.wires[0].protocol
        handle = protocol.getHandle()
        self.assertEqual(handle.get_context().get_session_cache_mode(), SSL.SESS_CACHE_OFF)
        session = handle.get_session()
        identity = TlsIdentity(self.pki.issue("bob"))
        again = tls_link(self.network, self.door, "alice", identity)
        self.network.pass_time(0.5)
        self.assertFalse(again.up)
        self.assertTrue(link.up)
        self.assertIsNotNone(session)


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class _Creator:
    """Plain connections of one context."""

    context: SSL.Context

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        return SSL.Connection(self.context, None)


class RenewalTests(TlsCase):
    """New files while links are there."""

    def test_new_certificates_are_for_new_handshakes_and_links_stay(self) -> None:
        alice, _ = self.link("alice")
        before = self.hub_identity.material.chain[0].serial_number
        self.assertFalse(self.hub_identity.reread())
        self.pki.issue("hub", [HUB])
        self.assertTrue(self.hub_identity.reread())
        self.assertNotEqual(self.hub_identity.material.chain[0].serial_number, before)
        self.assertTrue(alice.up)
        bob, _ = self.link("bob")
        self.assertTrue(bob.up)
        shown: Any = self.network.wires[-2].protocol
        self.assertEqual(
            shown.getPeerCertificate().to_cryptography(), self.hub_identity.material.chain[0]
        )
        self.assertEqual(alice.counters["connects"], 1)

    def test_a_ca_takes_over_from_another_without_dropping_a_link(self) -> None:
        """First everybody trusts both, then the certificates change, then the old CA goes."""
        alice, _ = self.link("alice")
        newer = make_authority(days_ago(0))
        both = self.pki.authority.certificate_pem + newer.certificate_pem
        self.pki.put("ca.crt", both)
        self.assertTrue(self.hub_identity.reread())
        bob = self.pki.write("bob", issue(newer, "bob", [], days_ago(0)))
        self.assertTrue(self.link("bob", bob)[0].up)
        self.assertTrue(self.link("carol")[0].up)
        self.assertTrue(alice.up)
