"""Which audio and video our sections name. Media is not ours: the lines are valid, and no more.

A section needs a codec, so each kind has those that every browser knows (RFC 7874 section 3,
RFC 7742 section 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from refreeze.jsep.descriptions import SectionSpec
from refreeze.sdp import MediaSection


@frozen
class Codec:
    """``rtpmap`` folded to lower case, the payload type we offer, and ``fmtp``."""

    rtpmap: str
    payload: int
    shown: str
    parameters: str = ""

    def lines(self, payload: str) -> list[str]:
        """Attributes under that payload type."""
        lines = [f"rtpmap:{payload} {self.shown}"]
        if self.parameters:
            lines.append(f"fmtp:{payload} {self.parameters}")
        return lines


CODECS: Final[Mapping[str, Sequence[Codec]]] = {
    "audio": (
        Codec("opus/48000/2", 111, "opus/48000/2", "minptime=10;useinbandfec=1"),
        Codec("pcmu/8000", 0, "PCMU/8000"),
        Codec("pcma/8000", 8, "PCMA/8000"),
    ),
    "video": (Codec("vp8/90000", 96, "VP8/90000"),),
}
_STATIC: Final = {"0": "pcmu/8000", "8": "pcma/8000"}
"""Payload types that need no rtpmap (RFC 3551 section 6)."""
_PROTOCOL: Final = "UDP/TLS/RTP/SAVPF"
_PROTOCOLS: Final = frozenset(
    {_PROTOCOL, "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP"}
    | {"RTP/SAVPF", "RTP/SAVP"}
)
"""RFC 9429 section 5.1.2: what is offered does not matter, and is repeated."""
_SCTP: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})


def offered_media(kind: str) -> SectionSpec:
    """A section of ours with audio or video."""
    codecs = CODECS[kind]
    payloads = [str(codec.payload) for codec in codecs]
    attributes = [line for codec in codecs for line in codec.lines(str(codec.payload))]
    return SectionSpec(
        f"{kind} 9 {_PROTOCOL} {' '.join(payloads)}", attributes=("rtcp-mux", *attributes)
    )


def accepted_media(offered: MediaSection) -> SectionSpec | None:
    """What of an offered section we know, under its payload types; None: nothing."""
    if offered.protocol not in _PROTOCOLS:
        return None
    names = dict(_STATIC)
    for _, value in offered.attributes("rtpmap"):
        payload, _, name = value.partition(" ")
        names[payload] = name.lower()
    payloads, lines = list[str](), list[str]()
    for codec in CODECS.get(offered.kind, ()):
        for payload in offered.formats.split():
            if names.get(payload) == codec.rtpmap:
                payloads.append(payload)
                lines += codec.lines(payload)
                break
    if not payloads:
        return None
    media = f"{offered.kind} 9 {offered.protocol} {' '.join(payloads)}"
    mux = () if offered.first("rtcp-mux") is None else ("rtcp-mux",)
    return SectionSpec(media, attributes=(*mux, *lines))


def accepted_data(offered: MediaSection, ours: SectionSpec) -> SectionSpec | None:
    """Our data section in answer to *offered*; None when it is something else."""
    kind, _, protocol, formats = ours.media.split(" ", 3)
    same = offered.protocol == protocol or {offered.protocol, protocol} <= _SCTP
    if offered.kind != kind or not same or offered.formats != formats:
        return None
    return evolve(ours, media=f"{kind} 9 {offered.protocol} {formats}")
