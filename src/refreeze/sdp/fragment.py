"""``application/trickle-ice-sdpfrag`` (RFC 8840 section 9, as RFC 9725 uses it; rules 58, 69).

A fragment has session lines and pseudo m= sections, of which only ICE matters here. Everything is
checked while parsing; lines that are not ICE's are allowed and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from attrs import field, frozen

from refreeze.ice.credentials import Credentials
from refreeze.sdp import grammar
from refreeze.sdp.candidates import parse_candidate
from refreeze.sdp.errors import SdpError, UnsupportedCandidate
from refreeze.sdp.session import (
    ENDING,
    MAX_CANDIDATES,
    Level,
    MediaSection,
    SessionDescription,
)

MEDIA_TYPE: Final = "application/trickle-ice-sdpfrag"
_HEAD: Final = f"v=0{ENDING}o=- 0 0 IN IP4 0.0.0.0{ENDING}s=-{ENDING}t=0 0{ENDING}"
_ADDED: Final = 4
"""Lines that make a description of a fragment."""


@frozen
class FragmentSection:
    """One pseudo m= section; *candidates* are ``candidate:...`` lines as they came."""

    media: str
    """After ``m=``."""
    mid: str | None
    credentials: Credentials | None = field(repr=False)
    candidates: Sequence[str] = ()
    ended: bool = False


@frozen
class Fragment:
    """A parsed fragment; *options*, *pacing* and *lite* are None where nothing is said."""

    sections: Sequence[FragmentSection]
    credentials: Credentials | None = field(default=None, repr=False)
    """The first that are named: a section's, or the session's."""
    bundle: Sequence[str] = ()
    options: frozenset[str] | None = None
    pacing: int | None = None
    lite: bool = False

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """SdpError with the fragment's line for what is none."""
        try:
            parsed = SessionDescription.parse(_HEAD + text)
        except SdpError as error:
            raise _shifted(error) from None
        session = parsed.session
        sections = [_section(media) for media in parsed.media]
        named = [each.credentials for each in sections if each.credentials is not None]
        own = _session_credentials(session)
        return cls(
            sections=sections,
            credentials=next(iter(named), own),
            bundle=parsed.bundle,
            options=_options(parsed),
            pacing=None if session.first("ice-pacing") is None else parsed.ice_pacing,
            lite=parsed.ice_lite,
        )

    def format(self) -> str:
        """The text: options and group first, credentials in the sections that have them.

        Only when there is none of those, they are the session's.
        """
        return "".join(f"{line}{ENDING}" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        if self.bundle:
            yield "a=group:BUNDLE " + " ".join(self.bundle)
        if self.lite:
            yield "a=ice-lite"
        if self.options:
            yield "a=ice-options:" + " ".join(sorted(self.options, reverse=True))
        if self.pacing is not None:
            yield f"a=ice-pacing:{self.pacing}"
        if self.credentials is not None and not any(each.credentials for each in self.sections):
            yield from _credential_lines(self.credentials)
        for section in self.sections:
            yield f"m={section.media}"
            if section.mid is not None:
                yield f"a=mid:{section.mid}"
            if section.credentials is not None:
                yield from _credential_lines(section.credentials)
            yield from (f"a={candidate}" for candidate in section.candidates)
            if section.ended:
                yield "a=end-of-candidates"


def fragment_of(description: SessionDescription) -> Fragment:
    """What a description says of ICE: its BUNDLE-tagged section alone (rule 69)."""
    tagged = description.tagged
    if tagged is None:
        return Fragment(())
    credentials = tagged.credentials
    section = FragmentSection(
        media=tagged.lines[0].removeprefix("m="),
        mid=tagged.mid,
        credentials=credentials,
        candidates=[f"candidate:{value}" for _, value in tagged.attributes("candidate")],
        ended=tagged.end_of_candidates,
    )
    return Fragment(
        [section], credentials, description.bundle, tagged.ice_options, lite=description.ice_lite
    )


def _section(media: MediaSection) -> FragmentSection:
    usable = []
    for _, value in islice(media.attributes("candidate"), MAX_CANDIDATES):
        line = f"candidate:{value}"
        try:
            parse_candidate(line)
        except UnsupportedCandidate:
            continue
        usable.append(line)
    return FragmentSection(
        media=media.lines[0].removeprefix("m="),
        mid=media.mid,
        credentials=media.credentials,
        candidates=usable,
        ended=media.end_of_candidates,
    )


def _credential_lines(credentials: Credentials) -> Iterator[str]:
    yield f"a=ice-ufrag:{credentials.ufrag}"
    yield f"a=ice-pwd:{credentials.pwd}"


def _session_credentials(session: Level) -> Credentials | None:
    """A fragment may have no section at all."""
    ufrag, pwd = session.first("ice-ufrag"), session.first("ice-pwd")
    if (ufrag is None) != (pwd is None):
        missing, there = ("ice-pwd", "ice-ufrag") if pwd is None else ("ice-ufrag", "ice-pwd")
        number = session.attributes(there)[0][0] - _ADDED
        raise SdpError(f"a={missing} beside a={there}", number)
    return None if ufrag is None or pwd is None else Credentials(ufrag, pwd)


def _options(parsed: SessionDescription) -> frozenset[str] | None:
    levels = [parsed.session, *parsed.media]
    values = [value for level in levels if (value := level.first("ice-options")) is not None]
    if not values:
        return None
    return frozenset(option for value in values for option in grammar.ice_options(value))


def _shifted(error: SdpError) -> SdpError:
    """In the fragment's own lines."""
    line = None if error.line is None else max(error.line - _ADDED, 1)
    return SdpError(error.expected, line, syntax=error.syntax)
