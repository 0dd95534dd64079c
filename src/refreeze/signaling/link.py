"""The link to the hub: one connection for all sessions of a daemon, kept up with back-off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from attrs import define, field, frozen
from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.basics import Randomness
from refreeze.signaling.access import PURPOSE
from refreeze.signaling.attachment import Attachment, Attachments
from refreeze.signaling.carrier import Carrier, CarrierReceiver
from refreeze.signaling.cookie import Cookie, CookieClient
from refreeze.signaling.envelope import Envelope, EnvelopeError, format_envelope
from refreeze.signaling.link_connection import LinkConnection
from refreeze.signaling.wire import Keepalive


@frozen(kw_only=True)
class LinkSettings:
    """Everything about a link that can be set; seconds."""

    initial_delay: float = 1.0
    factor: float = 1.5
    max_delay: float = 30.0
    hello_wait: float = 10.0
    keepalive: Keepalive = field(factory=Keepalive)

    def __attrs_post_init__(self) -> None:
        if not 0 < self.initial_delay <= self.max_delay or self.factor < 1:
            raise ValueError("a back-off grows from above 0 to its cap")

    def delay(self, failures: int) -> float:
        """Before jitter: after this many attempts in a row without a welcome."""
        # 64 steps are beyond any cap in use, and short of an overflow.
        return min(self.initial_delay * self.factor ** min(failures, 64), self.max_delay)


def _ignore_envelope(_envelope: Envelope) -> None:
    return


def _ignore_state(_up: bool, _reason: str) -> None:
    return


@frozen(eq=False, repr=False)
class _HubCarrier:
    """One session's use of the link."""

    _link: HubLink
    _attachment: Attachment

    @property
    def up(self) -> bool:
        return self._link.up and not self._link.congested

    @property
    def problem(self) -> str:
        return self._link.problem

    def send(self, envelope: Envelope) -> bool:
        return self._link.send(envelope)

    def detach(self) -> None:
        self._link.detach(self._attachment)


@define(eq=False, repr=False)
class _LinkFactory(Factory):
    """Makes the link's connections."""

    build: Callable[[], LinkConnection]

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> LinkConnection:
        return self.build()


@implementer(IStreamClientEndpoint)
@frozen(eq=False, repr=False)
class _NotingEndpoint:
    """Tells why an attempt failed, which ClientService keeps to itself."""

    _endpoint: IStreamClientEndpoint
    _note: Callable[[str], None]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._note(failure.getErrorMessage())
        return failure


