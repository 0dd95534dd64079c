"""What is promised of the parsers of :mod:`refreeze.sdp`, whatever they are given."""

from __future__ import annotations

import re
from typing import Final

from refreeze.sdp import (
    MAX_BYTES,
    MAX_CANDIDATES,
    MAX_LINES,
    MAX_SECTIONS,
    SdpError,
    SessionDescription,
    UnsupportedCandidate,
    format_candidate,
    parse_candidate,
)
from refreeze.sdp.candidates import MAX_CANDIDATE_LINE
from refreeze.sdp.fragment import Fragment, fragment_of
from tests.corpus import NAMES, load
from tests.fuzz.engine import Target
from tests.fuzz.http_target import HTTP
from tests.fuzz.negotiation import NEGOTIATION

_HIDDEN: Final = len("0.0.0.0")
"""A related address that is a name is written as this, which may be longer."""
_HEAD: Final = 100
"""Bytes, and lines too, that a description has more than a fragment."""
_ENTRIES: Final = (
    *("a=ice-lite", "a=ice-pacing:50", "a=ice-mismatch", "a=end-of-candidates", "a=bundle-only"),
    *("a=remote-candidates:1 192.0.2.1 9", "a=ice-options:trickle ice2", "a=setup:actpass"),
    *("a=tls-id:" + "t" * 20, "a=fingerprint:sha-1 AB:CD", "a=group:BUNDLE 0 1", "a=inactive"),
    *("a=ice-ufrag:abcd", "a=ice-pwd:" + "p" * 22, "a=mid:0", "m=audio 0 RTP/AVP 0", "t=0 0"),
    *("a=candidate:1 1 tcp 9 2001:db8::1 9 typ host tcptype active ufrag abcd", "a=sendonly"),
    *("o=- 1 1 IN IP4 0.0.0.0", "a=refreeze:none", "a=candidate:2 1 udp 9 x.local 1 typ host"),
)
_WORDS: Final = (
    *("raddr", "rport", "ufrag", "tcptype", "typ", "host", "srflx", "prflx", "relay", "udp"),
    *("fe80::1%eth0", "x.local", "::", "0.0.0.0", "::ffff:192.0.2.1", "255.255.255.255"),
    *("raddr 192.0.2.1 rport 9", "ufrag abcd", "generation 0", "BUNDLE", "candidate:"),
)


def error_said(error: SdpError, text: str) -> str:
    """One short line that shows nothing of the text; its number is of a line that is there.

    Or of the next one, when something lacks at the end.
    """
    said = str(error)
    assert len(said) <= 160, said
    assert said.isprintable(), said
    if error.line is not None:
        lines = text.removesuffix("\n").count("\n") + 1
        assert 1 <= error.line <= lines + 1, f"line {error.line} of {lines}"
    for word in re.findall(r"[A-Za-z0-9+/]{22,}", said):
        assert word not in text, "an error repeats the text"
    return type(error).__name__ + " " + re.sub(r"line \d+", "line", said)


def description(text: str) -> str:
    """A description is refused, or it is bounded, readable and written so that it is the same."""
    try:
        parsed = SessionDescription.parse(text)
    except SdpError as error:
        return error_said(error, text)
    written = parsed.format()
    assert len(written.encode()) <= MAX_BYTES + 2, "too long"
    assert written.count("\r\n") == written.count("\n") == written.count("\r") <= MAX_LINES
    assert len(parsed.media) <= MAX_SECTIONS
    again = SessionDescription.parse(written)
    assert again.format() == written, "not stable"
    assert read(again) == read(parsed), "read in another way"
    return "taken"


def read(parsed: SessionDescription) -> object:
    """Everything that can be asked of it."""
    sections = []
    for media in parsed.media:
        assert len(media.candidates) <= MAX_CANDIDATES
        assert media.attributes_kept[:1] == media.lines[:1]
        sections.append(
            (
                *(media.kind, media.port, media.protocol, media.formats, media.mid),
                *(media.credentials, media.candidates, media.rejected, media.own_credentials),
                *(media.end_of_candidates, media.ice_options, media.fingerprints, media.setup),
                *(media.tls_id, media.direction, media.payload),
            )
        )
    tagged = parsed.tagged and parsed.tagged.number
    order = [media.number for media in parsed.in_bundle_order()]
    assert sorted(order) == [media.number for media in parsed.media]
    whole = (parsed.origin, parsed.ice_lite, parsed.ice_options, parsed.ice_pacing, parsed.bundle)
    return sections, tagged, order, whole


def candidate(text: str) -> str:
    """A candidate is refused or ignored, or written so that it is read as the same."""
    try:
        parsed = parse_candidate(text)
    except UnsupportedCandidate as error:
        return error_said(error, text)
    except SdpError as error:
        return error_said(error, text)
    written = format_candidate(parsed)
    assert len(written) <= MAX_CANDIDATE_LINE + _HIDDEN, "too long"
    if len(written) <= MAX_CANDIDATE_LINE:
        assert parse_candidate(written) == parsed, "read in another way"
    return f"{parsed.type} {parsed.transport in {'udp', 'tcp'}} {parsed.related is None}"


def fragment(text: str) -> str:
    """A fragment is refused, or what it says of ICE is written so that it says the same."""
    try:
        parsed = Fragment.parse(text)
    except SdpError as error:
        return error_said(error, text)
    assert len(parsed.sections) <= MAX_SECTIONS
    for section in parsed.sections:
        assert len(section.candidates) <= MAX_CANDIDATES
        for line in section.candidates:
            parse_candidate(line)
    written = parsed.format()
    # Credentials of the session are every section's then, which may be more than a text may have.
    if len(written) <= MAX_BYTES - _HEAD and written.count("\n") <= MAX_LINES - _HEAD:
        assert Fragment.parse(written) == parsed, "read in another way"
    return f"{parsed.credentials is not None} {parsed.options is not None} {parsed.lite}"


def _fragments() -> list[str]:
    """Of every description, and with everything that a fragment can say."""
    found = [fragment_of(SessionDescription.parse(load(name))).format() for name in NAMES]
    return [*found, "a=ice-lite\na=ice-pacing:20\na=ice-ufrag:abcd\na=ice-pwd:" + "p" * 22 + "\n"]


def _lines(of: str) -> list[str]:
    every = {line for name in NAMES for line in load(name).split("\r\n") if line.startswith(of)}
    return sorted(every)[::7]


DESCRIPTION: Final = Target(
    "description",
    description,
    [load(name) for name in NAMES],
    ("refreeze/sdp/",),
    lambda length: 50_000 + 12 * length,
    (*_ENTRIES, *_WORDS),
)
CANDIDATE: Final = Target(
    "candidate",
    candidate,
    _lines("a=candidate:"),
    ("refreeze/sdp/candidates", "refreeze/sdp/grammar"),
    lambda length: 200 + 10 * min(length, 2000),
    _WORDS,
    MAX_CANDIDATE_LINE,
)
FRAGMENT: Final = Target(
    "fragment",
    fragment,
    _fragments(),
    ("refreeze/sdp/fragment", "refreeze/sdp/session", "refreeze/sdp/grammar"),
    lambda length: 50_000 + 12 * length,
    (*_ENTRIES, *_WORDS),
)
TARGETS: Final = {
    target.name: target for target in (DESCRIPTION, CANDIDATE, FRAGMENT, HTTP, NEGOTIATION)
}
