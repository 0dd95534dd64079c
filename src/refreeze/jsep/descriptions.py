"""Descriptions as they come and go, and what was read of an applied one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import define, field, frozen

from refreeze.ice.credentials import Credentials
from refreeze.jsep.effects import Effect
from refreeze.jsep.trickle import Trickle
from refreeze.sdp import MediaSection, SessionDescription


class DescriptionType(StrEnum):
    """RTCSdpType."""

    OFFER = "offer"
    PRANSWER = "pranswer"
    ANSWER = "answer"
    ROLLBACK = "rollback"


@frozen
class Description:
    """RTCSessionDescription: a type and its text, which holds the pwd and is not shown."""

    type: DescriptionType
    sdp: str = field(default="", repr=lambda sdp: f"<{len(sdp)} characters>")

    def toJSON(self) -> dict[str, str]:
        """For the signaling."""
        return {"type": self.type.value, "sdp": self.sdp}


@frozen
class SectionSpec:
    """One m= section of ours: everything of it that is not mid, direction, ICE or DTLS."""

    media: str = "application 9 UDP/DTLS/SCTP webrtc-datachannel"
    attributes: tuple[str, ...] = ("sctp-port:5000", "max-message-size:262144")

    @property
    def kind(self) -> str:
        """Of the m= line."""
        return self.media.partition(" ")[0]


@frozen
class DtlsIdentity:
    """Our certificates and the association that we mean (RFC 8122, RFC 8842)."""

    fingerprints: tuple[tuple[str, str], ...]
    tls_id: str

    def lines(self, setup: str, *, tls_id: bool = True) -> list[str]:
        """Attribute lines of a section."""
        lines = [f"a=fingerprint:{name} {value}" for name, value in self.fingerprints]
        lines.append(f"a=setup:{setup}")
        if tls_id:
            lines.append(f"a=tls-id:{self.tls_id}")
        return lines


@define(eq=False, repr=False)
class Applied:
    """A description in force, or about to be.

    ``section`` is the one whose transport carries everything (BUNDLE), None when no section
    lives; ``credentials`` are that transport's.
    """

    type: DescriptionType
    parsed: SessionDescription
    section: MediaSection | None
    credentials: Credentials | None
    taken: Sequence[MediaSection] = ()
    """The sections that live, or that we take: all share the one transport."""
    trickle: Trickle = field(factory=Trickle)
    live: bool = False
    """Remote: its generation has been started, so candidates need not wait."""
    waiting: list[Effect] = field(factory=list)
    """Remote: what is to be done for its candidates once the generation starts."""
    identity: DtlsIdentity | None = None
    """Local: what was meant, though the text may leave the tls-id out."""
    tls_id: str | None = None
    """Remote: the peer's own, not what it only repeats."""

    @property
    def ufrag(self) -> str | None:
        """Of the transport that is used."""
        return self.credentials.ufrag if self.credentials is not None else None

    @property
    def taken_places(self) -> list[int]:
        """Of the sections that we take."""
        taken = {id(each) for each in self.taken}
        return [place for place, each in enumerate(self.parsed.media) if id(each) in taken]

    def ufrag_at(self, place: int) -> str | None:
        """Of that section: one without credentials has those of the bundle (rule 20)."""
        media = self.parsed.media
        own = media[place].credentials if place < len(media) else None
        return self.ufrag if own is None else own.ufrag

    def describe(self) -> Description:
        """The text with the candidates that have become known since (rules 53 and 54)."""
        lines = list(self.parsed.session.lines)
        for place, media in enumerate(self.parsed.media):
            lines += media.lines
            if media is self.section:
                lines += self.trickle.lines
            lines += self.trickle.shown.get(place, ())
        return Description(self.type, "".join(f"{line}\r\n" for line in lines))

    def same_dtls(self, other: Applied) -> bool:
        """Whether both, of the peer's, name one DTLS identity (rule 30)."""
        ours, theirs = self.section, other.section
        if ours is None or theirs is None:
            return True
        return (ours.fingerprints, self.tls_id) == (theirs.fingerprints, other.tls_id)
