"""What our m= sections are about: one data section, and transceivers (webrtc-pc 5.4, RFC 9429).

A part is bound to an m= section by *mid* and *index* when a description with it is applied, and
the binding ends with a rollback, or when the section was rejected (RFC 9429 section 3.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from refreeze.jsep.codecs import offered_media
from refreeze.jsep.descriptions import Applied, DescriptionType, SectionSpec
from refreeze.sdp import MediaSection, SessionDescription

MEDIA_KINDS: Final = ("audio", "video")


class Direction(StrEnum):
    """RTCRtpTransceiverDirection."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"
    STOPPED = "stopped"

    @property
    def sends(self) -> bool:
        """Whether media may leave."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """Whether media may come."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def reversed(self) -> Direction:
        """As the other side sees it."""
        return direction(sends=self.receives, receives=self.sends)

    def within(self, other: Direction) -> Direction:
        """What both allow (RFC 9429 section 5.3.1)."""
        return direction(
            sends=self.sends and other.sends, receives=self.receives and other.receives
        )


def direction(*, sends: bool, receives: bool) -> Direction:
    """Of the two halves."""
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


def direction_of(section: MediaSection) -> Direction:
    """As a section says it."""
    return Direction(section.direction)


@define(eq=False, repr=False)
class Part:
    """One m= section's worth of wishes."""

    spec: SectionSpec
    direction: Direction | None = None
    """[[Direction]]; None: data, which has none."""
    track: str = ""
    """Id of the sender's track, as ``msid`` has it."""
    by_peer: bool = False
    """Made by a remote offer that is not completed yet."""
    mid: str | None = None
    index: int | None = None
    current: Direction | None = None
    """[[CurrentDirection]]"""
    stopping: bool = False
    stopped: bool = False

    @property
    def kind(self) -> str:
        """Of its m= line."""
        return self.spec.kind

    @property
    def is_media(self) -> bool:
        """Whether it is a transceiver's."""
        return self.direction is not None

    def stop(self) -> None:
        """The section is rejected: nothing comes of it any more (webrtc-pc 5.4)."""
        self.stopping = self.stopped = True
        self.direction = self.current = Direction.STOPPED


@frozen
class Place:
    """One section of an offer: whose it is and its mid.

    Without a part it is nobody's, and *section*, which it was, stays rejected.
    """

    part: Part | None
    mid: str | None
    section: MediaSection | None = field(default=None, repr=False)


