"""Who a server talks to: a client's 5-tuple, on a socket or on a stream."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from refreeze.basics import Address
from refreeze.net.port import Port


class Flow(Protocol):
    """A client's 5-tuple: what an allocation belongs to (RFC 8656 section 3.2). Hashable."""

    @property
    def kind(self) -> str:
        """``udp``, ``tcp`` or ``tls``."""
        ...

    @property
    def local(self) -> Address:
        """The server's end."""
        ...

    @property
    def remote(self) -> Address:
        """The client's, as the server sees it."""
        ...

    def send(self, data: bytes) -> None:
        """One datagram, or bytes of the stream."""
        ...

    def close(self) -> None:
        """End the stream after what was sent; a datagram flow has no end."""
        ...


@frozen
class DatagramFlow:
    """A client on UDP."""

    port: Port
    remote: Address

    @property
    def kind(self) -> str:
        """See :class:`Flow`."""
        return "udp"

    @property
    def local(self) -> Address:
        """See :class:`Flow`."""
        return self.port.local

    def send(self, data: bytes) -> None:
        """See :class:`Flow`."""
        self.port.send([(data, self.remote, 0)])

    def close(self) -> None:
        """See :class:`Flow`."""
