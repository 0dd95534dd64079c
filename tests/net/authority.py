"""A CA of a test's own, and what it issues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto


@define(eq=False)
class Authority:
    """A CA, and the certificates it issues."""

    name: str = "test CA"
    begins: datetime | None = None
    """From when on what it issues is valid; None: since yesterday."""
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH
    key: ec.EllipticCurvePrivateKey = field(
        factory=lambda: ec.generate_private_key(ec.SECP256R1()), init=False
    )
    certificate: x509.Certificate = field(init=False)

    def __attrs_post_init__(self) -> None:
        own = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = (
            self._builder(_named(self.name), self.key.public_key(), days=30)
            .add_extension(own, critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, directory: Path, *names: str, days: float = 30) -> tuple[str, str]:
        """Paths of a certificate for *names* (hosts or addresses) and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([self.usage])
        builder = self._builder(_named("server"), key.public_key(), days=days)
        if names:
            alternative = x509.SubjectAlternativeName([_general(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        builder = builder.add_extension(usage, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        where, key_where = directory / "server.pem", directory / "server.key"
        where.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_where.write_bytes(_private(key))
        return str(where), str(key_where)

    def write(self, directory: Path) -> str:
        """The path of a file that trusts it."""
        path = directory / "ca.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def private_bytes(self) -> bytes:
        """Its key, in PEM."""
        return _private(self.key)

    def openssl(self) -> crypto.X509:
        """Its certificate, as pyOpenSSL has it."""
        return crypto.X509.from_cryptography(self.certificate)

    def _builder(self, subject: x509.Name, key: Any, *, days: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        end = now + timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_named(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.begins or min(now, end) - timedelta(days=1))
            .not_valid_after(end)
        )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
