"""RTCCertificate: an ECDSA P-256 certificate and its fingerprint (webrtc-pc section 4.9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=30)


@frozen
class RTCCertificate:
    """A certificate whose fingerprint goes into the SDP. The key never leaves the object."""

    expires: datetime
    _der: bytes = field(repr=False)
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls, now: datetime) -> RTCCertificate:
        """A fresh self-signed certificate, valid from a day before *now* for 30 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "refreeze")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + LIFETIME)
            .sign(key, SHA256())
        )
        return cls(now.astimezone(UTC) + LIFETIME, certificate.public_bytes(Encoding.DER), key)

    @property
    def x509(self) -> x509.Certificate:
        """For the TLS library."""
        return x509.load_der_x509_certificate(self._der)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """For the TLS library."""
        return self._key

    def getFingerprints(self) -> list[tuple[str, str]]:
        """(algorithm, colon-separated upper-case hex), as SDP writes them (RFC 8122)."""
        digest = sha256(self._der).hexdigest().upper()
        return [("sha-256", ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))]
