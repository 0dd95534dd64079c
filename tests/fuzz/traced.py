"""Which lines of some source files a call reaches, and how many it executes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from attrs import define, field

Place = tuple[str, int]


class TooMuch(AssertionError):
    """More lines than allowed."""


@define(eq=False)
class Traced:
    """I watch the files whose path contains one of *watched*.

    The count of executed lines stands in for time: it is the same on every machine, and a loop
    within a loop shows in it.
    """

    watched: tuple[str, ...]
    places: set[Place] = field(factory=set, init=False)
    """Of the last call."""
    executed: int = field(default=0, init=False)
    """Lines, in the last call."""
    _most: int = field(default=0, init=False)
    _known: dict[str, bool] = field(factory=dict, init=False)

    def call(self, function: Callable[[str], Any], argument: str, most: int = sys.maxsize) -> Any:
        """What *function* returns or raises, TooMuch when it executes more than *most* lines.

        Another tracer is back in place afterwards.
        """
        self.places, self.executed, self._most = set(), 0, most
        before = sys.gettrace()
        sys.settrace(self._entered)
        try:
            return function(argument)
        finally:
            sys.settrace(before)

    def _entered(self, frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = any(part in name for part in self.watched)
        return self._line if known else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.executed += 1
            if self.executed > self._most:
                raise TooMuch(f"more than {self._most} lines executed")
            self.places.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line
