"""TLS towards servers: what is verified, and how everything that can be wrong is named."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import crypto
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.relay import Relay
from refreeze.net.tls import MAX_CA_FILE, ServerTrust, TrustError
from tests.net.authority import Authority
from tests.net.relaying import NAME, SERVER, RelayCase

URL = f"turns:{NAME}"


def options(certificate: str, key: str, **more: Any) -> CertificateOptions:
    """A server's TLS."""
    loaded = crypto.load_certificate(crypto.FILETYPE_PEM, Path(certificate).read_bytes())
    secret = crypto.load_privatekey(crypto.FILETYPE_PEM, Path(key).read_bytes())
    make: Any = CertificateOptions
    made: CertificateOptions = make(privateKey=secret, certificate=loaded, **more)
    return made


class TlsCase(RelayCase):
    """A server with a certificate of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.ca = self.authority.write(self.directory)

    def serve(
        self, *names: str, days: float = 30, authority: Authority | None = None, **more: Any
    ) -> None:
        """Over TLS, with a certificate for *names*."""
        issuer = authority or self.authority
        made = issuer.issue(self.directory, *names, days=days)
        self.server.kill()
        self.server = type(self.server)(
            self.server.host, self.server.reactor, tls=options(*made, **more)
        ).start()

    def outcome(self, url: str = URL, ca: str | None = "") -> Relay:
        """A relay that is settled; *ca*: ours, another file, or the system's."""
        self.use(url, ca=self.ca if ca == "" else ca)
        lease, _watcher = self.site.lease(session=url)
        relay = lease.relays[0]
        self.until(lambda: relay.settled, 10.0)
        return relay

    def assertProblem(self, relay: Relay, reason: str, *words: str) -> None:
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), (reason, 701))
        self.assertEqual(list(relay.ports), [])
        for each in (str(relay.url), *words):
            self.assertIn(each, relay.problem.text)
        self.assertEqual(len(relay.problem.text.splitlines()), 1)


class VerifiedTests(TlsCase):
    """Who is let in."""

    def test_a_server_with_the_name_and_a_trusted_certificate(self) -> None:
        self.serve(NAME)
        relay = self.outcome()
        self.assertIsNone(relay.problem)
        self.assertEqual([port.local[0] for port in relay.ports], list(SERVER))
        peer = self.ear()
        relay.ports[0].send([(b"\x80over tls", peer.local, 0)])
        self.advance(1.0)
        self.assertEqual(peer.data, [b"\x80over tls"])
        self.close()
        self.assertEqual(self.server.allocations, [])

    def test_an_address_in_the_url_has_to_be_in_the_certificate(self) -> None:
        self.serve(SERVER[0])
        self.assertTrue(self.outcome(f"turns:{SERVER[0]}").ports)

    def test_an_ipv6_address_too(self) -> None:
        self.serve(SERVER[1])
        self.assertTrue(self.outcome(f"turns:[{SERVER[1]}]").ports)

    def test_a_wildcard_is_one_label(self) -> None:
        self.names["a.turn.test"] = self.names["b.a.turn.test"] = SERVER
        self.serve("*.turn.test")
        self.assertTrue(self.outcome("turns:a.turn.test").ports)
        self.assertProblem(self.outcome("turns:b.a.turn.test"), "wrong-name", "'*.turn.test'")

    def test_the_file_of_cas_is_read_again_when_it_changed(self) -> None:
        other = Authority("another CA")
        self.serve(NAME, authority=other)
        relay = self.outcome()
        self.assertProblem(relay, "untrusted-certificate")
        Path(self.ca).write_bytes(Path(other.write(self.directory)).read_bytes())
        self.until(lambda: bool(relay.ports), 5.0)

    def test_an_alternate_server_has_to_show_its_domain_or_the_first_ones_name(self) -> None:
        self.names[NAME] = [SERVER[0]]
        for number, (names, domain, expected) in enumerate(
            (
                ((NAME,), None, True),
                (("else.test",), None, False),
                (("else.test",), "else.test", True),
                ((NAME,), "else.test", False),
            )
        ):
            self.serve(NAME)
            made = self.authority.issue(self.directory, *names)
            host = self.network.host(f"alternate {number}", [f"203.0.113.{80 + number}"])
            alternate = self.world.turn_server(host, tls=options(*made))
            self.server.redirect((f"203.0.113.{80 + number}", 5349), domain)
            relay = self.outcome()
            self.assertEqual(bool(relay.ports), expected, (names, domain))
            self.assertEqual(len(alternate.allocations), int(expected))


