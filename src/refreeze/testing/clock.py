"""Virtual time: a heap of calls, and a clock that jumps from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import inf, nextafter
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

MAX_AT_ONE_INSTANT: Final = 1_000_000
"""Calls without any time passing after which something must be calling itself for ever."""

MIN_STALE: Final = 1024
"""Cancelled or moved heap entries that are tolerated before the heap is built anew."""


class NeverHappened(AssertionError):
    """What a test waited for did not come true within its limit of virtual seconds."""


@implementer(IDelayedCall)
@define(eq=False, repr=False)
class VirtualCall:
    """One ``callLater``. A call that moves later keeps its heap entry until that comes up."""

    _clock: VirtualClock
    at: float
    function: Callable[..., object]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    owner: object = field(default=None, init=False)
    """The face of the clock on which it was made."""
    _entry: int = field(default=0, init=False)
    """The heap entry that counts; it is never later than :attr:`at`."""
    _called: bool = field(default=False, init=False)
    _cancelled: bool = field(default=False, init=False)

    def getTime(self) -> float:
        """When it will be called (virtual seconds)."""
        return self.at

    def active(self) -> bool:
        """Whether it is still to come."""
        return not (self._called or self._cancelled)

    def cancel(self) -> None:
        """Never call it; AlreadyCalled or AlreadyCancelled when that is too late."""
        self._check()
        self._cancelled = True
        self._clock.superseded()

    def reset(self, secondsFromNow: float) -> None:
        """Call it that long after now instead."""
        self._check()
        self._move(self._clock.seconds() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Call it that much later."""
        self._check()
        self._move(self.at + secondsLater)

    def _check(self) -> None:
        if self._cancelled:
            raise AlreadyCancelled
        if self._called:
            raise AlreadyCalled

    def _move(self, at: float) -> None:
        earlier, self.at = at < self.at, at
        if earlier:
            self._clock.superseded()
            self._clock.push(self)

    def __repr__(self) -> str:
        return f"<VirtualCall at {self.at}: {self.function!r}>"


_Entry: TypeAlias = tuple[float, int, Any, tuple[object, ...] | None]
"""When, in which order, what, and with which arguments (None: what is a VirtualCall)."""


@implementer(IReactorTime)
@define(eq=False, repr=False)
class VirtualClock:
    """``IReactorTime`` whose time passes only in :meth:`advance` and :meth:`run_until`.

    Calls of one instant are made in the order in which they were asked for. What a call raises
    is logged, as a reactor does, and the next one is made.
    """

    _now: float = 0.0
    calls_made: int = field(default=0, init=False)
    _heap: list[_Entry] = field(factory=list, init=False)
    _order: int = field(default=0, init=False)
    _stale: int = field(default=0, init=False)
    _running: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    # IReactorTime

    def seconds(self) -> float:
        """Virtual seconds."""
        return self._now

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> VirtualCall:
        """Call *callable* after *delay* virtual seconds (0: in a turn of its own)."""
        if not delay >= 0:
            raise ValueError(f"a call {delay} seconds from now is in the past")
        at = self._now + delay
        if delay > 0 and at == self._now:
            # Too short to be told from now, but time has to pass, or who waits for it spins.
            at = nextafter(at, inf)
        call = VirtualCall(self, at, callable, args, kwargs)
        self.push(call)
        return call

    def getDelayedCalls(self) -> Sequence[VirtualCall]:
        """Those still to come, the soonest first."""
        calls = [
            what for _at, order, what, args in self._heap if args is None and _live(what, order)
        ]
        return sorted(calls, key=lambda call: call.at)

    # Beyond it

    def run_at(self, at: float, function: Callable[..., object], *args: object) -> None:
        """Call *function* at *at*; cheaper than ``callLater``, not cancelled and not counted.

        For what happens in the world, not in a program: ``getDelayedCalls`` does not show it.
        """
        self._order += 1
        heappush(self._heap, (max(at, self._now), self._order, function, args))

    def advance(self, seconds: float) -> None:
        """Let time pass, and make every call that is due on the way, at its own time."""
        if seconds < 0:
            raise ValueError("time does not go back")
        end = self._now + seconds
        while self._instant(end):
            pass
        self._now = end

    def run_until(self, predicate: Callable[[], object], limit: float) -> float:
        """Let time pass until *predicate* is true; returns the seconds that took.

        It is asked after every instant at which something was called. NeverHappened when
        *limit* seconds pass without.
        """
        begin, end = self._now, self._now + limit
        while not predicate():
            if not self._instant(end):
                self._now = end
                if predicate():
                    break
                raise NeverHappened(f"not within {limit} virtual seconds")
        return self._now - begin

    # For myself and my calls

    def push(self, call: VirtualCall) -> None:
        """Give *call* a heap entry at its time."""
        self._order += 1
        call._entry = self._order
        heappush(self._heap, (call.at, self._order, call, None))

    def superseded(self) -> None:
        """A heap entry counts no more."""
        self._stale += 1
        if self._stale > MIN_STALE and self._stale * 2 > len(self._heap):
            self._heap = [
                entry for entry in self._heap if entry[3] is not None or _live(entry[2], entry[1])
            ]
            heapify(self._heap)
            self._stale = 0

    def _instant(self, end: float) -> bool:
        """Make all calls of the next instant; False when there is none until *end*."""
        if self._running:
            raise RuntimeError("time cannot pass inside a call")
        entry = self._next(end)
        if entry is None:
            return False
        self._running = True
        try:
            at = self._now = entry[0]
            for _ in range(MAX_AT_ONE_INSTANT):
                self._make(entry)
                entry = self._next(at)
                if entry is None:
                    return True
        finally:
            self._running = False
        raise RuntimeError(f"time stands still at {self._now}: {entry[2]!r}")

    def _next(self, end: float) -> _Entry | None:
        """Take the next true entry not after *end* off the heap."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            entry = heappop(heap)
            if entry[3] is not None:
                return entry
            call: VirtualCall = entry[2]
            if not _live(call, entry[1]):
                self._stale -= 1
            elif call.at > entry[0]:
                self.push(call)
            else:
                call._called = True
                return entry
        return None

    def _make(self, entry: _Entry) -> None:
        self.calls_made += 1
        _at, _order, what, args = entry
        try:
            if args is None:
                what.function(*what.args, **what.kwargs)
            else:
                what(*args)
        except Exception:
            self._log.failure("a call in virtual time failed")


def _live(call: VirtualCall, order: int) -> bool:
    return call._entry == order and not call._cancelled
