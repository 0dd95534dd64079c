"""The control port: where it listens, whom it admits, and the events it passes on."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Randomness
from refreeze.control.access import Access, Role
from refreeze.control.certified import control_endpoint
from refreeze.control.commands import Commands
from refreeze.control.connection import ControlConnection
from refreeze.control.events import EventLog, LoggedEvent
from refreeze.control.grammar import Request
from refreeze.control.verbs import VERBS
from refreeze.net.inherited import adopt_unix_listener
from refreeze.net.ratelog import RateLimitedLog
from refreeze.signaling.cookie import Cookie, CookieServer, ensure_cookie
from refreeze.signaling.door import Door
from refreeze.signaling.places import (
    HubPlace,
    TlsPlace,
    UnixPlace,
    check_hub_endpoint,
    server_endpoint,
)
from refreeze.signaling.tls import TlsIdentity

MAX_CONNECTIONS = 32
"""One of them is kept for uid 0."""

MAX_STRANGERS = 64
"""On TLS, before the handshake is over; they take none of the places above."""

MAX_STRANGERS_PER_ORIGIN = 8

PURPOSE = "control"
"""The control port's label in the cookie handshake."""


@define(eq=False, repr=False)
class _ControlFactory(Factory):
    """Makes the connections of one place. *cookie*: what its clients must know."""

    server: ControlServer
    cookie: Cookie | None

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection:
        return self.server.connection(self.cookie)


@define(eq=False, repr=False)
class _TlsFactory(Factory):
    """Makes the connections of the place with certificates; turns away who comes too often."""

    server: ControlServer

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> ControlConnection | None:
        # A socket for all addresses has IPv4 ones in this form.
        return self.server.stranger(str(getattr(addr, "host", "")).removeprefix("::ffff:"))


