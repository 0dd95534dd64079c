"""Peers that are not who they should be, or cannot what they have to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha384, sha512

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.dtls import AssociationState, DtlsContext, problems
from refreeze.peer.dtls.fingerprints import fingerprint
from refreeze.testing import openssl_time
from tests.peer.dtls.case import WireCase
from tests.peer.dtls.wire import (
    CLIENT,
    SERVER,
    SIDES,
    End,
    Wire,
    context,
    fingerprints,
    foreign_fingerprint,
)

DTLS_1_0 = 0xFEFF
AT_ONCE = 1.0
"""Seconds within which a refusal is over: nobody waits for a timer."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def der_of(certificate: x509.Certificate) -> bytes:
    """Its bytes."""
    return certificate.public_bytes(Encoding.DER)


class StrangeContext(DtlsContext):
    """One whose settings a test makes worse."""

    @property
    def settings(self) -> SSL.Context:
        """OpenSSL's, of all its associations."""
        return self._context

    def forget(self) -> None:
        """OpenSSL's defaults, and no certificate."""
        self._context = SSL.Context(SSL.DTLS_METHOD)
        self._context.set_verify(SSL.VERIFY_NONE, lambda *_: True)


class WeakContext(DtlsContext):
    """Somebody whose OpenSSL takes any key, their own too."""

    def __attrs_post_init__(self) -> None:
        self.fingerprints = self.certificate.fingerprints
        self._context = SSL.Context(SSL.DTLS_METHOD)
        self._context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self._context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        self._context.use_certificate(self.certificate.x509)
        self._context.use_privatekey(self.certificate.key)


@frozen
class Identity:
    """A certificate of a kind that we would never make, in the place of a RTCCertificate."""

    x509: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """As a RTCCertificate has them."""
        algorithm, _, digest = fingerprint(der_of(self.x509)).partition(" ")
        return [(algorithm, digest)]


