"""The daemon's log on its standard output, with a level that can change while it runs.

In the journal a line begins with its priority, ``<6>``, and has no time: journald adds both
(sd-daemon(3)). Elsewhere it is Twisted's usual line.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    textFileLogObserver,
)
from zope.interface import implementer

_PRIORITY: Mapping[object, int] = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}


def journal_line(event: LogEvent) -> str | None:
    """The event with its priority before every line; None when it says nothing."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    prefix = f"<{_PRIORITY.get(event.get('log_level'), 6)}>"
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


@implementer(ILogObserver)
class Journal:
    """I write events of at least my level."""

    def __init__(self, out: IO[str], *, journald: bool) -> None:
        observer = FileLogObserver(out, journal_line) if journald else textFileLogObserver(out)
        self._predicate = LogLevelFilterPredicate()
        self._observer = FilteringLogObserver(observer, [self._predicate])

    def __call__(self, event: LogEvent) -> None:
        self._observer(event)

    def set_level(self, name: str) -> None:
        """``debug`` to ``critical``; ValueError in one line for another."""
        if name not in (level.name for level in LogLevel.iterconstants()):
            raise ValueError(f"log.level: no such level: {name!r}")
        self._predicate.setLogLevelForNamespace("", LogLevel.levelWithName(name))


def is_journal(environment: Mapping[str, str], device: int, inode: int) -> bool:
    """Whether the file of that device and inode is journald's (systemd.exec(5), JOURNAL_STREAM)."""
    return environment.get("JOURNAL_STREAM") == f"{device}:{inode}"


def has_descriptor(out: IO[str]) -> int | None:
    """The descriptor behind *out*; None when there is none, as under a test."""
    try:
        return out.fileno()
    except (io.UnsupportedOperation, OSError, AttributeError):
        return None
