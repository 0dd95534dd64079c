"""A task queue as browsers have one: what is queued runs later, in order, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


@define(eq=False, repr=False)
class TaskQueue:
    """Calling me queues a task. Delayed calls of a reactor that are due at once have no order."""

    clock: IReactorTime
    _tasks: deque[Callable[[], None]] = field(factory=deque, init=False)

    _log: ClassVar[Logger] = Logger()

    def __call__(self, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        if len(self._tasks) == 1:
            self.clock.callLater(0, self._run)

    def _run(self) -> None:
        """Those that there are; what they queue comes in the next turn."""
        for _ in range(len(self._tasks)):
            try:
                self._tasks[0]()
            except Exception:
                self._log.failure("a queued task failed")
            finally:
                self._tasks.popleft()
        if self._tasks:
            self.clock.callLater(0, self._run)
