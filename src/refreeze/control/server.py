"""The control port: one connection, its queue of requests, and the events it follows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.control.commands import VERBS, CommandError, Commands, Reply, Role
from refreeze.control.events import EventLog, LoggedEvent, topic_matches
from refreeze.control.grammar import (
    MAX_LINE,
    MAX_SIGNAL_LINE,
    GrammarError,
    Request,
    format_error,
    format_event,
    format_fields,
    format_reply,
    parse_request,
)
from refreeze.signaling.peercred import peer_credentials
from refreeze.signaling.places import UnixPlace, server_endpoint

MAX_PIPELINED = 64
MAX_CONNECTIONS = 32
"""One of them is kept for uid 0."""

DROP_EVENTS_ABOVE = 1024 * 1024
CLOSE_ABOVE = 8 * 1024 * 1024


@frozen(kw_only=True)
class Access:
    """Which uid and gid has which role on the UNIX socket. The daemon's own user is admin."""

    admins: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    observers: frozenset[int] = frozenset()
    own_uid: int = field(factory=os.getuid)

    def role(self, uid: int, gid: int) -> Role:
        """The greatest role of either; whoever may open the socket may observe."""
        if uid in (0, self.own_uid) or uid in self.admins:
            return Role.ADMIN
        if uid in self.operators or gid in self.operators:
            return Role.OPERATOR
        return Role.OBSERVER


