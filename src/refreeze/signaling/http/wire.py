"""HTTP/1.1 as it is let in: bounded in bytes, in seconds and in connections.

Twisted collects a request before it shows it to a resource; here it is measured while it comes.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from http import HTTPStatus
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from refreeze.net.flood import Origin, origin_of
from refreeze.signaling.http.problems import MEDIA_TYPE, Problem, busy

MAX_BODY: Final = 64 * 1024
MAX_SECONDS: Final = 10.0
"""For a whole request to come, however it drips."""
MAX_IDLE: Final = MAX_SECONDS + 1.0
"""Without a byte; between two requests, in effect."""
LINGER: Final = 1.0
"""For a client to read why it is refused, and to close."""
MAX_CONNECTIONS: Final = 200
MAX_OF_ORIGIN: Final = 50
"""Of these, of one host elsewhere; a proxy's are everybody's."""
MAX_TURNED_AWAY: Final = 50
"""Who is told that there is no room, at any time; others are just closed."""
_DONE: Final = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # Twisted's


def _origin(address: object) -> Origin | None:
    """None on this machine."""
    host = getattr(address, "host", None)
    if host is None or ipaddress.ip_address(host).is_loopback:
        return None
    return origin_of(host)


def whole_response(problem: Problem) -> bytes:
    """For a connection that is closed with it."""
    body = problem.body()
    head = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in problem.headers.items()),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class BoundedRequest(Request):
    """One that ends when its body is too long."""

    defaultContentType = None
    _size = 0

    def __repr__(self) -> str:
        """Without the path, which is a capability; Twisted's logs have it."""
        return f"<BoundedRequest of {self._size} bytes>"

    def gotLength(self, length: int | None) -> None:
        """The header says how long it will be; None: nobody knows."""
        super().gotLength(min(length or 0, MAX_BODY))  # type: ignore[no-untyped-call]  # Twisted's
        if length is not None and length > MAX_BODY:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        self._size += len(data)
        if self._size > MAX_BODY:
            self._refuse()
        elif not self._over:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]  # Twisted's

    def process(self) -> None:
        """The request is whole."""
        if not self._over:
            super().process()  # type: ignore[no-untyped-call]  # Twisted's

    @property
    def _over(self) -> bool:
        return cast("BoundedChannel", self.channel).refused

    def _refuse(self) -> None:
        cast("BoundedChannel", self.channel).refuse(Problem(413, f"at most {MAX_BODY} bytes"))


