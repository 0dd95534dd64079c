"""RTCCertificate: what it says and does not say, what is read back, what W3C may ask for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha512

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import NotSupportedError
from refreeze.peer import DtlsContext, RTCCertificate, RTCPeerConnection
from refreeze.peer.certificate import CertificateProblem, KeygenAlgorithm
from refreeze.peer.dtls.association import Association, AssociationState

NOW = datetime(2027, 1, 15, 12, 0, 0, 987654, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ECDSA = {"name": "ECDSA", "namedCurve": "P-256"}
RSA = {
    "name": "RSASSA-PKCS1-v1_5",
    "modulusLength": 2048,
    "publicExponent": b"\x01\x00\x01",
    "hash": "SHA-256",
}


class GenerateTests(SynchronousTestCase):
    """A new one."""

    def test_it_holds_from_a_day_before_now_for_thirty_days(self) -> None:
        made = RTCCertificate.generate(NOW)
        self.assertLess(abs(made.not_before - (NOW - timedelta(days=1))), SECOND)
        self.assertLess(abs(made.expires - (NOW + timedelta(days=30))), SECOND)

    def test_the_time_may_be_that_of_any_zone(self) -> None:
        here = NOW.astimezone(timezone(timedelta(hours=13)))
        self.assertEqual(
            RTCCertificate.generate(here).expires, RTCCertificate.generate(NOW).expires
        )

    def test_it_names_nobody(self) -> None:
        """In DTLS 1.2 whoever is on the path can read it."""
        first, second = RTCCertificate.generate(NOW).x509, RTCCertificate.generate(NOW).x509
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
        self.assertEqual((first.subject, first.issuer), (name, name))
        self.assertEqual(list(first.extensions), [])
        self.assertNotEqual(first.serial_number, second.serial_number)
        self.assertNotEqual(first.public_key(), second.public_key())

    def test_its_fingerprint_is_that_of_its_bytes(self) -> None:
        made = RTCCertificate.generate(NOW)
        ((algorithm, value),) = made.fingerprints
        self.assertEqual(made.getFingerprints(), [{"algorithm": algorithm, "value": value.lower()}])
        self.assertEqual(algorithm, "sha-256")
        self.assertEqual(bytes.fromhex(value.replace(":", "")), made.x509.fingerprint(SHA256()))
        self.assertRegex(value, r"\A[0-9A-F]{2}(:[0-9A-F]{2}){31}\Z")
        self.assertEqual(x509.load_der_x509_certificate(made.der), made.x509)

    def test_no_repr_shows_its_key(self) -> None:
        made = RTCCertificate.generate(NOW)
        assert isinstance(made.key, ec.EllipticCurvePrivateKey)
        secret = made.key.private_numbers().private_value
        for text in (repr(made), str(made)):
            self.assertNotIn(str(secret), text)
            self.assertNotIn("private", text.lower())


class PemTests(SynchronousTestCase):
    """Written and read back, and whatever else a file may hold."""

    def setUp(self) -> None:
        self.made = RTCCertificate.generate(NOW)
        self.pem = self.made.to_pem()

    def refused(self, pem: bytes) -> str:
        """Why, in one line that tells nothing of it."""
        why = str(self.assertRaises(CertificateProblem, RTCCertificate.from_pem, pem))
        self.assertNotIn("\n", why)
        self.assertLess(len(why), 100)
        return why

    def with_key(self, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
        """Our certificate, and that key."""
        return RTCCertificate(self.made.x509, key).to_pem()

    def test_what_was_written_is_read(self) -> None:
        for made in (self.made, RTCCertificate.generate_for(RSA, NOW)):
            again = RTCCertificate.from_pem(made.to_pem())
            self.assertEqual(again.fingerprints, made.fingerprints)
            self.assertEqual(again.expires, made.expires)
            self.assertEqual(again.to_pem(), made.to_pem())

    def test_the_order_and_what_stands_between_do_not_matter(self) -> None:
        key, _, certificate = self.pem.partition(b"-----BEGIN CERT")
        pem = b"of ours\n-----BEGIN CERT" + certificate + b"\nand\n" + key
        self.assertEqual(RTCCertificate.from_pem(pem).der, self.made.der)

    def test_a_file_that_lacks_something(self) -> None:
        key, _, certificate = self.pem.partition(b"-----BEGIN CERT")
        self.assertEqual(self.refused(key), "holds not one certificate that can be read")
        self.assertEqual(self.refused(b""), "holds not one certificate that can be read")
        alone = b"-----BEGIN CERT" + certificate
        self.assertEqual(self.refused(alone), "holds no key that can be read")
        self.assertIn("not one certificate", self.refused(self.pem + alone))

    def test_a_key_that_is_not_the_certificates(self) -> None:
        other = ec.generate_private_key(ec.SECP256R1())
        self.assertIn("not that of the certificate", self.refused(self.with_key(other)))
        (weak, curve) = (
            rsa.generate_private_key(65537, 1024),
            ec.generate_private_key(ec.SECP384R1()),
        )
        for key in (weak, curve):
            self.assertIn("neither ECDSA on P-256 nor RSA", self.refused(self.with_key(key)))

    def test_a_key_of_another_kind_or_with_a_passphrase(self) -> None:
        certificate = self.made.x509.public_bytes(Encoding.PEM)
        foreign = ed25519.Ed25519PrivateKey.generate()
        form = (Encoding.PEM, PrivateFormat.PKCS8)
        self.assertIn(
            "neither", self.refused(certificate + foreign.private_bytes(*form, NoEncryption()))
        )
        locked = self.made.key.private_bytes(*form, BestAvailableEncryption(b"secret"))
        self.assertIn("passphrase", self.refused(certificate + locked))

    def test_damage_is_one_error_whatever_it_is(self) -> None:
        seed = random.SystemRandom().getrandbits(32)
        print(f"seed {seed}")
        source = random.Random(seed)
        for _ in range(500):
            pem = bytearray(self.pem)
            for _ in range(source.choice((1, 1, 3, 30))):
                pem[source.randrange(len(pem))] = source.randrange(256)
            if source.random() < 0.3:
                del pem[source.randrange(len(pem)) :]
            try:
                RTCCertificate.from_pem(bytes(pem))
            except CertificateProblem as error:
                self.assertNotIn("\n", str(error))


class GenerateCertificateTests(SynchronousTestCase):
    """RTCPeerConnection.generateCertificate (webrtc-pc section 4.9.1)."""

    def made(self, algorithm: KeygenAlgorithm) -> RTCCertificate:
        made: RTCCertificate = self.successResultOf(
            RTCPeerConnection.generateCertificate(algorithm, now=NOW)
        )
        return made

    def refused(self, kind: type[Exception], algorithm: KeygenAlgorithm) -> None:
        self.failureResultOf(RTCPeerConnection.generateCertificate(algorithm, now=NOW), kind)

    def days(self, **more: object) -> float:
        return (self.made({**ECDSA, **more}).expires - NOW) / timedelta(days=1)

    def test_the_two_that_must_be_there(self) -> None:
        self.assertIsInstance(self.made(ECDSA).key, ec.EllipticCurvePrivateKey)
        made = self.made({**RSA, "hash": {"name": "sha-256"}})
        assert isinstance(made.key, rsa.RSAPrivateKey)
        self.assertEqual(made.key.key_size, 2048)
        self.assertIsInstance(self.made({**ECDSA, "name": "ecdsa"}).key, ec.EllipticCurvePrivateKey)

    def test_any_other_is_not_supported(self) -> None:
        for changed in (
            {"name": "Ed25519"},
            {**ECDSA, "namedCurve": "P-384"},
            {**RSA, "modulusLength": 1024},
            {**RSA, "hash": "SHA-1"},
            {**RSA, "publicExponent": b"\x03"},
        ):
            self.refused(NotSupportedError, changed)
        self.refused(NotSupportedError, "RSA-OAEP")

    def test_what_is_missing_or_is_none_is_a_type_error(self) -> None:
        self.refused(TypeError, "ECDSA")
        self.refused(TypeError, {})
        wrong: Mapping[str, object]
        for wrong in ({"name": 7}, {"expires": -1}, {"expires": "1"}, {"expires": True}):
            self.refused(TypeError, {**ECDSA, **wrong})
        for wrong in ({"hash": None}, {"publicExponent": 65537}, {"modulusLength": 2048.0}):
            self.refused(TypeError, {**RSA, **wrong})

    def test_expires_is_in_milliseconds_and_a_year_at_most(self) -> None:
        self.assertAlmostEqual(self.days(), 30, 3)
        self.assertAlmostEqual(self.days(expires=86_400_000), 1, 3)
        self.assertAlmostEqual(self.days(expires=0), 0, 3)
        self.assertAlmostEqual(self.days(expires=1 << 62), 365, 3)

    def test_a_handshake_with_either(self) -> None:
        """The one of RSA on one side, that of ECDSA on the other."""
        ours, theirs = (DtlsContext(self.made(each)) for each in (ECDSA, RSA))
        expected = [f"{name} {value}" for name, value in theirs.fingerprints]
        client = Association(ours, client=True, fingerprints=expected)
        digest = sha512(ours.certificate.der).digest().hex(":").upper()
        server = Association(theirs, client=False, fingerprints=[f"sha-512 {digest}"])
        for side in (client, server):
            side.start(0.0)
        for _ in range(4):
            server.receive(client.take_transmits(), 0.0)
            client.receive(server.take_transmits(), 0.0)
        self.assertEqual({client.state, server.state}, {AssociationState.CONNECTED})
        self.assertEqual(client.peer_certificate, theirs.certificate.der)
