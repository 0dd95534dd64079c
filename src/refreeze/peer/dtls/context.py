"""How we speak DTLS: made once for a certificate, shared by all its associations."""

from __future__ import annotations

from typing import Final

from attrs import define, field
from OpenSSL import SSL, crypto

from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.dtls.fingerprints import matches
from refreeze.peer.dtls.problems import MISMATCH, WEAK_KEY, DtlsProblem

_DTLS_1_2: Final = 0xFEFD
_RELEASE_BUFFERS: Final = 0x10
"""SSL_MODE_RELEASE_BUFFERS: an idle association keeps no buffers of 16 KiB."""

_KEY_TOO_SMALL: Final = 66
"""X509_V_ERR_EE_KEY_TOO_SMALL: of fewer than the 112 bits of OpenSSL's security level 2."""

_SUITES: Final = b"ECDHE+AESGCM+AES128:ECDHE+CHACHA20:ECDHE+AESGCM"
"""Forward secrecy and AEAD only; the smaller key first, which is faster and strong enough."""

_SRTP: Final = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"


@define(eq=False, repr=False)
class ExpectedPeer:
    """What one association expects of its peer's certificate; the handshake asks it."""

    fingerprints: tuple[str, ...] | None
    """None: not known yet; whoever asks later decides."""
    problem: DtlsProblem | None = None
    """Why the certificate was refused."""

    def accepts(self, der: bytes) -> bool:
        """Whether the handshake may go on with that certificate."""
        if self.fingerprints is not None and not matches(der, self.fingerprints):
            self.problem = MISMATCH
        return self.problem is None


@define(eq=False, repr=False)
class DtlsContext:
    """Our identity in DTLS, which is 1.2.

    OpenSSL 4.0 has no 1.3. One that has it would write records with other headers (RFC 9147
    section 4), which :mod:`~refreeze.peer.dtls.records` takes for no records.
    """

    certificate: RTCCertificate
    fingerprints: list[tuple[str, str]] = field(init=False)
    _context: SSL.Context = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fingerprints = self.certificate.fingerprints
        context = self._context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        context.set_cipher_list(_SUITES)
        context.set_options(
            SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_QUERY_MTU
        )
        context.set_mode(_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_tlsext_use_srtp(_SRTP)
        context.use_certificate(self.certificate.x509)
        context.use_privatekey(self.certificate.key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)

    def connection(self, expected: ExpectedPeer, *, client: bool) -> SSL.Connection:
        """A new one on memory; *expected* is asked about the peer's certificate."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(expected)
        if client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return connection


def _verify(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, _ok: int
) -> bool:
    """The chain means nothing, the leaf's fingerprint all (RFC 8122 section 6.2).

    A key whose owner is anybody who computes for a while proves nothing: RSA below 2048 bits.
    """
    if depth > 0:
        return True
    expected = connection.get_app_data()
    assert isinstance(expected, ExpectedPeer)
    if error == _KEY_TOO_SMALL:
        expected.problem = WEAK_KEY
    return expected.accepts(der_of(certificate))


def der_of(certificate: crypto.X509) -> bytes:
    """The bytes of a certificate that OpenSSL could read; what is in it does not matter."""
    der: bytes = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    return der
