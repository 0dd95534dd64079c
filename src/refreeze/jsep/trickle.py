"""Candidates beside descriptions: of which generation, how many, each once (rules 49 to 56).

What a candidate from signaling finds, by the ufrag it names:

===================  ====================================================================
ufrag                what happens
===================  ====================================================================
none                 belongs to the latest generation: pending, else current (T3, rule 55)
of an applied        added to that description and its generation (rule 56)
description
never seen           too early: held, bounded, and applied with its description (T2)
of a past one        too late: OperationError (T1, rule 56)
===================  ====================================================================
"""

from __future__ import annotations

from collections import deque
from typing import Final

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.candidate import Candidate
from refreeze.sdp import MAX_CANDIDATES, format_candidate

END: Final = "a=end-of-candidates"
MAX_EARLY_UFRAGS: Final = 4
MAX_EARLY_CANDIDATES: Final = 100
MAX_PAST_UFRAGS: Final = 32
MAX_LOCAL_UFRAGS: Final = 8


@define(eq=False, repr=False)
class Seen:
    """What one generation of one side has brought so far; all its descriptions share it."""

    candidates: set[tuple[str, Address, int]] = field(factory=set)
    """By what makes one the same as another: transport, address and component."""
    ended: bool = False

    def take(self, candidate: Candidate) -> bool:
        """Whether it counts: before the end (rule 51), new (rule 49), and not one too many."""
        key = (candidate.transport.lower(), candidate.address, candidate.component)
        if self.ended or len(self.candidates) >= MAX_CANDIDATES or key in self.candidates:
            return False
        self.candidates.add(key)
        return True

    def end(self) -> bool:
        """No more of them; False when that was known."""
        ended, self.ended = self.ended, True
        return not ended


@define(eq=False, repr=False)
class Trickle:
    """The attributes that a description gained since it was applied, and its generation's."""

    lines: list[str] = field(factory=list)
    """Of the section whose transport is used."""
    shown: dict[int, list[str]] = field(factory=dict)
    """Of the peer's sections, by their places."""
    seen: Seen = field(factory=Seen)

    def add(self, line: str) -> None:
        """A candidate line without ``a=``."""
        self.lines.append(f"a={line}")

    def show(self, place: int, line: str) -> None:
        """Once, not behind the end, and not one too many (rules 51 and 53)."""
        lines = self.shown.setdefault(place, [])
        if line not in lines and END not in lines and len(lines) < MAX_CANDIDATES:
            lines.append(line)

    def end(self) -> None:
        """End of candidates; at most one line says so (rule 53)."""
        if self.seen.end():
            self.lines.append(END)


@define(eq=False, repr=False)
class Gathered:
    """Local candidates by generation, in descriptions or waiting for one (rule 54).

    What waits is [[EarlyCandidates]]; a generation that never gets a description is forgotten.
    """

    _by_ufrag: dict[str, Trickle] = field(factory=dict)

    def of(self, ufrag: str) -> Trickle:
        """That generation's; the oldest of too many makes room."""
        found = self._by_ufrag.get(ufrag)
        if found is None:
            while len(self._by_ufrag) >= MAX_LOCAL_UFRAGS:
                del self._by_ufrag[next(iter(self._by_ufrag))]
            found = self._by_ufrag[ufrag] = Trickle()
        return found

    def add(self, candidate: Candidate, ufrag: str) -> None:
        """A gathered one, once."""
        trickle = self.of(ufrag)
        if trickle.seen.take(candidate):
            trickle.add(format_candidate(candidate))

    def keep(self, ufrags: set[str]) -> None:
        """All other generations are over."""
        self._by_ufrag = {key: value for key, value in self._by_ufrag.items() if key in ufrags}


@define(eq=False, repr=False)
class EarlyCandidates:
    """Candidates of generations whose description has not come yet, and the ufrags gone by.

    Bounded in ufrags and in candidates: the oldest ufrag makes room, a full one takes no more.
    """

    _held: dict[str, list[tuple[str, Candidate | None]]] = field(factory=dict)
    _past: deque[str] = field(factory=lambda: deque(maxlen=MAX_PAST_UFRAGS))

    def hold(self, ufrag: str, line: str, candidate: Candidate | None) -> bool:
        """False when that ufrag has been in force and is no more."""
        if ufrag in self._past:
            return False
        if ufrag not in self._held and len(self._held) >= MAX_EARLY_UFRAGS:
            del self._held[next(iter(self._held))]
        held = self._held.setdefault(ufrag, [])
        if len(held) < MAX_EARLY_CANDIDATES:
            held.append((line, candidate))
        return True

    def release(self, ufrag: str) -> list[tuple[str, Candidate | None]]:
        """What waited for that ufrag, in order."""
        return self._held.pop(ufrag, [])

    def pass_by(self, ufrag: str) -> None:
        """That ufrag is in force no more."""
        self._held.pop(ufrag, None)
        if ufrag not in self._past:
            self._past.append(ufrag)

    def come_back(self, ufrag: str) -> None:
        """A peer that was restarted, or rolled back, may use its ufrag again."""
        if ufrag in self._past:
            self._past.remove(ufrag)