@cache
def identity(kind: str) -> Identity:
    """Self-signed: ``rsa``, ``weak``, ``p384``, ``expired`` or ``future``."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if kind in {"rsa", "weak"}:
        key = rsa.generate_private_key(65537, 2048 if kind == "rsa" else 1024)
    else:
        key = ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())
    begins = {"expired": -900, "future": 36500}.get(kind, -1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=begins + 30))
        .sign(key, SHA256())
    )
    return Identity(made, key)


def stranger(kind: str | None = None) -> StrangeContext:
    """Somebody with a certificate like ours, or of another kind."""
    if kind is None:
        return StrangeContext(RTCCertificate.generate(NOW))
    return StrangeContext(identity(kind))  # type: ignore[arg-type]  # it has all that is used


class StrangerCase(WireCase):
    """Our side is one of the two, in turn."""

    def meet(self, other: DtlsContext, ours: str, named: str | None = None) -> tuple[Wire, End]:
        """Our association as *ours* against that of *other*, whose certificate has *named*."""
        at = SIDES.index(ours)
        contexts = [other, other]
        contexts[at] = context(ours)
        expected: list[tuple[str, ...] | None] = [None, None]
        expected[at] = None if named is None else (named,)
        wire = Wire(contexts=(contexts[0], contexts[1]), expected=(expected[0], expected[1]))
        return self.play(wire), wire.ends[at]


class FingerprintTests(StrangerCase):
    """RFC 8122 section 5: any of several may match, of a hash that is believed."""

    def expect(self, ours: str, *named: str) -> tuple[Wire, End]:
        """Our side is told these fingerprints of a good peer."""
        at = SIDES.index(ours)
        expected: list[tuple[str, ...] | None] = [None, None]
        expected[at] = named
        wire = self.play(Wire(expected=(expected[0], expected[1])))
        return wire, wire.ends[at]

    def test_another_certificate_than_the_description_names(self) -> None:
        for ours in SIDES:
            wire, end = self.expect(ours, foreign_fingerprint())
            self.assertEqual(end.reason, problems.FINGERPRINT, wire.story())
            self.assertFalse(end.association.problem.heals)  # type: ignore[union-attr]
            self.assertIsNone(end.association.peer_certificate)
            self.assertLess(wire.now, AT_ONCE)

    def test_the_peer_is_told_so(self) -> None:
        for ours in SIDES:
            wire, end = self.expect(ours, foreign_fingerprint())
            with openssl_time(wire.clock):
                wire.clock.advance(1.0)
            other = wire.other(end)
            self.assertEqual(other.reason, problems.ALERT, wire.story())

    def test_both_expect_somebody_else(self) -> None:
        wire = self.play(Wire(expected=((foreign_fingerprint(),), (foreign_fingerprint(),))))
        self.assertEqual(wire.client.reason, problems.FINGERPRINT, wire.story())
        self.assertEqual(wire.server.reason, problems.ALERT, wire.story())

    def test_one_of_several_matches(self) -> None:
        for ours in SIDES:
            good = fingerprints(context(SERVER if ours == CLIENT else CLIENT))
            for order in ((foreign_fingerprint(), *good), (*good, foreign_fingerprint())):
                wire, end = self.expect(ours, *order)
                self.assertTrue(wire.connected, wire.story())
                self.assertIsNotNone(end.association.peer_certificate)

    def test_longer_hashes_and_lower_case(self) -> None:
        der = der_of(context(SERVER).certificate.x509)
        for name, hashed in (("sha-384", sha384), ("SHA-512", sha512)):
            wire, _ = self.expect(CLIENT, f"{name} {hashed(der).digest().hex(':')}")
            self.assertTrue(wire.connected, wire.story())

    def test_a_hash_that_is_not_believed_is_none(self) -> None:
        for named in (("md5 00:11",), ("sha-1 00:11", "quantum 00"), ()):
            wire = self.play(Wire(expected=(named or ("",), None)))
            self.assertEqual(wire.client.reason, problems.FINGERPRINT)
            self.assertEqual(wire.carried[CLIENT], 0, "not even a ClientHello")

    def test_a_fingerprint_that_is_cut_short_matches_nothing(self) -> None:
        whole = fingerprints(context(SERVER))[0]
        for named in (whole[:-3], whole + ":00", "sha-256", "sha-256 ", "sha-256 \N{SNOWMAN}"):
            wire, end = self.expect(CLIENT, named)
            self.assertEqual(end.reason, problems.FINGERPRINT, (named, wire.story()))


class CertificateTests(StrangerCase):
    """What a certificate may be: anything, if the description names it."""

    def test_kinds_that_other_peers_have_are_believed(self) -> None:
        for kind in ("rsa", "p384", "expired", "future"):
            for ours in SIDES:
                wire, _ = self.meet(stranger(kind), ours)
                self.assertTrue(wire.connected, (kind, ours, wire.story()))
                with openssl_time(wire.clock):
                    self.assertTrue(wire.flows())

    def test_a_chain_counts_by_its_leaf_alone(self) -> None:
        leaf, issuer = stranger("p384"), identity("rsa").x509
        leaf.settings.add_extra_chain_cert(issuer)
        for ours in SIDES:
            wire, _ = self.meet(leaf, ours)
            self.assertTrue(wire.connected, wire.story())
            wire, end = self.meet(leaf, ours, fingerprint(der_of(issuer)))
            self.assertEqual(end.reason, problems.FINGERPRINT, "an issuer that is named is no leaf")

    def test_a_client_without_a_certificate(self) -> None:
        other = stranger()
        other.forget()
        wire, end = self.meet(other, SERVER)
        self.assertEqual(end.reason, problems.CERTIFICATE, wire.story())
        self.assertLess(wire.now, AT_ONCE)

    def test_a_key_that_anybody_can_find_proves_nothing(self) -> None:
        """The description names the certificate, and RSA has 1024 bits."""
        other = WeakContext(identity("weak"))  # type: ignore[arg-type]  # it has all that is used
        for ours in SIDES:
            wire, end = self.meet(other, ours)
            self.assertEqual(end.reason, problems.CERTIFICATE, wire.story())
            self.assertEqual(wire.other(end).reason, problems.ALERT, wire.story())
            self.assertLess(wire.now, AT_ONCE)


class VersionAndSuiteTests(StrangerCase):
    """DTLS 1.2 and ECDHE with AEAD, or nothing."""

    def refused(self, other: DtlsContext) -> None:
        """By either of us, at once, for good."""
        for ours in SIDES:
            wire, end = self.meet(other, ours)
            self.assertEqual(end.state, AssociationState.FAILED, (ours, wire.story()))
            self.assertIn(end.reason, (problems.HANDSHAKE, problems.ALERT), wire.story())
            self.assertFalse(end.association.problem.heals)  # type: ignore[union-attr]
            self.assertLess(end.at or 99, AT_ONCE)

    def weak(self, suites: bytes, kind: str | None = None) -> StrangeContext:
        """A peer with these suites."""
        other = stranger(kind)
        other.settings.set_cipher_list(suites + b":@SECLEVEL=0")
        return other

    def test_dtls_1_0(self) -> None:
        other = self.weak(b"ALL")
        other.settings.set_min_proto_version(DTLS_1_0)
        other.settings.set_max_proto_version(DTLS_1_0)
        self.refused(other)

    def test_suites_without_aead(self) -> None:
        self.refused(self.weak(b"ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA"))

    def test_suites_without_encryption(self) -> None:
        self.refused(self.weak(b"ECDHE-ECDSA-NULL-SHA"))

    def test_suites_without_authentication(self) -> None:
        self.refused(self.weak(b"AECDH-AES128-SHA:ADH-AES128-GCM-SHA256"))

    def test_suites_without_forward_secrecy(self) -> None:
        """The peer's certificate is RSA's, for such suites need it."""
        self.refused(self.weak(b"AES128-GCM-SHA256:AES256-GCM-SHA384", "rsa"))

    def test_what_is_agreed(self) -> None:
        wire = self.play(Wire())
        for end in wire.ends:
            self.assertEqual(end.association.protocol, "DTLSv1.2")
            self.assertIn("ECDHE", end.association.cipher or "")
            self.assertTrue(
                "GCM" in (end.association.cipher or "")
                or "CHACHA" in (end.association.cipher or "")
            )
            self.assertEqual(end.association.srtp_profile, "SRTP_AEAD_AES_128_GCM")
        materials = {
            end.association.export_keying_material(b"EXTRACTOR-dtls_srtp", 56) for end in wire.ends
        }
        self.assertEqual(len(materials), 1)

    def test_every_suite_of_ours_carries_what_its_overhead_says(self) -> None:
        for suite in (
            b"ECDHE-ECDSA-AES128-GCM-SHA256",
            b"ECDHE-ECDSA-AES256-GCM-SHA384",
            b"ECDHE-ECDSA-CHACHA20-POLY1305",
        ):
            other = stranger()
            other.settings.set_cipher_list(suite)
            for ours in SIDES:
                wire, end = self.meet(other, ours)
                self.assertEqual(end.association.cipher, suite.decode(), wire.story())
                with openssl_time(wire.clock):
                    self.assertTrue(wire.flows(), wire.story())
                    (record,) = end.association.send([bytes(1000)])
                    self.assertEqual(len(record), 1000 + end.association.overhead)
                    records = end.association.send([bytes(n) for n in (1, 200, 1200)])
                    self.assertEqual(
                        [len(each) - end.association.overhead for each in records], [1, 200, 1200]
                    )
