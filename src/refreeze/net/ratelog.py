"""Logs that an attacker cannot fill: at most so many messages an interval, then a count."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from attrs import define, field
from twisted.logger import Logger, LogLevel


@define(eq=False, repr=False)
class RateLimitedLog:
    """A logger for what may happen once per packet.

    *limit* messages pass in an *interval* (seconds); the first one of a later interval is
    preceded by the number of those that did not.
    """

    log: Logger
    limit: int = field(default=5, kw_only=True)
    interval: float = field(default=60.0, kw_only=True)
    now: Callable[[], float] = field(default=monotonic, kw_only=True)
    suppressed: int = field(default=0, init=False)
    _since: float | None = field(default=None, init=False)
    _passed: int = field(default=0, init=False)

    def failure(self, format: str, **fields: Any) -> None:
        """Log the exception that is being handled, with its traceback."""
        if self._may_pass():
            self.log.failure(format, **fields)

    def warn(self, format: str, **fields: Any) -> None:
        """Log a warning."""
        if self._may_pass():
            self.log.warn(format, **fields)

    def _may_pass(self) -> bool:
        now = self.now()
        if self._since is None or now - self._since >= self.interval:
            self._report()
            self._since, self._passed = now, 0
        if self._passed >= self.limit:
            self.suppressed += 1
            return False
        self._passed += 1
        return True

    def _report(self) -> None:
        if self.suppressed:
            self.log.emit(
                LogLevel.warn,
                "{suppressed} more messages like the next one were not logged",
                suppressed=self.suppressed,
            )
            self.suppressed = 0
