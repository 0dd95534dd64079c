"""Real daemons in namespaces: configured, started, asked over their control sockets, ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from refreeze.ctl.wire import ConnectError, Connection, Record, ReplyTimeout
from tests.lab.commands import PATIENCE, LabError, until
from tests.lab.namespaces import Lab, Namespace

SOURCES = Path(__file__).resolve().parents[2]
_TWISTD = Path(sys.executable).with_name("twistd")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TAIL = 4000
UP = frozenset({"connected", "completed"})

Table = Mapping[str, Any]


def toml(table: Table) -> str:
    """A file of TOML: strings, numbers, truth values, arrays of them, and tables."""
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Table, name: str) -> Iterator[str]:
    if name:
        yield f"[{name}]"
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_key(key)} = {json.dumps(value)}"  # which is TOML, too
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{name}.{_key(key)}" if name else _key(key))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key)


def merged(*tables: Table) -> dict[str, Any]:
    """One table of several; of two values the later one counts."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


@define(eq=False)
class Daemon:
    """One refreeze daemon; ``config`` is its file but for what the lab itself fills in."""

    lab: Lab
    namespace: Namespace
    name: str
    config: Table
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)

    @property
    def _control(self) -> Path:
        return self.lab.directory / f"{self.name}.ctl"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Of the present life."""
        if self._process is None:
            raise LabError(f"{self.name} was not started")
        return self._process

    # Its life

    def start(self) -> None:
        """Begin; :meth:`ready` waits for it, so that many begin at once."""
        path = self.lab.directory / f"{self.name}.toml"
        own = {"name": self.name, "control": {"socket": str(self._control)}}
        path.touch(mode=0o600)
        path.write_text(toml(merged(own, self.config)))
        self.namespace.write_hosts(self.lab.hosts)
        self._connection = None
        self._process = self.namespace.start(
            [str(_TWISTD), "-n", "--pidfile=", "refreeze", "-c", str(path)],
            self._log,
            cwd=self.lab.directory,
            env=os.environ | {"PYTHONPATH": f"{SOURCES / 'src'}{os.pathsep}{SOURCES}"},
        )

    def ready(self) -> None:
        """Until it answers."""
        until(self._answers, lambda: f"{self.name}; it said:\n{self.log()}", 2 * PATIENCE)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"{self.name} has ended; it said:\n{self.log()}")
        try:
            self._connection = self.connect()
        except (ConnectError, ReplyTimeout):
            return False
        return True

    def stop(self) -> int:
        """End it as a service manager does; its exit code, or the signal as a negative number."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def freeze(self) -> None:
        """Not a step more until :meth:`thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)

    def rewrite(self, *more: Table) -> None:
        """Another configuration file, which `reload` reads."""
        self.config = merged(self.config, *more)
        path = self.lab.directory / f"{self.name}.toml"
        own = {"name": self.name, "control": {"socket": str(self._control)}}
        path.write_text(toml(merged(own, self.config)))

    # What it says

    def connect(self) -> Connection:
        """Another connection to its control port: one that hears events."""
        return Connection(str(self._control), PATIENCE)

    @property
    def _log(self) -> Path:
        return self.lab.directory / f"{self.name}.log"

    def log(self) -> str:
        """The end of what all its lives have logged."""
        return self._log.read_text(errors="replace")[-_TAIL:] if self._log.exists() else ""

    def ask(self, line: str, seconds: float = PATIENCE) -> list[Record]:
        """The records of an answer; LabError when the request is refused."""
        if self._connection is None:
            self._connection = self.connect()
        records, final = self._connection.ask(line, seconds)
        if not final.ok:
            raise LabError(f"{self.name}: {line}: {final.line}")
        return records

    def show(self, session: str, part: str) -> list[Record]:
        """Those records of `show` that tell of one part of a session."""
        return [each for each in self.ask(f"show {session}") if each.get("part") == part]

    def state(self, session: str) -> str:
        """The session's state."""
        return str(self.show(session, "session")[0]["state"])

    def is_up(self, session: str) -> bool:
        """Whether there is a path."""
        return self.state(session) in UP

    def pair(self, session: str) -> Record:
        """The nominated pair that carries the data, as soon as there is one."""
        found: list[Record] = []

        def look() -> bool:
            records = self.ask(f"show {session}")
            carrying = next(r["pair"] for r in records if r["part"] == "session")
            found[:] = [
                each
                for each in records
                if each["part"] == "pair"
                and each["nominated"]
                and f"{each['local']}->{each['remote']}" == carrying
            ]
            return bool(found)

        self.wait(look, f"a nominated pair of {session}", 5.0)
        return found[0]

    def listens(self, session: str) -> tuple[str, int]:
        """Where the session's local program sends."""
        host, _, port = str(self.show(session, "forward")[0]["listen"]).rpartition(":")
        return host.strip("[]"), int(port)

    def wait(self, found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Until *found*; its log is shown when that is too late."""
        until(found, lambda: f"{what}; {self.name} said:\n{self.log()}", seconds)

    def wait_up(self, session: str, seconds: float = PATIENCE) -> None:
        """Until there is a path."""
        self.wait(lambda: self.is_up(session), f"a path for {session}", seconds)

    def wait_settled(self, session: str) -> None:
        """Until the latest round has succeeded."""
        self.wait(lambda: self._is_settled(session), "the end of the first rounds")

    def _is_settled(self, session: str) -> bool:
        rounds = self.rounds(session)
        return bool(rounds) and rounds[-1]["outcome"] == "succeeded"

    def rounds(self, session: str) -> list[Record]:
        """The latest rounds, oldest first."""
        return self.ask(f"history {session}")

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def start_all(*daemons: Daemon) -> float:
    """All at once; returns when all answer: seconds that took."""
    began = time.monotonic()
    for each in daemons:
        each.start()
    for each in daemons:
        each.ready()
    return time.monotonic() - began
