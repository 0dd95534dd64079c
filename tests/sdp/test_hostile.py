"""Whatever is in a description: refused at its line, or kept as it is; and in little time."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Candidate, CandidateType
from refreeze.sdp import (
    MAX_BYTES,
    SdpError,
    SessionDescription,
    format_candidate,
    parse_candidate,
)
from tests.corpus import NAMES, load
from tests.fuzz.targets import error_said

from .samples import small

parse = SessionDescription.parse
MOMENT = 0.2
"""Seconds of CPU for the largest text: a hundred times what a real offer takes."""

_OPAQUE = st.text(
    st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=60
)
_ICE_CHARS = st.sampled_from("abcXYZ019+/")
_TOKENS = st.text(st.sampled_from("abcxyz-019"), min_size=1, max_size=12)
_ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda a: a.compressed)
)
_PORTS = st.integers(0, 65535)
_200_EXAMPLES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
BROKEN = (
    *("a", "", "A=x", "a=x\0", "a=ice-ufrag:abc", "a=ice-ufrag:abcdefg\u00e9", "a=ice-pwd:short"),
    *("a=ice-options:", "a=ice-pacing:x", "a=ice-lite:1", "a=end-of-candidates:1", "a=mid:a b"),
    *("a=fingerprint:sha-256", "a=setup:", "a=tls-id:short", "a=remote-candidates:1"),
    *("a=ice-mismatch:1", "m=audio", "m=audio 99999 RTP/AVP 0"),
)
"""Lines that no description has anywhere."""


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    """Any that a peer may send."""
    kind = draw(st.sampled_from(CandidateType))
    related = None
    if kind is not CandidateType.HOST and draw(st.booleans()):
        related = draw(_ADDRESSES), draw(_PORTS)
    reserved = {"raddr", "rport", "ufrag"}
    names = _TOKENS.filter(lambda name: name not in reserved)
    return Candidate(
        kind,
        (draw(_ADDRESSES), draw(_PORTS)),
        draw(st.integers(1, 2**31 - 1)),
        draw(st.text(_ICE_CHARS, min_size=1, max_size=32)),
        related=related,
        component=draw(st.integers(1, 256)),
        transport=draw(st.sampled_from(("udp", "tcp", "sctp"))),
        ufrag=draw(st.none() | st.text(_ICE_CHARS, min_size=4, max_size=32)),
        extensions=tuple(draw(st.lists(st.tuples(names, _TOKENS), max_size=4))),
    )


class HostileTests(SynchronousTestCase):
    """By hypothesis."""

    @_200_EXAMPLES
    @given(st.sampled_from(NAMES), st.sampled_from(BROKEN), st.data())
    def test_a_broken_line_anywhere_is_the_one_that_the_error_names(
        self, name: str, broken: str, data: st.DataObject
    ) -> None:
        lines = load(name).splitlines()
        at = data.draw(st.integers(4, len(lines)))
        lines.insert(at, broken)
        end = data.draw(st.sampled_from(("\r\n", "\n")))
        error = self.assertRaises(SdpError, parse, "".join(line + end for line in lines))
        self.assertEqual(error.line, at + 1, str(error))

    @_200_EXAMPLES
    @given(st.text() | st.text(st.sampled_from("vosta=m:0 9\r\n")))
    def test_any_text_is_a_description_or_an_error_in_one_line(self, text: str) -> None:
        try:
            self.assertEqual(parse(parse(text).format()).format(), parse(text).format())
        except SdpError as error:
            error_said(error, text)

    @_200_EXAMPLES
    @given(_TOKENS, st.none() | _OPAQUE)
    def test_opaque_attributes_are_kept_byte_for_byte(self, name: str, value: str | None) -> None:
        line = f"a=x-{name}" if value is None else f"a=x-{name}:{value}"
        description = parse(small(line))
        self.assertEqual(description.format(), small(line))
        self.assertEqual(description.media[0].attributes_kept[-1], line)
        self.assertEqual(description.media[0].first(f"x-{name}"), value or "")

    @_200_EXAMPLES
    @given(candidates())
    def test_a_candidate_is_read_as_it_was_written(self, candidate: Candidate) -> None:
        read = parse_candidate(format_candidate(candidate))
        hidden = candidate.related is not None and (
            candidate.related[0] in {"0.0.0.0", "::"} and candidate.related[1] in {0, 9}
        )
        if not hidden:
            self.assertEqual(read, candidate)
        self.assertEqual(parse_candidate(format_candidate(read)), read)


class TimeTests(SynchronousTestCase):
    """The largest texts, made so that a careless pattern or loop would take for ever."""

    def largest(self, line: str, unit: str, last: str = "") -> str:
        """One line as long as may be."""
        room = MAX_BYTES - len(small()) - len(line) - len(last) - len("\r\n")
        return small(line + unit * (room // len(unit)) + last)

    def check(self, text: str) -> None:
        self.assertLessEqual(len(text.encode()), MAX_BYTES)
        taken = []
        for _ in range(3):
            began = time.thread_time()
            try:
                description = parse(text)
                description.format()
                _ = description.tagged, description.bundle, description.ice_options
                for media in description.media:
                    _ = media.fingerprints, media.ice_options, media.attributes_kept
            except SdpError as error:
                error_said(error, text)
            taken.append(time.thread_time() - began)
        self.assertLess(min(taken), MOMENT, text[len(small()) :][:60])

    def test_one_line_as_long_as_may_be(self) -> None:
        for line, unit, last in (
            ("a=ice-options:", "a ", ""),
            ("a=ice-options:", "a,", "a"),
            ("a=ice-options:", "a", "_"),
            ("a=fingerprint:sha-256 ", "AB:", "x"),
            ("a=fingerprint:sha-256 ", "AB:", "AB"),
            ("a=fingerprint:", "-", ""),
            ("a=remote-candidates:", "1 a 1 ", ""),
            ("a=remote-candidates:", "1 :: 9 ", "1 :: 9"),
            ("a=candidate:", "1 ", ""),
            ("a=candidate:1 1 udp 1 :: 1 typ host ", "a b ", ""),
            ("a=ice-pacing:", "1", ""),
            ("a=mid:", "x", " "),
            ("a=tls-id:", "t", "="),
            ("a=ice-pwd:", "p", "="),
            ("a=", ":", ""),
            ("m=", "a ", ""),
            ("m=a 9 ", " ", ""),
            ("m=audio 9 RTP/AVP ", "0 ", ""),
            ("m=", "9/", ""),
        ):
            self.check(self.largest(line, unit, last))

    def test_an_origin_or_a_group_as_long_as_may_be(self) -> None:
        room = MAX_BYTES - 2 * len(small())
        for old, new in (
            ("o=- 4611", "o=" + "- " * (room // 2)),
            ("o=- 4611", "o=" + "9" * room),
            ("BUNDLE 0", "BUNDLE 0 " + "1" * room),
            ("BUNDLE 0", "BUNDLE " + " ".join(f"{n:x}" for n in range(room // 6))),
        ):
            self.check(small().replace(old, new))

    def test_as_many_lines_as_may_be(self) -> None:
        candidate = "a=candidate:1 1 udp 1 2001:db8::1 {} typ host"
        self.check(small(*[candidate.format(n) for n in range(980)]))
        self.check(small(*["a=ice-ufrag:8hhY"] * 980))
        self.check(small(*["a=fingerprint:sha-1 AA"] * 980))
        self.check(small(*["a=group:BUNDLE 0"] * 980))
        sections = [f"m=audio 9 RTP/AVP 0\r\na=mid:x{n}" + "\r\na=x" * 28 for n in range(31)]
        self.check(small(*sections))
