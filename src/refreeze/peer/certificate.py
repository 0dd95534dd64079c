"""RTCCertificate: a self-signed certificate whose fingerprint goes into SDP (webrtc-pc 4.9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

LIFETIME: Final = timedelta(days=30)
LONGEST: Final = timedelta(days=365)
"""What W3C allows a script to ask for."""
_SKEW: Final = timedelta(days=1)
"""Clocks differ: a certificate begins a day before it is made."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateProblem(ValueError):
    """One line; never a part of a key."""


@frozen(repr=False)
class RTCCertificate:
    """A certificate and its key. The name in it is the same for all, and tells nothing."""

    expires: datetime
    made: datetime
    der: bytes
    key: PrivateKey = field()

    @classmethod
    def generate(
        cls, now: datetime, lifetime: timedelta = LIFETIME, key: PrivateKey | None = None
    ) -> RTCCertificate:
        """A fresh one, for *lifetime* from *now*; ECDSA on P-256 unless a *key* is given."""
        if not timedelta(0) < lifetime <= LONGEST:
            raise CertificateProblem(f"a lifetime of more than 0 and at most {LONGEST.days} days")
        key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        made = now.astimezone(UTC).replace(microsecond=0)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "refreeze")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(made - _SKEW)
            .not_valid_after(made + lifetime)
            .sign(key, SHA256())
        )
        return cls(made + lifetime, made, certificate.public_bytes(Encoding.DER), key)

    @property
    def x509(self) -> x509.Certificate:
        """For the TLS library."""
        return x509.load_der_x509_certificate(self.der)

    def getFingerprints(self) -> list[tuple[str, str]]:
        """(algorithm, colon-separated upper-case hex), as SDP writes them (RFC 8122)."""
        return [("sha-256", sha256(self.der).digest().hex(":").upper())]

    def to_pem(self) -> bytes:
        """Certificate and key, for a file that nobody else may read."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.x509.public_bytes(Encoding.PEM) + key

    @classmethod
    def from_pem(cls, pem: bytes) -> RTCCertificate:
        """What :meth:`to_pem` wrote; CertificateProblem for anything else."""
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            key = load_pem_private_key(pem, None)
            ours = isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
            if not ours or certificate.public_key() != key.public_key():
                raise CertificateProblem("the key is not the certificate's")
        except CertificateProblem:
            raise
        except Exception:
            # Whatever the library says of a damaged key may quote it.
            raise CertificateProblem("holds no certificate with its key") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        der = certificate.public_bytes(Encoding.DER)
        made = certificate.not_valid_before_utc + _SKEW
        return cls(certificate.not_valid_after_utc, made, der, key)
