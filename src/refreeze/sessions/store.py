"""What outlives a daemon: the epoch of each session, and the history of its restarts.

SQLite in the state directory, 0600; in memory without one, or when the disk fails: the daemon
says so once and goes on. No pwd, key or token is ever written here.
"""

from __future__ import annotations

import os
import sqlite3
from typing import ClassVar

from attrs import define, field
from twisted.logger import Logger

from refreeze.sessions.rounds import RoundRecord

KEPT_ROUNDS = 1000
"""Per session."""

_SCHEMA = """
create table if not exists epochs (session text primary key, epoch integer not null);
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
        database = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        database.executescript(_SCHEMA)
        return database

    def _failed(self, error: Exception) -> None:
        if not self.problem:
            self.problem = f"{self.path}: {error}"
            self._log.error("state is kept in memory only: {why}", why=self.problem)

    def epoch(self, session: str) -> int:
        """The greatest epoch that was saved; 0 for a new session."""
        try:
            row = self._database.execute(
                "select epoch from epochs where session = ?", (session,)
            ).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return 0
        return int(row[0]) if row is not None else 0

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
        try:
            rows = self._database.execute(
                "select started, cause, ours, outcome, detail, seconds from rounds"
                " where session = ? order by started",
                (session,),
            ).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return []
        return [(at, cause, bool(ours), out, why, sec) for at, cause, ours, out, why, sec in rows]

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            self._failed(error)

    def close(self) -> None:
        """Release the file."""
        self._database.close()