@define(eq=False, repr=False)
class ControlServer:
    """Listens on a UNIX socket (*path*), on loopback TCP (*tcp*), and on TLS (*tls*).

    TCP needs *cookie_file* (made when there is none) and *random*, TLS its *identity*.
    """

    reactor: Any
    path: str | None
    commands: Commands
    events: EventLog
    access: Access = field(factory=Access)
    tcp: str | None = field(default=None, kw_only=True)
    cookie_file: str | None = field(default=None, kw_only=True)
    random: Randomness | None = field(default=None, kw_only=True)
    inherited: socket.socket | None = field(default=None, kw_only=True)
    """Listens at *path* already: the service manager opened it."""
    tls: str | None = field(default=None, kw_only=True)
    identity: TlsIdentity | None = field(default=None, kw_only=True)
    _connections: set[ControlConnection] = field(factory=set, init=False)
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _stopping: list[Deferred[None]] = field(factory=list, init=False)
    _errors: int = field(default=0, init=False)
    _door: Door = field(init=False)
    _ratelog: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self.commands.announce = self.events.emit
        self._door = Door(MAX_STRANGERS, MAX_STRANGERS_PER_ORIGIN)
        self._ratelog = RateLimitedLog(self._log, limit=20, now=self.clock.seconds)

    @property
    def clock(self) -> IReactorTime:
        """The reactor, for its time only."""
        clock: IReactorTime = self.reactor
        return clock

    @property
    def ports(self) -> tuple[IListeningPort, ...]:
        """Where it listens: the UNIX socket first."""
        return tuple(self._ports)

    # Life

    def start(self) -> None:
        """Listen everywhere, or raise: no daemon runs without its control port.

        ValueError or CookieError for a wrong place or cookie, CannotListenError for a taken one.
        """
        places: list[tuple[HubPlace, Cookie | None]] = []
        if self.path is not None:
            places.append((UnixPlace(self.path), None))
        if self.tcp is not None:
            places.append((check_hub_endpoint(f"tcp:{self.tcp}"), self._load_cookie()))
        try:
            for place, cookie in places:
                self._listen(place, cookie)
            if self.tls is not None:
                self._listen_on_tls(self.tls)
        except Exception:
            self._close_ports()
            raise
        self.events.follow(self._event)

    def _load_cookie(self) -> Cookie:
        if self.cookie_file is None or self.random is None:
            raise ValueError("the control port on TCP needs a cookie file")
        return ensure_cookie(self.cookie_file, self.random)

    def _listen(self, place: HubPlace, cookie: Cookie | None) -> None:
        if self.inherited is not None and isinstance(place, UnixPlace):
            factory = _ControlFactory(self, cookie)
            self._ports.append(adopt_unix_listener(self.reactor, self.inherited, factory))
            return
        self._wait_for(server_endpoint(self.reactor, place).listen(_ControlFactory(self, cookie)))

    def _listen_on_tls(self, where: str) -> None:
        place = check_hub_endpoint(f"tls:{where}")
        if not isinstance(place, TlsPlace) or self.identity is None:
            raise ValueError("the control port on TLS needs a certificate, its key and a CA")
        self._wait_for(
            control_endpoint(self.reactor, place, self.identity).listen(_TlsFactory(self))
        )

    def _wait_for(self, listening: Deferred[IListeningPort]) -> None:
        """It fires at once, or has failed."""
        problems: list[Failure] = []
        listening.addCallbacks(self._ports.append, problems.append)
        if problems:
            problems[0].raiseException()

    def change_access(self, access: Access) -> None:
        """Other roles, for those too who are connected."""
        self.access = access
        for connection in list(self._connections):
            connection.reconsider()

    async def stop(self) -> None:
        """Say bye to all, and stop listening."""
        self.events.unfollow(self._event)
        for connection in list(self._connections):
            connection.bye("shutdown")
        self._close_ports()
        await gatherResults(self._stopping)

    def _close_ports(self) -> None:
        stopping = [port.stopListening() for port in self._ports]
        self._stopping += [each for each in stopping if isinstance(each, Deferred)]
        self._ports.clear()

    # For connections

    def connection(self, cookie: Cookie | None = None) -> ControlConnection:
        """A new one; with *cookie* its client has to prove that it knows it."""
        if cookie is None:
            return ControlConnection(self)
        assert self.random is not None  # the cookie was loaded with it
        return ControlConnection(self, CookieServer(cookie, PURPOSE, self.random))

    def stranger(self, host: str) -> ControlConnection | None:
        """One whose handshake is still to come; None when there are too many from there."""
        if not self._door.admits(host, self.clock.seconds()):
            self._ratelog.warn("control: {host}: too many connections", host=host)
            return None
        self._door.came(host)
        return ControlConnection(self, host=host)

    def let_in(self, connection: ControlConnection) -> None:
        """Its certificate is good."""
        assert connection.host is not None
        self._door.passed(connection.host)

    def turned_away(self, connection: ControlConnection, why: str) -> None:
        """It came to nothing before TLS was there."""
        host = connection.host
        assert host is not None
        self._door.wasted(host, self.clock.seconds())
        self._ratelog.warn("control: {host} is not let in: {why}", host=host, why=why)

    def shut_out(self, connection: ControlConnection) -> None:
        """The configuration leaves it no role."""
        self._ratelog.warn("control: {who} is shut out by the configuration", who=connection.who)
        connection.bye("not-permitted")

    def admit(self, connection: ControlConnection) -> bool:
        """Whether there is room; the last place is root's."""
        others = sum(each.uid != 0 for each in self._connections)
        full = len(self._connections) >= MAX_CONNECTIONS
        if full or (connection.uid != 0 and others >= MAX_CONNECTIONS - 1):
            return False
        self._connections.add(connection)
        return True

    def gone(self, connection: ControlConnection) -> None:
        """It is closed."""
        self._connections.discard(connection)

    def _event(self, event: LoggedEvent) -> None:
        for connection in list(self._connections):
            connection.event(event)

    def is_change(self, request: Request) -> bool:
        """Whether the request would change state, and so is logged."""
        verb = VERBS.get(request.verb)
        return verb is not None and verb.role >= Role.OPERATOR

    def internal(self, error: Exception) -> str:
        """Log what went wrong inside; the reference stands in the answer and in the log."""
        self._errors += 1
        reference = f"e{self._errors}"
        why = Failure(error)  # type: ignore[no-untyped-call]  # Twisted's
        self._log.failure("control error {reference}", why, reference=reference)
        return reference
