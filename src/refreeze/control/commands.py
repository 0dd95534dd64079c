"""What the verbs share: the daemon's operations, selectors, numbers of jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from refreeze.control.codes import CommandError
from refreeze.control.grammar import Request
from refreeze.control.operations import Operations, Record

_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FILTERS = ("id", "peer", "state")


@frozen
class Reply:
    """Records, and the fields of the final line."""

    records: tuple[Record, ...] = ()
    final: Record = field(factory=dict)


Result: TypeAlias = "Reply | Deferred[Reply]"


def _nobody(_topic: str, _fields: Mapping[str, Any]) -> None:
    """Until a server with an event log takes the commands."""


@define(eq=False, repr=False)
class Commands:
    """One daemon's operations, as the verbs see them. *announce* takes job.* events."""

    operations: Operations
    clock: IReactorTime
    version: str
    announce: Callable[[str, Mapping[str, Any]], None] = field(default=_nobody, kw_only=True)
    _jobs: int = field(default=0, init=False)

    def next_job(self) -> str:
        """A name for slow work, unique in the daemon's life."""
        self._jobs += 1
        return f"r{self._jobs}"

    def refusal_of(self, error: Exception) -> tuple[str, Mapping[str, Any]] | None:
        """Code and fields of a refusal; None for anything else, which is a bug."""
        if isinstance(error, CommandError):
            return error.code, error.fields
        if isinstance(error, self.operations.refusal):
            return str(getattr(error, "code", "internal")), getattr(error, "fields", {})
        return None

    def sessions(self, filters: Mapping[str, str]) -> list[Record]:
        """The sessions that all filters (globs of id, peer, state) let through, by id."""
        found = [r for r in self.operations.list_sessions() if _passes(r, filters)]
        return sorted(found, key=lambda record: str(record["id"]))

    def select(self, request: Request, *, otherwise_all: bool = False) -> list[str]:
        """The ids that a selector means: an id, ``all``, ``peer=GLOB`` or ``state=STATE``."""
        filters = {key: request.keys[key] for key in ("peer", "state") if key in request.keys}
        words = [word for word in request.words if word != "force"]
        if len(words) > 1 or (words and filters and words != ["all"]):
            raise CommandError("bad-argument", hint="one of an id, all, peer=GLOB, state=STATE")
        if words and words != ["all"]:
            return words
        if not words and not filters and not otherwise_all:
            raise CommandError("bad-argument", hint="an id, all, peer=GLOB or state=STATE")
        return [str(record["id"]) for record in self.sessions(filters)]


def _passes(record: Record, filters: Mapping[str, str]) -> bool:
    return all(
        fnmatchcase(str(record.get(key, "")), filters[key]) for key in _FILTERS if key in filters
    )


def duration(text: str, key: str) -> float:
    """``10``, ``1.5s``, ``2m``: seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CommandError("bad-argument", key=key, hint="a time such as 10, 1.5s, 2m or 1h")
    return float(match.group(1)) * _UNITS[match.group(2) or "s"]


def whole(text: str, key: str) -> int:
    """A number of at most 15 digits."""
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise CommandError("bad-argument", key=key, hint="a whole number")
    return int(text)