@implementer(IHalfCloseableProtocol)
@define(eq=False, repr=False, slots=False)
class ControlConnection(Protocol):
    """I answer in the order of the requests, and never put an event inside an answer."""

    server: ControlServer
    role: Role = Role.NONE
    uid: int | None = None
    as_json: bool = False
    name: str = ""
    _buffer: bytearray = field(factory=bytearray)
    _requests: deque[Request] = field(factory=deque)
    _running: Deferred[Reply] | None = None
    _topics: tuple[str, ...] = ()
    _paused: bool = False
    _queued: int = 0
    _missed: int = 0
    _closing: bool = False
    _input_over: bool = False

    _log: ClassVar[Logger] = Logger()

    # The stream

    @property
    def _stream(self) -> Any:
        """A stream transport, which Twisted's types do not say."""
        return self.transport

    def connectionMade(self) -> None:
        """Who is it? Then greet."""
        credentials = peer_credentials(self._stream)
        if credentials is not None:
            self.uid = credentials.uid
            self.role = self.server.access.role(credentials.uid, credentials.gid)
        if not self.server.admit(self):
            self._write("* bye reason=too-many\n")
            self._stream.loseConnection()
            return
        self._stream.registerProducer(self, True)
        hello = {
            "server": self.server.commands.version,
            "role": self.role.name.lower(),
            "auth": "peercred" if credentials is not None else "none",
        }
        self._write(f"* refreeze 1 {format_fields(hello)}\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget it; a restart that it waited for goes on."""
        self._closing = True
        self.server.gone(self)
        self._requests.clear()

    def readConnectionLost(self) -> None:
        """The client closed its half: finish what it asked, then close."""
        self._input_over = True
        self._maybe_close()

    def writeConnectionLost(self) -> None:
        """Nobody reads any more."""
        self._stream.abortConnection()

    def pauseProducing(self) -> None:
        """The client is behind: what is queued from now on is counted."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It caught up: tell what it missed."""
        self._paused, self._queued = False, 0
        if self._missed:
            missed, self._missed = self._missed, 0
            self._event_line(
                f"! {self.server.events.number} {self.server.stamp()} gap missed={missed}\n"
            )

    def stopProducing(self) -> None:
        """The transport is done."""

    def dataReceived(self, data: bytes) -> None:
        """Split lines, bounded."""
        self._buffer += data
        while not self._closing and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._line(line)
        if not self._closing and len(self._buffer) > self._limit(self._buffer):
            self._too_long()

    @staticmethod
    def _limit(line: bytes | bytearray) -> int:
        verb = bytes(line[:64]).partition(b" ")
        named = verb[2].partition(b" ")[0] if line.startswith(b"@") else verb[0]
        return MAX_SIGNAL_LINE if named == b"signal" else MAX_LINE

    def _too_long(self) -> None:
        self._write(format_error("too-long", {"limit": MAX_LINE}, tag=None))
        self._close()

    def _line(self, line: bytes) -> None:
        if len(line) > self._limit(line):
            self._too_long()
            return
        try:
            request = parse_request(line.decode())
        except UnicodeDecodeError:
            self._write(format_error("bad-syntax", {"hint": "UTF-8 is wanted"}, tag=None))
            return
        except GrammarError as error:
            fields = {"column": error.column, "hint": f"expected {error.hint}"}
            self._write(format_error("bad-syntax", fields, tag=error.tag))
            return
        if request is None:
            return
        if len(self._requests) >= MAX_PIPELINED:
            fields = {"limit": MAX_PIPELINED, "retry": "yes"}
            self._write(format_error("too-many", fields, tag=request.tag))
            self._close()
            return
        self._requests.append(request)
        self._next()

    # Requests

    def _next(self) -> None:
        while self._requests and self._running is None and not self._closing:
            self._run(self._requests.popleft())
        self._maybe_close()

    def _maybe_close(self) -> None:
        idle = not self._requests and self._running is None and not self._topics
        if self._input_over and idle:
            self._close()

    def _run(self, request: Request) -> None:
        own = _OWN.get(request.verb)
        try:
            if own is not None:
                own(self, request)
                return
            result = self.server.commands.run(request, self.role)
        except Exception as error:
            self._refuse(request, error)
            return
        if self.server.is_change(request):
            self._log.info(
                "uid {uid} ({name}) asked: {verb} {words}",
                uid=self.uid,
                name=self.name,
                verb=request.verb,
                words=" ".join(request.words) if request.verb != "signal" else "",
            )
        if isinstance(result, Reply):
            self._answer(request, result)
            return
        self._running = result
        result.addCallbacks(
            lambda reply: self._finish(request, reply=reply),
            lambda failure: self._finish(request, error=failure.value),
        )

    def _finish(
        self, request: Request, *, reply: Reply | None = None, error: Exception | None = None
    ) -> None:
        self._running = None
        if self._closing:
            return
        if reply is not None:
            self._answer(request, reply)
        elif error is not None:
            self._refuse(request, error)
        self._next()

    def _answer(self, request: Request, reply: Reply) -> None:
        self._write(format_reply(reply.records, reply.final, tag=request.tag, as_json=self.as_json))

    def _refuse(self, request: Request, error: Exception) -> None:
        refusal = self.server.commands.operations.refusal
        if isinstance(error, (CommandError, refusal)):
            code, fields = getattr(error, "code", "internal"), getattr(error, "fields", {})
        else:
            reference = self.server.internal(error)
            code, fields = "internal", {"ref": reference}
        self._write(format_error(code, fields, tag=request.tag))

    def _hello(self, request: Request) -> None:
        if request.words != ("1",):
            raise CommandError("unsupported-version", supported=1)
        chosen = request.keys.get("format", "text")
        if chosen not in ("text", "json"):
            raise CommandError("bad-argument", key="format", hint="text or json")
        self.as_json = chosen == "json"
        self.name = request.keys.get("name", "")[:64]
        self._answer(request, Reply(final={"protocol": 1, "role": self.role.name.lower()}))

    def _watch(self, request: Request) -> None:
        if self.role < Role.OBSERVER:
            raise CommandError("not-permitted", needs="observer")
        topics = tuple(word for word in request.words if word != "snapshot")
        since = request.keys.get("since")
        if since is not None and not (since.isascii() and since.isdigit() and len(since) < 16):
            raise CommandError("bad-argument", key="since", hint="a sequence number")
        log = self.server.events
        records: tuple[Any, ...] = ()
        if "snapshot" in request.words:
            records = tuple(self.server.commands.operations.list_sessions())
        self._topics = topics or ("all",)
        start = log.number if since is None else int(since)
        self._answer(request, Reply(records, {"since": start}))
        missed, events = log.since(start)
        if missed:
            self._event_line(f"! {start + missed} {self.server.stamp()} gap missed={missed}\n")
        for event in events:
            self.event(event)

    def _unwatch(self, request: Request) -> None:
        self._topics = ()
        self._answer(request, Reply())

    def _quit(self, request: Request) -> None:
        self._answer(request, Reply())
        self._close()

    # Events

    def event(self, event: LoggedEvent) -> None:
        """Something happened; it goes out now, or after the answer that is being made."""
        if self._closing or not topic_matches(event.topic, self._topics):
            return
        if self._queued > DROP_EVENTS_ABOVE:
            self._missed += 1
            return
        line = format_event(
            event.number, event.timestamp, event.topic, event.fields, as_json=self.as_json
        )
        self._event_line(line)

    def _event_line(self, line: str) -> None:
        self._write(line)

    def _write(self, text: str) -> None:
        data = text.encode()
        if self._paused:
            self._queued += len(data)
        if self._queued > CLOSE_ABOVE:
            self._stream.write(b"* bye reason=slow\n")
            self._close()
            return
        self._stream.write(data)

    def _close(self) -> None:
        self._closing = True
        self._stream.unregisterProducer()
        self._stream.loseConnection()

    def bye(self, reason: str) -> None:
        """The daemon ends."""
        if not self._closing:
            self._write(f"* bye reason={reason}\n")
            self._close()


_OWN: dict[str, Callable[[ControlConnection, Request], None]] = {
    "hello": ControlConnection._hello,
    "watch": ControlConnection._watch,
    "unwatch": ControlConnection._unwatch,
    "quit": ControlConnection._quit,
}
_CHANGES = frozenset(verb.name for verb in VERBS.values() if verb.role >= Role.OPERATOR)


@define(eq=False, repr=False)
class ControlServer:
    """Listens, admits, and tells connections of events."""

    reactor: Any
    path: str
    commands: Commands
    events: EventLog
    access: Access = field(factory=Access)
    _connections: set[ControlConnection] = field(factory=set)
    _port: IListeningPort | None = None
    _errors: int = 0

    _log: ClassVar[Logger] = Logger()

    def start(self) -> None:
        """Listen; what fails is raised, so that no daemon runs without its control port."""
        server = self

        class ControlFactory(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> ControlConnection:
                return ControlConnection(server)

        problems: list[Failure] = []
        endpoint = server_endpoint(self.reactor, UnixPlace(self.path))
        listening = endpoint.listen(ControlFactory())
        listening.addCallbacks(self._listening, problems.append)
        if problems:
            problems[0].raiseException()
        self.events.follow(self._event)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port

    async def stop(self) -> None:
        """Say bye to all, and stop listening."""
        self.events.unfollow(self._event)
        for connection in list(self._connections):
            connection.bye("shutdown")
        if self._port is not None:
            stopping = self._port.stopListening()
            if isinstance(stopping, Deferred):
                await stopping

    def admit(self, connection: ControlConnection) -> bool:
        """Whether there is room; the last place is root's."""
        room = MAX_CONNECTIONS if connection.uid == 0 else MAX_CONNECTIONS - 1
        if len(self._connections) >= room:
            return False
        self._connections.add(connection)
        return True

    def gone(self, connection: ControlConnection) -> None:
        """It is closed."""
        self._connections.discard(connection)

    def _event(self, event: LoggedEvent) -> None:
        for connection in list(self._connections):
            connection.event(event)

    def stamp(self) -> str:
        """Now, as events write it."""
        _missed, latest = self.events.since(self.events.number - 1)
        return next((event.timestamp for event in latest), "-")

    def is_change(self, request: Request) -> bool:
        """Whether the request is one that changes state, and so is logged."""
        return request.verb in _CHANGES

    def internal(self, error: Exception) -> str:
        """Log what went wrong inside; the reference stands in the answer and in the log."""
        self._errors += 1
        reference = f"e{self._errors}"
        why = Failure(error)  # type: ignore[no-untyped-call]  # Twisted's
        self._log.failure("control error {reference}", why, reference=reference)
        return reference
