"""The verdict on one certificate, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl.authority import make_authority
from refreeze.signaling.verification import Verification, described, is_host
from tests.signaling.pki import custom, days_ago

AUTHORITY = make_authority(days_ago(0))


def certificate(*names: x509.GeneralName) -> x509.Certificate:
    """For these."""
    return custom(AUTHORITY, names).certificate


def dns(*names: str) -> Sequence[x509.GeneralName]:
    """Host names."""
    return [x509.DNSName(name) for name in names]


class HostTests(SynchronousTestCase):
    """RFC 9525, by service-identity."""

    def test_host_names(self) -> None:
        made = certificate(*dns("hub.example.net", "*.pool.example.net"))
        for host, fine in (
            ("hub.example.net", True),
            ("HUB.example.NET", True),
            ("a.pool.example.net", True),
            ("a.b.pool.example.net", False),
            ("pool.example.net", False),
            ("example.net", False),
            ("192.0.2.1", False),
        ):
            self.assertIs(is_host(made, host), fine, host)

    def test_addresses(self) -> None:
        addresses = [x509.IPAddress(ip_address(a)) for a in ("192.0.2.1", "2001:db8::1")]
        made = certificate(*addresses)
        for host, fine in (
            ("192.0.2.1", True),
            ("2001:db8::1", True),
            ("2001:db8:0::1", True),
            ("192.0.2.2", False),
            ("hub", False),
        ):
            self.assertIs(is_host(made, host), fine, host)

    def test_an_address_in_letters_is_no_address(self) -> None:
        self.assertFalse(is_host(certificate(*dns("192.0.2.1")), "192.0.2.1"))

    def test_a_daemons_name_is_no_host(self) -> None:
        """Else every daemon called like the hub's machine could serve for it."""
        for uri in ("refreeze:hub.example.net", "refreeze:192.0.2.1", "refreeze:a:b@c"):
            made = certificate(x509.UniformResourceIdentifier(uri))
            self.assertFalse(is_host(made, "hub.example.net"))
            self.assertFalse(is_host(made, "192.0.2.1"))


class WordsTests(SynchronousTestCase):
    """What people read."""

    def test_foreign_names_are_short_few_and_printable(self) -> None:
        made = certificate(*dns("a" * 300, "b\x1b[2J", "c", "d", "e", "f"))
        text = described(made)
        self.assertTrue(text.isprintable())
        self.assertLess(len(text), 5 * 70)
        self.assertTrue(text.endswith(" and 2 more"), text)

    def test_a_certificate_that_nobody_can_read_is_refused_without_an_exception(self) -> None:
        strange = crypto.X509()
        strange.set_version(117)
        for fine in (True, False):
            verification = Verification()
            self.assertFalse(verification.judge(strange, 20, 0, fine))
            self.assertEqual(verification.problem, "its certificate cannot be read")
            self.assertEqual(verification.names, ())

    def test_a_fault_in_the_middle_of_the_chain_is_not_the_daemons(self) -> None:
        verification = Verification()
        shown = crypto.X509.from_cryptography(AUTHORITY.certificate)
        self.assertFalse(verification.judge(shown, 10, 1, False))
        self.assertEqual(verification.problem, "its CA's certificate has expired")

    def test_an_error_without_a_word_of_ours_has_its_number(self) -> None:
        verification = Verification()
        shown = crypto.X509.from_cryptography(certificate(*dns("x")))
        self.assertFalse(verification.judge(shown, 79, 0, False))
        self.assertEqual(
            verification.problem, "its certificate for x is refused (OpenSSL's error 79)"
        )

    def test_how_a_connection_ended(self) -> None:
        for error, words in (
            (SSL.Error([("SSL routines", "", "wrong version number")]), "it does not speak TLS"),
            (SSL.Error([("SSL routines", "", "bad signature")]), "TLS failed: bad signature"),
            (SSL.Error(), "TLS failed: "),
            (ConnectionDone(), "Connection was closed cleanly."),
        ):
            self.assertEqual(Verification().lost(Failure(error)), words)
