"""The client's end of the control protocol: quoting, connecting, the cookie, lines and answers."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator

from refreeze.ctl.places import Certificates, connect, words

_BARE = re.compile(r"[A-Za-z0-9_.:/@+,%*-]+")
_KEYED = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_FIELD = re.compile(r'([A-Za-z][A-Za-z0-9_.-]*)=("(?:[^"\\]|\\.)*"|[^ ]*)')
_COUNT = re.compile(r"[0-9]{1,18}")
_HEX = re.compile(r"[0-9a-f]{64}")
_MAX_LINE = 64 * 1024 * 1024
_COOKIE_LABEL = "refreeze control cookie v1, {} proof\n"

Record = dict[str, object]


class ConnectError(Exception):
    """No daemon answers there, or not any more."""


class ReplyTimeout(Exception):
    """What was waited for did not come in time."""


class WireError(Exception):
    """What came is not the control protocol."""


def quote(word: str) -> str:
    """A word as the grammar wants it."""
    keyed = _KEYED.fullmatch(word)
    return f"{keyed[1]}={quote_value(keyed[2])}" if keyed else quote_value(word)


def quote_value(text: str) -> str:
    """A bare word, or a JSON string."""
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WireError(f"no JSON: {text[:80]!r}") from None


def _record(text: str) -> Record:
    record = _json(text)
    if not isinstance(record, dict):
        raise WireError(f"no record: {text[:80]!r}")
    return record


class Final:
    """The end of an answer: ``OK`` or ``ERR code``, and fields as text."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.ok = line == "OK" or line.startswith("OK ")
        self.code = "" if self.ok else line.split(" ")[1] if " " in line else "internal"
        self.fields: dict[str, str] = {}
        for name, value in _FIELD.findall(line):
            self.fields[name] = str(_json(value)) if value.startswith('"') else value

    def number(self, name: str) -> int:
        """A field that counts; 0 when it is not there."""
        text = self.fields.get(name, "0")
        return int(text) if _COUNT.fullmatch(text) else 0


class Connection:
    """One connection in JSON mode. Where: see :func:`.places.connect`; TCP has a *cookie* file.

    Every wait has a deadline: *timeout* seconds for an answer, unless it is said otherwise.
    With *trace* the raw lines of both ways go to standard error.
    """

    def __init__(
        self,
        where: str,
        timeout: float,
        *,
        trace: bool = False,
        cookie: str = "",
        certificates: Certificates | None = None,
    ) -> None:
        self.timeout = timeout
        self._where = where
        self._trace = trace
        self._buffer = bytearray()
        self._events: deque[str] = deque()
        self._asked = 0
        try:
            self._socket = connect(where, timeout, certificates or Certificates())
        except (OSError, ValueError) as error:
            raise ConnectError(f"{where}: {words(error)}") from None
        try:
            self._greeted(where, cookie)
        except BaseException:
            self.close()
            raise

    def _greeted(self, where: str, cookie: str) -> None:
        greeting = self.line(self.timeout)
        if greeting.startswith("* bye"):
            raise ConnectError(f"{where}: the daemon hung up: {greeting[6:]}")
        if not greeting.startswith("* refreeze 1"):
            raise ConnectError(f"{where}: that is no refreeze daemon: {greeting[:80]!r}")
        if " auth=cookie" in greeting:
            self._prove(cookie)
        self.ask("hello 1 format=json name=refreezectl")

    def _prove(self, path: str) -> None:
        """The two-way handshake: nothing is shown to a server that does not know the cookie."""
        import hashlib  # noqa: PLC0415  # only TCP needs these two
        import hmac  # noqa: PLC0415

        if not path:
            raise ConnectError(f"{self._where}: --cookie FILE is needed on TCP")
        try:
            with open(path, "rb") as file:
                secret = file.read(33)
        except OSError as error:
            raise ConnectError(f"{path}: {error.strerror}") from None

        def proof(side: str, nonces: bytes) -> str:
            return hmac.new(
                secret, _COOKIE_LABEL.format(side).encode() + nonces, hashlib.sha256
            ).hexdigest()

        nonce = os.urandom(32)
        _, answer = self.ask(f"auth cookie nonce={nonce.hex()}", secret=True)
        theirs, proved = answer.fields.get("nonce", ""), answer.fields.get("proof", "")
        read = answer.ok and _HEX.fullmatch(theirs) and _HEX.fullmatch(proved)
        nonces = nonce + bytes.fromhex(theirs if read else "")
        if not read or not hmac.compare_digest(proved, proof("server", nonces)):
            raise ConnectError(f"{self._where}: the server does not know the cookie")
        _, answer = self.ask(f"auth cookie proof={proof('client', nonces)}", secret=True)
        if not answer.ok:
            raise ConnectError(f"{self._where}: the server refused the cookie")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, line: str, *, secret: bool = False) -> None:
        """One request."""
        self._show(">", f"{line.partition('=')[0]}=..." if secret else line)
        try:
            self._socket.sendall(line.encode() + b"\n")
        except TimeoutError:
            raise ReplyTimeout("the daemon does not read") from None
        except OSError as error:
            raise ConnectError(f"{self._where}: {words(error)}") from None

    def line(self, seconds: float | None) -> str:
        """The next line, whatever it is; ReplyTimeout, or ConnectError at the end."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MAX_LINE:
                raise WireError("a line without end")
            self._receive(deadline)
        text = self._buffer[:end].decode(errors="replace")
        del self._buffer[: end + 1]
        self._show("<", text)
        return text

    def _receive(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise ReplyTimeout("no answer in time")
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise ReplyTimeout("no answer in time") from None
        except OSError as error:
            raise ConnectError(f"{self._where}: {words(error)}") from None
        if not data:
            raise ConnectError(f"{self._where}: the daemon closed the connection")
        self._buffer += data

    def ask(
        self, line: str, seconds: float | None = None, *, secret: bool = False
    ) -> tuple[list[Record], Final]:
        """The records of the answer and its end. Events that come meanwhile are kept.

        The tag tells this answer from a late one, to a request that was given up.
        """
        self._asked += 1
        tag = f"@{self._asked} "
        self.send(tag + line, secret=secret)
        deadline = time.monotonic() + (self.timeout if seconds is None else seconds)
        records: list[Record] = []
        while True:
            text = self.line(max(0.0, deadline - time.monotonic()))
            if text.startswith("! "):
                self._events.append(text)
            elif text.startswith("* bye"):
                raise ConnectError(f"{self._where}: the daemon hung up: {text[6:]}")
            elif text.startswith("ERR "):
                return records, Final(text)
            elif text.startswith(f"{tag}- "):
                records.append(_record(text[len(tag) + 2 :]))
            elif text.startswith(tag):
                return records, Final(text[len(tag) :])

    def event(self, seconds: float | None) -> str:
        """The next event line; ReplyTimeout after *seconds*, None: wait for ever."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._events:
            text = self.line(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if text.startswith("* bye"):
                raise ConnectError(f"{self._where}: the daemon hung up: {text[6:]}")
            if text.startswith("! "):
                self._events.append(text)
        return self._events.popleft()

    def events(self) -> Iterator[str]:
        """Event lines, until the daemon hangs up."""
        while True:
            yield self.event(None)

    def forget_events(self) -> None:
        """Events that came and were not read."""
        self._events.clear()

    def _show(self, direction: str, line: str) -> None:
        if self._trace:
            print(direction, line, file=sys.stderr)
