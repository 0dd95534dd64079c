"""A relayed address as a port: mux takes it like a socket, and knows nothing of relays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from attrs import define, field
from twisted.logger import Logger

from refreeze.basics import Address, is_ipv6
from refreeze.net.port import Batch, BatchReceiver, PortCounters
from refreeze.net.ratelog import RateLimitedLog


class Relaying(Protocol):
    """The allocation behind a port."""

    @property
    def max_payload(self) -> int: ...

    def relay(self, items: Sequence[tuple[bytes, Address]]) -> int:
        """Send each payload to its peer; returns how many were taken, or wait for permission."""
        ...


@define(eq=False, repr=False)
class RelayPort:
    """A :class:`~refreeze.net.port.Port` whose datagrams go through a TURN server.

    Permissions and channels are the allocation's business; the TOS is not relayed.
    """

    local: Address
    """The relayed transport address."""
    _relaying: Relaying
    counters: PortCounters = field(factory=PortCounters, init=False)
    broken: str | None = field(default=None, init=False)
    _receiver: BatchReceiver | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _six: bool = field(init=False)
    _limited: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._six = is_ipv6(self.local[0])
        self._limited = RateLimitedLog(self._log)

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.port.Port`; the framing towards the server is counted."""
        return self._relaying.max_payload

    def send(self, batch: Batch) -> int:
        """See :class:`~refreeze.net.port.Port`; what waits for a permission was taken."""
        counters = self.counters
        if self._closed or self.broken is not None:
            counters.send_errors += len(batch)
            return 0
        longest = self.max_payload
        items = [
            (data, remote)
            for data, remote, _tos in batch
            if len(data) <= longest and is_ipv6(remote[0]) is self._six
        ]
        if len(items) < len(batch):
            too_long = sum(len(item[0]) > longest for item in batch)
            counters.too_long += too_long
            counters.send_errors += len(batch) - len(items) - too_long
        handed = self._relaying.relay(items) if items else 0
        counters.would_block += len(items) - handed
        counters.sent += handed
        counters.sent_bytes += sum(len(data) for data, _remote in items[:handed])
        return handed

    def on_batch(self, receiver: BatchReceiver) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        self._receiver = receiver

    def received(self, batch: Batch) -> None:
        """For the allocation: peers sent these."""
        if self._closed or self._receiver is None:
            return
        self.counters.received += len(batch)
        self.counters.received_bytes += sum(len(item[0]) for item in batch)
        try:
            self._receiver(self, batch)
        except Exception:
            self._limited.failure("the receiver of {port} failed", port=self.local)

    def lost(self, reason: str) -> None:
        """For the allocation: it is no more."""
        self.broken = reason

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`; the allocation is its owner's to release."""
        self._closed = True