class RefusedTests(TlsCase):
    """Nobody is talked to whose certificate is not good, and the reason has a name."""

    def test_an_issuer_that_nobody_trusts(self) -> None:
        self.serve(NAME, authority=Authority("mallory"))
        self.assertProblem(self.outcome(), "untrusted-certificate", "issuer")
        self.assertEqual(len(self.server.journal), 0)

    def test_the_systems_cas_are_the_default(self) -> None:
        self.serve(NAME)
        self.assertProblem(self.outcome(ca=None), "untrusted-certificate")

    def test_another_name(self) -> None:
        self.serve("elsewhere.test", "www.elsewhere.test")
        relay = self.outcome()
        self.assertProblem(relay, "wrong-name", "'elsewhere.test', 'www.elsewhere.test'")
        self.assertEqual(len(self.server.journal), 0)

    def test_a_name_is_no_address(self) -> None:
        self.serve(NAME)
        self.assertProblem(self.outcome(f"turns:{SERVER[0]}"), "wrong-name", f"'{NAME}'")

    def test_no_name_at_all(self) -> None:
        self.serve()
        self.assertProblem(self.outcome(), "wrong-name")

    def test_what_stands_in_a_certificate_cannot_break_the_line(self) -> None:
        self.serve(*[f"name{number}.test" for number in range(500)])
        relay = self.outcome()
        self.assertProblem(relay, "wrong-name", "and 496 more")
        assert relay.problem is not None
        self.assertLess(len(relay.problem.text), 400)

    def test_an_expired_certificate(self) -> None:
        self.serve(NAME, days=-1)
        self.assertProblem(self.outcome(), "expired-certificate", "has expired")

    def test_a_certificate_that_is_not_valid_yet(self) -> None:
        later = Authority(begins=datetime.now(UTC) + timedelta(days=2))
        later.key, later.certificate = self.authority.key, self.authority.certificate
        self.serve(NAME, authority=later)
        self.assertProblem(self.outcome(), "expired-certificate", "not valid yet")

    def test_a_self_signed_certificate(self) -> None:
        alone = Authority("server")
        own, key = self.directory / "own.pem", self.directory / "own.key"
        own.write_bytes(alone.certificate.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(alone.private_bytes())
        self.server.kill()
        self.server = type(self.server)(
            self.server.host, self.server.reactor, tls=options(str(own), str(key))
        ).start()
        self.assertProblem(self.outcome(), "untrusted-certificate", "self-signed")

    def test_a_certificate_for_clients(self) -> None:
        self.authority.usage = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
        self.serve(NAME)
        self.assertProblem(self.outcome(), "untrusted-certificate", "not for a server")

    def test_a_server_that_wants_a_certificate_of_ours(self) -> None:
        self.serve(NAME, verify=True, caCerts=[self.authority.openssl()])
        relay = self.outcome()
        self.assertIsNotNone(relay.problem)
        self.assertEqual(list(relay.ports), [])

    def test_before_tls_1_2(self) -> None:
        self.serve(
            NAME,
            insecurelyLowerMinimumTo=TLSVersion.TLSv1_0,
            lowerMaximumSecurityTo=TLSVersion.TLSv1_1,
        )
        self.assertProblem(self.outcome(), "old-tls", "TLS 1.2")

    def test_no_tls_there(self) -> None:
        self.talk(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertProblem(self.outcome(), "not-tls", "does not speak TLS")

    def test_nothing_but_silence(self) -> None:
        self.talk(b"")
        relay = self.outcome()
        self.assertProblem(relay, "handshake-timeout")
        self.assertLessEqual(self.site.sockets, 1)

    def test_a_server_that_hangs_up_in_the_handshake(self) -> None:
        self.talk(None)
        self.assertProblem(self.outcome(), "tls-refused")

    def test_a_file_of_cas_that_is_not_there(self) -> None:
        self.serve(NAME)
        self.assertProblem(self.outcome(ca="nowhere/ca.pem"), "unreadable-ca", "nowhere/ca.pem")

    def talk(self, answer: bytes | None) -> None:
        """Something that is no TLS server answers so; None: it hangs up."""

        class Rude(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                if answer:
                    self.transport.write(answer)
                if answer is None:
                    self.transport.loseConnection()

        self.server.kill()
        factory = Factory.forProtocol(Rude)
        reactor = self.server.reactor
        assert reactor is not None
        for host in SERVER:
            reactor.listenTCP(5349, factory, interface=host)


class TrustTests(SynchronousTestCase):
    """The file of CAs."""

    def trust(self, content: bytes) -> ServerTrust:
        path = self.mktemp()
        Path(path).write_bytes(content)
        return ServerTrust(path)

    def test_what_is_no_pem_is_refused_by_its_name(self) -> None:
        for content in (b"", b"garbage\n", b"\x00\xff" * 100):
            trust = self.trust(content)
            with self.assertRaises(TrustError) as caught:
                trust.connecting("turn.test")
            self.assertIn(f"{trust.ca_file}: not certificates in PEM", str(caught.exception))

    def test_what_is_too_long_or_no_regular_file_is_not_read_to_its_end(self) -> None:
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for path in (pipe, "/dev/zero"):
            with self.assertRaises(TrustError) as caught:
                ServerTrust(path).connecting("turn.test")
            self.assertIn("not a regular file", str(caught.exception))
        with self.assertRaises(TrustError) as caught:
            self.trust(b"x" * (MAX_CA_FILE + 1)).connecting("turn.test")
        self.assertIn("larger than", str(caught.exception))

    def test_one_context_serves_until_the_file_changes(self) -> None:
        authority, directory = Authority(), Path(self.mktemp())
        directory.mkdir()
        trust = ServerTrust(authority.write(directory))
        first = trust.connecting("a.test")
        self.assertIs(trust.connecting("b.test")._context, first._context)
        assert trust.ca_file is not None
        os.utime(trust.ca_file, (1, 1))
        self.assertIsNot(trust.connecting("a.test")._context, first._context)
