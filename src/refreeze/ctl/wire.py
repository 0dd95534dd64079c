"""The client's end of the control protocol."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

_BARE = re.compile(r"[\w.:/@+,%*-]+", re.ASCII)


class ConnectError(Exception):
    """No daemon answers there."""


class ReplyTimeout(Exception):
    """The answer did not come in time."""


def quote(word: str) -> str:
    """A word as the grammar wants it."""
    key, equals, value = word.partition("=")
    if equals and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key):
        return f"{key}={quote_value(value)}"
    return quote_value(word)


def quote_value(text: str) -> str:
    """A bare word, or a JSON string."""
    return text if _BARE.fullmatch(text) else json.dumps(text)


class Connection:
    """One connection in JSON mode. *trace* gets every raw line, both ways."""

    def __init__(self, path: str, timeout: float | None, trace: bool = False) -> None:
        self._trace = trace
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as error:
            raise ConnectError(f"{path}: {error.strerror or error}") from None
        self._file = self._socket.makefile("rb")
        self.greeting = self.line()
        if not self.greeting.startswith("* refreeze 1"):
            raise ConnectError(f"{path}: that is no refreeze daemon: {self.greeting[:80]!r}")

    def timeout(self, seconds: float | None) -> None:
        """Wait for a line at most so long."""
        self._socket.settimeout(seconds)

    def send(self, line: str) -> None:
        """One request."""
        if self._trace:
            print(f"> {line}")
        self._socket.sendall(line.encode() + b"\n")

    def line(self) -> str:
        """The next line; ConnectError at the end."""
        try:
            raw = self._file.readline()
        except TimeoutError:
            raise ReplyTimeout("no answer in time") from None
        if not raw:
            raise ConnectError("the daemon closed the connection")
        text = raw.decode().rstrip("\n")
        if self._trace:
            print(f"< {text}")
        return text

    def ask(self, line: str) -> tuple[list[dict[str, object]], str]:
        """The records of the answer, and its final line."""
        self.send(line)
        records: list[dict[str, object]] = []
        while True:
            text = self.line()
            if text.startswith("- "):
                records.append(json.loads(text[2:]))
            elif text.startswith(("OK", "ERR")):
                return records, text

    def events(self) -> Iterator[str]:
        """Event and notice lines, for ever."""
        while True:
            yield self.line()
