"""The two ends of a stream in memory, good enough for every protocol here.

What is written goes first into the sender's buffer (its producer is paused above 64 KiB), from
there onto the way (64 KiB at most, as a kernel's buffers), and arrives after the delay.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import define, field, frozen
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from refreeze.testing.streams import Party, Place, Streams
    from refreeze.testing.ways import StreamWay

RETRANSMIT: Final = 0.5
"""Seconds after which what did not get through the network is sent again."""

BUFFER: Final = 64 * 1024
"""Bytes above which a sender's producer is paused, and bytes on the way at most."""

_SO_PEERGROUPS: Final = 59


@frozen
class Credentials:
    """Of the process at one end, as the kernel would tell the other."""

    pid: int
    uid: int
    gid: int


@frozen
class VirtualHandle:
    """What ``getHandle`` gives: a socket that can only be asked who is at the other end."""

    _peer: Credentials | None

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:
        """SO_PEERCRED and SO_PEERGROUPS of unix(7); a TCP socket has nobody."""
        peer = self._peer
        if (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED):
            return struct.pack("=iII", *((0, 2**32 - 1, 2**32 - 1) if peer is None else _ids(peer)))
        if (level, option) == (socket.SOL_SOCKET, _SO_PEERGROUPS) and peer is not None:
            return struct.pack("=I", peer.gid)
        raise OSError("Protocol not available")


def _ids(peer: Credentials) -> tuple[int, int, int]:
    return peer.pid, peer.uid, peer.gid


def join(
    streams: Streams,
    place: Place,
    connects: Party,
    listens: Party,
    gone: Callable[[Failure], None],
    network_way: StreamWay | None = None,
) -> tuple[VirtualTransport, VirtualTransport]:
    """A client's end and a server's; *gone* hears when the client's is lost.

    Through the fake network it goes by *network_way*.
    """
    client = VirtualTransport(streams, place, connects, network_way, True, gone=gone)
    server = VirtualTransport(streams, place, listens, network_way, False, gone=_nobody)
    client.other, server.other = server, client
    return client, server


def failure(kind: Callable[[], Exception]) -> Failure:
    """A Failure of that kind."""
    return Failure(kind())  # type: ignore[no-untyped-call]  # Twisted's


def _nobody(_reason: Failure) -> None:
    return


