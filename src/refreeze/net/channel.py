"""Ways for frames to one server, and the one over a datagram socket of its own.

A frame is one STUN message or one ChannelData message. A channel serves one server and one
allocation, and dies with either: nothing here connects again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.net.scheduler import Scheduler

FrameReceiver: TypeAlias = Callable[[Sequence[bytes]], None]
LostCallback: TypeAlias = Callable[[str], None]


class ChannelError(Exception):
    """No way to a server; ``reason`` is a slug, the text one line.

    ``no-address`` (of ours, towards it) ``unreachable`` ``refused`` ``timeout``
    ``handshake-timeout`` ``unreadable-ca`` and the reasons of :mod:`refreeze.net.tls`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@define
class ChannelCounters:
    """Plain numbers that a channel keeps."""

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0
    would_block: int = 0
    """Frames that were dropped because the server, or the way there, is behind."""
    send_errors: int = 0
    foreign: int = 0
    """Datagrams from anybody but the server."""


class ServerChannel(Protocol):
    """A way to one server. Nothing is raised out of it, and no callback comes inside a call."""

    @property
    def server(self) -> Address: ...

    @property
    def local(self) -> Address:
        """Our end of the 5-tuple."""
        ...

    @property
    def reliable(self) -> bool:
        """Whether what was taken arrives, in order, or the channel is lost."""
        ...

    @property
    def max_frame(self) -> int:
        """The longest frame it takes, in bytes."""
        ...

    @property
    def counters(self) -> ChannelCounters: ...

    def send(self, frame: bytes) -> bool:
        """Whether it was taken; why not is in the counters."""
        ...

    def on_frames(self, receiver: FrameReceiver) -> None:
        """Set the one receiver of what the server sends, in order, some at a time."""
        ...

    def on_lost(self, callback: LostCallback) -> None:
        """Set who is told, once, that nothing will come or go any more; not after a close."""
        ...

    def close(self) -> None:
        """Give the 5-tuple up at once. Idempotent."""
        ...


@frozen(kw_only=True)
class ChannelSettings:
    """Bounds of a way to a server."""

    connect_seconds: float = 4.0
    """For TCP to connect. A SYN is repeated after 1 s and 3 s: beyond that, trying anew is
    what finds a server that is back."""
    handshake_seconds: float = 5.0
    """For TLS, from the TCP connection on."""
    farewell_seconds: float = 0.5
    """For a connection to be closed in order, before it is reset."""
    max_backlog: int = 256 * 1024
    """Bytes that wait in a stream; data beyond them is dropped, as a full socket would."""
    reserve: int = 16 * 1024
    """On top of them, for requests: they keep the allocation alive."""


@define(eq=False, repr=False)
class UdpChannel:
    """A socket of its own: an allocation is known by its 5-tuple (RFC 8656 section 5)."""

    _port: Port
    server: Address
    _scheduler: Scheduler
    counters: ChannelCounters = field(factory=ChannelCounters, init=False)
    reliable: bool = field(default=False, init=False)
    _receiver: FrameReceiver | None = field(default=None, init=False)
    _lost: LostCallback | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _told: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._port.on_batch(self._batch_received)

    @property
    def local(self) -> Address:
        """See :class:`ServerChannel`."""
        return self._port.local

    @property
    def max_frame(self) -> int:
        """See :class:`ServerChannel`."""
        return self._port.max_payload

    def send(self, frame: bytes) -> bool:
        """See :class:`ServerChannel`; the network loses in silence."""
        if not self._closed and self._port.send(((frame, self.server, 0),)):
            self.counters.sent += 1
            self.counters.sent_bytes += len(frame)
            return True
        self.counters.send_errors += 1
        if self._port.broken is not None and not self._told:
            self._told = True
            self._scheduler.call_at(self._scheduler.now(), self._tell_lost)
        return False

    def on_frames(self, receiver: FrameReceiver) -> None:
        """See :class:`ServerChannel`."""
        self._receiver = receiver

    def on_lost(self, callback: LostCallback) -> None:
        """See :class:`ServerChannel`."""
        self._lost = callback

    def close(self) -> None:
        """See :class:`ServerChannel`."""
        if not self._closed:
            self._closed = True
            self._port.close()

    def _batch_received(self, _port: Port, batch: Batch) -> None:
        server = self.server
        frames = [data for data, source, _tos in batch if source == server]
        self.counters.foreign += len(batch) - len(frames)
        self.counters.received += len(frames)
        self.counters.received_bytes += sum(map(len, frames))
        if frames and self._receiver is not None and not self._closed:
            self._receiver(frames)

    def _tell_lost(self) -> None:
        if not self._closed and self._lost is not None:
            self._lost(f"socket {self._port.broken or 'broken'}")
