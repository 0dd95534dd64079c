"""How our offers and answers are written (RFC 9429 sections 5.2 and 5.3).

ICE attributes stand in the BUNDLE-tagged section only (rule 20), after its c= line. All else of
a section that was there before is repeated byte for byte (DESIGN rule 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define

from refreeze.ice.credentials import Credentials
from refreeze.jsep.descriptions import SectionSpec
from refreeze.jsep.sections import Taken
from refreeze.sdp import OWNED, MediaSection, SessionDescription, attribute_name

ICE_OPTIONS: Final = ("trickle", "ice2")
_NOWHERE: Final = "c=IN IP4 0.0.0.0"


@define(eq=False)
class Writer:
    """I write our descriptions; o= counts them."""

    session_id: int
    lite: bool = False
    version: int = 0

    def first_offer(
        self, specs: Sequence[SectionSpec], ice: Sequence[str], dtls: Sequence[str]
    ) -> str:
        """An offer when nothing was exchanged yet.

        *ice* are the tagged section's ICE lines, *dtls* every section's.
        """
        lines = self._session([spec.mid for spec in specs], ICE_OPTIONS)
        for index, spec in enumerate(specs):
            lines += self._offered(spec, spec.mid, ice if index == 0 else None, dtls)
        return _text(lines)

    def next_offer(
        self,
        current: SessionDescription,
        specs: Sequence[SectionSpec],
        ice: Sequence[str],
        dtls: Sequence[str],
        options: Sequence[str],
    ) -> str:
        """The media of *current*, our description in force, again.

        If no section of it lives, ours are offered anew behind the dead ones.
        """
        tagged = current.tagged
        mids = [media.mid for media in current.in_bundle_order() if not media.rejected]
        bundled = [mid for mid in mids if mid is not None and mid in current.bundle]
        lines: list[str] = []
        for media in current.media:
            lines += _repeat(media, ice if media is tagged else (), dtls)
        if tagged is None:
            used = {media.mid for media in current.media}
            for index, spec in enumerate(specs):
                free = (str(n) for n in range(len(used) + 1))
                mid = spec.mid if spec.mid not in used else next(n for n in free if n not in used)
                used.add(mid)
                bundled.append(mid)
                lines += self._offered(spec, mid, ice if index == 0 else None, dtls)
        return _text([*self._session(bundled, options), *lines])

    def answer(
        self,
        offer: SessionDescription,
        taken: Sequence[Taken],
        ice: Sequence[str],
        dtls: Sequence[str],
    ) -> str:
        """*taken* are accepted, the others rejected with port 0; options as offered (rule 21)."""
        accepted = {id(each.offered): each for each in taken}
        bundled = [m.offered.mid for m in taken if m.offered.mid in offer.bundle]
        offered = taken[0].offered.ice_options if taken else frozenset()
        options = [option for option in ICE_OPTIONS if option in offered]
        lines = self._session([mid for mid in bundled if mid is not None], options)
        for media in offer.media:
            here = accepted.get(id(media))
            if here is None:
                lines += [
                    f"m={media.kind} 0 {media.protocol} {media.formats}",
                    _NOWHERE,
                    *_mid(media),
                ]
            else:
                lines += self._accepted(here, ice if here is taken[0] else (), dtls)
        return _text(lines)

    def _accepted(self, taken: Taken, ice: Sequence[str], dtls: Sequence[str]) -> list[str]:
        if taken.before is not None:
            return _repeat(taken.before, ice, dtls)
        assert taken.spec is not None
        media = taken.offered
        return [
            f"m={media.kind} 9 {media.protocol} {media.formats}",
            _NOWHERE,
            *ice,
            *dtls,
            *_mid(media),
            *(f"a={attribute}" for attribute in taken.spec.attributes),
        ]

    def _offered(
        self, spec: SectionSpec, mid: str, ice: Sequence[str] | None, dtls: Sequence[str]
    ) -> list[str]:
        """A section of ours for the first time; without its own ICE it needs the bundle."""
        kind, port, rest = spec.media.split(" ", 2)
        return [
            f"m={kind} {port if ice is not None else 0} {rest}",
            _NOWHERE,
            *(ice or ()),
            *dtls,
            f"a=mid:{mid}",
            *(["a=bundle-only"] if ice is None else []),
            *(f"a={attribute}" for attribute in spec.attributes),
        ]

    def _session(self, mids: Sequence[str], options: Sequence[str]) -> list[str]:
        self.version += 1
        lines = ["v=0", f"o=- {self.session_id} {self.version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
        if mids:
            lines.append("a=group:BUNDLE " + " ".join(mids))
        if self.lite:
            lines.append("a=ice-lite")
        if options:
            lines.append("a=ice-options:" + " ".join(options))
        return lines


def ice_lines(credentials: Credentials, candidates: Sequence[str] = ()) -> list[str]:
    """The ICE attributes of a section; *candidates* are attribute lines."""
    return [f"a=ice-ufrag:{credentials.ufrag}", f"a=ice-pwd:{credentials.pwd}", *candidates]


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _mid(media: MediaSection) -> list[str]:
    return [f"a=mid:{media.mid}"] if media.mid is not None else []


def _repeat(media: MediaSection, ice: Sequence[str], dtls: Sequence[str]) -> list[str]:
    """A section's lines with other ICE and DTLS ones; the role is offered anew (RFC 8842 5.2).

    What was bundle-only is bundled by now, and shares the tagged section's port.
    """
    lines: list[str] = []
    at: int | None = None
    for line in media.lines:
        name = attribute_name(line)
        if name and at is None:
            at = len(lines)
        if name not in OWNED and name != "bundle-only":
            lines.append(line)
    if media.port == 0 and not media.rejected:
        lines[0] = f"m={media.kind} 9 {media.protocol} {media.formats}"
    at = len(lines) if at is None else at
    lines[at:at] = ice if media.rejected else [*ice, *dtls]
    return lines
