"""Listening and connecting in memory: where streams go in a virtual world.

One namespace for all hosts of a world: a socket path or a loopback port of one host can be
connected to from every other, as if it were tunnelled, so that a hub serves them all. What is
connected to at an address of the fake network goes through that network (:mod:`ways`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionLost,
    ConnectionRefusedError,
    NotConnectingError,
    TimeoutError,
    UserError,
    getConnectError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IListeningPort,
    IProtocolFactory,
)
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.basics import Address
from refreeze.testing.clock import VirtualCall, VirtualClock
from refreeze.testing.transports import (
    RETRANSMIT,
    Credentials,
    VirtualTransport,
    failure,
    join,
)
from refreeze.testing.ways import StreamWay, StreamWays

ROOT: Final = Credentials(pid=1, uid=0, gid=0)
FIRST_PORT: Final = 49152


class Party(Protocol):
    """Who listens or connects."""

    @property
    def name(self) -> str | None:
        """The host's."""
        ...

    @property
    def credentials(self) -> Credentials:
        """The process's."""
        ...


@frozen
class Place:
    """Where something listens: a UNIX path, or a TCP host and port."""

    host: str
    port: int | None = None

    @property
    def address(self) -> IAddress:
        """As Twisted writes it."""
        if self.port is None:
            return UNIXAddress(self.host)
        kind = IPv6Address if ":" in self.host else IPv4Address
        return kind("TCP", self.host, self.port)

    def __str__(self) -> str:
        return f"unix:{self.host}" if self.port is None else f"tcp:{self.host}:{self.port}"


@define(eq=False, repr=False)
class Outage:
    """Streams that do not work: all, or those at one place, or those of one host.

    They are refused and reset, or with *silent* nothing moves any more, and nothing is said.
    """

    _streams: Streams
    place: str | None
    host: str | None
    silent: bool
    over: bool = field(default=False, init=False)

    def restore(self) -> None:
        """End it; what a silent one held up goes on. Idempotent."""
        if not self.over:
            self.over = True
            self._streams.outage_over(self)

    def covers(self, place: Place, *parties: Party | None) -> bool:
        """Whether streams at *place* between *parties* are part of it."""
        if self.place not in (None, str(place)):
            return False
        names = [party.name for party in parties if party is not None]
        return self.host is None or self.host in names


