"""The three files of a daemon on TLS: its certificate, its key, and the CA that it trusts.

They are read whole and checked against each other before anything of them is used, so that a
half-written or foreign file never gets into a handshake. ``refreezectl pki`` makes them; any
other tool may, as long as the certificate names the daemon (:mod:`refreeze.names`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias, TypeVar, cast

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from refreeze.names import control_of_uri, name_of_uri
from refreeze.net.files import check_regular, read_checked

MAX_FILE: Final = 1024 * 1024

PrivateKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey
Host: TypeAlias = str | IPv4Address | IPv6Address

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class CertificateError(ValueError):
    """One line, ``FILE: what is wrong with it``; never a part of a key."""


@frozen(kw_only=True)
class CertificateFiles:
    """Paths, of PEM files all three."""

    certificate: str
    """The daemon's own, then those between it and the CA, if there are any."""
    key: str
    """Of the first certificate; not readable by everybody, without a passphrase."""
    ca: str
    """Whom the daemon trusts: one CA, or two while one takes over from the other."""


@frozen(eq=False, repr=False, kw_only=True)
class Material:
    """What the files hold; the key is in no repr."""

    chain: Sequence[x509.Certificate]
    key: PrivateKey
    authorities: Sequence[x509.Certificate]
    digest: bytes
    """Of all three files: another one means that something is new."""

    @property
    def names(self) -> Sequence[str]:
        """The daemons that the certificate is for."""
        return names_of(self.chain[0])

    @property
    def expires(self) -> datetime:
        """When the first of our own certificates does."""
        return min(each.not_valid_after_utc for each in self.chain)


def names_of(certificate: x509.Certificate) -> list[str]:
    """The daemons that *certificate* is for; ValueError when its extensions cannot be read."""
    uris = [
        name_of_uri(each.value)
        for each in alternative_names(certificate)
        if isinstance(each, x509.UniformResourceIdentifier)
    ]
    return [name for name in uris if name is not None]


def holders_of(certificate: x509.Certificate) -> list[str]:
    """``ROLE/NAME`` of whom *certificate* lets drive daemons; ValueError as :func:`names_of`."""
    found = [
        control_of_uri(each.value)
        for each in alternative_names(certificate)
        if isinstance(each, x509.UniformResourceIdentifier)
    ]
    return [f"{role}/{name}" for role, name in (each for each in found if each is not None)]


def hosts_of(certificate: x509.Certificate) -> list[Host]:
    """The host names and addresses that *certificate* is for; ValueError as :func:`names_of`."""
    kinds = x509.DNSName, x509.IPAddress
    return [
        cast("Host", each.value)
        for each in alternative_names(certificate)
        if isinstance(each, kinds)
    ]


def alternative_names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    """The subjectAltName, if there is one."""
    found = _extension(certificate, x509.SubjectAlternativeName)
    return () if found is None else list(found)


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """ValueError for whatever stands where extensions should."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None


def load(files: CertificateFiles) -> Material:
    """Read and check all three; CertificateError names the file that is of no use."""
    certificate = read_file(files.certificate)
    secret = read_file(files.key, private=True)
    trusted = read_file(files.ca)
    chain, key = _pair(files.certificate, certificate, files.key, secret)
    authorities = _certificates(files.ca, trusted)
    for each in authorities:
        if not _is_authority(each):
            raise CertificateError(f"{files.ca}: holds a certificate that is not a CA's")
    if not _names(files.certificate, chain[0]):
        raise CertificateError(
            f'{files.certificate}: names no daemon (a URI "refreeze:NAME" in its subjectAltName)'
        )
    digest = hashlib.sha256()
    for part in (certificate, secret, trusted):
        digest.update(hashlib.sha256(part).digest())
    return Material(chain=chain, key=key, authorities=authorities, digest=digest.digest())


def load_pair(certificate: str, key: str) -> tuple[list[x509.Certificate], PrivateKey]:
    """A chain and the key of its first certificate, whoever they name; CertificateError."""
    return _pair(certificate, read_file(certificate), key, read_file(key, private=True))


def _pair(
    certificate: str, content: bytes, key: str, secret: bytes
) -> tuple[list[x509.Certificate], PrivateKey]:
    chain, private = _certificates(certificate, content), _key(key, secret)
    if not _fit(private, chain[0]):
        raise CertificateError(f"{key}: not the key of {certificate}")
    return chain, private


def check_client(files: CertificateFiles, material: Material, name: str) -> None:
    """Whether the daemon *name* can show this certificate to a hub; CertificateError."""
    if name not in material.names:
        whose = ", ".join(material.names) or "no daemon"
        raise CertificateError(f"{files.certificate}: is for {whose}, not for {name}")
    if not _allows(material.chain[0], ExtendedKeyUsageOID.CLIENT_AUTH):
        raise CertificateError(f"{files.certificate}: is not for a client of TLS")


def check_server(files: CertificateFiles, material: Material) -> None:
    """Whether a hub can show this certificate to its links; CertificateError."""
    if not hosts_of(material.chain[0]):
        raise CertificateError(
            f"{files.certificate}: names no host; a hub's has one (refreezectl pki issue --host)"
        )
    if not _allows(material.chain[0], ExtendedKeyUsageOID.SERVER_AUTH):
        raise CertificateError(f"{files.certificate}: is not for a server of TLS")


def read_file(path: str, *, private: bool = False) -> bytes:
    """What is in a regular file of at most 1 MiB; CertificateError.

    A *private* one must not be open to everybody, nor writable by its group.
    """
    try:
        content = read_checked(path, MAX_FILE + 1, _check_private if private else check_regular)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None
    except ValueError:  # a NUL
        raise CertificateError(f"{path}: is no path") from None
    if len(content) > MAX_FILE:
        raise CertificateError(f"{path}: larger than {MAX_FILE} bytes")
    return content


def _check_private(status: os.stat_result) -> None:
    check_regular(status)
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise OSError("others than its owner and group may use it")


def _certificates(path: str, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except (ValueError, x509.InvalidVersion):
        raise CertificateError(f"{path}: holds no certificate in PEM that can be read") from None


def _key(path: str, content: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise CertificateError(f"{path}: has a passphrase; nobody is there to type it") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path}: holds no key in PEM that can be read") from None
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise CertificateError(f"{path}: is neither an ECDSA nor an RSA key")
    return key


def _fit(key: PrivateKey, certificate: x509.Certificate) -> bool:
    try:
        return key.public_key() == certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _names(path: str, certificate: x509.Certificate) -> list[str]:
    """Of daemons, or of people who drive them."""
    try:
        return names_of(certificate) + holders_of(certificate)
    except ValueError:
        raise CertificateError(f"{path}: its extensions cannot be read") from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = _extension(certificate, x509.BasicConstraints)
    except ValueError:
        return False
    return found is not None and found.ca


def _allows(certificate: x509.Certificate, purpose: ObjectIdentifier) -> bool:
    """A certificate without extended key usage is for everything (RFC 5280 section 4.2.1.12)."""
    found = _extension(certificate, x509.ExtendedKeyUsage)
    return found is None or purpose in found


def days_left(expires: datetime, wall: float) -> float:
    """From Unix time *wall*; negative when it is over."""
    return (expires - datetime.fromtimestamp(wall, UTC)).total_seconds() / 86400
