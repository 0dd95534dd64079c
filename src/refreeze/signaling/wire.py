"""The hub's line protocol: what both ends of a connection to the hub have in common.

Each line is one JSON object with ``"v": 1``, at most 64 KiB, ended by LF. A line with ``kind``
is an envelope (:mod:`.envelope`). Any other is a *notice*, named by its one other member:

======================================================= ======================================
from the daemon
``{"v":1,"auth":{"nonce":HEX}}``                        loopback TCP only: begins the cookie
                                                        handshake (:mod:`.cookie`)
``{"v":1,"auth":{"proof":HEX}}``                        ends it
``{"v":1,"hello":{"name":NAME,"watch":[NAME, ...]}}``   who this is; whose presence it wants
``{"v":1,"watch":[NAME, ...]}``                         wants these too; each is answered by a
                                                        presence at once
``{"v":1,"unwatch":[NAME, ...]}``
from the hub
``{"v":1,"auth":{"nonce":HEX,"proof":HEX}}``            the hub's half of the handshake
``{"v":1,"welcome":{"name":NAME}}``                     envelopes may be sent from now on
``{"v":1,"presence":{"peer":NAME,"online":BOOL}}``      a watched daemon came, went, or (offline,
                                                        then online) was replaced by a new one
``{"v":1,"bye":{"reason":SLUG}}``                       then the connection is closed. hello, auth,
                                                        not-permitted, timeout, replaced, too-many,
                                                        shutdown
from either
``{"v":1,"ping":N}``, ``{"v":1,"pong":N}``              asked after 20 s of silence; another 10 s of
                                                        it mean that the other end is gone
======================================================= ======================================

Whoever sends to a name also watches it from then on. Empty lines and unknown notices are
ignored; a later version may add some. An envelope that does not reach its addressee comes back as
``undeliverable`` from the addressee's name (from the hub's if there is none), with the id of the
lost one in ``offer`` and in ``reason``: ``offline``, ``unknown-peer`` (never seen here),
``queue-full``, ``malformed`` (``detail`` then says what is wrong), ``not-permitted`` (``from`` was
another daemon).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.signaling.envelope import EnvelopeError, JsonObject, format_line, load_object
from refreeze.signaling.lines import LineBuffer
from refreeze.signaling.verification import Verification, verification_of

MAX_QUEUE = 1024 * 1024
"""Bytes that wait for a slow reader before the connection is closed."""

ROUNDING = 1e-3
"""Seconds by which a timer may seem to be early: sums of floats are not exact."""

FLUSH_WAIT = 2.0
"""Seconds that a closing connection gets to take its last lines."""


@frozen
class Keepalive:
    """Seconds of silence until a ping, and from there to giving up.

    The other end's ping is as good as its answer, so an idle link costs one of each in 20 s.
    """

    interval: float = 20.0
    timeout: float = 10.0

    def __attrs_post_init__(self) -> None:
        if not 0 < self.timeout < self.interval:
            raise ValueError("a keepalive's timeout is above 0 and below its interval")


@implementer(IPushProducer)
@define(eq=False, repr=False)
class Outbox:
    """Lines on their way out, bounded: a Twisted transport alone would buffer without end."""

    _transport: Any
    _limit: int = MAX_QUEUE
    _lines: deque[bytes] = field(factory=deque, init=False)
    _queued: int = field(default=0, init=False)
    _paused: bool = field(default=False, init=False)

    def write(self, line: bytes) -> bool:
        """Send *line* or queue it; False (and nothing done) when the queue is full."""
        if self._queued + len(line) > self._limit:
            return False
        if self._paused:
            self._lines.append(line)
            self._queued += len(line)
        else:
            self._transport.write(line)
        return True

    @property
    def congested(self) -> bool:
        """Whether the transport takes no more for now."""
        return self._paused

    @property
    def queued(self) -> int:
        """Bytes waiting here, beside the transport's own small buffer."""
        return self._queued

    def flush(self) -> None:
        """Give the transport everything that waits, paused or not: it closes after this."""
        while self._lines:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while self._lines and not self._paused:
            line = self._lines.popleft()
            self._queued -= len(line)
            self._transport.write(line)

    def stopProducing(self) -> None:
        self._lines.clear()
        self._queued = 0


