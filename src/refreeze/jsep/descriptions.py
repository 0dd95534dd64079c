"""Descriptions as they are applied, and how ours are written (RFC 9429 sections 5.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from refreeze.ice.credentials import Credentials
from refreeze.sdp import MediaSection, SessionDescription
from refreeze.sdp.session import OWNED

ICE_OPTIONS: Final = "trickle ice2"
ACCEPTED_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "DTLS/SCTP", "TCP/DTLS/SCTP"})


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


@frozen
class SectionSpec:
    """One m= section that we offer first: everything of it that is not ICE or DTLS."""

    media: str = "application 9 UDP/DTLS/SCTP webrtc-datachannel"
    mid: str = "0"
    attributes: tuple[str, ...] = ("sctp-port:5000", "max-message-size:262144")


@define
class Applied:
    """A description and what was read of it once."""

    type: DescriptionType
    parsed: SessionDescription = field(repr=False)
    credentials: Credentials | None
    candidates: list[str] = field(factory=list, repr=False)
    ended: bool = False

    @classmethod
    def read(cls, description: Description) -> Applied:
        """SdpError for whatever is malformed."""
        parsed = SessionDescription.parse(description.sdp)
        tagged = parsed.tagged
        return cls(description.type, parsed, tagged.credentials if tagged is not None else None)

    @property
    def ufrag(self) -> str | None:
        """Of the section whose transport is used."""
        return self.credentials.ufrag if self.credentials is not None else None

    def describe(self) -> Description:
        """The text with the candidates that have become known since (rule 54)."""
        tagged = self.parsed.tagged
        if tagged is None or not (self.candidates or self.ended):
            return Description(self.type, self.parsed.format())
        kept = tagged.lines
        more = [f"a={line}" for line in self.candidates]
        if self.ended:
            more.append("a=end-of-candidates")
        tagged.lines = [*kept, *more]
        try:
            return Description(self.type, self.parsed.format())
        finally:
            tagged.lines = kept


@define
class Writer:
    """I write our descriptions; o= counts them."""

    session_id: int
    fingerprints: Sequence[tuple[str, str]]
    version: int = 0

    def _session(self, mids: Sequence[str], options: str | None) -> list[str]:
        self.version += 1
        lines = ["v=0", f"o=- {self.session_id} {self.version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
        if mids:
            lines.append("a=group:BUNDLE " + " ".join(mids))
        if options is not None:
            lines.append(f"a=ice-options:{options}")
        return lines

    def _dtls(self, setup: str) -> list[str]:
        lines = [f"a=fingerprint:{name} {value}" for name, value in self.fingerprints]
        return [*lines, f"a=setup:{setup}"]

    @staticmethod
    def _ice(credentials: Credentials) -> list[str]:
        return [f"a=ice-ufrag:{credentials.ufrag}", f"a=ice-pwd:{credentials.pwd}"]

    @staticmethod
    def _text(lines: Sequence[str]) -> str:
        return "\r\n".join(lines) + "\r\n"

    def first_offer(self, sections: Sequence[SectionSpec], credentials: Credentials) -> str:
        """An offer when nothing was exchanged yet."""
        lines = self._session([section.mid for section in sections], ICE_OPTIONS)
        for index, section in enumerate(sections):
            lines += [f"m={section.media}", "c=IN IP4 0.0.0.0"]
            if index == 0:
                lines += self._ice(credentials)
            lines += [*self._dtls("actpass"), f"a=mid:{section.mid}"]
            lines += [f"a={attribute}" for attribute in section.attributes]
        return self._text(lines)

    def next_offer(self, current: SessionDescription, credentials: Credentials) -> str:
        """The media of *current* line by line, with these credentials (DESIGN rule 7)."""
        lines = self._session(current.bundle, ICE_OPTIONS)
        tagged = current.tagged
        for media in current.media:
            lines += _repeat(media, "actpass")
            if media is tagged:
                lines += self._ice(credentials)
        return self._text(lines)

    def answer(self, offer: SessionDescription, credentials: Credentials, setup: str) -> str:
        """Sections of data channels are taken, all others rejected with port 0."""
        accepted = [media for media in offer.media if acceptable(media)]
        bundled = [m.mid for m in accepted if m.mid is not None and m.mid in offer.bundle]
        options = offer.session.first("ice-options") or (
            offer.tagged.first("ice-options") if offer.tagged is not None else None
        )
        offered = (options or "").split()
        ours = [option for option in ICE_OPTIONS.split() if option in offered]
        lines = self._session(bundled, " ".join(ours) or None)
        for media in offer.media:
            if media not in accepted:
                lines += [f"m={media.kind} 0 {media.protocol} {media.formats}", "c=IN IP4 0.0.0.0"]
                lines += [f"a=mid:{media.mid}"] if media.mid is not None else []
                continue
            lines += [f"m={media.kind} 9 {media.protocol} {media.formats}", "c=IN IP4 0.0.0.0"]
            if media is accepted[0]:
                lines += self._ice(credentials)
            lines += self._dtls(setup)
            lines += [f"a=mid:{media.mid}"] if media.mid is not None else []
            lines += ["a=sctp-port:5000", "a=max-message-size:262144"]
        return self._text(lines)


def acceptable(media: MediaSection) -> bool:
    """Whether our answer takes that section."""
    return media.kind == "application" and media.protocol in ACCEPTED_PROTOCOLS and media.port > 0


def _repeat(media: MediaSection, setup: str) -> list[str]:
    """A section's lines without the ICE ones; setup is offered anew (RFC 8842 section 5.2)."""
    lines = []
    for line in media.lines:
        name = line[2:].partition(":")[0] if line.startswith("a=") else ""
        if name in OWNED:
            continue
        lines.append(f"a=setup:{setup}" if name == "setup" else line)
    return lines
