"""Where a daemon can be reached: a UNIX socket, loopback TCP, or TLS with certificates."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the daemon wants a certificate (--cert)",
    "UNKNOWN_CA": "the daemon does not trust the CA of our certificate",
    "CERTIFICATE_EXPIRED": "our certificate has expired",
    "UNSUPPORTED_CERTIFICATE": "our certificate is not for a client of TLS",
    "BAD_CERTIFICATE": "the daemon refuses our certificate",
    "CERTIFICATE_UNKNOWN": "the daemon refuses our certificate",
    "INTERNAL_ERROR": "the daemon refuses our certificate: it is for no control port",
    "PROTOCOL_VERSION": "no TLS 1.3 is spoken there",
    "UNSUPPORTED_PROTOCOL": "no TLS 1.3 is spoken there",
    "WRONG_VERSION_NUMBER": "no TLS is spoken there",
    "RECORD_LAYER_FAILURE": "no TLS is spoken there",
    "UNEXPECTED_EOF_WHILE_READING": "the daemon hung up in the handshake",
}
"""By parts of OpenSSL's reasons."""


class Certificates:
    """Files for TLS: ours, its key, and the CA of the daemon's; and whom that must be for.

    Without *key* it is the ``.key`` beside the certificate, without *ca* the ``ca.crt`` there:
    as ``refreezectl pki issue`` leaves them.
    """

    def __init__(self, cert: str = "", key: str = "", ca: str = "", server_name: str = "") -> None:
        self.cert = cert
        self.key = key or f"{os.path.splitext(cert)[0]}.key"
        self.ca = ca or os.path.join(os.path.dirname(cert), "ca.crt")
        self.server_name = server_name


def connect(where: str, timeout: float, certificates: Certificates) -> socket.socket:
    """To a path, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``; OSError or ValueError, see :func:`words`.

    On TLS 1.3 the daemon's verdict on our certificate is not in yet when this returns.
    """
    kind, colon, rest = where.partition(":")
    if colon and kind in ("tcp", "tls"):
        host, _, port = rest.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{kind}:HOST:PORT is wanted")
        host = host.strip("[]")
        context = _context(certificates) if kind == "tls" else None
        connected = socket.create_connection((host, int(port)), timeout)
        if context is None:
            return connected
        try:
            return context.wrap_socket(connected, server_hostname=certificates.server_name or host)
        except OSError:
            connected.close()
            raise
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(timeout)
    try:
        connected.connect(where)
    except OSError:
        connected.close()
        raise
    return connected


def words(error: Exception) -> str:
    """What went wrong, in one line."""
    reason = str(getattr(error, "reason", None) or "")
    for part, text in _ALERTS.items():
        if part in reason:
            return text
    verdict = getattr(error, "verify_message", None)
    if verdict:
        return f"the daemon's certificate is refused: {verdict}"
    return str(getattr(error, "strerror", None) or error)


def _context(certificates: Certificates) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415  # slow to load, and only TLS wants it

    if not certificates.cert:
        raise ValueError("--cert FILE is needed on TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path in (certificates.cert, certificates.key, certificates.ca):
        try:
            open(path, "rb").close()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
    try:
        context.load_cert_chain(certificates.cert, certificates.key, lambda: "")
    except OSError:
        names = f"{certificates.cert} and {certificates.key}"
        raise ValueError(f"{names}: no certificate with its key") from None
    try:
        context.load_verify_locations(certificates.ca)
    except OSError:
        raise ValueError(f"{certificates.ca}: holds no certificate") from None
    return context
