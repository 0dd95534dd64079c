"""Trickle fragments (RFC 8840 as RFC 9725 quotes it; rules 58, 69)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice.credentials import Credentials
from refreeze.sdp import SdpError, SessionDescription
from refreeze.sdp.fragment import Fragment, FragmentSection, fragment_of
from tests.sdp.samples import real

PWD = "p" * 22
HOST = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
TEXT = "\r\n".join(
    [
        "a=group:BUNDLE 0 1",
        "a=ice-options:trickle ice2",
        "m=audio 9 RTP/AVP 0",
        "a=mid:0",
        "a=ice-ufrag:abcd",
        f"a=ice-pwd:{PWD}",
        f"a={HOST}",
        "a=end-of-candidates",
        "",
    ]
)


class ParseTests(SynchronousTestCase):
    """What a body says."""

    def test_a_whole_fragment_rule_58(self) -> None:
        found = Fragment.parse(TEXT)
        credentials = Credentials("abcd", PWD)
        section = FragmentSection("audio 9 RTP/AVP 0", "0", credentials, [HOST], True)
        self.assertEqual(
            found, Fragment([section], credentials, ("0", "1"), frozenset({"trickle", "ice2"}))
        )
        self.assertEqual(found.format(), TEXT)

    def test_credentials_of_the_session_level_are_the_sections(self) -> None:
        text = f"a=ice-ufrag:abcd\na=ice-pwd:{PWD}\nm=audio 9 RTP/AVP 0\na=mid:0\na={HOST}\n"
        found = Fragment.parse(text)
        self.assertEqual(found.credentials, Credentials("abcd", PWD))
        self.assertEqual(found.sections[0].credentials, found.credentials)

    def test_without_a_section_there_are_still_credentials(self) -> None:
        found = Fragment.parse(f"a=ice-ufrag:abcd\r\na=ice-pwd:{PWD}\r\n")
        self.assertEqual((found.sections, found.credentials), ([], Credentials("abcd", PWD)))
        self.assertEqual(found.format(), f"a=ice-ufrag:abcd\r\na=ice-pwd:{PWD}\r\n")

    def test_what_is_said_for_the_session_is_written_again(self) -> None:
        said = "a=ice-lite\r\na=ice-options:ice2\r\na=ice-pacing:20\r\n"
        self.assertEqual(Fragment.parse(said).format(), said)

    def test_candidates_that_are_not_for_us_are_left_out(self) -> None:
        text = TEXT.replace("192.0.2.1", "example.org")
        self.assertEqual(Fragment.parse(text).sections[0].candidates, [])

    def test_errors_name_the_fragments_own_line(self) -> None:
        for old, new, line in (
            ("a=ice-ufrag:abcd\r\n", "", 5),
            (PWD, "short", 6),
            ("typ host", "typ", 7),
            ("a=group", "group", 1),
            ("m=audio 9 RTP/AVP 0", "m=audio", 3),
        ):
            with self.assertRaises(SdpError) as caught:
                Fragment.parse(TEXT.replace(old, new))
            self.assertEqual(caught.exception.line, line, new)

    def test_half_of_the_credentials_is_an_error(self) -> None:
        with self.assertRaises(SdpError) as caught:
            Fragment.parse("a=ice-options:trickle\r\na=ice-ufrag:abcd\r\n")
        self.assertEqual(caught.exception.line, 2)

    def test_bounds(self) -> None:
        self.assertRaises(SdpError, Fragment.parse, "a=x\r\n" * 1000)
        self.assertRaises(SdpError, Fragment.parse, "a=" + "x" * 65536)
        many = TEXT.replace(f"a={HOST}\r\n", f"a={HOST}\r\n" * 300)
        self.assertEqual(len(Fragment.parse(many).sections[0].candidates), 200)

    def test_no_error_repeats_a_password(self) -> None:
        with self.assertRaises(SdpError) as caught:
            Fragment.parse(TEXT.replace(PWD, "hunter2"))
        self.assertNotIn("hunter2", str(caught.exception))
        self.assertNotIn(PWD, repr(Fragment.parse(TEXT)))


class OfDescriptionTests(SynchronousTestCase):
    """A description's ICE."""

    def test_only_the_tagged_section_of_a_browsers_offer_rule_69(self) -> None:
        description = SessionDescription.parse(real("audio_video_offer"))
        found = fragment_of(description)
        (section,) = found.sections
        self.assertEqual(section.mid, description.bundle[0])
        self.assertEqual(found.credentials, description.media[0].credentials)
        self.assertEqual(Fragment.parse(found.format()).credentials, found.credentials)
