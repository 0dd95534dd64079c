"""What real peers write: read, and written again as it was (tests/corpus)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sdp import (
    SessionDescription,
    UnsupportedCandidate,
    format_candidate,
    parse_candidate,
)
from tests.corpus import NAMES, OFFERS, load

parse = SessionDescription.parse
PEERS = {"aiortc", "chromium", "firefox", "gstreamer", "libdatachannel", "pion", "wrtc"}


class RoundTripTests(SynchronousTestCase):
    """Every file, and every candidate line in it."""

    def test_parsing_and_formatting_gives_the_very_text(self) -> None:
        for name in NAMES:
            self.assertEqual(parse(load(name)).format(), load(name), name)

    def test_lf_for_line_ends_gives_the_same_description(self) -> None:
        for name in NAMES:
            unix = load(name).replace("\r\n", "\n")
            self.assertEqual(parse(unix).format(), load(name), name)

    def test_every_candidate_is_read_and_written_again_rule_76(self) -> None:
        """The type of letters of its transport aside, and where ``ufrag`` stands."""
        seen = 0
        for name in NAMES:
            for line in load(name).splitlines():
                if not line.startswith("a=candidate:"):
                    continue
                seen += 1
                try:
                    candidate = parse_candidate(line)
                except UnsupportedCandidate:
                    self.fail(f"{name}: {line}")
                written = format_candidate(candidate)
                self.assertEqual(parse_candidate(written), candidate)
                self.assertEqual(
                    sorted(written.lower().split()), sorted(line[2:].lower().split()), name
                )
        self.assertGreater(seen, 100)


class ContentTests(SynchronousTestCase):
    """The corpus is what it says it is."""

    def test_all_peers_are_there(self) -> None:
        self.assertEqual({name.partition("_")[0] for name in NAMES}, PEERS)

    def test_media_offers_have_audio_video_and_data_in_one_group(self) -> None:
        for name in (name for name in OFFERS if name.endswith("_media")):
            description = parse(load(name))
            kinds = {media.kind for media in description.media}
            self.assertEqual(kinds, {"audio", "video", "application"}, name)
            self.assertEqual(list(description.bundle), [m.mid for m in description.media], name)

    def test_every_section_that_lives_has_credentials_setup_and_fingerprint(self) -> None:
        for name in NAMES:
            for media in parse(load(name)).media:
                if media.rejected:
                    continue
                self.assertIsNotNone(media.credentials, name)
                self.assertIn(media.setup, {"actpass", "active", "passive"}, name)
                self.assertTrue(media.fingerprints, name)
                self.assertIsNotNone(media.mid, name)

    def test_a_restart_offer_has_other_credentials_than_the_offer_before(self) -> None:
        restarts = [name for name in OFFERS if name.endswith("_restart")]
        self.assertEqual(len(restarts), 4)
        for name in restarts:
            (one,) = parse(load(name)).media
            (other,) = parse(load(name.replace("restart", "data"))).media
            assert one.credentials is not None
            assert other.credentials is not None
            self.assertNotEqual(one.credentials.ufrag, other.credentials.ufrag, name)
            self.assertNotEqual(one.credentials.pwd, other.credentials.pwd, name)

    def test_a_stopped_section_is_rejected_and_the_others_live(self) -> None:
        stopped = [name for name in OFFERS if name.endswith("_stopped")]
        self.assertEqual(len(stopped), 3)
        for name in stopped:
            media = parse(load(name)).media
            self.assertEqual([m.rejected for m in media], [False, False, True, False], name)

    def test_a_trickled_offer_has_no_candidates_yet_rule_40(self) -> None:
        """Its ports are 9 and its addresses 0.0.0.0."""
        trickled = [name for name in OFFERS if name.endswith("_trickled")]
        self.assertEqual(len(trickled), 4)
        for name in trickled:
            (media,) = parse(load(name)).media
            self.assertEqual((media.candidates, media.port), ((), 9), name)
            self.assertIn("c=IN IP4 0.0.0.0", media.lines, name)
