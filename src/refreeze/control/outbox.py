"""What waits to be written to a client, and what happens when it reads too slowly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

EVENTS_STOP_ABOVE = 1024 * 1024
"""Queued bytes above which events are not queued any more but counted."""

CLOSE_ABOVE = 8 * 1024 * 1024
"""Queued bytes above which the client is given up."""


@implementer(IPushProducer)
@define(eq=False, repr=False)
class Outbox:
    """Whole replies and whole event lines in order, given to the transport as it takes them.

    The transport's own buffer is small (it pauses us at 64 KiB); everything else waits here,
    where it can be counted.
    """

    _transport: Any
    _eased: Callable[[], None]
    """Called when there is room for events again."""
    _waiting: deque[bytes] = field(factory=deque, init=False)
    _paused: bool = field(default=False, init=False)
    queued: int = field(default=0, init=False)
    """Bytes that wait here."""

    @property
    def behind(self) -> bool:
        """Whether events must not be queued now."""
        return self.queued > EVENTS_STOP_ABOVE

    def write(self, data: bytes) -> bool:
        """Send or queue *data*; False when that is too much: :meth:`give_up` then."""
        if not self._paused and not self._waiting:
            self._transport.write(data)
            return True
        self._waiting.append(data)
        self.queued += len(data)
        return self.queued <= CLOSE_ABOVE

    def flush(self) -> None:
        """Give the transport all there is, paused or not: it closes after this."""
        while self._waiting:
            self._transport.write(self._pop())

    def give_up(self, last: bytes) -> None:
        """Forget what waits; *last* is the end."""
        self._waiting.clear()
        self.queued = 0
        self._transport.write(last)

    def _pop(self) -> bytes:
        data = self._waiting.popleft()
        self.queued -= len(data)
        return data

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False
        while self._waiting and not self._paused:
            self._transport.write(self._pop())
        if not self.behind:
            self._eased()

    def stopProducing(self) -> None:
        """See IPushProducer."""
        self._waiting.clear()
        self.queued = 0
