"""Which sections of an offer we take, and whose transport they share (RFC 9143, DESIGN rule 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from refreeze.ice.credentials import Credentials
from refreeze.jsep.descriptions import SectionSpec
from refreeze.jsep.errors import InvalidAccessError
from refreeze.sdp import MediaSection, SessionDescription

_SCTP: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})


@frozen(eq=False)
class Taken:
    """A section we accept: with the lines of ours that it had before, or with those of a spec."""

    offered: MediaSection
    before: MediaSection | None
    spec: SectionSpec | None


def take(
    offer: SessionDescription, specs: Sequence[SectionSpec], ours: SessionDescription | None
) -> list[Taken]:
    """What the answer accepts; the first is the one whose transport all use.

    There is one ICE transport, so all others must be in its BUNDLE group. A section that is in
    our current description is taken again, whatever it carries; a new one if we have a spec
    like it; all others are rejected.
    """
    found: list[Taken] = []
    for media in offer.in_bundle_order():
        if media.rejected:
            continue
        before = _before(media, offer, ours)
        spec = next((spec for spec in specs if _alike(media, spec)), None)
        if before is None and spec is None:
            continue
        if found and not {found[0].offered.mid, media.mid} <= set(offer.bundle):
            continue
        if media.kind == "application" and any(t.offered.kind == "application" for t in found):
            continue
        found.append(Taken(media, before, spec))
    return found


def _before(
    media: MediaSection, offer: SessionDescription, ours: SessionDescription | None
) -> MediaSection | None:
    at = next(index for index, each in enumerate(offer.media) if each is media)
    if ours is None or at >= len(ours.media):
        return None
    before = ours.media[at]
    alike = (before.kind, before.mid) == (media.kind, media.mid)
    return before if alike and not before.rejected else None


def _alike(media: MediaSection, spec: SectionSpec) -> bool:
    kind, _, protocol, formats = spec.media.split(" ", 3)
    same = media.protocol == protocol or {media.protocol, protocol} <= _SCTP
    return media.kind == kind and same and media.formats == formats


def transport_credentials(
    description: SessionDescription, section: MediaSection | None
) -> Credentials | None:
    """Those of *section*, or those that another section of its BUNDLE group carries (rule 20)."""
    if section is None or section.credentials is not None:
        return section.credentials if section is not None else None
    if section.mid not in description.bundle:
        return None
    bundled = (description.by_mid(mid) for mid in description.bundle)
    return next((m.credentials for m in bundled if m is not None and m.credentials), None)


def check_answer(answer: SessionDescription, offer: SessionDescription) -> None:
    """An answer has the offer's sections in the offer's order (RFC 9429 section 5.11)."""
    if len(answer.media) != len(offer.media):
        raise InvalidAccessError("the answer has not as many sections as the offer")
    for ours, theirs in zip(offer.media, answer.media, strict=True):
        if ours.kind != theirs.kind or theirs.mid not in {ours.mid, None}:
            raise InvalidAccessError(
                f"line {theirs.number}: the section is not the offer's", theirs.number
            )
        if not theirs.rejected and theirs.setup == "actpass":
            raise InvalidAccessError(
                f"line {theirs.number}: an answer chooses active or passive", theirs.number
            )
