"""What outlives a daemon: epochs, the history of restarts, sessions opened at run time.

SQLite in the state directory, 0600; in memory without one, or when the disk fails: the daemon
says so once and goes on. No pwd, key or token is ever written here.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, field
from twisted.logger import Logger

from refreeze.sessions.rounds import RoundRecord

KEPT_ROUNDS = 1000
"""Per session."""

_PATIENCE = 0.2
"""Seconds that another program (a backup) may hold the file: the daemon stands still so long."""

_SCHEMA = """
create table if not exists epochs (session text primary key, epoch integer not null);
create table if not exists sessions (name text primary key, options text not null);
create table if not exists rounds (
    session text not null, started real not null, cause text not null, ours integer not null,
    outcome text not null, detail text not null, seconds real not null, reason text not null
);
create index if not exists rounds_by_session on rounds (session, started);
"""


@define(eq=False, repr=False)
class Store:
    """I keep epochs and histories; I never raise."""

    path: str | None
    on_problem: Callable[[str], None] = lambda problem: None
    """Told once when nothing reaches the disk any more."""
    problem: str = field(default="", init=False)
    """Why nothing reaches the disk, in one line."""
    _database: sqlite3.Connection = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        try:
            self._database = self._open(self.path or ":memory:")
        except (OSError, sqlite3.Error) as error:
            self._database = self._open(":memory:")
            self._failed(error)

    @staticmethod
    def _open(path: str) -> sqlite3.Connection:
        if path != ":memory:":
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        database.executescript(_SCHEMA)
        return database

    def _failed(self, error: Exception) -> None:
        if not self.problem:
            self.problem = f"{self.path}: {error}"
            self._log.error("state is kept in memory only: {why}", why=self.problem)
            self.on_problem(self.problem)

    def _go_on_in_memory(self, error: sqlite3.Error) -> None:
        """What can still be read is taken along."""
        disk, self._database = self._database, self._open(":memory:")
        try:
            disk.backup(self._database)
            disk.close()
        except sqlite3.Error:
            # A damaged file has given what it had; a half copy has no tables.
            self._database = self._open(":memory:")
        self._failed(error)

    def sessions(self) -> dict[str, dict[str, str]]:
        """The options of the sessions that were opened at run time, by name."""
        found = {}
        for name, text in self._read("select name, options from sessions order by name"):
            try:
                options = json.loads(text)
            except ValueError:
                continue
            if isinstance(options, dict):
                found[str(name)] = {str(key): str(value) for key, value in options.items()}
        return found

    def save_session(self, name: str, options: dict[str, str] | None) -> None:
        """Remember a session of the control port; None: it was closed."""
        if options is None:
            self._write("delete from sessions where name = ?", (name,))
        else:
            statement = "insert or replace into sessions values (?, ?)"
            self._write(statement, (name, json.dumps(options)))

    def epoch(self, session: str) -> int:
        """The greatest epoch that was saved; 0 for a new session."""
        rows = self._read("select epoch from epochs where session = ?", session)
        return int(rows[0][0]) if rows else 0

    def save_epoch(self, session: str, epoch: int) -> None:
        """Remember *epoch*."""
        self._write(
            "insert into epochs values (?, ?) on conflict (session) do update"
            " set epoch = max(epoch, excluded.epoch)",
            (session, epoch),
        )

    def save_round(self, session: str, record: RoundRecord) -> None:
        """Remember how a round ended; the oldest beyond the limit go."""
        outcome = record.outcome.value if record.outcome is not None else ""
        self._write(
            "insert into rounds values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session,
                record.wall,
                record.cause.value,
                record.ours,
                outcome,
                record.detail,
                record.seconds or 0.0,
                record.reason,
            ),
        )
        self._write(
            "delete from rounds where session = ? and started < (select started from rounds"
            " where session = ? order by started desc limit 1 offset ?)",
            (session, session, KEPT_ROUNDS - 1),
        )

    def rounds(self, session: str) -> list[tuple[float, str, bool, str, str, float]]:
        """(wall clock, cause, ours, outcome, detail, seconds), oldest first."""
        rows = self._read(
            "select started, cause, ours, outcome, detail, seconds from rounds"
            " where session = ? order by started",
            session,
        )
        return [(at, cause, bool(ours), out, why, sec) for at, cause, ours, out, why, sec in rows]

    def _read(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
        return self._database.execute(statement, values).fetchall()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            self._database.execute(statement, values)

    def close(self) -> None:
        """Release the file."""
        self._database.close()
