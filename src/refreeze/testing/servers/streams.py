"""A server's clients on streams: messages follow each other (RFC 8656 sections 3.1 and 12.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from refreeze.basics import Address, canonical_host


@define(eq=False, repr=False)
class StreamFlow:
    """One connection of a client."""

    kind: str
    local: Address
    remote: Address
    _transport: ITransport
    _received: bytearray = field(factory=bytearray, init=False)

    def send(self, data: bytes) -> None:
        """See :class:`~refreeze.testing.servers.flows.Flow`."""
        self._transport.write(data)

    def close(self) -> None:
        """See :class:`~refreeze.testing.servers.flows.Flow`."""
        self._transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection."""
        abort: Any = self._transport
        abort.abortConnection()

    def frames(self, data: bytes) -> Iterator[bytes]:
        """The messages that *data* completes; what can be none closes the connection."""
        self._received += data
        while len(self._received) >= 4:
            kind, length = self._received[0], int.from_bytes(self._received[2:4], "big")
            if kind >= 0x80 or (kind < 0x40 and length % 4):
                self._received.clear()
                self.close()
                return
            size = 20 + length if kind < 0x40 else 4 + (length + 3 & ~3)
            if len(self._received) < size:
                return
            frame = bytes(self._received[:size])
            del self._received[:size]
            yield frame


class _Connection(Protocol):
    """Twisted's side of a flow."""

    flow: StreamFlow | None = None

    def __init__(self, factory: StreamFactory) -> None:
        self._factory = factory

    def connectionMade(self) -> None:
        transport: Any = self.transport
        here, there = transport.getHost(), transport.getPeer()
        flow = StreamFlow(self._factory.kind, _address(here), _address(there), transport)
        self.flow = flow
        self._factory.flows[flow] = None

    def dataReceived(self, data: bytes) -> None:
        if self.flow is not None:
            for frame in self.flow.frames(data):
                self._factory.received(self.flow, frame)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.flow is not None:
            self._factory.flows.pop(self.flow, None)
            self._factory.lost(self.flow)


@define(eq=False, repr=False)
class StreamFactory(Factory):
    """Makes flows of *kind*, ``tcp`` or ``tls``, and remembers those that are open."""

    kind: str
    received: Callable[[StreamFlow, bytes], None]
    lost: Callable[[StreamFlow], None]
    flows: dict[StreamFlow, None] = field(factory=dict, init=False)

    noisy = False

    def buildProtocol(self, addr: object) -> _Connection:
        """See Factory."""
        return _Connection(self)


def _address(address: Any) -> Address:
    return canonical_host(address.host), int(address.port)
