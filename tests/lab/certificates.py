"""A certificate authority for one run of the lab."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


@define(eq=False, repr=False)
class Authority:
    """I issue server certificates; *path* is the file that clients trust."""

    path: Path
    name: str = "lab"
    _key: ec.EllipticCurvePrivateKey = field(init=False)
    _certificate: x509.Certificate = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        who = _called(f"The authority of the {self.name}")
        self._certificate = (
            _blank(who, who, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Sequence[str], certificate: Path, key: Path) -> None:
        """Write a certificate for DNS names and addresses, and its key."""
        own = ec.generate_private_key(ec.SECP256R1())
        signed = (
            _blank(_called(names[0]), self._certificate.subject, own)
            .add_extension(
                x509.SubjectAlternativeName([_subject(n) for n in names]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key.touch(mode=0o600)
        key.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _subject(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _blank(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 30 * _DAY)
    )
