"""Session descriptions: read, refused by line, written again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sdp import (
    MAX_BYTES,
    MAX_CANDIDATES,
    MAX_LINES,
    MAX_SECTIONS,
    SdpError,
    SessionDescription,
)
from tests.fuzz.traced import Traced

from .samples import REAL, real, small, text

parse = SessionDescription.parse
HOST = "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"


class RealTests(SynchronousTestCase):
    """Offers and answers of libwebrtc."""

    def test_parsing_and_formatting_gives_the_very_text(self) -> None:
        for name in REAL:
            self.assertEqual(parse(real(name)).format(), real(name), name)

    def test_what_is_read_of_a_data_channel_offer(self) -> None:
        description = parse(real("data_channel_offer"))
        (media,) = description.media
        self.assertEqual((media.kind, media.protocol), ("application", "UDP/DTLS/SCTP"))
        self.assertEqual((media.mid, media.port, media.setup), ("0", 48551, "actpass"))
        self.assertEqual(description.bundle, ("0",))
        self.assertIs(description.tagged, media)
        self.assertEqual(media.ice_options, {"trickle"})
        self.assertEqual(len(media.candidates), 12)
        self.assertEqual(len(media.fingerprints), 1)
        assert media.credentials is not None
        self.assertEqual(media.credentials.ufrag, "Bu/k")
        self.assertFalse(media.end_of_candidates)
        self.assertEqual(description.origin, ("1006320833256184320", 2))

    def test_every_section_of_a_media_offer_is_read(self) -> None:
        description = parse(real("audio_video_offer"))
        self.assertEqual([m.kind for m in description.media], ["audio", "video", "application"])
        self.assertEqual(description.bundle, ("0", "1", "2"))
        self.assertTrue(all(media.credentials for media in description.media))


class LevelTests(SynchronousTestCase):
    """Which level counts."""

    def test_media_level_wins_over_session_level_rule_75(self) -> None:
        session = ("a=ice-ufrag:SESS", "a=ice-pwd:" + "s" * 22, "a=setup:active")
        lines = small().splitlines()
        both = parse(text(*lines[:5], *session, *lines[5:]))
        assert both.media[0].credentials is not None
        self.assertEqual(both.media[0].credentials.ufrag, "8hhY")
        self.assertEqual(both.media[0].setup, "active")
        bare = [line for line in lines if not line.startswith("a=ice-")]
        inherited = parse(text(*bare[:5], *session, *bare[5:]))
        assert inherited.media[0].credentials is not None
        self.assertEqual(inherited.media[0].credentials.ufrag, "SESS")
        self.assertFalse(inherited.media[0].own_credentials)

    def test_fingerprints_compare_whatever_their_case(self) -> None:
        one = parse(small("a=fingerprint:SHA-256 ab:cd"))
        two = parse(small("a=fingerprint:sha-256 AB:CD"))
        self.assertEqual(one.media[0].fingerprints, two.media[0].fingerprints)

    def test_several_fingerprints_of_any_hash_and_the_nearer_level_wins_rfc_8122(self) -> None:
        lines = small().splitlines()
        session = ("a=fingerprint:sha-256 AA:AA", "a=fingerprint:sha-512 BB")
        own = ("a=fingerprint:sha-384 CC", "a=fingerprint:md-of-2040 DD:EE")
        inherited = parse(text(*lines[:5], *session, *lines[5:])).media[0]
        self.assertEqual(inherited.fingerprints, {"sha-256 AA:AA", "sha-512 BB"})
        both = parse(text(*lines[:5], *session, *lines[5:], *own)).media[0]
        self.assertEqual(both.fingerprints, {"sha-384 CC", "md-of-2040 DD:EE"})

    def test_a_tls_id_has_20_to_255_characters_of_its_own_rfc_8842_section_5_1(self) -> None:
        for good in ("t" * 20, "t" * 255, "AZaz09+/-_AZaz09+/-_"):
            self.assertEqual(parse(small(f"a=tls-id:{good}")).media[0].tls_id, good)
        for bad in ("t" * 19, "t" * 256, "t" * 20 + " ", "t" * 20 + "=", "\u00e9" * 20):
            error = self.assertRaises(SdpError, parse, small(f"a=tls-id:{bad}"))
            self.assertEqual(error.line, 12)

    def test_bundle_names_the_transport_and_skips_rejected_sections(self) -> None:
        lines = small().replace("BUNDLE 0", "BUNDLE 1 2 0 9").splitlines()
        extra = ("m=audio 0 RTP/AVP 0", "a=mid:1", "m=audio 0 RTP/AVP 0", "a=mid:2")
        description = parse(text(*lines, *extra))
        self.assertIs(description.tagged, description.media[0])
        kept = parse(text(*lines, *extra, "a=bundle-only"))
        self.assertIs(kept.tagged, kept.media[2])

    def test_opaque_attributes_are_kept_apart_from_ours(self) -> None:
        kept = parse(small(HOST)).media[0].attributes_kept
        self.assertIn("a=x-opaque: kept  as it is ", kept)
        self.assertFalse([line for line in kept if "ice-" in line or "candidate" in line])

    def test_the_repr_shows_no_password(self) -> None:
        description = parse(small())
        shown = repr(description) + repr(description.media) + repr(description.media[0].credentials)
        self.assertNotIn("asd88", shown)


class RefusedTests(SynchronousTestCase):
    """Errors name the line and what would have been right, not what was there."""

    def refused(self, sdp: str, line: int | None, expected: str) -> None:
        error = self.assertRaises(SdpError, parse, sdp)
        self.assertEqual(error.line, line, str(error))
        self.assertIn(expected, error.expected)
        where = f"line {line}: expected " if line is not None else "expected "
        self.assertTrue(str(error).startswith(where), str(error))
        self.assertEqual(str(error).count("\n"), 0)

    def test_the_head_is_version_origin_name(self) -> None:
        lines = small().splitlines()
        self.refused("", 1, "TYPE=VALUE")
        self.refused("v=1\r\n", 1, "v=0")
        self.refused("v=0\r\n", 2, "o=")
        self.refused(text(lines[0], lines[2]), 2, "o=")
        self.refused(text(lines[0], "o=- x 1 IN IP4 0.0.0.0", "s=-"), 2, "o=USER ID")
        self.refused(text(*lines[:2], "t=0 0"), 3, "s=")
        self.refused(text(*lines[:3]), 4, "t=")
        self.refused(text(*lines[:3], *lines[5:7], lines[3]), 4, "t=")

    def test_lines_that_are_none(self) -> None:
        for bad in ("", "a", "=x", "A=b", "ab=c", "a=x\0y", "a=x\ry", "\u00df=x"):
            self.refused(small(bad), 12, "TYPE=VALUE")

    def test_a_bare_cr_is_no_end_of_a_line_not_even_of_the_last(self) -> None:
        self.refused(small().replace("\r\n", "\r"), 1, "TYPE=VALUE")
        self.refused(small() + "a=x\r", 12, "TYPE=VALUE")
        self.refused(small() + "a=x\r\r\n", 12, "TYPE=VALUE")
        self.refused(small() + "\r\n", 12, "TYPE=VALUE")

    def test_text_that_is_none_is_told_from_values_that_cannot_be(self) -> None:
        """webrtc-pc 4.4.1.5: sdp-syntax-error, or InvalidAccessError."""
        for bad in ("", "v=0", small("a"), small("m=audio"), small("m=audio 65536 RTP/AVP 0")):
            self.assertTrue(self.assertRaises(SdpError, parse, bad).syntax, bad)
        for bad in (small(without="a=ice-pwd"), small("a=setup:x"), small("a=candidate:x")):
            self.assertFalse(self.assertRaises(SdpError, parse, bad).syntax, bad)

    def test_what_has_one_value_at_a_level_has_no_two(self) -> None:
        """The same again says nothing else."""
        for good, bad in (
            ("a=ice-ufrag:8hhY", "a=ice-ufrag:8hhZ"),
            ("a=ice-pwd:asd88fgpdd777uzjYhagZg", "a=ice-pwd:bsd88fgpdd777uzjYhagZg"),
            ("a=mid:0", "a=mid:1"),
        ):
            self.assertEqual(len(parse(small(good)).media), 1)
            self.refused(small(bad), 12, f"one {bad.partition(':')[0]} at a level")
        self.refused(small("a=setup:active", "a=setup:passive"), 13, "one a=setup")

    def test_media_lines(self) -> None:
        for bad in ("m=audio", "m=audio x RTP/AVP 0", "m=audio 9 RTP/AVP", "m=audio \u0663 a b"):
            self.refused(small(bad), 12, "m=KIND PORT")
        self.refused(small("m=audio 65536 RTP/AVP 0"), 12, "a port")
        self.assertEqual(parse(small("m=audio 9/2 RTP/AVP 0")).media[1].port, 9)

    def test_credentials_of_wrong_size_or_characters_rule_75(self) -> None:
        for name, bad in (
            ("a=ice-ufrag", "abc"),
            ("a=ice-ufrag", "a" * 257),
            ("a=ice-ufrag", "ab-d"),
            ("a=ice-pwd", "a" * 21),
            ("a=ice-pwd", "a" * 257),
            ("a=ice-pwd", "a" * 21 + "_"),
        ):
            self.refused(small(f"{name}:{bad}", without=name), 11, name[2:])
        longest = small(f"a=ice-ufrag:{'u' * 256}", without="a=ice-ufrag")
        assert parse(longest).media[0].credentials is not None

    def test_one_credential_without_the_other_rule_75(self) -> None:
        self.refused(small(without="a=ice-pwd"), 9, "a=ice-pwd beside")
        self.refused(small(without="a=ice-ufrag"), 9, "a=ice-ufrag beside")

    def test_equal_ufrags_need_equal_passwords_rule_75(self) -> None:
        other = ("m=audio 9 RTP/AVP 0", "a=mid:1", "a=ice-ufrag:8hhY", "a=ice-pwd:" + "x" * 22)
        self.refused(small(*other), 14, "equal ice-pwds")

    def test_values_of_the_other_attributes_rule_77(self) -> None:
        for good, bad in (
            ("ice-options:trickle ice2 rtp+ecn", "ice-options:google-ice"),
            ("ice-options:a", "ice-options:"),
            ("ice-options:a b", "ice-options:a  b"),
            ("ice-pacing:50", "ice-pacing:12345678901"),
            ("ice-pacing:0", "ice-pacing:fast"),
            ("ice-mismatch", "ice-mismatch:1"),
            ("end-of-candidates", "end-of-candidates:now"),
            ("remote-candidates:1 192.0.2.1 9 2 2001:db8::1 10", "remote-candidates:1 192.0.2.1"),
            ("remote-candidates:256 x.example 0", "remote-candidates:257 192.0.2.1 9"),
            ("fingerprint:sha-256 AB:cd", "fingerprint:sha-256 ABCD"),
            ("setup:holdconn", "setup:maybe"),
            ("tls-id:" + "t" * 20, "tls-id:short"),
        ):
            parse(small(f"a={good}"))
            self.refused(small(f"a={bad}"), 12, "")

    def test_pacing_and_lite_stand_at_session_level_rule_77(self) -> None:
        lines = small().splitlines()
        flagged = parse(text(*lines[:5], "a=ice-lite", "a=ice-pacing:20", *lines[5:]))
        self.assertEqual((flagged.ice_lite, flagged.ice_pacing), (True, 20))
        plain = parse(small("a=ice-lite", "a=ice-pacing:20"))
        self.assertEqual((plain.ice_lite, plain.ice_pacing), (False, 50))

    def test_mids_are_told_apart(self) -> None:
        self.refused(small("m=audio 9 RTP/AVP 0", "a=mid:0"), 13, "a mid that no other")
        self.refused(small("a=mid:a b", without="a=mid"), 11, "token")
        self.refused(small().replace("BUNDLE 0", "BUNDLE 0 0"), 5, "once")

    def test_a_malformed_candidate_is_found_by_line_rule_76(self) -> None:
        self.refused(small(HOST, HOST.replace("5000", "70000")), 13, "a port")

    def test_a_candidate_that_is_not_for_us_is_skipped_rule_76(self) -> None:
        named = HOST.replace("192.0.2.1", "host.example")
        self.assertEqual(len(parse(small(named, HOST)).media[0].candidates), 1)

    def test_text_that_no_envelope_could_carry(self) -> None:
        self.refused(small("a=x:\ud800"), 12, "UTF-8")


class BoundsTests(SynchronousTestCase):
    """Nothing is unbounded."""

    def test_size_lines_and_sections(self) -> None:
        line = "a=x:" + "y" * 1000
        self.assertRaises(SdpError, parse, small(*[line] * 66))
        parse(small(*["a=x"] * (MAX_LINES - 11)))
        self.assertRaises(SdpError, parse, small(*["a=x"] * (MAX_LINES - 10)))
        self.assertRaises(SdpError, parse, small(*["m=audio 9 RTP/AVP 0"] * MAX_SECTIONS))

    def test_what_is_taken_is_not_too_long_when_it_is_written(self) -> None:
        """LF becomes CRLF."""
        unix = small().replace("\r\n", "\n")
        room = MAX_BYTES - len(small()) - len("a=x:\r\n")
        full = parse(unix + "a=x:" + "y" * room)
        self.assertEqual(len(full.format()), MAX_BYTES)
        parse(full.format())
        error = self.assertRaises(SdpError, parse, unix + "a=x:" + "y" * (room + 1))
        self.assertEqual(error.line, 12)

    def test_a_group_of_very_many_mids_that_are_none_costs_little(self) -> None:
        """A look at each section for each mid would be some hundred thousand of them."""
        many = " ".join(f"{n:x}" for n in range(12000))
        sections = [line for n in range(30) for line in ("m=audio 9 RTP/AVP 0", f"a=mid:x{n}")]
        description = parse(small(*sections).replace("BUNDLE 0", f"BUNDLE {many}"))
        traced = Traced(("refreeze/sdp/",))
        traced.call(lambda _: description.tagged, "")
        self.assertLess(traced.executed, 20_000)
        self.assertIs(description.tagged, description.media[0])

    def test_bytes_are_counted_not_characters(self) -> None:
        self.assertRaises(SdpError, parse, small(*["a=x:" + "\u20ac" * 1000] * 22))

    def test_candidates_beyond_the_bound_are_ignored(self) -> None:
        lines = [HOST.replace("5000", str(5000 + n)) for n in range(MAX_CANDIDATES + 50)]
        self.assertEqual(len(parse(small(*lines)).media[0].candidates), MAX_CANDIDATES)

    def test_line_ends_may_be_lf_and_are_written_as_crlf(self) -> None:
        unix = small().replace("\r\n", "\n")
        self.assertEqual(parse(unix).format(), small())
        self.assertEqual(parse(unix.removesuffix("\n")).format(), small())
        self.assertEqual(parse(small().removesuffix("\r\n")).format(), small())
