"""Sections, bundles and opaque lines (DESIGN rule 7, rules 20 and 21), with real offers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    Description,
    Direction,
    InvalidAccessError,
    OperationError,
    SectionSpec,
)
from refreeze.sdp import SessionDescription
from tests.sdp.samples import real

from .sides import OFFER, Side, connected, credentials, exchange, line, replaced

OURS = ("v=", "o=", "a=ice-", "a=candidate", "a=end-of-candidates", "a=setup")


def opaque(description: Description | None) -> list[str]:
    """All that a restart must repeat byte for byte."""
    assert description is not None
    return [text for text in description.sdp.split("\r\n") if not text.startswith(OURS)]


def offered(name: str) -> Description:
    """A real offer."""
    return Description(OFFER, real(name))


class RealOfferTests(SynchronousTestCase):
    """libwebrtc offers, we answer."""

    def test_a_data_channel_is_accepted_with_our_credentials_and_its_candidates(self) -> None:
        side = Side()
        side.take(offered("data_channel_offer"))
        answer = SessionDescription.parse(side.answer().sdp)
        (media,) = answer.media
        self.assertEqual((media.mid, media.port, media.setup), ("0", 9, "active"))
        self.assertEqual(answer.bundle, ("0",))
        self.assertEqual(media.first("sctp-port"), "5000")
        self.assertIsNotNone(media.credentials)
        self.assertEqual(len(side.received), 12)

    def test_the_remote_description_is_kept_byte_for_byte(self) -> None:
        side = Side()
        side.take(offered("data_channel_offer"))
        assert side.jsep.remote_description is not None
        self.assertEqual(side.jsep.remote_description.sdp, real("data_channel_offer"))

    def test_its_restart_is_answered_with_new_credentials_T8(self) -> None:
        side = Side()
        side.take(offered("data_channel_offer"))
        first = credentials(side.answer())
        side.take(offered("data_channel_restart"))
        second = credentials(side.answer())
        self.assertNotEqual(first.ufrag, second.ufrag)
        self.assertNotEqual(first.pwd, second.pwd)

    def test_without_media_only_data_is_taken_over_its_own_transport(self) -> None:
        """The offerer's tag is on audio; what we answer moves it to the data section."""
        side = Side(accepts_media=False)
        description = SessionDescription.parse(real("audio_video_offer"))
        side.take(offered("audio_video_offer"))
        answer = SessionDescription.parse(side.answer().sdp)
        self.assertEqual([media.port for media in answer.media], [0, 0, 9])
        self.assertEqual([media.mid for media in answer.media], ["0", "1", "2"])
        self.assertEqual(answer.bundle, ("2",))
        self.assertEqual(list(side.started.values()), [description.media[2].credentials])
        ports = {candidate.address[1] for candidate in description.media[2].candidates}
        self.assertEqual({port for _, port in side.received}, ports)

    def test_candidates_of_sections_we_rejected_are_ignored_without_error_rule_55(self) -> None:
        side = Side(accepts_media=False)
        description = SessionDescription.parse(real("audio_video_offer"))
        side.take(offered("audio_video_offer"))
        other = description.media[0].credentials
        assert other is not None
        side.answer()
        before = list(side.received)
        self.assertEqual(side.add(line(1, other.ufrag), "0"), [])
        self.assertEqual(side.add(line(2), "0"), [])
        self.assertEqual(side.add(line(3), "2") and side.received[-1][1], 3)
        self.assertEqual(side.received[:-1], before)
        self.assertRaises(OperationError, side.add, line(4), "7")

    def test_an_offer_with_nothing_for_us_is_answered_with_nothing(self) -> None:
        side = Side(accepts_media=False)
        sdp = real("audio_video_offer").split("m=application")[0]
        side.take(Description(OFFER, sdp))
        answer = SessionDescription.parse(side.answer().sdp)
        self.assertEqual([media.port for media in answer.media], [0, 0])
        self.assertEqual((answer.bundle, side.staged), ((), {}))
        # Our next offer brings a section of our own, behind theirs, with a mid of its own.
        ours = SessionDescription.parse(side.offer().sdp)
        self.assertEqual([media.mid for media in ours.media], ["0", "1", "2"])
        self.assertEqual(ours.bundle, ("2",))
        self.assertEqual(len(side.staged), 1)


