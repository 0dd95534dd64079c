"""The only timer: one heap of deadlines, one DelayedCall, for everything that waits.

Deadlines are exact. What may be late is put on the shared grid by whoever computes it
(:func:`refreeze.basics.on_grid`), so equal deadlines of many sessions cost one wake-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import ClassVar, Final, Protocol, TypeAlias

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.basics import GRID
from refreeze.net.ratelog import RateLimitedLog

MAX_PER_TURN: Final = 256
"""Targets served before the sockets get their turn again."""

CLOCK_JUMP_SECONDS: Final = 2.0
"""A gap between the clock that stops in a suspend and the one that does not."""

STALL_SECONDS: Final = 1.0
"""A wake-up that is later than this lets the sockets be read before any deadline is judged."""

MAX_AT_ONCE: Final = 16
SAME_TARGET_SECONDS: Final = 0.001
"""A target that is due again and again may catch up so often, in a turn each; from then on it
is served once in so long, not in a tight loop."""

MIN_STALE: Final = 1024
"""Superseded heap entries that are tolerated before the heap is built anew."""


class Timed(Protocol):
    """Something that knows when it wants to be woken."""

    def next_deadline(self) -> float | None:
        """Monotonic seconds, or None. Cheap: asked after everything that may have moved it."""
        ...

    def handle_timeout(self, now: float) -> None:
        """The deadline is due. May call any method of any handle, including its own."""
        ...


@define(eq=False, repr=False)
class Handle:
    """A target's place in the scheduler. Nothing here ever calls the target back at once."""

    _scheduler: Scheduler
    target: Timed
    at: float | None = field(default=None, init=False)
    """When the target wants to be served."""
    removed: bool = field(default=False, init=False)
    _entry_at: float = field(default=0.0, init=False)
    _entry: int = field(default=0, init=False)
    """The heap entry that counts (0: none); it is never later than :attr:`at`."""
    _at_once: int = field(default=0, init=False)

    def update(self) -> None:
        """Read the target's deadline again; call it after anything that may have moved it.

        Costs a comparison when nothing moved, and at most one push on the heap.
        """
        if not self.removed:
            at = self.target.next_deadline()
            if at != self.at:
                self._scheduler.moved(self, at)

    def remove(self) -> None:
        """The target is never served again, not even when it is due now. Idempotent."""
        if not self.removed:
            self.removed = True
            self._scheduler.removed(self)


_Entry: TypeAlias = tuple[float, int, Handle]


@define(eq=False, repr=False)
class _Call:
    """A function to be called once."""

    at: float | None
    function: Callable[[], None]

    def next_deadline(self) -> float | None:
        return self.at

    def handle_timeout(self, now: float) -> None:
        self.at = None
        self.function()