@define(eq=False, repr=False)
class Streams:
    """All listeners and connections of a world. *delay*: one way in seconds, off the network."""

    clock: VirtualClock
    delay: float = 0.0
    ways: StreamWays | None = field(default=None, init=False)
    listeners: dict[Place, VirtualListener] = field(factory=dict, init=False)
    connections: dict[VirtualTransport, None] = field(factory=dict, init=False)
    """The client's end of each."""
    _connecting: dict[VirtualConnector, None] = field(factory=dict, init=False)
    _outages: list[Outage] = field(factory=list, init=False)
    _next_port: int = field(default=FIRST_PORT, init=False)

    def cut(
        self, place: str | None = None, *, host: str | None = None, silent: bool = False
    ) -> Outage:
        """Begin an outage; *place* is ``unix:PATH`` or ``tcp:HOST:PORT``."""
        outage = Outage(self, place, host, silent)
        self._outages.append(outage)
        if not silent:
            for client in list(self.connections):
                if outage.covers(client.place, client.party, client.other.party):
                    for end in (client.other, client):
                        end.lost(failure(ConnectionLost))
        return outage

    def restore(self) -> None:
        """End every outage."""
        for outage in list(self._outages):
            outage.restore()

    def outage_over(self, outage: Outage) -> None:
        """For outages."""
        self._outages.remove(outage)
        for client in list(self.connections):
            for end in (client, client.other):
                end.wake()
        for connector in list(self._connecting):
            connector.knock()

    def silenced(self, place: Place, *parties: Party | None) -> bool:
        """Whether nothing moves there."""
        return any(each.silent and each.covers(place, *parties) for each in self._outages)

    def refused(self, place: Place, *parties: Party | None) -> bool:
        """Whether connecting there is refused by an outage."""
        return any(not each.silent and each.covers(place, *parties) for each in self._outages)

    def listen(self, place: Place, factory: IProtocolFactory, party: Party) -> VirtualListener:
        """A started listener; CannotListenError when the place is taken."""
        if place.port == 0:
            place = Place(place.host, self._free_port())
        listener = VirtualListener(self, place, factory, party)
        listener.startListening()
        return listener

    def connect(
        self,
        place: Place,
        factory: ClientFactory,
        timeout: float,
        party: Party,
        bind: Address | None = None,
    ) -> VirtualConnector:
        """A connector that is on its way."""
        connector = VirtualConnector(self, place, factory, timeout, party, bind)
        connector.connect()
        return connector

    def kill(self, party: Party) -> None:
        """*party* is no more: it hears nothing, and its peers hear the kernel close for it."""
        for place, listener in list(self.listeners.items()):
            if listener.party is party:
                del self.listeners[place]
        ends = [end for client in self.connections for end in (client, client.other)]
        for connector in list(self._connecting):
            if connector.transport is not None:
                ends += [connector.transport, connector.transport.other]
            if connector.party is party:
                connector.killed()
        for end in ends:
            if end.party is party:
                end.killed()
                self.connections.pop(end, None)

    def find(self, place: Place) -> VirtualListener | None:
        """Who listens at *place*, or at every address with its port."""
        found = self.listeners.get(place)
        if found is None and place.port is not None:
            wildcard = "::" if ":" in place.host else "0.0.0.0"
            found = self.listeners.get(Place(wildcard, place.port))
        return found

    def connecting(self, connector: VirtualConnector, under_way: bool) -> None:
        """For connectors: one begins or ends an attempt."""
        if under_way:
            self._connecting[connector] = None
        else:
            self._connecting.pop(connector, None)

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port - 1


