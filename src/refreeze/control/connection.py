"""One connection to the control port: its requests in order, and the events that it follows.

A request is taken from the buffer only when the one before it is answered, so the buffer is the
pipeline and answers cannot change places. The socket is not read while the pipeline is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.control import grammar
from refreeze.control.access import Access, Role, peer_groups
from refreeze.control.certified import holder_of
from refreeze.control.codes import CommandError
from refreeze.control.commands import Reply, whole
from refreeze.control.events import LoggedEvent, topic_matches
from refreeze.control.grammar import GrammarError, Request
from refreeze.control.looking import PROTOCOL
from refreeze.control.outbox import Outbox
from refreeze.control.verbs import find
from refreeze.signaling.cookie import CookieError, CookieServer
from refreeze.signaling.peercred import peer_credentials
from refreeze.signaling.verification import verification_of

if TYPE_CHECKING:
    from refreeze.control.server import ControlServer

MAX_PIPELINED = 64
_MAX_BUFFER = 256 * 1024
_PER_TURN = 16
"""Requests carried out before the reactor sees to the paths again."""

AUTH_SECONDS = 10.0
AUTH_TRIES = 3
AUDITED = 64
"""Characters of a value that are logged. What is longer may be an envelope at the wrong verb."""

LINGER = 5.0
"""Seconds that a closing connection has to take what is left for it."""

_TOO_SLOW = "it was not done with its handshake in time"

PRIVATE_TOPIC = "signal"
"""Its events hold ICE passwords: only operators get it, and only who names it."""


@implementer(IHalfCloseableProtocol, IHandshakeListener)
@define(eq=False, repr=False, slots=False)
class ControlConnection(Protocol):
    """I answer in the order of the requests, and never put an event inside an answer.

    *handshake*: what a client on loopback TCP must go through; *host*: where one on TLS comes
    from, whose certificate tells who it is. With neither, the kernel tells.
    """

    server: ControlServer
    handshake: CookieServer | None = None
    host: str | None = None
    role: Role = field(default=Role.NONE, init=False)
    uid: int | None = field(default=None, init=False)
    name: str = field(default="", init=False)
    holder: str = field(default="", init=False)
    """Whose certificate it is, on TLS."""
    as_json: bool = field(default=False, init=False)
    closing: bool = field(default=False, init=False)
    _outbox: Outbox = field(init=False)
    _buffer: bytearray = field(factory=bytearray, init=False)
    _running: Deferred[Reply] | None = field(default=None, init=False)
    _pumping: bool = field(default=False, init=False)
    _later: IDelayedCall | None = field(default=None, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _reading: bool = field(default=True, init=False)
    _input_over: bool = field(default=False, init=False)
    _topics: tuple[str, ...] = field(default=(), init=False)
    _missed: int = field(default=0, init=False)
    _last_missed: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _claim: Callable[[Access], Role] | None = field(default=None, init=False)
    """The role of whoever this is, by the configuration of the day."""
    _late: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    @property
    def _stream(self) -> Any:
        """A stream transport, which Twisted's types do not say."""
        return self.transport

    # For Twisted

    def connectionMade(self) -> None:
        """Who is it? Then greet."""
        self._outbox = Outbox(self._stream, self._tell_missed)
        self._stream.registerProducer(self._outbox, True)
        if self.host is not None:
            self._deadline = self.server.clock.callLater(AUTH_SECONDS, self._too_slow)
            return
        credentials = None if self.handshake is not None else peer_credentials(self._stream)
        if credentials is not None:
            self.uid = credentials.uid
            groups = (credentials.gid, *peer_groups(self._stream))
            self._is(lambda access: access.role(credentials.uid, groups))
        if not self.server.admit(self):
            self.bye("too-many")
        elif self.handshake is None and credentials is None:
            self.bye("auth-failed")
        else:
            if self.role is Role.NONE:
                self._deadline = self.server.clock.callLater(AUTH_SECONDS, self._auth_late)
            self._greet()

    def handshakeCompleted(self) -> None:
        """TLS is there, and the certificate good: see IHandshakeListener."""
        self._cancel_timers()
        word, self.holder = holder_of(self.transport)
        self.server.let_in(self)
        self._is(lambda access: access.certified(word, self.holder))
        if self.role is Role.NONE:
            self.server.shut_out(self)
        elif not self.server.admit(self):
            self.bye("too-many")
        else:
            self._greet()

    def _is(self, claim: Callable[[Access], Role]) -> None:
        self._claim, self.role = claim, claim(self.server.access)

    def reconsider(self) -> None:
        """The roles have changed: mine too, at once, and who has none left goes."""
        if self.closing or self._claim is None or self.role is Role.NONE:
            return
        self.role = self._claim(self.server.access)
        if self.role is Role.NONE:
            self.server.shut_out(self)

    def _too_slow(self) -> None:
        self._deadline = None
        self._late = True
        self._stream.abortConnection()

    @property
    def who(self) -> str:
        """For people: who asks."""
        if self.host is not None:
            return f"certificate {self.holder} from {self.host}"
        return f"uid {'-' if self.uid is None else self.uid}"

    def _greet(self) -> None:
        known = "peercred" if self.handshake is None else "cookie"
        fields = {
            "server": self.server.commands.version,
            "role": self.role.word,
            "auth": known if self.host is None else "tls",
        }
        self._write(grammar.format_notice(f"refreeze {PROTOCOL}", fields))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget it; a restart that it waited for goes on."""
        self.closing = True
        self._cancel_timers()
        self._buffer.clear()
        if self.host is not None and not self.holder:
            verification = verification_of(self.transport)
            why = reason.getErrorMessage() if verification is None else verification.lost(reason)
            self.server.turned_away(self, _TOO_SLOW if self._late else why)
        self.server.gone(self)

    def readConnectionLost(self) -> None:
        """The client closed its half: finish what it asked, then close."""
        self._input_over = True
        self._pump()

    def writeConnectionLost(self) -> None:
        """Nobody reads any more."""
        self._stream.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Keep it, and carry out what is complete."""
        if not self.closing:
            self._buffer += data
            self._pump()

    # Lines

    def _pump(self) -> None:
        """Carry out requests until one takes time, the input ends, or others must have a turn."""
        if self._pumping:
            return
        self._pumping = True
        turns = _PER_TURN
        while self._ready() and turns:
            line = self._take_line()
            if line is None:
                self._input_ended()
                break
            self._line(line)
            turns -= 1
        self._pumping = False
        if not turns and self._ready():
            self._later = self.server.clock.callLater(0, self._again)
        self._throttle()

    def _ready(self) -> bool:
        return not self.closing and self._running is None and self._later is None

    def _again(self) -> None:
        self._later = None
        self._pump()

    def _throttle(self) -> None:
        """Read on only while there is room in the pipeline."""
        full = len(self._buffer) > _MAX_BUFFER or self._buffer.count(b"\n") >= MAX_PIPELINED
        if self.closing or self._input_over or full != self._reading:
            return
        self._reading = not full
        if full:
            self._stream.pauseProducing()
        else:
            self._stream.resumeProducing()

    def _take_line(self) -> bytes | None:
        """The next complete line without its end; None when there is none, or one is too long."""
        end = self._buffer.find(b"\n")
        limit = self._limit()
        if end > limit or (end < 0 and len(self._buffer) > limit):
            self._write(grammar.format_error("too-long", {"limit": limit}, tag=None))
            self._close()
            return None
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _limit(self) -> int:
        first, _, rest = bytes(self._buffer[:64]).partition(b" ")
        verb = rest.partition(b" ")[0] if first.startswith(b"@") else first
        signal = verb == b"signal" and self.role >= Role.OPERATOR
        return grammar.MAX_SIGNAL_LINE if signal else grammar.MAX_LINE

    def _input_ended(self) -> None:
        """No complete line is left. Half a line at the end is no request: it may be cut short."""
        if not self._input_over or self.closing:
            return
        if self._buffer:
            self._buffer.clear()
            fields = {"hint": "the last line has no end"}
            self._write(grammar.format_error("bad-syntax", fields, tag=None))
        if not self._topics:
            self._close()

    def _line(self, line: bytes) -> None:
        try:
            request = grammar.parse_request(line.decode())
        except UnicodeDecodeError as error:
            fields: dict[str, Any] = {"byte": error.start + 1, "hint": "UTF-8 is wanted"}
            self._write(grammar.format_error("bad-syntax", fields, tag=None))
        except GrammarError as error:
            fields = {"column": error.column, "hint": f"expected {error.hint}"}
            self._write(grammar.format_error("bad-syntax", fields, tag=error.tag))
        else:
            if request is not None:
                self._run(request)

    # Requests

    def _run(self, request: Request) -> None:
        own = _OWN.get(request.verb)
        try:
            verb = find(self.server.commands, request, self.role)
            run = verb.run
            if own is not None:
                own(self, request)
                return
            assert run is not None
            result = run(self.server.commands, request)
        except Exception as error:
            self._refuse(request, error)
            return
        if verb.role >= Role.OPERATOR:
            self._audit(request, "done" if isinstance(result, Reply) else "begun")
        if isinstance(result, Reply):
            self._answer(request, result)
            return
        self._running = result
        result.addCallbacks(self._finish, self._finish, (request,), {}, (request,))

    def _finish(self, result: Reply | Failure, request: Request) -> None:
        self._running = None
        if self.closing:
            return
        if isinstance(result, Reply):
            self._answer(request, result)
        elif isinstance(result.value, Exception):
            self._refuse(request, result.value)
        self._pump()

    def _answer(self, request: Request, reply: Reply) -> None:
        self._write(
            grammar.format_reply(reply.records, reply.final, tag=request.tag, as_json=self.as_json)
        )

    def _refuse(self, request: Request, error: Exception) -> None:
        refusal = self.server.commands.refusal_of(error)
        if refusal is None:
            refusal = "internal", {"ref": self.server.internal(error)}
        if self.server.is_change(request):
            self._audit(request, refusal[0])
        self._write(grammar.format_error(refusal[0], refusal[1], tag=request.tag))

    def _audit(self, request: Request, outcome: str) -> None:
        """What was asked, by whom; an envelope holds a password and is left out."""
        said = request.verb != "signal"
        keys = {key: _cut(value) for key, value in request.keys.items()} if said else {}
        words = map(_cut, request.words) if said else ["..."]
        self._log.info(
            "control: {who} ({name}) asked {verb} {words} {keys}: {outcome}",
            who=self.who,
            name=grammar.format_value(self.name or None),
            verb=request.verb,
            words=" ".join(map(grammar.format_value, words)),
            keys=grammar.format_fields(keys),
            outcome=outcome,
        )

    # Requests about the connection itself

    def _hello(self, request: Request) -> None:
        if request.words != (str(PROTOCOL),):
            raise CommandError("unsupported-version", supported=PROTOCOL)
        chosen = request.keys.get("format", "json" if self.as_json else "text")
        if chosen not in ("text", "json"):
            raise CommandError("bad-argument", key="format", hint="text or json")
        name = request.keys.get("name", self.name)
        if len(name) > 64 or not name.isprintable():
            raise CommandError("bad-argument", key="name", hint="64 printable characters at most")
        self.as_json, self.name = chosen == "json", name
        self._answer(request, Reply(final={"protocol": PROTOCOL, "role": self.role.word}))

    def _auth(self, request: Request) -> None:
        """First ``nonce=``: the server proves itself. Then ``proof=``: the client does."""
        if self.handshake is None or self.role is not Role.NONE:
            raise CommandError("wrong-state", hint="you are known already")
        if request.words != ("cookie",) or len(request.keys) != 1:
            raise CommandError("bad-argument", hint="auth cookie nonce=HEX, then proof=HEX")
        try:
            final = self._handshake(self.handshake, request)
        except (ValueError, CookieError):
            self._auth_failed(request)
        else:
            self._answer(request, Reply(final=final))

    def _handshake(self, handshake: CookieServer, request: Request) -> dict[str, Any]:
        if "nonce" in request.keys:
            nonce, proof = handshake.challenge(bytes.fromhex(request.keys["nonce"]))
            return {"nonce": nonce.hex(), "proof": proof.hex()}
        if not handshake.verify(bytes.fromhex(request.keys["proof"])):
            raise CookieError("the client does not know the cookie")
        self.role = self.server.access.cookie
        self._cancel_timers()
        return {"role": self.role.word, "auth": "cookie"}

    def _auth_failed(self, request: Request) -> None:
        self._failures += 1
        left = AUTH_TRIES - self._failures
        self._write(grammar.format_error("auth-failed", {"tries": left}, tag=request.tag))
        if left <= 0:
            self.bye("auth-failed")

    def _auth_late(self) -> None:
        self._deadline = None
        self.bye("auth-timeout")

    def _watch(self, request: Request) -> None:
        """Follow topics from now, or from *since*; a second watch replaces the first.

        Snapshot, answer and replay happen in one turn, so nothing falls between them. A number
        from before a restart of the daemon is answered by everything there is (``reset=yes``).
        """
        log, since = self.server.events, request.keys.get("since")
        start = log.number if since is None else whole(since, "since")
        final: dict[str, Any] = {"since": start}
        if start > log.number:
            start, final = 0, {"since": 0, "reset": True}
        snapshot = "snapshot" in request.words
        records = tuple(self.server.commands.sessions({})) if snapshot else ()
        self._topics = tuple(word for word in request.words if word != "snapshot") or ("all",)
        self._missed = 0
        self._answer(request, Reply(records, final))
        missed, events = log.since(start)
        if missed:
            self._missed, self._last_missed = missed, start + missed
            self._tell_missed()
        for event in events:
            self.event(event)

    def _unwatch(self, request: Request) -> None:
        self._topics, self._missed = (), 0
        self._answer(request, Reply())

    def _quit(self, request: Request) -> None:
        self._answer(request, Reply())
        self._close()

    # Events

    def event(self, event: LoggedEvent) -> None:
        """Something happened; a client that is too far behind is told later how much it missed."""
        if self.closing or not self._follows(event.topic):
            return
        if self._outbox.behind:
            self._missed += 1
            self._last_missed = event.number
            return
        self._tell_missed()
        self._event_line(event.number, event.timestamp, event.topic, event.fields)

    def _follows(self, topic: str) -> bool:
        if topic == PRIVATE_TOPIC:
            return self.role >= Role.OPERATOR and PRIVATE_TOPIC in self._topics
        return topic_matches(topic, self._topics)

    def _tell_missed(self) -> None:
        if self._missed and not self.closing:
            fields, self._missed = {"missed": self._missed}, 0
            self._event_line(self._last_missed, self.server.events.stamp(), "gap", fields)

    def _event_line(self, number: int, stamp: str, topic: str, fields: Any) -> None:
        self._write(grammar.format_event(number, stamp, topic, fields, as_json=self.as_json))

    # The end

    def _write(self, text: str) -> None:
        if self.closing:
            return
        if not self._outbox.write(text.encode()):
            self._log.info("control: a client reads too slowly ({who})", who=self.who)
            self._outbox.give_up(grammar.format_notice("bye", {"reason": "slow"}).encode())
            self._close()

    def bye(self, reason: str) -> None:
        """The server ends it."""
        self._write(grammar.format_notice("bye", {"reason": reason}))
        self._close()

    def _close(self) -> None:
        if self.closing:
            return
        self.closing = True
        self._buffer.clear()
        self._cancel_timers()
        self._outbox.flush()
        self._stream.unregisterProducer()
        # What is left may never be read; the connection must not stay for that.
        self._deadline = self.server.clock.callLater(LINGER, self._give_up)
        self._stream.loseConnection()

    def _give_up(self) -> None:
        self._deadline = None
        self._stream.abortConnection()

    def _cancel_timers(self) -> None:
        for timer in (self._later, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._later = self._deadline = None


_OWN: dict[str, Callable[[ControlConnection, Request], None]] = {
    "hello": ControlConnection._hello,
    "auth": ControlConnection._auth,
    "watch": ControlConnection._watch,
    "unwatch": ControlConnection._unwatch,
    "quit": ControlConnection._quit,
}


def _cut(text: str) -> str:
    return text if len(text) <= AUDITED else f"{text[:AUDITED]}..."
