"""How our offers and answers are written (RFC 9429 sections 5.2 and 5.3).

ICE attributes stand in the BUNDLE-tagged section only (rule 20), after its c= line. Beside other
sections the credentials stand in the session part as well, and so are every section's (RFC 8839
section 5.4): Firefox takes no restart in which a section has no new ones, aiortc no section
without. All else of a section that was there before is repeated byte for byte (DESIGN rule 7),
except for the direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import define

from refreeze.ice.credentials import Credentials
from refreeze.jsep.media import MEDIA_KINDS, Direction, Part, Place
from refreeze.sdp import OWNED, MediaSection, SessionDescription, attribute_name

ICE_OPTIONS: Final = ("trickle", "ice2")
_NOWHERE: Final = "c=IN IP4 0.0.0.0"
_DIRECTIONS: Final = frozenset(str(each) for each in Direction)


@define(eq=False)
class Writer:
    """I write our descriptions; o= counts them."""

    session_id: int
    lite: bool = False
    version: int = 0

    def offer(
        self,
        places: Sequence[Place],
        current: SessionDescription | None,
        ice: Sequence[str],
        dtls: Sequence[str],
        options: Sequence[str],
    ) -> str:
        """The sections of *current*, our description in force, again, and the new ones.

        *ice* are the tagged section's ICE lines, *dtls* every section's.
        """
        before = current.media if current is not None else []
        living = [each for each in places if each.part is not None and not each.part.stopping]
        bundled = [] if current is None else [*current.bundle]
        ordered = [*(p for m in bundled for p in living if p.mid == m), *living]
        mids = list(dict.fromkeys(place.mid for place in ordered if place.mid is not None))
        tagged = ordered[0] if ordered else None
        lines: list[str] = []
        for index, place in enumerate(places):
            own = ice if place is tagged else None
            there = before[index] if index < len(before) else None
            lines += _offered(place, there, own, dtls)
        shared = _credentials(ice) if len(places) > 1 else []
        return _text([*self._session(mids, options, shared), *lines])

    def answer(
        self,
        offer: SessionDescription,
        taken: Mapping[int, Part],
        current: SessionDescription | None,
        ice: Sequence[str],
        dtls: Sequence[str],
    ) -> str:
        """*taken* parts are accepted, by place, the first of them tagged; the others rejected.

        Options are as offered (rule 21).
        """
        first = next(iter(taken), None)
        bundled = [offer.media[index].mid for index in taken]
        mids = [mid for mid in bundled if mid is not None and mid in offer.bundle]
        offered = offer.media[first].ice_options if first is not None else frozenset()
        options = [option for option in ICE_OPTIONS if option in offered]
        shared = _credentials(ice) if len(offer.media) > 1 else []
        lines = self._session(mids, options, shared)
        before = current.media if current is not None else []
        for index, section in enumerate(offer.media):
            part = taken.get(index)
            there = before[index] if index < len(before) else None
            own = ice if index == first else ()
            lines += (
                _rejected(section) if part is None else _answered(section, part, there, own, dtls)
            )
        return _text(lines)

    def _session(
        self, mids: Sequence[str], options: Sequence[str], shared: Sequence[str]
    ) -> list[str]:
        self.version += 1
        lines = ["v=0", f"o=- {self.session_id} {self.version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
        if mids:
            lines.append("a=group:BUNDLE " + " ".join(mids))
        if self.lite:
            lines.append("a=ice-lite")
        if options:
            lines.append("a=ice-options:" + " ".join(options))
        return [*lines, *shared]


def _credentials(ice: Sequence[str]) -> list[str]:
    return [line for line in ice if line.startswith(("a=ice-ufrag:", "a=ice-pwd:"))]


def ice_lines(credentials: Credentials, candidates: Sequence[str] = ()) -> list[str]:
    """The ICE attributes of a section; *candidates* are attribute lines."""
    return [f"a=ice-ufrag:{credentials.ufrag}", f"a=ice-pwd:{credentials.pwd}", *candidates]


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _same(there: MediaSection | None, kind: str, mid: str | None) -> MediaSection | None:
    """Our section of before, if it is still about the same and lives."""
    if there is None or (there.kind, there.mid) != (kind, mid) or there.rejected:
        return None
    return there


def _offered(
    place: Place, there: MediaSection | None, ice: Sequence[str] | None, dtls: Sequence[str]
) -> list[str]:
    """*ice* None: the section has none of its own, and needs the bundle."""
    part = place.part
    if part is None:
        assert place.section is not None, "what is nobody's was a section"
        return _rejected(place.section)
    if part.stopping:
        return _dead(part.spec.media, place.mid, part.spec.attributes)
    same = _same(there, part.kind, place.mid)
    if same is not None:
        return _repeat(same, part, part.direction, ice or (), dtls)
    kind, port, rest = part.spec.media.split(" ", 2)
    return [
        f"m={kind} {port if ice is not None else 0} {rest}",
        _NOWHERE,
        *(ice or ()),
        *dtls,
        f"a=mid:{place.mid}",
        *(["a=bundle-only"] if ice is None else []),
        *_media_lines(part, part.direction),
    ]


def _answered(
    offered: MediaSection,
    part: Part,
    there: MediaSection | None,
    ice: Sequence[str],
    dtls: Sequence[str],
) -> list[str]:
    wished = part.direction
    if wished is not None:
        wished = wished.within(Direction(offered.direction).reversed)
    same = _same(there, part.kind, offered.mid)
    if same is not None:
        return _repeat(same, part, wished, ice, dtls)
    kind, _, protocol, formats = part.spec.media.split(" ", 3)
    mid = [f"a=mid:{offered.mid}"] if offered.mid is not None else []
    head = [f"m={kind} 9 {protocol} {formats}", _NOWHERE]
    return [*head, *ice, *dtls, *mid, *_media_lines(part, wished)]


def _media_lines(part: Part, wished: Direction | None) -> list[str]:
    lines = [] if wished is None else _direction(part, wished)
    return [*lines, *(f"a={attribute}" for attribute in part.spec.attributes)]


def _direction(part: Part, wished: Direction) -> list[str]:
    """A sender's track is in no stream (RFC 9429 section 5.2.1)."""
    return [f"a={wished}", *([f"a=msid:- {part.track}"] if wished.sends else [])]


