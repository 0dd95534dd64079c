"""The operations chain (webrtc-pc section 4.4.1.2): one call after the other, each to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred

from refreeze.jsep import InvalidStateError
from refreeze.peer.icetransport import QueueTask

_Result = TypeVar("_Result")


@define(eq=False, repr=False)
class OperationsChain:
    """I run what is asked for in order, and settle it in queued tasks.

    Once closed, nothing settles any more: what was under way stays without an answer, as W3C has
    it (rule 55j).
    """

    queue_task: QueueTask
    began: Callable[[], None]
    """Told of every operation when it is chained..."""
    ended: Callable[[], None]
    """...and when it is over (rules 3 and 5)."""
    closed: bool = field(default=False, init=False)
    _waiting: deque[tuple[Callable[[], Deferred[Any]], Deferred[Any]]] = field(
        factory=deque, init=False
    )
    _running: bool = field(default=False, init=False)
    _under_way: bool = field(default=False, init=False)

    def chain(self, operation: Callable[[], Deferred[_Result]]) -> Deferred[_Result]:
        """What *operation* comes to; it begins at once if nothing else is under way."""
        settled: Deferred[_Result] = Deferred()
        if self.closed:
            settled.errback(InvalidStateError("the connection is closed"))
            return settled
        self._waiting.append((operation, settled))
        self.began()
        if not self._running:
            self._run()
        return settled

    def in_task(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        """Do *work* in a task; what it returns or raises settles the Deferred there."""
        settled: Deferred[_Result] = Deferred()

        def run() -> None:
            if not self.closed:
                maybeDeferred(work).chainDeferred(settled)

        self.queue_task(run)
        return settled

    def close(self) -> None:
        """Nothing more is run or settled."""
        self.closed = True
        self._waiting.clear()

    def _run(self) -> None:
        """Until one takes its time, or none is left: many that fail at once are no recursion."""
        self._running = True
        while self._waiting and not self._under_way:
            self._under_way = True
            operation, settled = self._waiting[0]
            maybeDeferred(operation).addBoth(self._over, settled)
        self._running = False

    def _over(self, result: Any, settled: Deferred[Any]) -> None:
        """It has left the chain when whoever waited for it is told, who may find it empty."""
        if self.closed:
            return
        self._waiting.popleft()
        self._under_way = False
        self.ended()
        settled.callback(result)  # a Failure goes to the errbacks
        if not self._running:
            self._run()
