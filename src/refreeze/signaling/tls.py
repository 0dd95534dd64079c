"""Mutual TLS 1.3 between a hub and its links: contexts, handshakes, endpoints.

Both ends show a certificate and trust one CA, the configured one. There are no session tickets:
a resumed session would not show its certificate again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field, frozen
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from refreeze.net.servers import is_numeric
from refreeze.net.tls import openssl_words
from refreeze.signaling.certificates import CertificateError, CertificateFiles, Material, load
from refreeze.signaling.places import HubPlace, TlsPlace, client_endpoint
from refreeze.signaling.verification import Verification, judged

_VERIFY: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT | SSL.VERIFY_CLIENT_ONCE

_NO_AUTO_CHAIN: Final = 0x8
"""SSL_MODE_NO_AUTO_CHAIN (ssl.h): our CA's certificate is not sent along, as the other end has
it. It would cost the hub 5 KiB a link."""


def make_context(material: Material) -> SSL.Context:
    """For both ends of any number of connections, which must not change it any more."""
    # Twisted's hints know no certificates of cryptography's yet.
    options: Any = CertificateOptions
    trusted: Any = trustRootFromCertificates
    authority: Any = Certificate
    authorities = [authority(crypto.X509.from_cryptography(each)) for each in material.authorities]
    context: SSL.Context = options(
        privateKey=material.key,
        certificate=material.chain[0],
        extraCertChain=list(material.chain[1:]),
        trustRoot=trusted(authorities),
        raiseMinimumTo=TLSVersion.TLSv1_3,
    ).getContext()
    context.set_verify(_VERIFY, judged)
    context.set_mode(_NO_AUTO_CHAIN)
    return context


@define(eq=False, repr=False)
class TlsIdentity:
    """I hold what a daemon shows and whom it trusts; new handshakes use what I hold by then."""

    files: CertificateFiles
    check: Callable[[Material], None] = lambda _material: None
    """Raises CertificateError when the daemon can do nothing with it."""
    material: Material = field(init=False)
    _context: SSL.Context = field(init=False)

    def __attrs_post_init__(self) -> None:
        """CertificateError when the files are of no use."""
        self._take(self._read())

    def reread(self) -> bool:
        """Look at the files again; True when they are new. Else, and on CertificateError, all
        stays as it was. Connections that are there stay in any case.
        """
        found = self._read()
        if found.digest == self.material.digest:
            return False
        self._take(found)
        return True

    def connection(self) -> SSL.Connection:
        """One end of a new connection over memory."""
        return SSL.Connection(self._context, None)

    def _read(self) -> Material:
        found = load(self.files)
        self.check(found)
        return found

    def _take(self, material: Material) -> None:
        try:
            self._context = make_context(material)
        except SSL.Error as error:  # such as a key that is too short
            why = openssl_words(error)
            raise CertificateError(f"{self.files.certificate}: OpenSSL says: {why}") from None
        self.material = material


@implementer(IOpenSSLServerConnectionCreator)
@frozen(eq=False, repr=False)
class _Accepting:
    identity: TlsIdentity
    verification: Callable[[], Verification]

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLServerConnectionCreator."""
        tlsProtocol.verification = self.verification()
        return self.identity.connection()


@implementer(IOpenSSLClientConnectionCreator)
@frozen(eq=False, repr=False)
class _Connecting:
    identity: TlsIdentity
    host: str

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        tlsProtocol.verification = Verification(self.host)
        connection = self.identity.connection()
        if not is_numeric(self.host):
            # For those between us who pass connections on by name; RFC 6066 section 3.
            connection.set_tlsext_host_name(self.host.encode())
        return connection


class _AcceptingFactory(TLSMemoryBIOFactory):
    """Lets the wrapped factory turn a connection away before TLS costs anything."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """None when the wrapped factory has none."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else self.protocol(self, protocol)


@implementer(IStreamServerEndpoint)
@frozen(eq=False, repr=False)
class TlsServerEndpoint:
    """Listens where *endpoint* does, with TLS on every connection.

    *verification* makes the judge of one handshake.
    """

    endpoint: IStreamServerEndpoint
    identity: TlsIdentity
    clock: IReactorTime
    verification: Callable[[], Verification] = Verification

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See IStreamServerEndpoint."""
        accepting = _Accepting(self.identity, self.verification)
        return self.endpoint.listen(
            _AcceptingFactory(accepting, False, protocolFactory, clock=self.clock)
        )


@implementer(IStreamClientEndpoint)
@frozen(eq=False, repr=False)
class TlsClientEndpoint:
    """Connects where *endpoint* does, with TLS, to a hub whose certificate is for *host*."""

    endpoint: IStreamClientEndpoint
    identity: TlsIdentity
    host: str
    clock: IReactorTime

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires when the stream is there; the handshake is under way by then."""
        connecting = _Connecting(self.identity, self.host)
        factory = TLSMemoryBIOFactory(connecting, True, protocolFactory, clock=self.clock)
        return self.endpoint.connect(factory).addCallback(_wrapped)


def link_endpoint(
    reactor: Any, place: HubPlace, identity: TlsIdentity | None, server_name: str | None = None
) -> IStreamClientEndpoint:
    """A link's way to a hub at a checked place; ValueError when TLS lacks its identity."""
    endpoint = client_endpoint(reactor, place)
    if not isinstance(place, TlsPlace):
        return endpoint
    if identity is None:
        raise ValueError("a link over TLS needs a certificate, its key and a CA")
    return TlsClientEndpoint(endpoint, identity, server_name or place.host, reactor)


def _wrapped(protocol: Any) -> IProtocol:
    wrapped: IProtocol = protocol.wrappedProtocol
    return wrapped
