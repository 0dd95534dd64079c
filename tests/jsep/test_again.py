"""Offers that come, or are applied, a second time, and what the time between brought."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description, InvalidAccessError, StageGeneration
from refreeze.jsep.codecs import offered_media
from refreeze.jsep.media import Media, Place
from refreeze.sdp import SessionDescription

from .sides import NEEDED, OFFER, PRANSWER, ROLLBACK, Side, connected, exchange, line, only, ufrag


class LocalTests(SynchronousTestCase):
    """Our own."""

    def test_a_rolled_back_offer_may_be_applied_again_rule_26(self) -> None:
        """A rollback leaves [[LastCreatedOffer]] (webrtc-pc 4.4.1.5)."""
        one, two = connected()
        offer = one.offer(restart=True)
        one.did(one.jsep.set_local(ROLLBACK))
        self.assertEqual(len(only(one.did(one.jsep.set_local(offer)), StageGeneration)), 1)
        two.take(offer)
        one.take(two.answer())
        self.assertEqual(ufrag(one.jsep.current_local), ufrag(offer))

    def test_one_created_before_a_remote_offer_that_was_rolled_back_is_usable_rule_26(self) -> None:
        one, two = connected()
        offer = one.jsep.create_offer(ice_restart=True)
        one.take(two.offer())
        one.did(one.jsep.set_remote(ROLLBACK))
        one.did(one.jsep.set_local(offer))
        self.assertEqual(one.state, "have-local-offer")

    def test_what_was_created_last_is_implied_while_it_holds_rule_12(self) -> None:
        """webrtc-pc 4.4.2: [[LastCreatedOffer]], unless it says what is so no more."""
        one, two = connected()
        for restart in (False, True):
            offer = one.jsep.create_offer(ice_restart=restart)
            one.did(one.jsep.set_local())
            self.assertEqual(one.jsep.pending_local, offer)
            two.take(offer)
            answer = two.jsep.create_answer()
            two.did(two.jsep.set_local())
            self.assertEqual(two.jsep.current_local, answer)
            one.take(answer)

    def test_what_holds_no_more_is_created_anew_rule_12(self) -> None:
        """Another wish, or it was applied once: then nobody waits for it any more."""
        changes: list[Callable[[Side], object]] = [
            lambda side: side.jsep.restart_ice(),
            lambda side: side.jsep.add_transceiver("audio"),
            lambda side: side.jsep.configuration_changed(),
        ]
        for change in changes:
            one, _ = connected()
            offer = one.jsep.create_offer()
            change(one)
            one.did(one.jsep.set_local())
            self.assertNotEqual(one.jsep.pending_local, offer)
        one, _ = connected()
        offer = one.jsep.create_offer(ice_restart=True)
        one.did(one.jsep.set_local())
        one.did(one.jsep.set_local(ROLLBACK))
        one.did(one.jsep.set_local())
        self.assertNotEqual(ufrag(one.jsep.pending_local), ufrag(offer))

    def test_a_description_without_text_is_created_where_none_was(self) -> None:
        side = Side()
        side.did(side.jsep.set_local(Description(OFFER, "")))
        self.assertEqual(side.state, "have-local-offer")

    def test_a_changed_configuration_outlives_an_offer_that_is_replaced_rule_15(self) -> None:
        one, two = connected()
        before = ufrag(one.jsep.current_local)
        one.jsep.configuration_changed()
        one.offer()
        one.offer()
        self.assertEqual(ufrag(one.jsep.pending_local), before)
        exchange(one, two)
        self.assertNotEqual(ufrag(one.jsep.current_local), before)

    def test_data_stands_behind_transceivers_whatever_was_wished_first(self) -> None:
        """RFC 9429 section 5.2.1."""
        side = Side()
        side.jsep.add_transceiver("audio")
        kinds = [each.kind for each in SessionDescription.parse(side.offer().sdp).media]
        self.assertEqual(kinds, ["audio", "application"])


class RemoteTests(SynchronousTestCase):
    """The peer's."""

    def test_candidates_between_two_offers_of_one_generation_are_not_lost_rule_49(self) -> None:
        one, two = Side(1), Side(2)
        offer = one.offer()
        two.take(offer)
        two.add(line(5000, ufrag(offer)))
        two.take(one.offer())
        one.take(two.answer())
        self.assertEqual(two.received, [(ufrag(offer), 5000)])

    def test_a_candidate_shows_in_all_descriptions_of_its_generation_rule_55(self) -> None:
        """55 (i): the offer that does not restart, and what is in force and is left by it."""
        one, two = connected()
        offer = one.offer()
        two.take(offer)
        two.add(line(5000, ufrag(offer)))
        two.add("")
        for held in (two.jsep.pending_remote, two.jsep.current_remote):
            assert held is not None
            self.assertIn(" 5000 typ host", held.sdp)
            self.assertEqual(held.sdp.count("a=end-of-candidates"), 1)
        two.did(two.jsep.set_remote(ROLLBACK))
        assert two.jsep.current_remote is not None
        self.assertIn(" 5000 typ host", two.jsep.current_remote.sdp)

    def test_sections_in_force_stay_where_they_are(self) -> None:
        """RFC 3264 section 8; the first offer was taken back after it had been answered."""
        one, two = Side(1), Side(2)
        two.take(one.offer())
        two.answer()
        one.did(one.jsep.set_local(ROLLBACK))
        one.jsep.add_transceiver("audio")
        self.assertRaises(InvalidAccessError, two.take, one.offer())
        self.assertEqual(two.state, "stable")

    def test_no_offer_has_fewer_sections_than_the_one_before(self) -> None:
        one, two = Side(1), Side(2)
        one.jsep.add_transceiver("audio")
        exchange(one, two)
        offer = one.offer()
        short = offer.sdp.split("m=application")[0]
        self.assertRaises(InvalidAccessError, two.take, Description(OFFER, short))


