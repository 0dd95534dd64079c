"""The stable words after ERR, and whether the same request may succeed later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RETRY: Final[Mapping[str, bool]] = {
    "bad-syntax": False,
    "unknown-command": False,
    "bad-argument": False,
    "too-long": False,
    "too-many": True,
    "auth-required": False,
    "auth-failed": False,
    "not-permitted": False,
    "no-such-session": False,
    "wrong-state": True,
    "round-pending": True,
    "not-offerer": False,
    "held": True,
    "rate-limited": True,
    "confirm-required": True,
    "signalling-down": True,
    "network-down": True,
    "timeout": True,
    "unsupported-version": False,
    "shutting-down": False,
    "internal": False,
}


class CommandError(Exception):
    """A refusal by the control port itself: one of the codes, and fields."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


def error_fields(code: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """*fields*, ended by ``retry=yes|no`` for a code of the table."""
    if code not in RETRY or "retry" in fields:
        return dict(fields)
    return {**fields, "retry": RETRY[code]}
