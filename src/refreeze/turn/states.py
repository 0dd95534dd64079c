"""The states of an allocation, and what every input does in each: too early, in time, too late.

A row is an input, a column a state, a cell the states that may follow: more than one where it
depends on what is under way, or on what exactly was answered. An answer to nothing that is under
way is counted as a stray and changes nothing, a timeout with nothing under way just as little.
The tests walk through every pair.
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


LETTERS: Final[dict[str, AllocationState]] = {
    "N": AllocationState.NEW,
    "A": AllocationState.ALLOCATING,
    "R": AllocationState.READY,
    "G": AllocationState.RELEASING,
    "O": AllocationState.OVER,
}
"""Also the order of the columns. G: it is given back."""

# fmt: off
REACTIONS: Final[dict[str, str]] = {
    #                        N    A    R    G    O
    "start":                "A    A    R    G    O",
    "Allocate granted":     "N    R    R    G    O",
    "Allocate challenged":  "N    A    R    GO   O",
    "Allocate redirected":  "N    O    R    GO   O",
    "Allocate refused":     "N    O    R    GO   O",
    "Refresh granted":      "N    A    R    GO   O",
    "Refresh challenged":   "N    A    R    G    O",
    "Refresh delayed":      "N    A    R    GO   O",
    "Refresh refused":      "N    A    RO   GO   O",
    "permission refused":   "N    A    R    G    O",
    "channel refused":      "N    A    R    G    O",
    "nobody answers":       "N    O    RO   O    O",
    "permit":               "N    A    R    G    O",
    "send":                 "N    A    R    G    O",
    "data":                 "N    A    R    G    O",
    "verify":               "N    A    R    G    O",
    "release":              "O    G    G    G    O",
    "lost":                 "O    O    O    O    O",
}
# fmt: on


def may_follow(name: str, state: AllocationState) -> frozenset[AllocationState]:
    """The states that the input *name* may lead to from *state*."""
    column = list(LETTERS.values()).index(state)
    return frozenset(LETTERS[letter] for letter in REACTIONS[name].split()[column])