class BoundedChannel(HTTPChannel):
    """One connection; a request that takes too long to come is the last one on it."""

    factory: BoundedSite
    refused = False
    """Whether the connection ends, with a problem."""
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """The clock runs for the first request."""
        super().connectionMade()  # type: ignore[no-untyped-call]  # Twisted's
        self._expect()

    def dataReceived(self, data: bytes) -> None:
        """What comes after a refusal is not looked at."""
        if not self.refused:
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # Twisted's

    def lineReceived(self, line: bytes) -> None:
        """A line of the head; the next request's first one starts the clock anew."""
        if self.refused:
            return
        if self._deadline is None:
            self._expect()
        super().lineReceived(line)  # type: ignore[no-untyped-call]  # Twisted's

    def allContentReceived(self) -> None:
        """The request is whole."""
        self._expected()
        super().allContentReceived()  # type: ignore[no-untyped-call]  # Twisted's

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """The place is free."""
        self._expected()
        self.factory.lost(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # Twisted's

    def timeoutConnection(self) -> None:
        """Nobody asks anything more."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def refuse(self, problem: Problem) -> None:
        """Say so, and close soon: what is still on its way would reset the connection, and the
        client would not read why (RFC 9112 section 9.6).
        """
        if self.refused or self.transport is None:
            return
        self.refused = True
        self._expected()
        self.setTimeout(None)  # type: ignore[no-untyped-call]  # Twisted's
        self.factory.counters[problem.status] += 1
        self.transport.write(whole_response(problem))
        self._deadline = self.factory.clock.callLater(LINGER, self._close)

    def _close(self) -> None:
        """What is not through then is nobody's: a TLS that never was, a client that reads not."""
        transport: Any = self.transport
        transport.loseConnection()
        self._deadline = self.factory.clock.callLater(LINGER, transport.abortConnection)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's word for what is no HTTP: it has no public name, and no body."""
        self.refuse(Problem(400, "that is no HTTP/1.1 request, or its head is too long"))

    def _expect(self) -> None:
        clock = self.factory.clock
        self._deadline = clock.callLater(MAX_SECONDS, self._too_slow)

    def _expected(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.refuse(Problem(408, f"a request has {MAX_SECONDS:g} seconds to come"))


class _Full(Protocol):
    """Somebody for whom there is no room."""

    def __init__(self, site: BoundedSite) -> None:
        self._site = site
        self._end: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Say when to come again, unless too many are being told so."""
        transport: Any = self.transport
        if self._site.turned_away >= MAX_TURNED_AWAY:
            transport.abortConnection()
            return
        self._site.turned_away += 1
        self._end = self._site.clock.callLater(LINGER, transport.abortConnection)
        transport.write(whole_response(busy("too many connections", 5)))
        transport.loseConnection()

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """See IProtocol."""
        if self._end is not None:
            self._site.turned_away -= 1
            if self._end.active():
                self._end.cancel()


class BoundedSite(Site):
    """Twisted's Site, with the bounds; it logs no requests, whose paths are capabilities."""

    def __init__(
        self, resource: IResource, clock: IReactorTime, per_origin: int | None = MAX_OF_ORIGIN
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # Twisted's
            resource,
            requestFactory=BoundedRequest,
            # No resource of ours takes forms, and some types of content upset what reads them.
            parsePOSTFormSubmission=False,
            timeout=MAX_IDLE,
            reactor=clock,
        )
        self.clock = clock
        self.counters: Counter[int] = Counter()
        """Requests that no resource has seen, by status."""
        self.protocol: Any = BoundedChannel
        self.turned_away = 0
        """Who is being told so."""
        self._per_origin = per_origin
        self._closing: Deferred[None] | None = None
        self._channels: dict[Any, Origin | None] = {}
        self._origins: Counter[Origin | None] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel, or a word that there is no room."""
        origin = _origin(addr)
        alike = origin is not None and self._origins[origin] == self._per_origin
        if alike or len(self._channels) >= MAX_CONNECTIONS:
            self.counters[503] += 1
            return cast("IProtocol", _Full(self))
        made: Any = super().buildProtocol(addr)  # type: ignore[no-untyped-call]  # Twisted's
        self._channels[made] = origin
        self._origins[origin] += 1
        return made

    def lost(self, channel: BoundedChannel) -> None:
        """A connection ended."""
        origin = self._channels.pop(channel, None)
        self._origins[origin] -= 1
        if self._origins[origin] <= 0:
            del self._origins[origin]
        self._look_whether_closed()

    def close(self) -> Deferred[None]:
        """All of them end, once what was said to them is through; fires when they have."""
        closed = self._closing = Deferred()
        limit = self.clock.callLater(LINGER, self._abort)
        closed.addBoth(lambda _: limit.cancel() if limit.active() else None)
        for channel in list(self._channels):
            channel.transport.loseConnection()
        self._look_whether_closed()
        return closed

    def _abort(self) -> None:
        for channel in list(self._channels):
            channel.transport.abortConnection()

    def _look_whether_closed(self) -> None:
        if self._closing is not None and not self._channels:
            closing, self._closing = self._closing, None
            closing.callback(None)

    @property
    def connections(self) -> int:
        """That are open."""
        return len(self._channels)

    def acceptableProtocols(self) -> list[bytes]:
        """For ALPN: HTTP/2 is not spoken, whatever is installed."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Not."""

    def startFactory(self) -> None:
        """No access log, and no timer that makes its dates."""

    def stopFactory(self) -> None:
        """There is no log to close."""
