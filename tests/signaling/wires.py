"""Connections in memory: two transports whose bytes move when the test pumps them."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.signaling.access import SocketAccess
from refreeze.signaling.envelope import Envelope
from refreeze.signaling.hub import Hub, HubListener, HubSettings
from refreeze.signaling.link import HubLink

OWN_UID = 1000
BUFFER = 64 * 1024
"""Bytes that a transport takes before it pauses its producer, as Twisted's do."""


@define
class Handle:
    """A socket that knows who connected."""

    uid: int
    gid: int

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return struct.pack("=iII", 77, self.uid, self.gid)


@implementer(ITransport)
@define(eq=False)
class Wire:
    """One end. What is written waits until :meth:`Network.pump` carries it to *other*."""

    protocol: Any
    uid: int = OWN_UID
    gid: int = OWN_UID
    other: Wire | None = None
    out: bytearray = field(factory=bytearray)
    stalled: bool = False
    """The other end does not read."""
    producer: Any = None
    paused: bool = False
    closing: bool = False
    aborted: bool = False
    lost: bool = False

    def write(self, data: bytes) -> None:
        if self.closing or self.lost:
            return
        self.out += data
        if self.producer is not None and len(self.out) > BUFFER and not self.paused:
            self.paused = True
            self.producer.pauseProducing()

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.closing = self.aborted = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getHandle(self) -> Handle:
        return Handle(self.uid, self.gid)

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(None)

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)

    def drain(self) -> bool:
        """Move what waits; True when something happened."""
        assert self.other is not None
        if self.out and not self.stalled and not self.aborted and not self.lost:
            data, self.out = bytes(self.out), bytearray()
            if not self.other.lost:
                self.other.protocol.dataReceived(data)
            if self.paused and self.producer is not None:
                self.paused = False
                self.producer.resumeProducing()
            return True
        if (self.closing and not self.out) or self.aborted:
            return self._end(ConnectionAborted() if self.aborted else ConnectionDone())
        return False

    def _end(self, reason: Exception) -> bool:
        assert self.other is not None
        ended = False
        for wire in (self, self.other):
            if not wire.lost:
                wire.lost = ended = True
                wire.protocol.connectionLost(Failure(reason))
        return ended


@implementer(IStreamServerEndpoint)
@define(eq=False)
class Door:
    """Where a hub listens in memory."""

    factory: IProtocolFactory | None = None
    error: Exception | None = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        if self.error is not None:
            return fail(self.error)
        self.factory = protocolFactory
        return succeed(_Port(self))


@implementer(IListeningPort)
@define(eq=False)
class _Port:
    door: Door

    def startListening(self) -> None:
        return None

    def stopListening(self) -> None:
        self.door.factory = None

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)


@implementer(IStreamClientEndpoint)
@define(eq=False)
class Way:
    """How a daemon gets to a door."""

    network: Network
    door: Door
    uid: int = OWN_UID
    attempts: int = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts += 1
        if self.door.factory is None:
            return fail(ConnectionRefusedError())
        client = protocolFactory.buildProtocol(UNIXAddress(None))
        assert client is not None
        self.network.join(client, self.door, uid=self.uid)
        return succeed(client)


@define(eq=False)
class Network:
    """All wires of a test, its clock and its doors."""

    clock: Clock = field(factory=Clock)
    wires: list[Wire] = field(factory=list)

    def join(self, client: Any, door: Door, *, uid: int = OWN_UID, gid: int = OWN_UID) -> Wire:
        """Connect *client* to what listens at *door*; returns the client's end."""
        assert door.factory is not None
        server = door.factory.buildProtocol(UNIXAddress(None))
        assert server is not None
        here, there = Wire(client), Wire(server, uid=uid, gid=gid)
        here.other, there.other = there, here
        self.wires += [here, there]
        server.makeConnection(there)
        client.makeConnection(here)
        return here

    def pump(self) -> None:
        """Until nothing moves."""
        while any(wire.drain() for wire in list(self.wires)):
            pass

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Advance the clock in steps, and pump after each."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.pump()
            seconds -= step
        self.pump()


@define(eq=False)
class Receiver:
    """A session that writes down what it hears."""

    heard: list[Any] = field(factory=list)
    error: Exception | None = None

    def envelope_received(self, envelope: Envelope) -> None:
        self._hear(envelope)

    def peer_presence(self, peer: str, online: bool) -> None:
        self._hear((peer, online))

    def signaling_state(self, up: bool) -> None:
        self._hear(up)

    def take(self) -> list[Any]:
        heard, self.heard = self.heard, []
        return heard

    def _hear(self, what: Any) -> None:
        self.heard.append(what)
        if self.error is not None:
            raise self.error


def start_hub(
    network: Network,
    *,
    access: Any = None,
    settings: HubSettings | None = None,
) -> tuple[Hub, Door]:
    door = Door()
    listener = HubListener(door, access or SocketAccess(own_uid=OWN_UID))
    hub = Hub([listener], network.clock, settings or HubSettings(homecoming=0))
    hub.startService()
    return hub, door


def start_link(network: Network, door: Door, name: str, **more: Any) -> HubLink:
    more.setdefault("endpoint", Way(network, door))
    link = HubLink(name=name, clock=network.clock, random=Random(1), **more)
    link.startService()
    return link
