"""From a server's numeric address to a channel: which address of ours, UDP, TCP or TLS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from refreeze.basics import Address, is_ipv6
from refreeze.net.channel import ChannelError, ChannelSettings, ServerChannel, UdpChannel
from refreeze.net.port import PortFactory
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import Transport
from refreeze.net.stream import StreamChannel
from refreeze.net.tls import ServerTrust, TrustError, VerifiedConnection

_CONNECT_ERRORS: Final[Mapping[type[Exception], tuple[str, str]]] = {
    ConnectionRefusedError: ("refused", "the connection was refused"),
    TCPTimedOutError: ("timeout", "no answer to the TCP connection"),
    TimeoutError: ("timeout", "no answer to the TCP connection"),
    NoRouteError: ("unreachable", "there is no route to it"),
    ConnectBindError: ("no-address", "our own address cannot be bound"),
}


@define(eq=False, repr=False, kw_only=True)
class ChannelOpener:
    """I open channels to servers from the addresses that may be used, and from no other."""

    reactor: Any
    """IReactorTCP and IReactorTime."""
    ports: PortFactory
    scheduler: Scheduler
    hosts: Callable[[], Sequence[str]]
    """The local addresses that may be used, in order."""
    settings: ChannelSettings = field(factory=ChannelSettings)

    def source(self, server_host: str) -> str | None:
        """From which address of ours that server is talked to: the kernel's choice if allowed."""
        hosts = self.hosts()
        chosen = self.ports.source_host(server_host)
        if chosen is not None and chosen in hosts:
            return chosen
        six = is_ipv6(server_host)
        return next((host for host in hosts if is_ipv6(host) is six), None)

    def open(
        self, transport: Transport, server: Address, name: str, trust: ServerTrust
    ) -> Deferred[ServerChannel]:
        """A channel to *server*, which has to be *name* where there is TLS; ChannelError.

        Bounded in time, and may be cancelled: nothing stays open then.
        """
        return Deferred.fromCoroutine(self._open(transport, server, name, trust))

    async def _open(
        self, transport: Transport, server: Address, name: str, trust: ServerTrust
    ) -> ServerChannel:
        source = self.source(server[0])
        if source is None:
            family = "IPv6" if is_ipv6(server[0]) else "IPv4"
            raise ChannelError("no-address", f"there is no {family} address of ours to use")
        if transport == "udp":
            return self._open_udp(source, server)
        verifying = None
        if transport == "tls":
            try:
                verifying = trust.connecting(name)
            except TrustError as error:
                raise ChannelError("unreadable-ca", str(error)) from None
        return await self._connect(source, server, verifying)

    def _open_udp(self, source: str, server: Address) -> ServerChannel:
        try:
            port = self.ports.open_udp(source, 0)
        except OSError as error:
            raise ChannelError("no-address", f"{source}: {error.strerror or error}") from None
        return UdpChannel(port, server, self.scheduler)

    async def _connect(
        self, source: str, server: Address, verifying: VerifiedConnection | None
    ) -> ServerChannel:
        kind = TCP6ClientEndpoint if is_ipv6(server[0]) else TCP4ClientEndpoint
        seconds = self.settings.connect_seconds
        endpoint: Any = kind(self.reactor, *server, timeout=seconds, bindAddress=(source, 0))
        channel = StreamChannel(server, self.settings, self.scheduler, verifying)
        factory: Any = _OneProtocol(channel)
        if verifying is not None:
            # Twisted's wrapClientTLS would let the global reactor flush what is written.
            factory = TLSMemoryBIOFactory(verifying, True, factory, clock=self.reactor)
        try:
            await endpoint.connect(factory)
        except ConnectingCancelledError:
            raise CancelledError from None
        except ConnectError as error:
            raise _connect_error(error) from None
        await channel.ready.addTimeout(
            self.settings.handshake_seconds, self.reactor, _handshake_too_late
        )
        return channel


class _OneProtocol(Factory):
    """Twisted's way to hand a protocol to a connection."""

    noisy = False

    def __init__(self, channel: StreamChannel) -> None:
        self._channel = channel

    def buildProtocol(self, addr: Any) -> Any:
        """See IProtocolFactory."""
        return self._channel


def _connect_error(error: ConnectError) -> ChannelError:
    for kind, (reason, text) in _CONNECT_ERRORS.items():
        if isinstance(error, kind):
            return ChannelError(reason, text)
    return ChannelError("unreachable", "it cannot be connected to")


def _handshake_too_late(_result: object, seconds: float) -> Failure:
    error = ChannelError("handshake-timeout", f"no TLS handshake within {seconds:g} s")
    return Failure(error)  # type: ignore[no-untyped-call]  # Twisted's