@implementer(ITCPTransport, IConsumer, IPushProducer)
@define(eq=False, repr=False)
class VirtualTransport:
    """One end of a stream."""

    _streams: Streams
    place: Place
    party: Party
    _network_way: StreamWay | None
    _is_client: bool
    _gone: Callable[[Failure], None] = field(kw_only=True)
    other: VirtualTransport = field(init=False)
    protocol: Any = field(default=None, init=False)
    disconnecting: bool = field(default=False, init=False)
    disconnected: bool = field(default=False, init=False)
    _here: IAddress | None = field(default=None, init=False)
    _there: IAddress | None = field(default=None, init=False)
    _out: bytearray = field(factory=bytearray, init=False)
    _way: deque[tuple[float, bytes | None]] = field(factory=deque, init=False)
    """What is on its way to the other end, and when it gets there; None: the end of it."""
    _on_way: int = field(default=0, init=False)
    _push_planned: bool = field(default=False, init=False)
    _again_planned: bool = field(default=False, init=False)
    _half_closing: bool = field(default=False, init=False)
    _aborting: bool = field(default=False, init=False)
    _write_closed: bool = field(default=False, init=False)
    _read_closed: bool = field(default=False, init=False)
    _reading: bool = field(default=True, init=False)
    _producer: Any = field(default=None, init=False)
    _streaming: bool = field(default=False, init=False)
    _producer_paused: bool = field(default=False, init=False)
    _no_delay: bool = field(default=False, init=False)
    _keep_alive: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    # ITransport

    def write(self, data: bytes) -> None:
        """See ITransport."""
        if self._half_closing or self.disconnected or not data:
            return
        self._out += data
        if self._producer is not None and self._streaming and len(self._out) > BUFFER:
            self._pause_producer()
        self._plan_push()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """See ITransport."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """See ITransport."""
        if not self.disconnected:
            self.disconnecting = True
            self._plan_push()

    def loseWriteConnection(self) -> None:
        """See ITCPTransport."""
        self._half_closing = True
        self._plan_push()

    def abortConnection(self) -> None:
        """See ITCPTransport."""
        if not self.disconnected:
            self.disconnecting = self._half_closing = self._aborting = True
            self._reading = False
            self._out.clear()
            self._at(0.0, self._abort)

    def getPeer(self) -> Any:
        """See ITransport."""
        return self._there

    def getHost(self) -> Any:
        """See ITransport."""
        return self._here

    def getHandle(self) -> VirtualHandle:
        """Not of any interface, but of every socket's transport."""
        return VirtualHandle(self.other.party.credentials if self.place.port is None else None)

    def getTcpNoDelay(self) -> bool:
        """See ITCPTransport."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See ITCPTransport; nothing is ever delayed by Nagle here."""
        self._no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        """See ITCPTransport."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See ITCPTransport; there are none here."""
        self._keep_alive = enabled

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self._producer = None
        if self.disconnecting or self._half_closing:
            self._plan_push()

    def _pause_producer(self) -> None:
        if not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _resume_producer(self) -> bool:
        """Ask for more when there can be more; whether anybody was asked."""
        if self._producer is None or (self._streaming and not self._producer_paused):
            return False
        self._producer_paused = False
        self._producer.resumeProducing()
        return True

    # IPushProducer

    def pauseProducing(self) -> None:
        """See IPushProducer: deliver nothing for now."""
        self._reading = False

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        if not self._reading and not self.disconnecting:
            self._reading = True
            self.wake()

    def stopProducing(self) -> None:
        """See IPushProducer."""
        self.loseConnection()

    # For the streams

    def addresses(self, here: IAddress, there: IAddress) -> None:
        """What getHost and getPeer say."""
        self._here, self._there = here, there

    def connected(self, protocol: IProtocol) -> None:
        """Begin."""
        self.protocol = protocol
        self._guard(protocol.makeConnection, self)
        self.wake()

    def wake(self) -> None:
        """Look at what is on its way to me again: it may move now."""
        self._at(0.0, self._arrival)

    def abandoned(self) -> None:
        """The client gave up before it knew that it was connected."""
        self.disconnected = True
        self._send_reset()

    def lost(self, reason: Failure) -> None:
        """The connection is over for this end. Idempotent."""
        if self.disconnected:
            return
        self.disconnected = self.disconnecting = True
        self._out.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        if self.protocol is not None:
            try:
                self.protocol.connectionLost(reason)
            except Exception:
                self._log.failure("connectionLost failed")
        self._gone(reason)

    def killed(self) -> None:
        """My program is no more: it is told nothing, and the kernel closes for it."""
        if not self.disconnected:
            self.disconnected = self.disconnecting = True
            self._producer = None
            self._send_end()

    # The way

    def _at(self, delay: float, function: Callable[..., object], *args: object) -> None:
        clock = self._streams.clock
        clock.run_at(clock.seconds() + delay, function, *args)

    def _plan_push(self) -> None:
        if not self._push_planned:
            self._push_planned = True
            self._at(0.0, self._push)

    def _push(self) -> None:
        """What a kernel would take now goes on its way."""
        self._push_planned = False
        if self.disconnected or self._aborting:
            return
        way = self._network_way
        if way is not None and self._out and self._is_client and way.forgotten:
            self._at(2 * way.delay, self.lost, failure(ConnectionLost))
            return
        if self._out and self.other.disconnected:
            if self._passes():
                self._at(self._delay, self.lost, failure(ConnectionLost))
            else:
                self._at(RETRANSMIT, self._plan_push)
            return
        room = BUFFER - self._on_way
        if self._out and room > 0:
            chunk = bytes(self._out[:room])
            del self._out[:room]
            self._on_way += len(chunk)
            self._send(chunk)
        if self._out or self._resume_producer():
            return
        if self.disconnecting:
            self._send_end()
            self.lost(failure(ConnectionDone))
        elif self._half_closing and not self._write_closed:
            self._send_end()
            self._half_closed()

    def _send(self, chunk: bytes | None) -> None:
        delay = self._delay
        self._way.append((self._streams.clock.seconds() + delay, chunk))
        self._at(delay, self.other._arrival)

    def _send_reset(self) -> None:
        """The other end hears that it is over, or nothing at all."""
        if self._passes():
            self._at(self._delay, self.other.lost, failure(ConnectionLost))

    @property
    def _delay(self) -> float:
        """To the other end, in seconds."""
        way = self._network_way
        return self._streams.delay if way is None else way.delay

    def _passes(self) -> bool:
        """Whether the network carries what I send now."""
        way = self._network_way
        return way is None or way.passes(outward=self._is_client)

    def _send_end(self) -> None:
        if not self._write_closed:
            self._write_closed = True
            self._send(None)

    def _half_closed(self) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None:
            self._guard(half.writeConnectionLost)
        if self._read_closed:
            self.lost(failure(ConnectionDone))

    def _arrival(self) -> None:
        """Take what has arrived, unless nobody reads or nothing gets through."""
        way, sender = self.other._way, self.other
        streams = self._streams
        now = streams.clock.seconds()
        while way and way[0][0] <= now and self._takes():
            if streams.silenced(self.place, self.party, sender.party):
                return
            if not sender._passes():
                if not self._again_planned:
                    self._again_planned = True
                    self._at(RETRANSMIT, self._arrives_again)
                return
            _at, chunk = way.popleft()
            if chunk is None:
                self._end_of_input()
                return
            sender._on_way -= len(chunk)
            sender._plan_push()
            self._guard(self.protocol.dataReceived, chunk)

    def _arrives_again(self) -> None:
        self._again_planned = False
        self._arrival()

    def _takes(self) -> bool:
        return self._reading and self.protocol is not None and not self.disconnected

    def _end_of_input(self) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        self._read_closed = True
        if half is None:
            self.lost(failure(ConnectionDone))
            return
        self._guard(half.readConnectionLost)
        if self._write_closed:
            self.lost(failure(ConnectionDone))

    def _abort(self) -> None:
        self._way.clear()
        if not self.disconnected:
            self._send_reset()
        self.lost(failure(ConnectionAborted))

    def _guard(self, call: Callable[..., object], *args: object) -> None:
        """As a reactor: what a protocol raises ends its connection."""
        try:
            call(*args)
        except Exception:
            reason = Failure()  # type: ignore[no-untyped-call]  # Twisted's
            self._log.failure("a protocol failed")
            self._send_reset()
            self.lost(reason)
