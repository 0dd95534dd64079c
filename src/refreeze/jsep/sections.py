"""What the peer's sections say: which we take, and whose transport all use (RFC 9143)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from refreeze.ice.credentials import Credentials
from refreeze.jsep.codecs import accepted_data, accepted_media
from refreeze.jsep.descriptions import SectionSpec
from refreeze.jsep.errors import InvalidAccessError, RTCError
from refreeze.jsep.media import MEDIA_KINDS, Media, Part, direction_of
from refreeze.sdp import MediaSection, SdpError, SessionDescription


def read_description(text: str, *, media: bool) -> SessionDescription:
    """A description of the peer's.

    Text that is no description is another error than one that says what cannot be. With *media*,
    sections of audio and video have to use rtcp-mux, the only policy that there is (webrtc-pc
    4.4.1.5): there is one component.
    """
    try:
        parsed = SessionDescription.parse(text)
    except SdpError as error:
        kind = RTCError if error.syntax else InvalidAccessError
        raise kind(str(error), error.line) from None
    for section in parsed.media if media else ():
        living = section.kind in MEDIA_KINDS and not section.rejected
        if living and section.first("rtcp-mux") is None:
            raise InvalidAccessError(f"line {section.number}: no rtcp-mux", section.number)
    return parsed


@frozen(eq=False)
class Taken:
    """A section of an offer that we accept: it is a part's already, or becomes one's by *spec*."""

    offered: MediaSection
    index: int
    part: Part | None
    spec: SectionSpec


def take(offer: SessionDescription, media: Media, *, glare: bool) -> list[Taken]:
    """What the answer accepts; the first is the one whose transport all use.

    There is one ICE transport, so all others must be in its BUNDLE group. A section that is a
    part's is taken again, whatever it carries; a new one if we know what it carries; all others
    are rejected. In *glare* the offer of ours that is pending counts for nothing.
    """
    at = media.stable_at if glare else media.at
    places = {id(section): index for index, section in enumerate(offer.media)}
    found: list[Taken] = []
    for section in offer.in_bundle_order():
        index = places[id(section)]
        each = None if section.rejected else _taken(section, index, at(index), media)
        if each is None:
            continue
        if found and not {found[0].offered.mid, section.mid} <= set(offer.bundle):
            continue
        if section.kind == "application" and any(t.offered.kind == "application" for t in found):
            continue
        found.append(each)
    return found


def _taken(section: MediaSection, index: int, part: Part | None, media: Media) -> Taken | None:
    if part is not None and (part.kind, part.mid) == (section.kind, section.mid):
        return None if part.stopped else Taken(section, index, part, part.spec)
    if section.kind not in MEDIA_KINDS:
        spec = accepted_data(section, media.data_spec)
    else:
        spec = accepted_media(section) if media.accepts_media else None
    return None if spec is None else Taken(section, index, None, spec)


def transport_credentials(
    description: SessionDescription, section: MediaSection | None
) -> Credentials | None:
    """Those of *section*, or those that another section of its BUNDLE group carries (rule 20)."""
    if section is None or section.credentials is not None:
        return section.credentials if section is not None else None
    if section.mid not in description.bundle:
        return None
    mids = frozenset(description.bundle)
    bundled = (media for media in description.in_bundle_order() if media.mid in mids)
    return next((media.credentials for media in bundled if media.credentials), None)


def check_offer(
    offer: SessionDescription,
    before: SessionDescription,
    owner: Callable[[int], Part | None],
) -> None:
    """Living sections of *before*, the peer's last, stay where they are (RFC 3264 section 8).

    Only a place that is nobody's may become another's (RFC 9429 section 5.2.2); *owner* knows.
    """
    if len(offer.media) < len(before.media):
        raise InvalidAccessError("the offer has fewer sections than the one before")
    for index, (old, new) in enumerate(zip(before.media, offer.media, strict=False)):
        part = owner(index)
        living = part is not None and not part.stopped
        if living and (old.kind, old.mid) != (new.kind, new.mid):
            raise InvalidAccessError(
                f"line {new.number}: another section is in its place", new.number
            )


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


def check_own_answer(answer: SessionDescription, offer: SessionDescription) -> None:
    """Ours may have been created for an offer that another replaced since."""
    if len(answer.media) != len(offer.media):
        raise InvalidAccessError("the answer is to another offer")
    for ours, theirs in zip(answer.media, offer.media, strict=True):
        said = direction_of(ours)
        allowed = said.within(direction_of(theirs).reversed)
        fits = not theirs.rejected and (ours.kind not in MEDIA_KINDS or allowed is said)
        if (ours.kind, ours.mid) != (theirs.kind, theirs.mid) or not (ours.rejected or fits):
            raise InvalidAccessError("the answer is to another offer")