class StoppedTests(SynchronousTestCase):
    """Transceivers that an offer stopped."""

    def setUp(self) -> None:
        self.one, self.two = Side(1), Side(2)
        self.one.jsep.add_transceiver("audio")
        exchange(self.one, self.two)
        (part,) = self.two.jsep.media.transceivers
        self.two.jsep.stop_transceiver(part)
        self.two.run_tasks()
        self.one.run_tasks()

    def test_after_its_rollback_we_have_to_offer_that_ourselves_rule_5(self) -> None:
        """webrtc-pc 4.7.3: stopped, and its section is not rejected in a current description."""
        one, two = self.one, self.two
        one.take(two.offer())
        one.did(one.jsep.set_local(ROLLBACK))
        self.assertEqual(one.run_tasks(), [NEEDED])
        two.did(two.jsep.set_local(ROLLBACK))
        exchange(one, two)
        self.assertEqual((one.jsep.media.transceivers, two.jsep.media.transceivers), ([], []))
        self.assertEqual(one.run_tasks(), [])

    def test_another_section_under_the_same_mid_is_not_that_ones(self) -> None:
        """The peer took an offer back, and used its mid again."""
        media = Media(new_track=lambda: "track")
        part = media.add("video")
        media.bind([Place(part, "0")])
        part.stop()
        (section,) = SessionDescription.parse(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
        ).media
        media.offered([section], {0: offered_media("audio")})
        self.assertEqual((part.mid, part.index), (None, None))
        self.assertEqual([each.kind for each in media.transceivers], ["video", "audio"])
        self.assertEqual(media.at(0), media.transceivers[1])

    def test_an_answer_that_does_not_reject_them_does_not_revive_them(self) -> None:
        one, two = self.one, self.two
        old = one.jsep.current_local
        assert old is not None
        one.take(two.offer())
        one.did(one.jsep.set_local(Description(PRANSWER, one.jsep.create_answer().sdp)))
        (part,) = one.jsep.media.transceivers
        self.assertEqual((part.stopped, part.current), (True, "stopped"))
        self.assertEqual(one.add("nonsense", part.mid), [])

    def test_an_answer_to_an_offer_that_was_replaced_is_refused(self) -> None:
        one, two = connected()
        two.take(one.offer())
        answer = two.jsep.create_answer()
        two.take(one.offer(restart=True))
        self.assertRaises(InvalidAccessError, two.jsep.set_local, answer)
        self.assertEqual(two.state, "have-remote-offer")
