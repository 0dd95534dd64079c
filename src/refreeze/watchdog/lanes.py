"""The queues of the storm budget: first in, first out per kind of cause, absent peers last."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from attrs import define, field, frozen

from .words import RANK, Cause

URGENT = RANK[Cause.REBIND]
"""Lanes up to this one (operator, peer, rebind) pass a storm's hold."""
_OFFLINE = max(RANK.values()) + 1


@frozen
class Request:
    """One session's wish to restart."""

    session_id: str
    ticket: int
    cause: Cause
    online: bool

    @property
    def lane(self) -> int:
        return RANK[self.cause] if self.online else _OFFLINE


@define(eq=False, repr=False)
class Lanes:
    """I hold at most one request per session and hand them out in the order of the lanes.

    A request may be given a slot: it keeps its lane but is not ready before that time.
    """

    _lanes: tuple[OrderedDict[str, Request], ...] = field(
        factory=lambda: tuple(OrderedDict() for _ in range(_OFFLINE + 1))
    )
    _of: dict[str, Request] = field(factory=dict)
    _slotted: dict[str, Request] = field(factory=dict)
    _slots: list[tuple[float, int, Request]] = field(factory=list)
    _slot_number: int = 0

    def __len__(self) -> int:
        return len(self._of)

    @property
    def ready(self) -> int:
        return len(self._of) - len(self._slotted)

    @property
    def urgent(self) -> int:
        """How many may go even in a hold."""
        return sum(len(lane) for lane in self._lanes[: URGENT + 1])

    @property
    def first_slot(self) -> float | None:
        self._skim()
        return self._slots[0][0] if self._slots else None

    def put(self, request: Request) -> None:
        """Queue *request*; it takes the place of an older one of its session."""
        self.remove(request.session_id)
        self._of[request.session_id] = request
        self._lanes[request.lane][request.session_id] = request

    def remove(self, session_id: str) -> None:
        request = self._of.pop(session_id, None)
        if request is not None and self._slotted.pop(session_id, None) is None:
            del self._lanes[request.lane][session_id]

    def pop(self, *, urgent_only: bool) -> Request | None:
        """The next ready request, or None."""
        for lane in self._lanes[: URGENT + 1] if urgent_only else self._lanes:
            if lane:
                session_id, request = lane.popitem(last=False)
                del self._of[session_id]
                return request
        return None

    def held(self) -> Iterator[Request]:
        """The ready requests that a hold stops, in order."""
        for lane in self._lanes[URGENT + 1 :]:
            yield from list(lane.values())

    def give_slot(self, request: Request, at: float) -> None:
        """Not before *at* (monotonic seconds)."""
        del self._lanes[request.lane][request.session_id]
        self._slotted[request.session_id] = request
        self._slot_number += 1
        heapq.heappush(self._slots, (at, self._slot_number, request))

    def ripen(self, now: float | None) -> None:
        """Make ready those whose slot has come; all of them when *now* is None."""
        while self._slots and (now is None or self._slots[0][0] <= now):
            request = heapq.heappop(self._slots)[2]
            if self._slotted.get(request.session_id) is request:
                del self._slotted[request.session_id]
                self._lanes[request.lane][request.session_id] = request

    def _skim(self) -> None:
        """Drop slots of requests that were withdrawn meanwhile."""
        while self._slots:
            request = self._slots[0][2]
            if self._slotted.get(request.session_id) is request:
                return
            heapq.heappop(self._slots)
