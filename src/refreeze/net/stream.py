"""A TCP connection to one server, or TLS on one: frames are cut out of its bytes."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.basics import Address, canonical_host
from refreeze.net.channel import (
    ChannelCounters,
    ChannelError,
    ChannelSettings,
    FrameReceiver,
    LostCallback,
)
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.net.tls import TlsProblem, VerifiedConnection, explain
from refreeze.turn import FramingError, StreamFramer

MAX_STREAM_FRAME: Final = 65_535 + 4 + 1
"""ChannelData of the greatest length, with its header and its padding (RFC 8656 section 12.5)."""

_CHANNEL_DATA: Final = 0x40
"""The first byte of ChannelData is 0x40 to 0x4F (RFC 8656 section 12)."""
_SEND_INDICATION: Final = b"\x00\x16"


@implementer(IHandshakeListener, IPushProducer)
class StreamChannel(Protocol):
    """A :class:`~refreeze.net.channel.ServerChannel`, and Twisted's side of it."""

    reliable = True
    max_frame = MAX_STREAM_FRAME

    def __init__(
        self,
        server: Address,
        settings: ChannelSettings,
        scheduler: Scheduler,
        verifying: VerifiedConnection | None = None,
    ) -> None:
        self.server = server
        self.local: Address = ("", 0)
        self.counters = ChannelCounters()
        self.ready: Deferred[None] = Deferred(lambda _: self.close())
        """Fires when frames can go; fails with ChannelError."""
        self._settings = settings
        self._scheduler = scheduler
        self._verifying = verifying
        self._framer = StreamFramer()
        self._receiver: FrameReceiver | None = None
        self._lost: LostCallback | None = None
        self._closed = False
        self._paused = False
        self._backlog = 0
        self._farewell: Handle | None = None

    # ServerChannel

    def send(self, frame: bytes) -> bool:
        """See :class:`ServerChannel`; what goes behind a full pipe is bounded."""
        if self._closed or self.transport is None:
            self.counters.send_errors += 1
            return False
        if self._paused and self._backlog + len(frame) > self._room(frame):
            self.counters.would_block += 1
            return False
        if self._paused:
            self._backlog += len(frame)
        self.counters.sent += 1
        self.counters.sent_bytes += len(frame)
        self.transport.write(frame)
        return True

    def on_frames(self, receiver: FrameReceiver) -> None:
        """See :class:`ServerChannel`."""
        self._receiver = receiver

    def on_lost(self, callback: LostCallback) -> None:
        """See :class:`ServerChannel`."""
        self._lost = callback

    def close(self) -> None:
        """See :class:`ServerChannel`: with a farewell, that is not waited for long."""
        if self._closed:
            return
        self._closed = True
        transport: Any = self.transport
        if transport is not None:
            transport.unregisterProducer()
            transport.loseConnection()
            at = self._scheduler.now() + self._settings.farewell_seconds
            self._farewell = self._scheduler.call_at(at, transport.abortConnection)

    def _room(self, frame: bytes) -> int:
        settings = self._settings
        is_data = frame[0] >= _CHANNEL_DATA or frame[:2] == _SEND_INDICATION
        return settings.max_backlog + (0 if is_data else settings.reserve)

    # IProtocol

    def connectionMade(self) -> None:
        """See IProtocol; with TLS, the handshake begins only now."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        here = transport.getHost()
        self.local = canonical_host(here.host), int(here.port)
        if self._verifying is None:
            self.ready.callback(None)

    def handshakeCompleted(self) -> None:
        """See IHandshakeListener: the chain is good; is it who we asked for?"""
        transport: Any = self.transport
        if self._verifying is None or self.ready.called:
            return
        problem = self._verifying.check_name(transport.getHandle())
        if problem is None:
            self.ready.callback(None)
        else:
            self.close()
            self.ready.errback(_error(problem))

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol; a length that cannot be ends the connection (there is no way back)."""
        if self._closed or not self.ready.called:
            return
        self.counters.received_bytes += len(data)
        try:
            frames = self._framer.feed(data)
        except FramingError as error:
            reason = str(error)
            self.close()
            self._scheduler.call_at(self._scheduler.now(), lambda: self._tell_lost(reason))
            return
        self.counters.received += len(frames)
        if frames and self._receiver is not None:
            self._receiver(frames)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        if self._farewell is not None:
            self._farewell.remove()
        if self.ready.called:
            if not self._closed:
                self._closed = True
                done = isinstance(reason.value, ConnectionDone)
                self._tell_lost("closed by the server" if done else "connection lost")
            return
        self._closed = True
        if self._verifying is None:
            self.ready.errback(ChannelError("unreachable", "it closed at once"))
        else:
            self.ready.errback(_error(explain(reason, self._verifying)))

    def _tell_lost(self, reason: str) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(reason)

    # IPushProducer, as far as it tells us that the transport is full

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True
        self._backlog = 0

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False

    def stopProducing(self) -> None:
        """See IPushProducer; the loss is told by connectionLost."""


def _error(problem: TlsProblem) -> ChannelError:
    return ChannelError(problem.reason, problem.text)
