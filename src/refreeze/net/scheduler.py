"""The only timer: one heap of deadlines, one DelayedCall, for everything that waits."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import ClassVar, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

MAX_PER_TURN = 512
"""Targets served before the reactor gets its turn again."""

CLOCK_JUMP_SECONDS = 2.0


class Timed(Protocol):
    """Something that knows when it wants to be woken."""

    def next_deadline(self) -> float | None: ...

    def handle_timeout(self, now: float) -> None: ...


@define(eq=False)
class Handle:
    """A target's place in the scheduler."""

    scheduler: Scheduler
    target: Timed
    at: float | None = None
    removed: bool = False

    def update(self) -> None:
        """Read the target's deadline again; call it after anything that may have moved it."""
        if self.removed:
            return
        at = self.target.next_deadline()
        if at != self.at:
            self.at = at
            if at is not None:
                self.scheduler.push(at, self)

    def remove(self) -> None:
        """The target is never woken again. Idempotent."""
        self.removed = True
        self.at = None


@define(eq=False)
class _Call:
    """A function to be called once."""

    at: float | None
    function: Callable[[], None]

    def next_deadline(self) -> float | None:
        return self.at

    def handle_timeout(self, now: float) -> None:
        self.at = None
        self.function()


@define(eq=False)
class Scheduler:
    """I wake targets at their deadlines, never earlier, and never inside a call of theirs.

    *boottime* counts through a suspend where the reactor's clock does not; a gap between the two
    over 2 s is told to those who asked (T37).
    """

    reactor: IReactorTime
    boottime: Callable[[], float] | None = None
    wakeups: int = field(default=0, init=False)
    _heap: list[tuple[float, int, Handle]] = field(factory=list, init=False)
    _order: count[int] = field(factory=count, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _call_at: float = field(default=0.0, init=False)
    _firing: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _offset: float | None = field(default=None, init=False)
    _jump_callbacks: list[Callable[[float], None]] = field(factory=list, init=False)

    _log: ClassVar[Logger] = Logger()

    def now(self) -> float:
        """Monotonic seconds."""
        return float(self.reactor.seconds())

    def add(self, target: Timed) -> Handle:
        """Serve *target* from now on."""
        handle = Handle(self, target)
        handle.update()
        return handle

    def call_at(self, at: float, function: Callable[[], None]) -> Handle:
        """Call *function* once, at *at* or a little later."""
        return self.add(_Call(at, function))

    def on_clock_jump(self, callback: Callable[[float], None]) -> None:
        """Tell *callback* the seconds by which the machine slept."""
        self._jump_callbacks.append(callback)

    def stop(self) -> None:
        """Wake nobody any more."""
        self._stopped = True
        self._heap.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def push(self, at: float, handle: Handle) -> None:
        """For handles: a deadline has moved to *at*."""
        if self._stopped:
            return
        heappush(self._heap, (at, next(self._order), handle))
        if not self._firing:
            self._arm()

    def _arm(self) -> None:
        heap = self._heap
        while heap and heap[0][2].at != heap[0][0]:
            heappop(heap)
        if not heap:
            return
        at = heap[0][0]
        if self._call is not None:
            if self._call_at <= at:
                return
            self._call.cancel()
        self._call_at = at
        self._call = self.reactor.callLater(max(0.0, at - self.now()), self._wake)

    def _wake(self) -> None:
        self._call = None
        self.wakeups += 1
        self._watch_clocks()
        self._firing = True
        now = self.now()
        try:
            for _ in range(MAX_PER_TURN):
                if not self._heap or self._heap[0][0] > now:
                    break
                at, _order, handle = heappop(self._heap)
                if handle.at == at and not handle.removed:
                    self._serve(handle, now)
        finally:
            self._firing = False
        if not self._stopped:
            self._arm()

    def _serve(self, handle: Handle, now: float) -> None:
        handle.at = None
        try:
            handle.target.handle_timeout(now)
        except Exception:
            self._log.failure("a timer of {target} failed", target=type(handle.target).__name__)
        handle.update()

    def _watch_clocks(self) -> None:
        if self.boottime is None:
            return
        offset = self.boottime() - self.now()
        if self._offset is not None and offset - self._offset > CLOCK_JUMP_SECONDS:
            gap = offset - self._offset
            for callback in self._jump_callbacks:
                callback(gap)
        self._offset = offset