@define(eq=False, repr=False, slots=False, kw_only=True)
class HubLink(Service):
    """I keep the daemon *name* connected to the hub at *endpoint*.

    *cookie* is needed when the hub is on loopback TCP. *unknown_session* gets the envelopes of
    sessions that are not attached; *state_changed* hears when the signaling goes up or down.
    """

    endpoint: IStreamClientEndpoint
    name: str
    clock: IReactorTime
    random: Randomness
    cookie: Cookie | None = None
    settings: LinkSettings = field(factory=LinkSettings)
    unknown_session: Callable[[Envelope], None] = _ignore_envelope
    state_changed: Callable[[bool, str], None] = _ignore_state
    counters: Counter[str] = field(factory=Counter, init=False)
    """sent, received, refused (send while down or full), unknown_session, malformed, connects."""
    last_error: str = field(default="", init=False)
    """Why the link went down or could not come up last; empty when it never did."""
    _attachments: Attachments = field(factory=Attachments, init=False)
    _client: ClientService | None = field(default=None, init=False)
    _connection: LinkConnection | None = field(default=None, init=False)
    _latest: LinkConnection | None = field(default=None, init=False)
    _presence: dict[str, bool] = field(factory=dict, init=False)
    _replaced: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _told: str = field(default="", init=False)
    """The latest reason in the log."""

    _log = Logger()

    # The service.

    def startService(self) -> None:
        """Begin to connect; what fails is tried again for ever."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._client = ClientService(
            _NotingEndpoint(self.endpoint, self._attempt_failed),
            _LinkFactory(self._build),
            retryPolicy=self._delay,
            clock=self.clock,
        )
        self._client.startService()

    def stopService(self) -> Deferred[None]:
        """Send what is on its way (2 s at most), then disconnect."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        client, self._client = self._client, None
        if self._latest is not None:
            self._latest.close("shutdown", tell=False)
        stopped: Deferred[None] = Deferred() if client is None else client.stopService()
        if client is None:
            stopped.callback(None)
        return stopped

    # For sessions.

    @property
    def up(self) -> bool:
        """Whether the hub has welcomed us."""
        return self._connection is not None and not self._connection.closing

    @property
    def problem(self) -> str:
        """Why there is no signaling, in words; empty while there is, or before the first try."""
        return "" if self.up else self.last_error

    @property
    def congested(self) -> bool:
        """Whether the hub is behind with reading."""
        return self._connection is not None and self._connection.congested

    def attach(self, session: str, peer: str, receiver: CarrierReceiver) -> Carrier:
        """A carrier for *session* with *peer*; ValueError when it is attached already."""
        attachment = self._attachments.add(session, peer, receiver)
        attachment.greet(self.clock, partial(self._greet, attachment))
        return _HubCarrier(self, attachment)

    def detach(self, attachment: Attachment) -> None:
        """The session of *attachment* hears nothing more."""
        if not self._attachments.remove(attachment):
            return
        self._presence.pop(attachment.peer, None)
        if self._connection is not None:
            self._connection.send_notice("unwatch", [attachment.peer])

    def send(self, envelope: Envelope) -> bool:
        """False when the link is down, or the hub is behind, or *envelope* is too long."""
        connection = self._connection
        if connection is None or connection.closing or connection.congested:
            self.counters["refused"] += 1
            return False
        try:
            line = format_envelope(envelope)
        except EnvelopeError as error:
            self._log.error(
                "session {session}: cannot be sent: {error}",
                session=envelope.session,
                error=error.reason,
            )
            self.counters["refused"] += 1
            return False
        taken = connection.send_line(line)
        self.counters["sent" if taken else "refused"] += 1
        return taken

    # For the connection.

    def welcomed(self, connection: LinkConnection) -> None:
        self._connection = connection
        self._replaced = False
        self._failures = 0
        self._told = ""
        self.counters["connects"] += 1
        self._log.info("signaling is up: the hub knows us as {name}", name=self.name)
        connection.watch(self._attachments.peers())
        self._tell(True, "")

    def lost(self, connection: LinkConnection, reason: str) -> None:
        self.last_error = reason
        if connection is self._latest:
            self._latest = None
        if self._connection is not connection:
            return
        self._connection = None
        self._presence.clear()
        self._log.info("signaling is down: {reason}", reason=reason)
        self._tell(False, reason)

    def presence(self, peer: str, online: bool) -> None:
        attached = self._attachments.of_peer(peer)
        if attached:
            self._presence[peer] = online
        for attachment in attached:
            attachment.tell_presence(online)

    def deliver(self, envelope: Envelope) -> None:
        attachment = self._attachments.find(envelope)
        if attachment is not None:
            attachment.deliver(envelope)
            return
        self.counters["unknown_session"] += 1
        try:
            self.unknown_session(envelope)
        except Exception:
            self._log.failure("unknown_session failed")

    def dismissed(self, reason: str) -> None:
        self._replaced = reason == "replaced"
        if self._replaced:
            self._log.warn(
                "another daemon connected to the hub as {name}; is the name used twice?",
                name=self.name,
            )

    # For myself.

    def _attempt_failed(self, error: str) -> None:
        self.last_error = error

    def _tell_trouble(self) -> None:
        """Each reason in a row without a welcome once, and the first not before it came twice:
        a hub that starts a second later is no trouble.
        """
        if self._failures and self.last_error != self._told:
            self._told = self.last_error
            self._log.warn(
                "no signaling yet, trying until there is: {error}", error=self.last_error
            )

    def _build(self) -> LinkConnection:
        handshake = None if self.cookie is None else CookieClient(self.cookie, PURPOSE, self.random)
        self._latest = LinkConnection(
            clock=self.clock,
            keepalive=self.settings.keepalive,
            counters=self.counters,
            owner=self,
            name=self.name,
            handshake=handshake,
            hello_wait=self.settings.hello_wait,
        )
        return self._latest

    def _delay(self, _attempts: int) -> float:
        """Seconds to the next attempt.

        ClientService counts a connection as a success; we count from the last welcome, so that
        a hub that accepts and refuses is not asked every second. (Its prepareConnection would
        do that too, but it cannot cope with a connection that is lost meanwhile.) Two daemons
        of one name do not chase each other.
        """
        longest = self.settings.delay(self._failures)
        if self._replaced:
            longest = self.settings.max_delay
        self._tell_trouble()
        self._failures += 1
        return self.random.uniform(longest / 2, longest)

    def _greet(self, attachment: Attachment) -> None:
        attachment.tell_up(self.up)
        known = self._presence.get(attachment.peer)
        if known is not None:
            attachment.tell_presence(known)
        elif self._connection is not None:
            self._connection.watch([attachment.peer])

    def _tell(self, up: bool, reason: str) -> None:
        for attachment in self._attachments:
            attachment.tell_up(up)
        try:
            self.state_changed(up, reason)
        except Exception:
            self._log.failure("state_changed failed")
