"""The control port for Python programs on Twisted: ask, and be told of events.

    client = await connect_control(reactor, "tls:alice.example.net:7812", certificates=files)
    answer = await client.ask("list state=failed")
    await client.follow(print, "session")

The lines are those of the protocol (docs/control.md), answers and events come as JSON.
"""

from __future__ import annotations

import json
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Randomness
from refreeze.ctl.wire import Final as End
from refreeze.ctl.wire import WireError
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.cookie import CookieClient, CookieError, load_cookie
from refreeze.signaling.lines import LineBuffer
from refreeze.signaling.places import check_hub_endpoint
from refreeze.signaling.tls import TlsIdentity, link_endpoint
from refreeze.signaling.verification import verification_of

MAX_PENDING: Final = 64
"""Requests that wait for their answers: what the daemon takes at a time."""

GREETING_SECONDS: Final = 30.0
"""For everything up to the answer to ``hello``."""

MAX_LINE: Final = 8 * 1024 * 1024
_PURPOSE: Final = "control"
_NUMBER: Final = re.compile("[0-9]{1,18}")

Record: TypeAlias = dict[str, Any]


class ControlError(Exception):
    """No control port answers there, or not any more; one line."""


class ControlRefused(Exception):
    """The daemon said ERR: *code*, and *fields* as text."""

    def __init__(self, code: str, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join([code, *(f"{name}={value}" for name, value in fields.items())]))
        self.code = code
        self.fields = fields


@frozen
class Answer:
    """The records of an OK, and its own fields as text."""

    records: list[Record]
    fields: Mapping[str, str]


@frozen
class ControlEvent:
    """One event; *number* counts all of the daemon's."""

    number: int
    timestamp: str
    topic: str
    fields: Record


@frozen(eq=False)
class _Asked:
    tag: str
    records: list[Record]
    answer: Deferred[Answer]


@define(eq=False, repr=False, slots=False)
class ControlClient(Protocol):
    """One connection. :func:`connect_control` makes it, past greeting and handshake."""

    greeting: Deferred[str] = field(factory=Deferred)
    """Fires with the daemon's first line."""
    ended: Deferred[str] = field(factory=Deferred)
    """Fires when the connection has ended, with why in words."""
    _on_event: Callable[[ControlEvent], object] = lambda event: None
    _lines: LineBuffer = field(factory=lambda: LineBuffer(MAX_LINE), init=False)
    _asked: deque[_Asked] = field(factory=deque, init=False)
    _number: int = field(default=0, init=False)
    _over: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    # For the program

    def ask(self, line: str) -> Deferred[Answer]:
        """One request. ControlRefused for an ERR; ControlError when the connection ends before.

        Answers come in the order of the requests. Whoever cancels one is not told of its answer.
        """
        if self._over:
            return self._failed("the connection has ended")
        if "\n" in line or len(self._asked) >= MAX_PENDING:
            return self._failed("one line, and not more than 64 that wait for their answers")
        self._number += 1
        asked = _Asked(f"@{self._number}", [], Deferred())
        self._asked.append(asked)
        self._stream.write(f"{asked.tag} {line}\n".encode())
        return asked.answer

    def follow(self, listener: Callable[[ControlEvent], object], *topics: str) -> Deferred[Answer]:
        """Tell *listener* of the events of *topics* (all, without any) from now on."""
        self._on_event = listener
        return self.ask(" ".join(["watch", *topics]))

    def close(self) -> Deferred[str]:
        """Hang up; fires when that is done."""
        self._stream.loseConnection()
        return self.ended

    def abort(self) -> None:
        """Hang up without a word, whatever state the other end is in."""
        self._stream.abortConnection()

    # For Twisted

    @property
    def _stream(self) -> Any:
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        """Lines, as they are complete."""
        for line in self._lines.feed(data):
            if line is None or not self._line(line.decode(errors="replace")):
                self._stream.abortConnection()
                return

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """What was asked will not be answered."""
        self._over = True
        verification = verification_of(self.transport)
        why = reason.getErrorMessage() if verification is None else verification.lost(reason)
        while self._asked:
            self._asked.popleft().answer.errback(ControlError(why))
        if not self.greeting.called:
            self.greeting.errback(ControlError(why))
        self.ended.callback(why)

    # Inside

    @staticmethod
    def _failed(why: str) -> Deferred[Answer]:
        failed: Deferred[Answer] = Deferred()
        failed.errback(ControlError(why))
        return failed

    def _line(self, line: str) -> bool:
        """Whether it makes sense."""
        if not self.greeting.called:
            self.greeting.callback(line)
            return True
        if line.startswith("! "):
            return self._event(line)
        if line.startswith("* "):
            return True  # a bye: the end of the connection follows
        if not self._asked:
            return False
        asked = self._asked[0]
        tag, _, rest = line.partition(" ")
        if tag == "ERR":  # the daemon could not read so far as the tag
            rest = line
        elif tag != asked.tag:
            return False
        if rest.startswith("- "):
            return self._record(asked, rest[2:])
        try:
            end = End(rest)
        except WireError:
            return False
        self._asked.popleft()
        if end.ok:
            asked.answer.callback(Answer(asked.records, end.fields))
        else:
            asked.answer.errback(ControlRefused(end.code, end.fields))
        return True

    def _record(self, asked: _Asked, text: str) -> bool:
        record = _object(text)
        if record is None:
            return False
        asked.records.append(record)
        return True

    def _event(self, line: str) -> bool:
        parts = line.split(" ", 4)
        fields = _object(parts[4]) if len(parts) == 5 else {}
        if len(parts) < 4 or not _NUMBER.fullmatch(parts[1]) or fields is None:
            return False
        try:
            self._on_event(ControlEvent(int(parts[1]), parts[2], parts[3], fields))
        except Exception:
            self._log.failure("a listener for events of the control port failed")
        return True


