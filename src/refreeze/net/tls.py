"""TLS towards servers: whom we trust, whether it is who we asked for, and what went wrong.

A server that cannot be verified is not "connection lost": :func:`explain` names what it did, in
a slug for programs and one line for people.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from attrs import define, field, frozen
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.exceptions import CertificateError
from service_identity.pyopenssl import extract_patterns, verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.basics import canonical_host
from refreeze.net.files import read_regular

MAX_CA_FILE: Final = 4 * 1024 * 1024
"""Bytes; the CAs of a whole system take a quarter of a megabyte."""

MAX_NAMES_SHOWN: Final = 4
"""Of a certificate, in a text for people."""

_UNTRUSTED: Final = "untrusted-certificate"

_VERIFY_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    2: (_UNTRUSTED, "its certificate's issuer is not known"),
    7: (_UNTRUSTED, "its certificate's signature is wrong"),
    9: ("expired-certificate", "its certificate is not valid yet"),
    10: ("expired-certificate", "its certificate has expired"),
    18: (_UNTRUSTED, "its certificate is self-signed"),
    19: (_UNTRUSTED, "its certificate's root is not trusted"),
    20: (_UNTRUSTED, "its certificate's issuer is not trusted"),
    21: (_UNTRUSTED, "its certificate's issuer is not trusted"),
    23: (_UNTRUSTED, "its certificate is revoked"),
    26: (_UNTRUSTED, "its certificate is not for a server"),
}
"""By OpenSSL's numbers (x509_vfy.h, X509_V_ERR_*)."""

_HANDSHAKE_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "wrong version number": ("not-tls", "it does not speak TLS there"),
    "packet length too long": ("not-tls", "it does not speak TLS there"),
    "record layer failure": ("not-tls", "it does not speak TLS there"),
    "http request": ("not-tls", "it does not speak TLS there"),
    "unexpected message": ("not-tls", "it does not speak TLS there"),
    "unsupported protocol": ("old-tls", "it offers no TLS 1.2 or later"),
    "alert protocol version": ("old-tls", "it offers no TLS 1.2 or later"),
    "unexpected eof while reading": ("tls-refused", "it closed during the TLS handshake"),
}
"""By what OpenSSL says, in parts of its own words."""


class TrustError(Exception):
    """A file of CAs is of no use; one line that names it."""


@frozen
class TlsProblem:
    """*reason* is a slug; *text* reads on from the server's name."""

    reason: str
    text: str


@define(eq=False, repr=False)
class ServerTrust:
    """I hold the CAs that a server's certificate must come from: the system's, or a file's.

    The file is read again when it changed. TLS 1.2 is the floor, TLS 1.3 is spoken where it can.
    """

    ca_file: str | None = None
    _context: SSL.Context | None = field(default=None, init=False)
    _seen: tuple[int, int, int] | None = field(default=None, init=False)

    def connecting(self, name: str) -> VerifiedConnection:
        """What one connection to *name* is made with; TrustError when the CAs cannot be read."""
        return VerifiedConnection(self._current(), name)

    def _current(self) -> SSL.Context:
        seen = None if self.ca_file is None else _identity(self.ca_file)
        if self._context is None or seen != self._seen:
            self._context, self._seen = _make_context(self.ca_file), seen
        return self._context


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False, repr=False)
class VerifiedConnection:
    """I make one TLS connection, and say afterwards whether its server is *name*.

    OpenSSL judges the chain in the handshake; :meth:`check_name` is called after it, and before
    anything is sent.
    """

    _context: SSL.Context
    name: str
    """A host's name, or a numeric address, which a certificate may hold too."""
    refusal: int | None = field(default=None, init=False)
    """OpenSSL's number for what was wrong with the chain."""

    _flags: ClassVar[int] = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_verify(self._flags, self._judged)
        if not self._is_address():
            # Numeric addresses are not names for SNI (RFC 6066 section 3).
            connection.set_tlsext_host_name(self.name.encode("ascii"))
        return connection

    def check_name(self, connection: SSL.Connection) -> TlsProblem | None:
        """None when the certificate that the handshake showed is for :attr:`name`."""
        try:
            if self._is_address():
                verify_ip_address(connection, self.name.partition("%")[0])
            else:
                verify_hostname(connection, self.name)
        except (VerificationError, CertificateError):
            return TlsProblem("wrong-name", f"its certificate is {_names(connection)}")
        return None

    def _judged(
        self, _connection: SSL.Connection, _certificate: crypto.X509, error: int, _: int, ok: int
    ) -> bool:
        if not ok and self.refusal is None:
            self.refusal = error
        return bool(ok)

    def _is_address(self) -> bool:
        try:
            canonical_host(self.name)
        except ValueError:
            return False
        return True