@implementer(IListeningPort)
@define(eq=False, repr=False)
class VirtualListener:
    """A place where a factory listens."""

    _streams: Streams
    place: Place
    factory: IProtocolFactory
    party: Party

    def startListening(self) -> None:
        """CannotListenError when somebody else does already."""
        if self.place in self._streams.listeners:
            taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            error: Callable[..., Exception] = CannotListenError
            raise error(self.place.host, self.place.port, taken)
        self._streams.listeners[self.place] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Connections that are there stay."""
        if self._streams.listeners.get(self.place) is self:
            del self._streams.listeners[self.place]
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        """Where."""
        return self.place.address


@implementer(IConnector)
@define(eq=False, repr=False)
class VirtualConnector:
    """A client's attempts to connect, and its connection."""

    _streams: Streams
    place: Place
    factory: ClientFactory
    timeout: float
    party: Party
    _bind: Address | None
    state: str = field(default="disconnected", init=False)
    transport: VirtualTransport | None = field(default=None, init=False)
    _way: StreamWay | None = field(default=None, init=False)
    _timer: VirtualCall | None = field(default=None, init=False)
    _attempt: int = field(default=0, init=False)
    _started: bool = field(default=False, init=False)

    # IConnector

    def connect(self) -> None:
        """Try; RuntimeError while connecting or connected."""
        if self.state != "disconnected":
            raise RuntimeError("can't connect in this state")
        self.state = "connecting"
        if not self._started:
            self._started = True
            start: Callable[[], None] = self.factory.doStart
            start()
        self._streams.connecting(self, True)
        if self.timeout is not None:
            self._timer = self._streams.clock.callLater(self.timeout, self._fail, TimeoutError)
        self.knock()
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """Give up; NotConnectingError when it is not trying."""
        if self.state != "connecting":
            raise NotConnectingError("we're not trying to connect")
        self._fail(UserError)

    def disconnect(self) -> None:
        """Whatever the state is, end it."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> IAddress:
        """Where to."""
        return self.place.address

    # The way there and back

    def knock(self) -> None:
        """Send an attempt on its way, unless one has arrived; an older one counts no more."""
        if self.transport is not None:
            return
        self._attempt += 1
        ways, port = self._streams.ways, self.place.port
        if ways is not None and port is not None:
            try:
                self._way = ways.find(self.party.name, (self.place.host, port), self._bind)
            except OSError as error:
                self._later(self._impossible, 0.0, error)
                return
        self._later(self._arrived)

    def _later(
        self, function: Callable[..., None], delay: float | None = None, *args: object
    ) -> None:
        clock = self._streams.clock
        if delay is None:
            delay = self._streams.delay if self._way is None else self._way.delay
        clock.run_at(clock.seconds() + delay, function, self._attempt, *args)

    def _current(self, attempt: int) -> bool:
        return attempt == self._attempt and self.state == "connecting"

    def _arrived(self, attempt: int) -> None:
        streams = self._streams
        if not self._current(attempt):
            return
        listener = streams.find(self.place)
        parties = (self.party, None if listener is None else listener.party)
        if streams.silenced(self.place, *parties):
            return
        way = self._way
        if way is not None and not (way.passes(outward=True) and way.passes(outward=False)):
            self._later(self._again, RETRANSMIT)
            return
        if way is not None and listener is not None and not way.leads_to(listener.party.name):
            listener = None
        protocol = None
        client_address = self._client_address()
        if listener is not None and not streams.refused(self.place, *parties):
            protocol = listener.factory.buildProtocol(client_address)
        if listener is None or protocol is None:
            self._later(self._refused)
            return
        here, there = join(streams, self.place, self.party, listener.party, self._gone, way)
        own = client_address if way is None else Place(*way.here).address
        here.addresses(own, self.place.address)
        there.addresses(self.place.address, client_address)
        self.transport = here
        there.connected(protocol)
        self._later(self._established)

    def _again(self, attempt: int) -> None:
        """Nothing came back: the system repeats itself."""
        if self._current(attempt):
            self.knock()

    def _client_address(self) -> IAddress:
        """Mine, as the server sees it."""
        if self._way is not None:
            return Place(*self._way.seen_as).address
        return (
            UNIXAddress(None) if self.place.port is None else Place(self.place.host, 40000).address
        )

    def killed(self) -> None:
        """Its process is no more: nothing of it waits, and its factory hears nothing."""
        self._over()
        self.state = "disconnected"

    def _established(self, attempt: int) -> None:
        transport = self.transport
        if transport is None or not self._current(attempt):
            if transport is not None:
                transport.abandoned()
            return
        self._over()
        self.state = "connected"
        protocol = self.factory.buildProtocol(self.place.address)
        if protocol is None:
            transport.abandoned()
            self._gone(failure(ConnectionLost))
            return
        self._streams.connections[transport] = None
        transport.connected(protocol)

    def _refused(self, attempt: int) -> None:
        if self._current(attempt):
            self._fail(ConnectionRefusedError)

    def _impossible(self, attempt: int, error: OSError) -> None:
        if self._current(attempt):
            connect_error: Callable[[OSError], Exception] = getConnectError
            self._fail(lambda: connect_error(error))

    def _fail(self, kind: Callable[[], Exception]) -> None:
        self._over()
        self._attempt += 1
        if self.transport is not None:
            self.transport.abandoned()
        self._ended(self.factory.clientConnectionFailed, failure(kind))

    def _gone(self, reason: Failure) -> None:
        if self.transport is not None:
            self._streams.connections.pop(self.transport, None)
        self._ended(self.factory.clientConnectionLost, reason)

    def _ended(self, tell: Callable[[IConnector, Failure], None], reason: Failure) -> None:
        self.state, self.transport = "disconnected", None
        tell(self, reason)
        if self.state == "disconnected":  # the factory may have called connect() again
            self._started = False
            stop: Callable[[], None] = self.factory.doStop
            stop()

    def _over(self) -> None:
        self._streams.connecting(self, False)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