class OpaqueTests(SynchronousTestCase):
    """A restart repeats the media exactly (DESIGN rule 7)."""

    def pair(self) -> tuple[Side, Side]:
        spec = SectionSpec(attributes=("sctp-port:5000", "x-note: two  blanks "))
        one, two = Side(1, data_section=spec), Side(2, data_section=spec)
        one.jsep.add_transceiver("audio")
        two.take(one.offer())
        (part,) = two.jsep.media.transceivers
        two.jsep.set_direction(part, Direction.SENDRECV)
        one.take(two.answer())
        return one, two

    def test_restart_offers_and_answers_repeat_every_opaque_line(self) -> None:
        one, two = self.pair()
        exchange(one, two)
        before = opaque(one.jsep.current_local), opaque(two.jsep.current_local)
        for offerer, answerer in ((one, two), (two, one), (one, two)):
            exchange(offerer, answerer, restart=True)
            self.assertEqual(opaque(one.jsep.current_local), before[0])
            self.assertEqual(opaque(two.jsep.current_local), before[1])
        self.assertIn("a=x-note: two  blanks ", before[0])

    def test_only_the_tagged_section_has_ice_attributes_rule_20(self) -> None:
        one, two = self.pair()
        exchange(two, one, restart=True)
        for description in (one.jsep.current_local, two.jsep.current_local):
            assert description is not None
            first, second = SessionDescription.parse(description.sdp).media
            self.assertTrue(first.own_credentials)
            self.assertFalse(second.own_credentials)
            self.assertFalse(second.rejected)

    def test_credentials_beside_other_sections_are_the_sessions_rules_20_75(self) -> None:
        """Firefox takes no restart otherwise."""
        one, two = self.pair()
        exchange(two, one, restart=True)
        for description in (one.jsep.current_local, two.jsep.current_local):
            assert description is not None
            session, *_ = description.sdp.partition("m=")
            own = credentials(description)
            self.assertIn(f"a=ice-ufrag:{own.ufrag}\r\na=ice-pwd:{own.pwd}\r\n", session)
            media = SessionDescription.parse(description.sdp).media
            self.assertEqual([each.credentials for each in media], [own, own])
        self.assertNotIn("a=ice-ufrag", Side(9).offer().sdp.partition("m=")[0])

    def test_a_first_offer_keeps_untagged_sections_to_the_bundle(self) -> None:
        side = Side()
        side.jsep.add_transceiver("audio")
        sdp = side.offer().sdp
        first, second = SessionDescription.parse(sdp).media
        self.assertEqual((first.port, second.port), (9, 0))
        self.assertEqual(second.first("bundle-only"), "")

    def test_a_peer_that_repeats_its_credentials_in_every_section_is_understood_rule_20(
        self,
    ) -> None:
        one, two = self.pair()
        offer = one.offer(restart=True)
        own = credentials(offer)
        tail = f"a=ice-ufrag:{own.ufrag}\r\na=ice-pwd:{own.pwd}\r\na=mid:1"
        two.take(replaced(offer, "a=mid:1", tail))
        two.add(line(5, own.ufrag), "1")
        one.take(two.answer())
        self.assertEqual(two.received, [(own.ufrag, 5)])


class ShapeTests(SynchronousTestCase):
    """Answers must fit their offers."""

    def test_an_answer_with_other_sections_is_refused(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        answer = two.answer()
        more = Description(answer.type, answer.sdp + "m=audio 9 RTP/AVP 0\r\n")
        for bad in (
            more,
            replaced(answer, "m=application", "m=audio"),
            replaced(answer, "a=mid:0", "a=mid:7"),
        ):
            self.assertRaises(InvalidAccessError, one.jsep.set_remote, bad)
        one.take(answer)

    def test_a_section_that_the_answer_rejects_starts_nothing(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        rejected = replaced(two.answer(), "m=application 9", "m=application 0")
        one.take(rejected)
        self.assertEqual((one.staged, one.started, one.state), ({}, {}, "stable"))

    def test_unbundled_sections_beside_ours_are_rejected(self) -> None:
        _, two = connected()
        fresh = Side(3)
        offer = Side(4).offer()
        audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"
        audio += "a=rtcp-mux\r\n"
        fresh.take(Description(OFFER, offer.sdp + audio))
        ports = [media.port for media in SessionDescription.parse(fresh.answer().sdp).media]
        self.assertEqual(ports, [9, 0])
        self.assertEqual(two.state, "stable")

    def test_rejected_sections_repeat_their_codecs_which_pion_looks_for(self) -> None:
        fresh, offer = Side(3), Side(4).offer()
        codecs = ["a=rtpmap:111 opus/48000/2", "a=rtpmap:0 PCMU/8000"]
        audio = ["m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "c=IN IP4 0.0.0.0", "a=mid:1", *codecs]
        lines = [*audio, "a=fmtp:111 useinbandfec=1", "a=rtcp-mux", "a=sendrecv"]
        fresh.take(Description(OFFER, offer.sdp + "\r\n".join(lines) + "\r\n"))
        _, rejected = SessionDescription.parse(fresh.answer().sdp).media
        head = [audio[0].replace(" 9 ", " 0 "), *audio[1:3]]
        self.assertEqual(rejected.lines, [*head, "a=inactive", *codecs])


class AnotherPeerTests(SynchronousTestCase):
    """Who was connected is gone, and another connection offers."""

    def test_a_service_takes_the_sections_of_the_new_one(self) -> None:
        """Its data section stands elsewhere, under another mid."""
        service = Side(1, accepts_media=False, follows_peers=True)
        first, second = Side(2), Side(3, session_id=77)
        exchange(first, service)
        second.jsep.add_transceiver("audio")
        exchange(second, service)
        description = service.jsep.current_local
        assert description is not None
        media = SessionDescription.parse(description.sdp).media
        self.assertEqual(
            [(m.kind, m.mid, m.port) for m in media], [("audio", "0", 0), ("application", "1", 9)]
        )
        exchange(service, second, restart=True)
        exchange(second, service, restart=True)
        exchange(Side(4), service)

    def test_w3cs_object_has_one_peer(self) -> None:
        one, first, second = Side(1), Side(2), Side(3, session_id=77)
        exchange(first, one)
        second.jsep.add_transceiver("audio")
        self.assertRaises(InvalidAccessError, one.jsep.set_remote, second.offer())
        self.assertEqual(one.state, "stable")
