"""What a session does that takes more than one turn: one thing after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

MAX_WAITING: Final = 256
"""More than a peer's candidates of one round; what comes beyond is refused."""


@define(eq=False, repr=False)
class SerialWork:
    """I run coroutines in the order in which they came, each to its end.

    Calls of a peer connection settle in later turns; offers, answers and rounds of two coroutines
    must not mix meanwhile.
    """

    broke: Callable[[Failure], None]
    """Told what a coroutine raised."""
    _waiting: deque[Coroutine[Deferred[Any], Any, None]] = field(factory=deque, init=False)
    _running: Deferred[None] | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def do(self, work: Coroutine[Deferred[Any], Any, None]) -> bool:
        """Run *work* when it is its turn; False when too much waits, or all is over."""
        if self._stopped or len(self._waiting) >= MAX_WAITING:
            work.close()
            return False
        self._waiting.append(work)
        self._next()
        return True

    def stop(self) -> None:
        """What runs is cancelled, what waits is dropped."""
        self._stopped = True
        for work in self._waiting:
            work.close()
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()

    def _next(self) -> None:
        while self._running is None and self._waiting:
            running = Deferred.fromCoroutine(self._waiting.popleft())
            running.addErrback(self._failed)
            if not running.called:
                self._running = running
                running.addBoth(self._over)

    def _failed(self, failure: Failure) -> None:
        if not (self._stopped and isinstance(failure.value, CancelledError)):
            self.broke(failure)

    def _over(self, _: object) -> None:
        self._running = None
        self._next()
