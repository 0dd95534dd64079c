"""Child processes that are peers, and what to do when one is missing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SkipTest, TestCase

HERE = Path(__file__).parent
WRTC = HERE / "wrtc"
Message = dict[str, Any]

reactor: Any = installed


def missing(what: str) -> None:
    """Skip with the reason, or fail where nothing may be missing."""
    if os.environ.get("REFREEZE_REQUIRE_ALL"):
        raise AssertionError(f"REFREEZE_REQUIRE_ALL is set, but there is no {what}")
    raise SkipTest(f"no {what}")


class Peer(ProcessProtocol):
    """A child that answers commands and tells events."""

    def __init__(self) -> None:
        self.events: list[Message] = []
        self.errors = b""
        self.ended: Deferred[None] = Deferred()
        self._buffer = b""
        self._asked: dict[int, Deferred[Message]] = {}
        self._waiting: list[tuple[Callable[[Message], bool], Deferred[Message]]] = []
        self._number = 0

    def ask(self, do: str, **fields: Any) -> Deferred[Message]:
        """Fires with the answer; what the peer refuses is a RuntimeError."""
        assert self.transport is not None
        self._number += 1
        answer = self._asked[self._number] = Deferred[Message]()
        command = {"id": self._number, "do": do, **fields}
        self.transport.write(json.dumps(command).encode() + b"\n")
        return answer

    def seen(self, event: str, **wanted: Any) -> Deferred[Message]:
        """Fires with the first event that fits, past or future, which is then used up."""

        def fits(message: Message) -> bool:
            return message["event"] == event and all(
                message.get(key) == value for key, value in wanted.items()
            )

        def forget(cancelled: Deferred[Message]) -> None:
            self._waiting = [each for each in self._waiting if each[1] is not cancelled]

        waiter: Deferred[Message] = Deferred(forget)
        for message in self.events:
            if fits(message):
                self.events.remove(message)
                waiter.callback(message)
                return waiter
        self._waiting.append((fits, waiter))
        return waiter

    # ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        self.errors = (self.errors + data)[-4000:]

    def processEnded(self, reason: Any) -> None:
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(RuntimeError(f"the peer ended: {self.errors.decode(errors='replace')}"))
        self.ended.callback(None)

    def _take(self, message: Message) -> None:
        answer = self._asked.pop(message.get("id", 0), None)
        if answer is not None:
            if "error" in message:
                answer.errback(RuntimeError(message["error"]))
            else:
                answer.callback(message)
            return
        for item in self._waiting:
            fits, waiter = item
            if fits(message):
                self._waiting.remove(item)
                waiter.callback(message)
                return
        self.events.append(message)

    def stop(self) -> Deferred[None]:
        """End the child."""
        assert self.transport is not None
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        return self.ended


def _spawn(case: TestCase, arguments: list[str], directory: Path) -> Deferred[Peer]:
    peer = Peer()
    reactor.spawnProcess(peer, arguments[0], arguments, env=os.environ, path=str(directory))
    case.addCleanup(peer.stop)
    return peer.seen("ready").addCallback(lambda _: peer)


def aioice_peer(case: TestCase) -> Deferred[Peer]:
    """aioice in a child of this Python."""
    if find_spec("aioice") is None:
        missing("aioice (pip install aioice==0.13.0)")
    return _spawn(case, [sys.executable, str(HERE / "aioice_peer.py")], HERE)


def need_wrtc() -> str:
    """Where node is; skips or fails without it or its libwebrtc."""
    node = shutil.which("node")
    if node is None:
        missing("node")
    if not (WRTC / "node_modules" / "@roamhq" / "wrtc").exists():
        missing("@roamhq/wrtc (npm install in tests/interop/wrtc)")
    return str(node)


def wrtc_peer(case: TestCase) -> Deferred[Peer]:
    """libwebrtc in a child of node."""
    return _spawn(case, [need_wrtc(), "peer.js"], WRTC)
