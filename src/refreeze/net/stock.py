"""The same port on Twisted's own ``reactor.listenUDP``, for reactors without raw descriptors.

What it cannot do: see that a datagram was cut (its buffer is larger than any), batch, or keep
the scope of a link-local source (Twisted issue 6826) beyond the one its own address implies.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from refreeze.basics import Address, canonical_host
from refreeze.net.port import Batch, BatchReceiver, PortCounters, max_udp_payload
from refreeze.net.ratelog import RateLimitedLog

MAX_PACKET_SIZE: Final = 65536
MAX_THROUGHPUT: Final = 32 * 1024
"""Bytes Twisted reads before timers run again; its default of 256 KiB starves them."""


class MuxProtocol(DatagramProtocol):
    """Twisted's side of a :class:`StockPort`: every datagram is a batch of one."""

    noisy = False

    def __init__(self, port: StockPort) -> None:
        self._port = port

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand one datagram on; nothing is raised, so Twisted logs no traceback a packet."""
        self._port.received(datagram, addr)

    def stopProtocol(self) -> None:
        """Twisted closed the socket; from here on there is no transport to write to."""
        self._port.stopped()


@define(eq=False, repr=False)
class StockPort:
    """A :class:`~refreeze.net.port.Port` on ``listenUDP``."""

    local: Address
    counters: PortCounters = field(factory=PortCounters, init=False)
    broken: str | None = field(default=None, init=False)
    last_error: str | None = field(default=None, init=False)
    _protocol: MuxProtocol | None = field(default=None, init=False)
    _receiver: BatchReceiver | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _limited: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._limited = RateLimitedLog(self._log)

    @classmethod
    def listen(cls, reactor: IReactorUDP, host: str, port: int = 0) -> StockPort:
        """Bind now; twisted.internet.error.CannotListenError when refused."""
        stock = cls((canonical_host(host), port))
        stock._protocol = MuxProtocol(stock)
        listening: Any = reactor.listenUDP(
            port, stock._protocol, interface=host, maxPacketSize=MAX_PACKET_SIZE
        )
        listening.maxThroughput = MAX_THROUGHPUT
        listening.noisy = False
        stock.local = stock.local[0], int(listening.getHost().port)
        return stock

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        return max_udp_payload(self.local[0])

    def send(self, batch: Batch) -> int:
        """See :class:`~refreeze.net.port.Port`; the TOS is Twisted's to set, not ours."""
        handed = sum([self._send_one(data, remote) for data, remote, _tos in batch])
        self.counters.sent += handed
        return handed

    def _send_one(self, data: bytes, remote: Address) -> int:
        transport = self._transport()
        if transport is None:
            self.counters.send_errors += 1
            return 0
        try:
            transport.write(data, remote)
        except MessageLengthError:
            self.counters.too_long += 1
            return 0
        except (OSError, ValueError, OverflowError) as error:
            self._count(error)
            return 0
        self.counters.sent_bytes += len(data)
        return 1

    def _count(self, error: Exception) -> None:
        number = error.errno if isinstance(error, OSError) else None
        self.last_error = self.counters.last_send_error = errno.errorcode.get(
            number or 0, type(error).__name__
        )
        if number in (errno.EAGAIN, errno.ENOBUFS):
            self.counters.would_block += 1
        else:
            self.counters.send_errors += 1

    def on_batch(self, receiver: BatchReceiver) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        self._receiver = receiver

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`; Twisted frees the address within this turn."""
        transport = self._transport()
        self._closed = True
        if transport is not None:
            transport.stopListening()

    def _transport(self) -> Any:
        """None once closed: Twisted keeps its own until the end of the turn."""
        return None if self._closed or self._protocol is None else self._protocol.transport

    def received(self, datagram: bytes, addr: Any) -> None:
        """For the protocol: one datagram came."""
        if self._receiver is None or self._closed:
            return
        self.counters.received += 1
        self.counters.received_bytes += len(datagram)
        try:
            self._receiver(self, ((datagram, self._source(addr), 0),))
        except Exception:
            self._limited.failure("the receiver of {port} failed", port=self.local)

    def stopped(self) -> None:
        """For the protocol: Twisted closed the socket, whether we asked or not."""
        if not self._closed:
            self.broken = "lost"

    def _source(self, addr: Any) -> Address:
        host, port = addr[0], addr[1]
        _, percent, zone = self.local[0].partition("%")
        if percent and host.startswith("fe80:") and "%" not in host:
            host = f"{host}%{zone}"
        return host, port
