"""Candidates of the peer: found their description, dealt out, or kept for later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from refreeze.ice.candidate import Candidate
from refreeze.jsep.descriptions import Applied
from refreeze.jsep.effects import AddRemoteCandidate, Effect, EndOfRemoteCandidates
from refreeze.jsep.errors import InvalidStateError, OperationError
from refreeze.jsep.trickle import END, EarlyCandidates
from refreeze.sdp import SdpError, UnsupportedCandidate, parse_candidate


@frozen(eq=False)
class Found:
    """A description and the place of its section that a candidate is of."""

    description: Applied
    place: int
    ours: bool
    """Whether it is of the transport that is used."""


@define(eq=False, repr=False)
class RemoteCandidates:
    """I decide what a signaled candidate belongs to (the table of :mod:`refreeze.jsep.trickle`).

    Candidates of a remote offer wait with it until our answer starts its generation: until then
    nothing can check them, and an offer that comes to nothing takes them along.
    """

    hold_early: bool = True
    early: EarlyCandidates = field(factory=EarlyCandidates)

    def described(self, applied: Applied) -> list[Effect]:
        """Those in the text of a description, then those that came before it (T2)."""
        ufrag, section, effects = applied.ufrag, applied.section, list[Effect]()
        if ufrag is None or section is None:
            return []
        self.early.come_back(ufrag)
        for candidate in section.candidates:
            if candidate.ufrag in {None, ufrag} and applied.trickle.seen.take(candidate):
                effects += self._deal(applied, AddRemoteCandidate(ufrag, candidate))
        if section.end_of_candidates and applied.trickle.seen.end():
            effects += self._deal(applied, EndOfRemoteCandidates(ufrag))
        place = applied.parsed.media.index(section)
        for line, early in self.early.release(ufrag):
            effects += self._take([Found(applied, place, True)], line, early)
        return effects

    def started(self, applied: Applied) -> list[Effect]:
        """The generation of that remote description begins: what waited is due."""
        applied.live = True
        waiting, applied.waiting = applied.waiting, []
        return waiting

    def signaled(
        self,
        line: str,
        mid: str | None,
        index: int | None,
        ufrag: str | None,
        applied: Sequence[Applied],
        stopped: Callable[[int], bool],
    ) -> list[Effect]:
        """addIceCandidate (rule 55); *applied* are the remote descriptions, the latest first.

        *stopped* knows of each section whether its transceiver is.
        """
        wanted, index = self.wanted(mid, index, ufrag, applied, stopped)
        if not wanted:
            return []
        candidate, usable = _parse(line)
        ufrag = ufrag or (candidate.ufrag if candidate is not None else None)
        if not applied and ufrag is None:
            raise InvalidStateError("there is no remote description")
        found = self._found(ufrag, index, applied)
        if found:
            return self._take(found, line, candidate, usable)
        if ufrag is None or not usable:
            return []
        if _elsewhere(ufrag, applied):
            return []
        if not self.hold_early or not self.early.hold(ufrag, line, candidate):
            raise OperationError("the candidate is of no generation that is known")
        return []

    def wanted(
        self,
        mid: str | None,
        index: int | None,
        ufrag: str | None,
        applied: Sequence[Applied],
        stopped: Callable[[int], bool],
    ) -> tuple[bool, int | None]:
        """What W3C has of :meth:`signaled` before any task: its errors, whether there is anything
        to be done, and the section's place.
        """
        if not applied and not self.hold_early:
            raise InvalidStateError("there is no remote description")
        index = _place(applied[0], mid, index) if applied else None
        if index is not None and (stopped(index) or index not in applied[0].taken_places):
            return False, index  # of a section that was rejected (rule 55d)
        if ufrag is not None and not self.hold_early and not self._found(ufrag, index, applied):
            if index is None and _elsewhere(ufrag, applied):
                return False, index
            raise OperationError("the candidate is of no generation that is known")
        return True, index

    def _found(
        self, ufrag: str | None, index: int | None, applied: Sequence[Applied]
    ) -> list[Found]:
        """Descriptions and their sections of that generation; without a ufrag, the latest (T3).

        A service takes what says nothing else to be the transport's, whatever section it names.
        """
        found = list[Found]()
        for each in applied:
            lenient = self.hold_early and ufrag in {None, each.ufrag}
            for place in each.taken_places:
                own = each.ufrag if lenient else each.ufrag_at(place)
                latest = applied[0].ufrag if lenient else applied[0].ufrag_at(place)
                if index in {place, None} and own is not None and own == (ufrag or latest):
                    found.append(Found(each, place, own == each.ufrag))
        return found

    def _take(
        self,
        found: Sequence[Found],
        line: str,
        candidate: Candidate | None,
        usable: bool = True,
    ) -> list[Effect]:
        """It shows where it was *found*, and is dealt out once (rule 55i), if it is for us.

        It is not if the section has a transport of its own, as long as the bundle is not agreed.
        """
        text = END if not line else f"a={line.removeprefix('a=')}"
        ours = [each.description for each in found if each.ours]
        effects = list[Effect]()
        if usable and ours:
            latest = ours[0]
            assert latest.ufrag is not None
            if candidate is None and latest.trickle.seen.end():
                effects = self._deal(latest, EndOfRemoteCandidates(latest.ufrag))
            elif candidate is not None:
                if not latest.trickle.seen.take(candidate):
                    return []
                effects = self._deal(latest, AddRemoteCandidate(latest.ufrag, candidate))
        for each in found:
            each.description.trickle.show(each.place, text)
        return effects

    @staticmethod
    def _deal(applied: Applied, effect: Effect) -> list[Effect]:
        if applied.live:
            return [effect]
        applied.waiting.append(effect)
        return []


def _parse(line: str) -> tuple[Candidate | None, bool]:
    """The candidate (None: end of candidates) and whether it is for us."""
    if not line:
        return None, True
    try:
        return parse_candidate(line), True
    except UnsupportedCandidate:
        return None, False
    except SdpError as error:
        raise OperationError(str(error)) from None


def _place(latest: Applied, mid: str | None, index: int | None) -> int | None:
    """Of the section meant; *index* counts only without a mid (rule 55c)."""
    media = latest.parsed.media
    if mid is not None:
        found = latest.parsed.by_mid(mid)
        if found is None:
            raise OperationError("no section has that sdpMid")
        return next(place for place, each in enumerate(media) if each is found)
    if index is not None and not 0 <= index < len(media):
        raise OperationError("no section has that sdpMLineIndex")
    return index


def _elsewhere(ufrag: str, applied: Sequence[Applied]) -> bool:
    """Whether a section that we do not use has that ufrag: it is not for us, yet no error."""
    return any(
        media.credentials is not None and media.credentials.ufrag == ufrag
        for each in applied
        for media in each.parsed.media
    )