def _object(text: str) -> Record | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


async def connect_control(
    reactor: Any,
    where: str,
    *,
    cookie: str | None = None,
    certificates: CertificateFiles | None = None,
    server_name: str | None = None,
    source: Randomness | None = None,
) -> ControlClient:
    """A connection to the control port at ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``.

    TCP wants the path of the *cookie* file, TLS *certificates* with a role in them (``refreezectl
    pki issue NAME --role ROLE``); the daemon's is for HOST, or for *server_name*. ValueError for a
    wrong place or file, ControlError when it comes to nothing.
    """
    place = check_hub_endpoint(where)
    identity = None if certificates is None else TlsIdentity(certificates)
    endpoint = link_endpoint(reactor, place, identity, server_name)
    try:
        made: Any = await endpoint.connect(Factory.forProtocol(ControlClient))
    except (ConnectError, DNSLookupError) as error:
        raise ControlError(f"{where}: {error}") from None
    late = reactor.callLater(GREETING_SECONDS, made.abort)
    try:
        await _greet(made, where, cookie, source or random.SystemRandom())
    except (ControlRefused, CookieError) as error:
        made.abort()
        raise ControlError(f"{where}: {error}") from None
    except BaseException as error:
        made.abort()
        if isinstance(error, ControlError) and not late.active():
            raise ControlError(f"{where}: no greeting in time") from None
        raise
    finally:
        if late.active():
            late.cancel()
    client: ControlClient = made
    return client


async def _greet(client: ControlClient, where: str, cookie: str | None, source: Randomness) -> None:
    greeting = await client.greeting
    if greeting.startswith("* bye"):
        raise ControlError(f"{where}: the daemon hung up: {greeting[6:80]}")
    if not greeting.startswith("* refreeze 1"):
        raise ControlError(f"{where}: {greeting[:80]!r} is no greeting of refreeze's")
    if " auth=cookie" in greeting:
        await _prove(client, cookie, source)
    await client.ask("hello 1 format=json")


async def _prove(client: ControlClient, path: str | None, source: Randomness) -> None:
    """Both sides show that they know the cookie, and not the cookie."""
    if path is None:
        raise ControlError("a cookie file is needed on TCP")
    handshake = CookieClient(load_cookie(path), _PURPOSE, source)
    said = await client.ask(f"auth cookie nonce={handshake.nonce.hex()}")
    try:
        nonce, proof = (bytes.fromhex(said.fields.get(name, "")) for name in ("nonce", "proof"))
    except ValueError:
        raise ControlError("what the daemon says of the cookie cannot be read") from None
    await client.ask(f"auth cookie proof={handshake.answer(nonce, proof).hex()}")