def explain(failure: Failure, connecting: VerifiedConnection) -> TlsProblem:
    """Why a connection that was *connecting* ended before its handshake did."""
    if connecting.refusal is not None:
        unknown = _UNTRUSTED, f"its certificate was refused (OpenSSL's {connecting.refusal})"
        return TlsProblem(*_VERIFY_ERRORS.get(connecting.refusal, unknown))
    said = openssl_words(failure.value)
    for words, (reason, text) in _HANDSHAKE_ERRORS.items():
        if words in said:
            return TlsProblem(reason, text)
    if "alert" in said:
        return TlsProblem("tls-refused", f"it refused the TLS handshake ({said})")
    if said:
        return TlsProblem("tls-failed", f"the TLS handshake failed ({said})")
    return TlsProblem("tls-refused", "it closed during the TLS handshake")


def openssl_words(error: BaseException | None) -> str:
    """The last thing OpenSSL complained of, or nothing."""
    if not isinstance(error, SSL.Error) or not error.args:
        return ""
    queue = error.args[0]
    if isinstance(queue, list) and queue and isinstance(queue[-1], tuple):
        return str(queue[-1][-1])
    return str(queue)


def _names(connection: SSL.Connection) -> str:
    """For whom the certificate is; printable and short, whatever stands in it."""
    certificate = connection.get_peer_certificate()
    try:
        patterns = [] if certificate is None else extract_patterns(certificate)
    except CertificateError:
        patterns = []
    shown = [_shown(getattr(each, "pattern", each)) for each in patterns]
    if not shown:
        return "for no name at all"
    more = f" and {len(shown) - MAX_NAMES_SHOWN} more" if len(shown) > MAX_NAMES_SHOWN else ""
    return f"for {', '.join(shown[:MAX_NAMES_SHOWN])}{more}"


def _shown(pattern: object) -> str:
    text = pattern.decode("ascii", "replace") if isinstance(pattern, bytes) else str(pattern)
    return ascii(text)[:80]


def _make_context(ca_file: str | None) -> SSL.Context:
    root: Any
    if ca_file is None:
        root = platformTrust()  # type: ignore[no-untyped-call]  # Twisted's
    else:
        found = _read_cas(ca_file)
        root = trustRootFromCertificates(found)  # type: ignore[no-untyped-call]  # Twisted's
    options = CertificateOptions(trustRoot=root, raiseMinimumTo=TLSVersion.TLSv1_2)
    return options.getContext()


def _identity(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror or error}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_cas(path: str) -> list[Certificate]:
    try:
        content = read_regular(path, MAX_CA_FILE + 1)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_CA_FILE:
        raise TrustError(f"{path}: larger than {MAX_CA_FILE} bytes")
    try:
        found = load_pem_x509_certificates(content)
    except ValueError:
        raise TrustError(f"{path}: not certificates in PEM") from None
    return [
        Certificate(crypto.X509.from_cryptography(each))  # type: ignore[no-untyped-call]  # Twisted's
        for each in found
    ]
