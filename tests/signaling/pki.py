"""Certificates for tests: made by refreezectl's own authority, in a directory of the test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.task import Clock

from refreeze.ctl.authority import Issued, issue, make_authority
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.link import HubLink
from refreeze.signaling.tls import TlsClientEndpoint, TlsIdentity, TlsServerEndpoint
from tests.signaling.wires import Door, Network, Way, start_link

HUB = "hub.example.net"


def days_ago(days: float) -> datetime:
    """By the real clock, which OpenSSL goes by."""
    return datetime.now(UTC) - timedelta(days=days)


@define
class Pki:
    """A CA and its directory."""

    directory: str
    days: int = 3650
    authority: Issued = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = make_authority(days_ago(0), self.days)
        os.makedirs(self.directory, exist_ok=True)
        self.put("ca.crt", self.authority.certificate_pem)

    def put(self, name: str, content: bytes) -> str:
        """Write one file, mode 0600; returns its path."""
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        return path

    def issue(self, name: str, hosts: Sequence[str] = (), **more: Any) -> CertificateFiles:
        """The files of the daemon *name*."""
        return self.write(name, issue(self.authority, name, hosts, **{"now": days_ago(0), **more}))

    def write(self, name: str, made: Issued) -> CertificateFiles:
        """Anything as the files of *name*."""
        return CertificateFiles(
            certificate=self.put(f"{name}.crt", made.certificate_pem),
            key=self.put(f"{name}.key", made.key_pem),
            ca=os.path.join(self.directory, "ca.crt"),
        )


def tls_door(door: Door, identity: TlsIdentity, clock: Clock) -> Any:
    """What the hub listens at."""
    return TlsServerEndpoint(door, identity, clock)


def tls_link(
    network: Network, door: Door, name: str, identity: TlsIdentity, host: str = HUB
) -> HubLink:
    """A link that has been started."""
    way = TlsClientEndpoint(Way(network, door), identity, host, network.clock)
    return start_link(network, door, name, endpoint=way)


def custom(authority: Issued, names: Sequence[x509.GeneralName], key: Any = None) -> Issued:
    """What another tool may make: any names, and nothing said about purposes."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(days_ago(1))
        .not_valid_after(days_ago(-1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
    )
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)
