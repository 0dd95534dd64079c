"""A daemon's operations without a daemon, and a control connection without a socket."""

from __future__ import annotations

import os
import random
import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from refreeze.control import Access, Commands, ControlServer, EventLog
from refreeze.control.connection import ControlConnection
from refreeze.signaling.cookie import Cookie

WALL = 1795449232.104
STAMP = "2026-11-23T15:53:52.104Z"
STRANGER = 54321
"""A uid that is neither root nor ours."""

Record = dict[str, Any]


EXAMINED: tuple[list[Record], Record] = (
    [
        {
            "part": "server", "server": "lab", "url": "turn:192.0.2.1", "check": "allocate",
            "address": "192.0.2.1:3478", "result": "unauthorized", "code": 401, "rtt_ms": 20.0,
            "mapped": [], "relayed": [], "why": "wrong credentials",
        },
        {"part": "reach", "family": "ipv4", "udp": True, "tcp": None, "tls": False},
        {"part": "expect", "family": "ipv4", "outcome": "direct", "text": "directly with peers"},
        {"part": "expect", "family": "ipv4", "outcome": "relay", "text": "by relay with others"},
        {"part": "note", "text": "lab: turn:192.0.2.1 does not serve"},
        {"part": "of-the-future"},
    ],
    {"servers": 1, "failed": 1},
)  # fmt: skip
"""What an examination finds."""


class Refusal(Exception):
    """As the supervisor refuses."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


class FakeOperations:
    """Sessions by name; what was asked is remembered."""

    refusal: type[Exception] = Refusal

    def __init__(self, *names: str) -> None:
        self.faults_enabled = True
        self.table: dict[str, Record] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.restarts: dict[str, Deferred[Record]] = {}
        self.refuse: dict[str, Refusal] = {}
        self.at_once = False
        for name in names or ("s-4f", "s-9a"):
            self.table[name] = {"id": name, "peer": f"edge-{name[-1]}", "state": "connected"}

    def _known(self, session_id: str) -> Record:
        if session_id in self.refuse:
            raise self.refuse[session_id]
        if session_id not in self.table:
            raise Refusal("no-such-session", id=session_id, hint="list shows ids")
        return self.table[session_id]

    def status(self) -> Record:
        return {"sessions": len(self.table), "storm": "calm", "uptime": 1.5}

    def list_sessions(self) -> list[Record]:
        return list(reversed(self.table.values()))

    def show(self, session_id: str) -> list[Record]:
        return [{"part": "session", **self._known(session_id)}, {"part": "watchdog", "next": None}]

    def stats(self) -> list[Record]:
        return [{"part": "restarts", "started": 3}]

    def history(self, session_id: str) -> list[Record]:
        self._known(session_id)
        return [{"round": 1, "cause": "operator", "outcome": "succeeded"}]

    def metrics(self) -> str:
        return '# HELP x\nx_total{cause="failed"} 2.0\n'

    def settings(self) -> Record:
        return {"name": "alice", "watchdog.attempts": 5, "watchdog.first_delay": 0.5}

    def restart(self, session_id: str, *, reason: str, force: bool) -> Deferred[Record]:
        self._known(session_id)
        self.asked.append(("restart", session_id, reason, force))
        outcome: Deferred[Record] = Deferred()
        self.restarts[session_id] = outcome
        if self.at_once:
            outcome.callback({"id": session_id, "outcome": "succeeded", "seconds": 0.1})
        return outcome

    def cancel(self, session_id: str) -> None:
        self._known(session_id)
        self.asked.append(("cancel", session_id))

    def hold(self, session_id: str, seconds: float | None) -> None:
        self._known(session_id)
        self.asked.append(("hold", session_id, seconds))

    def release(self, session_id: str) -> None:
        self._known(session_id)
        self.asked.append(("release", session_id))

    def reset(self, session_id: str) -> None:
        self._known(session_id)
        self.asked.append(("reset", session_id))

    def open(self, name: str, options: dict[str, str]) -> Record:
        self.asked.append(("open", name, options))
        return {"id": name, "peer": options.get("peer"), "state": "new"}

    def close(self, session_id: str, reason: str) -> None:
        self._known(session_id)
        self.asked.append(("close", session_id, reason))

    def fault(self, session_id: str, what: str, seconds: float) -> Record:
        self.asked.append(("fault", session_id, what, seconds))
        return {"paths": 1, "seconds": seconds}

    def signal(self, envelope: str) -> None:
        self.asked.append(("signal", envelope))

    def reload(self) -> Record:
        return {"opened": 1, "closed": 0}

    def examine(self) -> Deferred[tuple[list[Record], Record]]:
        self.asked.append(("examine",))
        self.examined: Deferred[tuple[list[Record], Record]] = Deferred()
        if self.at_once:
            self.examined.callback(EXAMINED)
        return self.examined

    def drain(self) -> None:
        self.asked.append(("drain",))

    def shutdown(self) -> None:
        self.asked.append(("shutdown",))


class SettableOperations(FakeOperations):
    """A daemon whose settings can be changed."""

    def set(self, name: str, value: str) -> None:
        if name not in ("log.level", *self.settings()):
            raise ValueError("no such setting")
        self.asked.append(("set", name, value))


class Handle:
    """What the kernel would say of the other end."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        self._credentials = struct.pack("=iII", 4711, uid, gid)
        self._groups = struct.pack(f"={len(groups)}I", *groups)

    def getsockopt(self, _level: int, option: int, _size: int) -> bytes:
        return self._groups if option == 59 else self._credentials


class Transport(StringTransport):
    """A stream that can be aborted, and whose peer is known."""

    def __init__(self, uid: int, gid: int = STRANGER, groups: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._handle = Handle(uid, gid, groups)
        self.aborted = False

    def getHandle(self) -> Handle:
        return self._handle

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Client:
    """One connection: what is sent, and the lines that came."""

    def __init__(self, connection: ControlConnection, transport: Transport) -> None:
        self.connection = connection
        self.transport = transport

    def lines(self) -> list[str]:
        """What came since the last look."""
        text = self.transport.value().decode()
        self.transport.clear()
        return text.splitlines()

    def ask(self, *lines: str) -> list[str]:
        """Send lines in one segment; what came back at once."""
        self.connection.dataReceived("".join(f"{line}\n" for line in lines).encode())
        return self.lines()


class Desk:
    """A server that listens nowhere, on a clock that stands."""

    def __init__(self, operations: FakeOperations | None = None, **access: Any) -> None:
        self.clock = Clock()
        self.operations = operations or FakeOperations()
        self.events = EventLog(lambda: WALL)
        self.random = random.Random(7)
        commands = Commands(self.operations, self.clock, "0.1.0")
        self.server = ControlServer(
            self.clock, None, commands, self.events, Access(**access), random=self.random
        )
        self.server.start()

    def connect(
        self,
        uid: int | None = None,
        *,
        gid: int = STRANGER,
        groups: tuple[int, ...] = (),
        cookie: Cookie | None = None,
        greeted: bool = True,
    ) -> Client:
        """A client; with *greeted* the greeting is read already. *uid*: ours by default."""
        transport = Transport(os.getuid() if uid is None else uid, gid, groups)
        connection = self.server.connection(cookie)
        connection.makeConnection(transport)
        client = Client(connection, transport)
        if greeted:
            client.lines()
        return client