def _rejected(section: MediaSection) -> list[str]:
    media = f"{section.kind} 0 {section.protocol} {section.formats}"
    return _dead(media, section.mid, (line.removeprefix("a=") for line in section.lines))


def _dead(media: str, mid: str | None, attributes: Iterable[str]) -> list[str]:
    """Its formats mean nothing (RFC 3264 section 6), yet pion has to know a codec of them."""
    kind, _, rest = media.split(" ", 2)
    return [
        f"m={kind} 0 {rest}",
        _NOWHERE,
        *([f"a=mid:{mid}"] if mid is not None else []),
        *([f"a={Direction.INACTIVE}"] if kind in MEDIA_KINDS else []),
        *(f"a={each}" for each in attributes if each.startswith("rtpmap:")),
    ]


def _repeat(
    media: MediaSection,
    part: Part,
    wished: Direction | None,
    ice: Sequence[str],
    dtls: Sequence[str],
) -> list[str]:
    """A section's lines with other ICE and DTLS ones; the role is offered anew (RFC 8842 5.2).

    What was bundle-only is bundled by now, and shares the tagged section's port.
    """
    lines: list[str] = []
    at: int | None = None
    for line in media.lines:
        name = attribute_name(line)
        if name and at is None:
            at = len(lines)
        if wished is not None and name in _DIRECTIONS:
            lines += _direction(part, wished)
        elif name not in OWNED and name != "bundle-only" and not (wished and name == "msid"):
            lines.append(line)
    if media.port == 0:
        lines[0] = f"m={media.kind} 9 {media.protocol} {media.formats}"
    at = len(lines) if at is None else at
    lines[at:at] = [*ice, *dtls]
    return lines