@define(eq=False, repr=False)
class Scheduler:
    """I wake targets at their deadlines, never earlier, and never inside a call of theirs.

    A deadline that moves later leaves its old heap entry where it is and is put right when that
    entry comes up, so the data path can postpone deadlines for nothing. *boottime* counts
    through a suspend where the reactor's clock does not; a gap between the two of over 2 s is
    told to those who asked (T37).
    """

    _reactor: IReactorTime
    boottime: Callable[[], float] | None = field(default=None, kw_only=True)
    wakeups: int = field(default=0, init=False)
    served: int = field(default=0, init=False)
    stalls: int = field(default=0, init=False)
    errors: int = field(default=0, init=False)
    _heap: list[_Entry] = field(factory=list, init=False)
    _stale: int = field(default=0, init=False)
    _order: count[int] = field(factory=lambda: count(1), init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _call_at: float = field(default=0.0, init=False)
    _firing: bool = field(default=False, init=False)
    _stalled: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)
    _offset: float | None = field(default=None, init=False)
    _jump_callbacks: list[Callable[[float], None]] = field(factory=list, init=False)
    _errors_log: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._errors_log = RateLimitedLog(self._log, now=self.now)
        if self.boottime is not None:
            self._offset = self.boottime() - self.now()

    def now(self) -> float:
        """Monotonic seconds."""
        return float(self._reactor.seconds())

    def add(self, target: Timed) -> Handle:
        """Serve *target* from now on."""
        handle = Handle(self, target)
        handle.update()
        return handle

    def call_at(self, at: float, function: Callable[[], None]) -> Handle:
        """Call *function* once, at *at* or a little later; the handle's ``remove`` cancels."""
        return self.add(_Call(at, function))

    def on_clock_jump(self, callback: Callable[[float], None]) -> None:
        """Tell *callback* the seconds by which the machine slept, at the first wake-up after."""
        self._jump_callbacks.append(callback)

    def stop(self) -> None:
        """Wake nobody any more, for good."""
        self._stopped = True
        self._heap.clear()
        self._disarm()

    def moved(self, handle: Handle, at: float | None) -> None:
        """For handles: the deadline of one is *at* from now on."""
        before, handle.at = handle.at, at
        if self._stopped:
            return
        if at is not None and (not handle._entry or at < handle._entry_at):
            self._push(handle, at)
        if self._firing:
            return
        if self._call is None or before == self._call_at or (at is not None and at < self._call_at):
            self._arm()

    def removed(self, handle: Handle) -> None:
        """For handles: forget one."""
        self.moved(handle, None)
        self._supersede(handle)

    def _supersede(self, handle: Handle) -> None:
        if handle._entry:
            handle._entry = 0
            self._stale += 1
            if self._stale > MIN_STALE and self._stale * 2 > len(self._heap):
                self._rebuild()

    def _push(self, handle: Handle, at: float) -> None:
        self._supersede(handle)
        handle._entry, handle._entry_at = next(self._order), at
        heappush(self._heap, (at, handle._entry, handle))

    def _rebuild(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2]._entry == entry[1]]
        heapify(self._heap)
        self._stale = 0

    def _head(self) -> _Entry | None:
        """The first entry that is true; those above it that are not are dropped or put right."""
        heap = self._heap
        while heap:
            entry = heap[0]
            at, order, handle = entry
            if handle._entry != order:
                heappop(heap)
                self._stale = max(0, self._stale - 1)
            elif handle.at != at:
                heappop(heap)
                handle._entry = 0
                if handle.at is not None:
                    self._push(handle, handle.at)
            else:
                return entry
        return None

    def _arm(self) -> None:
        head = self._head()
        if head is None:
            self._disarm()
        elif self._call is None or self._call_at != head[0]:
            self._disarm()
            self._call_at = head[0]
            self._call = self._reactor.callLater(max(0.0, head[0] - self.now()), self._wake)

    def _disarm(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _wake(self) -> None:
        self._call = None
        self.wakeups += 1
        self._firing = True  # whoever moves deadlines meanwhile, the timer is set once, below
        try:
            self._watch_clocks()
            now = self.now()
            stalled = now - self._call_at > STALL_SECONDS and not self._stalled
            more = not stalled and self._serve_due(now)
        finally:
            self._firing = False
        if self._stopped:
            return
        if stalled:
            self._let_sockets_be_read()
            return
        self._stalled = False
        if more:
            self._call_at = now
            self._call = self._reactor.callLater(0.0, self._wake)
        else:
            self._arm()

    def _let_sockets_be_read(self) -> None:
        """We were stopped for long (SIGSTOP, a paused machine): silence may be our own.

        What would prove that peers are alive waits in the sockets, so it is read first.
        """
        self.stalls += 1
        self._stalled = True
        self._call = self._reactor.callLater(0.0, self._wake)

    def _serve_due(self, now: float) -> bool:
        """Serve what is due, each target once; whether some of it is left for the next turn."""
        due: list[Handle] = []
        more = False
        while (head := self._head()) is not None and head[0] <= now:
            if len(due) == MAX_PER_TURN:
                more = True
                break
            heappop(self._heap)
            head[2]._entry = 0
            due.append(head[2])
        for handle in due:
            if self._stopped:
                break
            # An earlier target of this turn may have moved or removed this one.
            if handle.at is not None and handle.at <= now:
                self._serve(handle, now)
        return more

    def _serve(self, handle: Handle, now: float) -> None:
        self.served += 1
        at: float | None
        try:
            handle.target.handle_timeout(now)
            at = handle.target.next_deadline()
        except Exception:
            self.errors += 1
            at = now + GRID
            self._errors_log.failure(
                "a timer of {target} failed", target=type(handle.target).__name__
            )
        if handle.removed:
            return
        if at is None or at > now:
            handle._at_once = 0
        elif handle._at_once < MAX_AT_ONCE:
            handle._at_once += 1
        else:
            at = now + SAME_TARGET_SECONDS
        self.moved(handle, at)

    def _watch_clocks(self) -> None:
        if self.boottime is None:
            return
        before, self._offset = self._offset, self.boottime() - self.now()
        gap = self._offset - before if before is not None else 0.0
        if gap <= CLOCK_JUMP_SECONDS:
            return
        self._log.info("the clocks show a suspend of {gap:.1f} s", gap=gap)
        for callback in tuple(self._jump_callbacks):
            try:
                callback(gap)
            except Exception:
                self.errors += 1
                self._errors_log.failure("a clock jump's callback failed")


def system_boottime() -> float:
    """Seconds since boot, suspends included (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
