"""The hub: passes envelopes between named daemons and tells each who is there.

Embedded in any daemon, on UNIX sockets, loopback TCP and mutual TLS (:mod:`.places`). The wire
is described in :mod:`.wire`. The hub believes nothing that a line says of its sender, keeps nothing
for a daemon that is away (but see :mod:`.homecoming`), and reads nothing of an envelope beyond its
address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.net.ratelog import RateLimitedLog
from refreeze.signaling.access import Access, CookieAccess, SocketAccess, TlsAccess
from refreeze.signaling.door import Door
from refreeze.signaling.envelope import Envelope, EnvelopeError, format_envelope
from refreeze.signaling.homecoming import Held, Homecoming
from refreeze.signaling.hub_connection import (
    HELLO_WAIT,
    HubConnection,
    Stage,
    returned,
    undeliverable,
)
from refreeze.signaling.places import HubPlace, TlsPlace, UnixPlace, server_endpoint
from refreeze.signaling.tls import TlsIdentity, TlsServerEndpoint
from refreeze.signaling.wire import MAX_QUEUE, Keepalive

MAX_KNOWN = 8192
"""Names remembered after their daemon left, to tell "offline" from "unknown-peer"."""


@frozen(kw_only=True)
class HubSettings:
    """Everything about a hub that can be set."""

    name: str = "hub"
    max_connections: int = 8192
    max_pending: int = 512
    """Connections that were not let in yet."""
    max_pending_per_origin: int = 64
    max_watches: int = 8192
    max_queue: int = MAX_QUEUE
    hello_wait: float = HELLO_WAIT
    homecoming: float = 5.0
    """Seconds from the start in which nobody is called absent; 0: none."""
    keepalive: Keepalive = field(factory=Keepalive)


@frozen
class HubListener:
    """One place to listen at, and who may connect there."""

    endpoint: IStreamServerEndpoint
    access: Access


def hub_listener(
    reactor: Any,
    place: HubPlace,
    *,
    socket: SocketAccess,
    cookie: CookieAccess | None = None,
    tls: TlsIdentity | None = None,
) -> HubListener:
    """A listener at a checked place; ValueError when TCP lacks its cookie, or TLS its identity."""
    endpoint = server_endpoint(reactor, place)
    if isinstance(place, UnixPlace):
        return HubListener(endpoint, socket)
    if isinstance(place, TlsPlace):
        if tls is None:
            raise ValueError("a hub on TLS needs a certificate, its key and a CA")
        return HubListener(TlsServerEndpoint(endpoint, tls, reactor), TlsAccess())
    if cookie is None:
        raise ValueError("a hub on loopback TCP needs a cookie file")
    return HubListener(endpoint, cookie)


@define(eq=False, repr=False)
class _HubFactory(Factory):
    """Makes the connections of one listener."""

    hub: Hub
    access: Access

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> HubConnection | None:
        return self.hub.connection(self.access, str(getattr(addr, "host", "")))


@define(eq=False, repr=False, slots=False)
class Hub(Service):
    """I know which daemon is on which connection, and who watches whom."""

    listeners: Sequence[HubListener]
    clock: IReactorTime
    settings: HubSettings = field(factory=HubSettings)
    counters: Counter[str] = field(factory=Counter, init=False)
    """routed, offline, unknown_peer, queue_full, malformed, foreign_from, refused, turned_away,
    replaced, slow, ...
    """
    ports: list[IListeningPort] = field(factory=list, init=False)
    _connections: set[HubConnection] = field(factory=set, init=False)
    _online: dict[str, HubConnection] = field(factory=dict, init=False)
    _watchers: dict[str, set[HubConnection]] = field(factory=dict, init=False)
    _known: dict[str, None] = field(factory=dict, init=False)
    _listening: list[Deferred[Any]] = field(factory=list, init=False)
    _emptied: Deferred[None] | None = field(default=None, init=False)
    _door: Door = field(init=False)
    _ratelog: RateLimitedLog = field(init=False)
    _home: Homecoming = field(init=False)

    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._door = Door(self.settings.max_pending, self.settings.max_pending_per_origin)
        self._ratelog = RateLimitedLog(self._log, limit=20, now=self.clock.seconds)
        self._home = Homecoming(self.clock, self.settings.homecoming, self._all_home)

    # The service.

    def startService(self) -> None:
        """Listen everywhere. What fails at once is raised, so the daemon does not start half."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._home.begin()
        for listener in self.listeners:
            failures: list[Failure] = []
            listening = listener.endpoint.listen(_HubFactory(self, listener.access))
            listening.addCallback(self.ports.append)
            listening.addErrback(self._not_listening, failures)
            if failures:
                failures[0].raiseException()
            self._listening.append(listening)

    def stopService(self) -> Deferred[None]:
        """Stop listening, say bye to all; fires when every connection is gone (2 s at most)."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        self._home.stop()
        for listening in self._listening:
            listening.cancel()
        closed = [port.stopListening() for port in self.ports]
        self._listening, self.ports = [], []
        for connection in list(self._connections):
            connection.close("shutdown")
        if self._connections:
            self._emptied = Deferred()
            closed.append(self._emptied)
        waits = [wait for wait in closed if isinstance(wait, Deferred)]
        return DeferredList(waits, consumeErrors=True).addCallback(self._stopped)

    @property
    def online(self) -> Sequence[str]:
        """The names of the daemons that are connected."""
        return tuple(self._online)

    def connection(self, access: Access, host: str = "") -> HubConnection | None:
        """A protocol for one new connection from *host*; None: too many are at the door."""
        if not self._door.admits(host, self.clock.seconds()):
            self.counters["turned_away"] += 1
            self._ratelog.warn(
                "a hub connection from {host} is turned away: too many come to nothing",
                host=host or "a local program",
            )
            return None
        return HubConnection(
            host=host,
            clock=self.clock,
            keepalive=self.settings.keepalive,
            counters=self.counters,
            max_queue=self.settings.max_queue,
            exchange=self,
            access=access,
            hello_wait=self.settings.hello_wait,
        )

    # The exchange.

    def connected(self, connection: HubConnection) -> bool:
        self._connections.add(connection)
        self._door.came(connection.host)
        return bool(self.running) and len(self._connections) <= self.settings.max_connections

    def joined(self, connection: HubConnection) -> None:
        """A daemon said hello. The newer connection of a name wins: the older is half dead."""
        older = self._online.pop(connection.name, None)
        if older is not None:
            self.counters["replaced"] += 1
            self._forget_watches(older)
            older.close("replaced")
            self._tell(connection.name, online=False)
        self._online[connection.name] = connection
        self._door.passed(connection.host)
        self._remember(connection.name)
        self._tell(connection.name, online=True)
        for held in self._home.take(connection.name):
            self._pass_on(held, connection)

    def refused(self, connection: HubConnection, why: str) -> None:
        self.counters["refused"] += 1
        self._ratelog.warn(
            "a hub connection from {peer} is refused: {why}", peer=connection.peer, why=why
        )

    def left(self, connection: HubConnection) -> None:
        self._connections.discard(connection)
        self._forget_watches(connection)
        if connection.stage is not Stage.OPEN:
            self._door.wasted(connection.host, self.clock.seconds())
        elif self._online.get(connection.name) is connection:
            del self._online[connection.name]
            self._tell(connection.name, online=False)
        if not self._connections and self._emptied is not None:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def route(self, connection: HubConnection, envelope: Envelope) -> None:
        """Pass *envelope* on, or say why not. Its sender watches its addressee from now on."""
        self._add_watch(connection, envelope.to)
        try:
            line = format_envelope(envelope)
        except EnvelopeError as error:
            # With the hub's own ``from`` in it, it may have become too long.
            self._bounce(connection, envelope, "malformed", error.reason)
            return
        held = Held(connection, envelope, line)
        target = self._online.get(envelope.to)
        if target is not None:
            self._pass_on(held, target)
        elif not self._home.hold(held):
            self._return(held)

    def bounce(
        self,
        connection: HubConnection,
        detail: str,
        members: Mapping[str, Any],
        reason: str = "malformed",
    ) -> None:
        """Send back what the hub could not read or does not believe, and say why."""
        reply = undeliverable(
            hub=self.settings.name, to=connection.name, reason=reason, members=members
        )
        connection.send_line(format_envelope(reply, detail=detail))

    def watch(self, connection: HubConnection, names: Sequence[str]) -> None:
        for name in names:
            if self._add_watch(connection, name):
                online = name in self._online
                if online or not self._home.under_way:
                    self._presence(connection, name, online=online)

    def unwatch(self, connection: HubConnection, names: Sequence[str]) -> None:
        for name in names:
            connection.watching.discard(name)
            self._drop_watcher(connection, name)

    # Small change.

    def _all_home(self) -> None:
        """Who has not come by now is away."""
        for name in list(self._watchers):
            if name not in self._online:
                self._tell(name, online=False)
        for held in self._home.take_all():
            self._return(held)

    def _return(self, held: Held) -> None:
        known = held.envelope.to in self._known
        self._bounce(held.sender, held.envelope, "offline" if known else "unknown-peer")

    def _pass_on(self, held: Held, target: HubConnection) -> None:
        if target.send_line(held.line):
            self.counters["routed"] += 1
        else:
            self._bounce(held.sender, held.envelope, "queue-full")

    def _bounce(
        self, connection: HubConnection, envelope: Envelope, reason: str, detail: str = ""
    ) -> None:
        self.counters[reason.replace("-", "_")] += 1
        connection.send_line(format_envelope(returned(envelope, reason), detail=detail or reason))

    def _add_watch(self, connection: HubConnection, name: str) -> bool:
        """False when *connection* watches as many as it may."""
        if name not in connection.watching:
            if len(connection.watching) >= self.settings.max_watches:
                self.counters["watches_refused"] += 1
                return False
            connection.watching.add(name)
            self._watchers.setdefault(name, set()).add(connection)
        return True

    def _tell(self, name: str, *, online: bool) -> None:
        for watcher in list(self._watchers.get(name, ())):
            self._presence(watcher, name, online=online)

    def _presence(self, watcher: HubConnection, name: str, *, online: bool) -> None:
        watcher.send_notice("presence", {"peer": name, "online": online})

    def _forget_watches(self, connection: HubConnection) -> None:
        for name in connection.watching:
            self._drop_watcher(connection, name)
        connection.watching.clear()

    def _drop_watcher(self, connection: HubConnection, name: str) -> None:
        watchers = self._watchers.get(name, set())
        watchers.discard(connection)
        if not watchers:
            self._watchers.pop(name, None)

    def _remember(self, name: str) -> None:
        self._known.pop(name, None)
        self._known[name] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _not_listening(self, failure: Failure, failures: list[Failure]) -> None:
        failures.append(failure)
        if self.running:
            self._log.error("the hub cannot listen: {error}", error=failure.getErrorMessage())

    def _stopped(self, _results: object) -> None:
        return None