@define(eq=False, repr=False)
class Media:
    """I keep the parts in the order in which they were made."""

    new_track: Callable[[], str]
    """Makes ids for senders."""
    data_spec: SectionSpec = field(factory=SectionSpec)
    accepts_media: bool = True
    """Whether the peer's audio and video sections become transceivers; else they are rejected."""
    parts: list[Part] = field(factory=list, init=False)
    data_wanted: bool = field(default=False, init=False)
    """A data channel was created."""
    _stable: dict[Part, tuple[str | None, int | None, Direction | None]] = field(
        factory=dict, init=False
    )
    """Bindings as of the last stable state."""

    @property
    def transceivers(self) -> list[Part]:
        """Those that are not stopped."""
        return [part for part in self.parts if part.is_media]

    @property
    def data(self) -> Part | None:
        """The data section, of which there is at most one."""
        return next((part for part in self.parts if not part.is_media), None)

    def at(self, index: int) -> Part | None:
        """Whose section that is."""
        return next((part for part in self.parts if part.index == index), None)

    def is_stopped(self, index: int) -> bool:
        """Whether that section is a stopped transceiver's."""
        part = self.at(index)
        return part is not None and part.stopped

    def stable_at(self, index: int) -> Part | None:
        """Whose it was in the last stable state."""
        bound = self._stable.items()
        return next((part for part, (_, place, _) in bound if place == index), None)

    # Making

    def want_data(self) -> None:
        """A data channel needs a section (webrtc-pc 6.1)."""
        self.data_wanted = True
        if self.data is None:
            self.parts.append(Part(self.data_spec))

    def add(self, kind: str, wished: Direction = Direction.SENDRECV) -> Part:
        """A transceiver; ValueError for what is neither audio nor video."""
        if kind not in MEDIA_KINDS:
            raise ValueError("kind: audio or video")
        part = Part(offered_media(kind), wished, self.new_track())
        self.parts.append(part)
        return part

    # Descriptions

    def places(self, descriptions: Iterable[SessionDescription]) -> list[Place]:
        """The sections of our next offer (RFC 9429 section 5.2.2).

        *descriptions* are those in force and pending, of both sides. A transceiver takes the
        place of a rejected section, under a mid of its own; data comes behind all others.
        """
        known = list(descriptions)
        taken = [part.index + 1 for part in self.parts if part.index is not None]
        count = max([len(each.media) for each in known] + taken, default=0)
        places = [self._place_at(i, known) for i in range(count)]
        mids = {each.mid for description in known for each in description.media}
        for part in sorted(self.parts, key=lambda part: not part.is_media):
            if part.index is not None or part.stopping:
                continue
            free = (i for i, place in enumerate(places) if place.part is None)
            index = next(free, len(places)) if part.is_media else len(places)
            mid = _fresh(mids, index)
            mids.add(mid)
            places[index : index + 1] = [Place(part, mid)]
        return places

    def _place_at(self, index: int, known: Sequence[SessionDescription]) -> Place:
        part = self.at(index)
        if part is not None:
            return Place(part, part.mid)
        section = next(each.media[index] for each in known if index < len(each.media))
        return Place(None, section.mid, section)

    def bind(self, places: Sequence[Place]) -> None:
        """An offer of ours was applied."""
        bound = {place.part for place in places}
        for part in self.parts:
            if part not in bound and part not in self._stable:
                part.mid = part.index = None  # of an earlier offer that this one replaces
        for index, place in enumerate(places):
            if place.part is not None:
                place.part.mid, place.part.index = place.mid, index

    def _accept(self, section: MediaSection, index: int, spec: SectionSpec) -> Part:
        """A section of a remote offer that no part has yet becomes one's."""
        if section.kind in MEDIA_KINDS:
            part = Part(spec, Direction.RECVONLY, self.new_track(), by_peer=True)
            self.parts.append(part)
        else:
            part = self.data or Part(spec, by_peer=True)
            if part not in self.parts:
                self.parts.append(part)
        part.mid, part.index = section.mid, index
        return part

    def answered(
        self, sections: Sequence[MediaSection], *, local: bool, offered: Sequence[MediaSection]
    ) -> None:
        """An answer, perhaps a provisional one, says what goes which way from now on."""
        for index, (section, offer) in enumerate(zip(sections, offered, strict=True)):
            part = self.at(index)
            if part is None or not part.is_media:
                continue
            if section.rejected or offer.rejected:
                part.stop()
            elif not part.stopped:
                said = direction_of(section)
                part.current = said if local else said.reversed

    def _replaced(self, offered: Sequence[MediaSection]) -> None:
        """A remote offer may have taken the place of one that stopped a part, or even made it.

        A section is another one if its mid is, or its kind: the peer may use a mid again that it
        took back.
        """
        sections = dict(enumerate((each.kind, each.mid) for each in offered))
        for part in list(self.parts):
            index = part.index
            if index is None or not (part.by_peer or part.stopped):
                continue
            if sections.get(index) != (part.kind, part.mid):
                if part.by_peer:
                    self._unmake(part)
                else:
                    part.mid = part.index = None

    def offered(self, sections: Sequence[MediaSection], specs: Mapping[int, SectionSpec]) -> None:
        """A remote offer was applied; *specs* are those of the new sections that we take.

        One that it rejects has a transceiver, too, and that is stopped (webrtc-pc 4.4.1.5).
        """
        self._replaced(sections)
        for index, section in enumerate(sections):
            spec, part = specs.get(index), self.at(index)
            if spec is not None:
                self._accept(section, index, spec)
            elif section.rejected and section.kind in MEDIA_KINDS:
                if part is None and self.accepts_media:
                    part = self._accept(section, index, offered_media(section.kind))
                if part is not None and part.is_media:
                    part.stop()

    def completed(self, rejected: Collection[int]) -> None:
        """An exchange is over; *rejected* are the places that either side rejected."""
        for part in list(self.parts):
            part.by_peer = False
            if part.index not in rejected:
                continue
            part.mid = part.index = None
            if part.is_media:
                part.stop()
                self.parts.remove(part)
            elif not self.data_wanted:
                self.parts.remove(part)
        self.parts = [p for p in self.parts if not (p.stopped and p.index is None)]
        self._remember()

    def _remember(self) -> None:
        self._stable = {part: (part.mid, part.index, part.current) for part in self.parts}

    def rolled_back(self) -> None:
        """Bindings are as at the last stable state; what only the peer made is gone (rule 27)."""
        for part in list(self.parts):
            if part.by_peer and part not in self._stable:
                self._unmake(part)
                continue
            mid, index, current = self._stable.get(part, (None, None, None))
            part.mid, part.index = mid, index
            if not part.stopped:
                part.current = current

    def _unmake(self, part: Part) -> None:
        part.mid = part.index = None
        if part.is_media:
            part.stop()
        if part.is_media or not self.data_wanted:
            self.parts.remove(part)
        else:
            part.by_peer = False

    # Is negotiation needed? (webrtc-pc 4.7.3)

    def needed(self, local: Applied | None, remote: Applied | None) -> bool:
        """Whether what is wanted is not what the current descriptions say."""
        ours = local.parsed if local is not None else None
        if self.data_wanted and not (ours and any(m.kind == "application" for m in ours.media)):
            return True
        return any(_differs(part, local, remote) for part in self.transceivers)


def _differs(part: Part, local: Applied | None, remote: Applied | None) -> bool:
    if part.stopping and not part.stopped:
        return True
    bound = part.index is not None and local is not None and part.index < len(local.parsed.media)
    if not bound or local is None or remote is None or part.index is None:
        return not part.stopped
    ours, theirs = local.parsed.media[part.index], remote.parsed.media[part.index]
    if part.stopped:  # by an offer that was rolled back
        return not (ours.rejected or theirs.rejected)
    said, heard = direction_of(ours), direction_of(theirs).reversed
    assert part.direction is not None
    if local.type is DescriptionType.OFFER:
        return part.direction not in {said, heard}
    return said is not part.direction.within(heard)


def _fresh(used: Collection[str | None], index: int) -> str:
    """A mid that no section has had."""
    return next(str(n) for n in range(index, index + len(used) + 1) if str(n) not in used)
