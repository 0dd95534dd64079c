"""The states of an allocation, and what comes too early or too late in each.

============  ==========  ==================  ==================  ==================  =========
input         NEW         ALLOCATING          READY               RELEASING           OVER
============  ==========  ==================  ==================  ==================  =========
start         ALLOCATING  nothing             nothing             nothing             nothing
Allocate ok   stray       READY, or OVER      stray               Refresh, 0          stray
Allocate err  stray       again, or OVER      stray               OVER                stray
Refresh ok    stray       stray               refreshed           OVER                stray
Refresh err   stray       stray               again, or OVER      again, or OVER      stray
permit        kept        kept                asked for           nothing             nothing
send          refused     refused             sent or kept        refused             refused
data          dropped     dropped             received            dropped             dropped
verify        nothing     nothing             a Refresh, soon     nothing             nothing
release       OVER        RELEASING           RELEASING           nothing             nothing
lost          OVER        OVER                OVER                OVER                nothing
============  ==========  ==================  ==================  ==================  =========

Stray responses are counted, like everything that is dropped or refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AllocationState(StrEnum):
    """An allocation goes through them once, in this order, and may leave some out."""

    NEW = "new"
    ALLOCATING = "allocating"
    READY = "ready"
    RELEASING = "releasing"
    OVER = "over"


TRANSITIONS: Final[dict[tuple[AllocationState, AllocationState], str]] = {
    (AllocationState.NEW, AllocationState.ALLOCATING): "started",
    (AllocationState.NEW, AllocationState.OVER): "released or lost before it was started",
    (AllocationState.ALLOCATING, AllocationState.READY): "the server gave an address",
    (AllocationState.ALLOCATING, AllocationState.RELEASING): "released; the server may give one",
    (AllocationState.ALLOCATING, AllocationState.OVER): "refused, redirected, unanswered or lost",
    (AllocationState.READY, AllocationState.RELEASING): "released",
    (AllocationState.READY, AllocationState.OVER): "a Refresh was refused or unanswered, or lost",
    (AllocationState.RELEASING, AllocationState.OVER): "answered, given up, or lost",
}
"""Every change of state, with its cause."""