@define(eq=False, repr=False, slots=False, kw_only=True)
class LineConnection(Protocol):
    """One end of a connection to the hub: lines in, lines out, keepalive, an orderly end.

    Subclasses say what a connection, a notice, an envelope and a bad line mean to them. What
    they raise is logged and does not end the connection.
    """

    clock: IReactorTime
    keepalive: Keepalive = field(factory=Keepalive)
    counters: Counter[str] = field(factory=Counter)
    max_queue: int = MAX_QUEUE
    closing: bool = field(default=False, init=False)
    _lines: LineBuffer = field(factory=LineBuffer, init=False)
    _outbox: Outbox | None = field(default=None, init=False)
    _verification: Verification | None = field(default=None, init=False)
    """What TLS says of the other end; None without TLS."""
    _timer: IDelayedCall | None = field(default=None, init=False)
    _heard_at: float = field(default=0.0, init=False)
    _pings: int = field(default=0, init=False)

    _log = Logger()

    # For subclasses.

    def opened(self) -> None:
        """The connection is made."""
        raise NotImplementedError

    def notice_received(self, name: str, value: Any) -> None:
        """A notice other than ping, pong; *value* is whatever JSON the other end wrote."""
        raise NotImplementedError

    def envelope_received(self, members: JsonObject) -> None:
        """A line with ``kind``."""
        raise NotImplementedError

    def bad_line(self, reason: str, members: Mapping[str, Any]) -> None:
        """A line that is neither (*members* is then empty), or longer than allowed."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        raise NotImplementedError

    # For everybody.

    def send_notice(self, name: str, value: object) -> bool:
        """Send one notice; False when it could not be."""
        return self.send_line(format_line({"v": 1, name: value}))

    def send_line(self, line: bytes) -> bool:
        """Send one formatted line; False when closing, or when the other end reads too slowly.

        In the latter case the connection is closed.
        """
        if self.closing or self._outbox is None:
            return False
        if self._outbox.write(line):
            return True
        self.counters["slow"] += 1
        self.abort("slow")
        return False

    @property
    def congested(self) -> bool:
        """Whether the other end is behind with reading."""
        return self._outbox is not None and self._outbox.congested

    def close(self, reason: str, *, tell: bool = True) -> None:
        """Say bye and close, but wait no longer than :data:`FLUSH_WAIT`. Idempotent."""
        if self.closing or self._outbox is None:
            return
        if tell:
            self.send_notice("bye", {"reason": reason})
        if self.closing:
            return
        self.closing = True
        self._outbox.flush()
        transport: Any = self.transport
        transport.unregisterProducer()
        self._set_timer(FLUSH_WAIT, self._abort)
        transport.loseConnection()

    def abort(self, reason: str) -> None:
        """Close at once; the other end does not listen anyway."""
        if self.closing:
            return
        self._log.debug("hub connection aborted: {reason}", reason=reason)
        self.closing = True
        self._abort()

    # For Twisted.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._verification = verification_of(transport)
        self._outbox = Outbox(transport, self.max_queue)
        transport.registerProducer(self._outbox, True)
        self._heard_at = self.clock.seconds()
        self._set_timer(self.keepalive.interval, self._listen)
        self._guard(self.opened)

    def dataReceived(self, data: bytes) -> None:
        self._heard_at = self.clock.seconds()
        for line in self._lines.feed(data):
            if self.closing:
                return
            self._guard(self._line, line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closing = True
        self._cancel_timer()
        known = self._verification
        why = reason.getErrorMessage() if known is None else known.lost(reason)
        self._guard(self.closed, why)

    # For myself.

    def _line(self, line: bytes | None) -> None:
        if line == b"":
            return
        if line is None:
            self.bad_line("too long", {})
            return
        try:
            members = load_object(line)
        except EnvelopeError as error:
            self.bad_line(error.reason, {})
            return
        if "kind" in members:
            self.envelope_received(members)
            return
        names = [name for name in members if name != "v"]
        if members.get("v") != 1 or len(names) != 1:
            self.bad_line("neither an envelope nor a notice", members)
            return
        self._notice(names[0], members[names[0]])

    def _notice(self, name: str, value: Any) -> None:
        if name == "ping":
            if type(value) is int and abs(value) < 2**53:
                self.send_notice("pong", value)
        elif name != "pong":
            self.notice_received(name, value)

    def _listen(self) -> None:
        """Ping when it has been quiet for long enough, else wait until it may have been."""
        left = self._heard_at + self.keepalive.interval - self.clock.seconds()
        if left > ROUNDING:
            self._set_timer(left, self._listen)
            return
        self._pings += 1
        if self.send_notice("ping", self._pings):
            self._set_timer(self.keepalive.timeout, self._check, self._heard_at)

    def _check(self, heard_at: float) -> None:
        if self._heard_at > heard_at:
            self._listen()
        else:
            self.counters["keepalive_lost"] += 1
            self.abort("keepalive")

    def _set_timer(self, wait: float, call: Any, *arguments: object) -> None:
        self._cancel_timer()
        self._timer = self.clock.callLater(wait, call, *arguments)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _abort(self) -> None:
        self._cancel_timer()
        abort_transport(self.transport)

    def _guard(self, call: Any, *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:
            self.counters["errors"] += 1
            self._log.failure("a hub connection's handler failed")


def abort_transport(transport: ITransport | None) -> None:
    """Abort where the transport can (TCP and UNIX can), else close."""
    if transport is None:
        return
    abort = getattr(transport, "abortConnection", None)
    if abort is not None:
        abort()
    else:
        transport.loseConnection()


def member(value: object, name: str, kind: type) -> Any:
    """``value[name]`` of a notice, or None when that is not of *kind*."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if type(found) is kind else None


def hex_member(value: object, name: str) -> bytes:
    """Bytes written in hexadecimal; empty when they are not."""
    text = member(value, name, str) or ""
    try:
        return bytes.fromhex(text) if len(text) <= 256 else b""
    except ValueError:
        return b""
