"""Rollback as browsers are tested for it (webrtc-pc 4.4.1.5, rules 4, 26 to 28)."""

from __future__ import annotations

from refreeze.jsep import Description, DescriptionType, InvalidStateError
from tests.peer.pair import GOOD, ROLLBACK
from tests.peer.scripts import ScriptCase, ufrag


class TransceiverTests(ScriptCase):
    """Rule 27."""

    def test_a_local_one_loses_its_section_and_is_offered_again_rule_27(self) -> None:
        made = self.a.addTransceiver("audio")
        for _ in range(2):
            self.two.offer(self.alice)
            self.assertIsNotNone(made.mid)
            self.two.now(self.a.setLocalDescription(ROLLBACK))
            self.assertIsNone(made.mid)
            self.assertEqual((self.a.getTransceivers(), made.direction), ([made], "sendrecv"))
        self.two.exchange(self.alice, self.bob)
        self.assertEqual((made.mid, made.currentDirection), ("0", "sendonly"))

    def test_what_a_remote_offer_made_is_stopped_and_gone_rule_27(self) -> None:
        self.b.addTransceiver("audio")
        self.b.addTransceiver("video")
        self.two.now(self.a.setRemoteDescription(self.two.offer(self.bob)))
        made = self.a.getTransceivers()
        self.assertEqual([each.direction for each in made], ["recvonly"] * 2)
        self.two.now(self.a.setRemoteDescription(ROLLBACK))
        self.assertEqual(self.a.getTransceivers(), [])
        self.assertEqual(
            [(each.mid, each.currentDirection) for each in made], [(None, "stopped")] * 2
        )

    def test_what_was_there_in_the_last_stable_state_keeps_all_rule_27(self) -> None:
        self.a.addTransceiver("audio")
        self.connect()
        self.b.getTransceivers()[0].direction = "inactive"
        before = [(x, x.mid, x.direction, x.currentDirection) for x in self.a.getTransceivers()]
        self.two.now(self.a.setRemoteDescription(self.two.offer(self.bob)))
        self.two.now(self.a.setRemoteDescription(ROLLBACK))
        after = [(x, x.mid, x.direction, x.currentDirection) for x in self.a.getTransceivers()]
        self.assertEqual(after, before)

    def test_the_transports_are_those_of_the_last_stable_state_rule_27(self) -> None:
        self.two.now(self.a.setRemoteDescription(self.two.offer(self.bob)))
        self.two.now(self.a.setRemoteDescription(ROLLBACK))
        self.assertIsNone(self.a.sctp)
        self.connect()
        ice, sctp = self.a.iceTransport, self.a.sctp
        self.assertIsNotNone(sctp)
        self.two.offer(self.alice, restart=True)
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.assertIs(self.a.iceTransport, ice)
        self.assertIs(self.a.sctp, sctp)


class GenerationTests(ScriptCase):
    """A restart before there was any connection."""

    def test_the_generation_before_goes_on_when_it_is_taken_back_rules_26_62(self) -> None:
        """Neither its gathering state nor its checks know of the offer between."""
        sent = []
        for pc in (self.a, self.b):
            pc.addEventListener("icecandidate", sent.append)
        offer = self.two.now(self.a.createOffer())
        self.two.now(self.a.setLocalDescription(offer))
        self.two.now(self.b.setRemoteDescription(offer))
        self.two.now(self.b.setLocalDescription())
        answer = self.b.localDescription
        self.two.now(self.a.setRemoteDescription(answer))
        self.two.advance(0.5)
        waiting = [each for each in sent if each.candidate is not None]
        self.two.offer(self.alice, restart=True)
        self.two.advance(0.5)
        self.forget()
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.two.advance(0.5)
        self.assertEqual(self.alice.fired, ["signalingstatechange"])
        self.assertEqual(self.a.iceGatheringState, "complete")
        for each in waiting:
            other = self.b if each.target is self.a else self.a
            self.two.now(other.addIceCandidate(each.candidate))
        self.two.advance(3.0)
        self.assertIn(self.a.iceConnectionState, GOOD)


class StateTests(ScriptCase):
    """Rules 26 and 28."""

    def test_of_either_sides_offer_it_leads_to_stable_with_one_event_rule_26(self) -> None:
        self.connect()
        for roll_back in (self.a.setLocalDescription, self.a.setRemoteDescription):
            self.pend(ours=roll_back == self.a.setLocalDescription)
            self.forget()
            self.two.now(roll_back({"type": "rollback", "sdp": "no description at all"}))
            self.assertEqual(self.a.signalingState, "stable")
            self.assertEqual(self.alice.fired, ["signalingstatechange"])
            pending = self.a.pendingLocalDescription, self.a.pendingRemoteDescription
            self.assertEqual(pending, (None, None))

    def pend(self, *, ours: bool) -> None:
        """Alice's offer is pending, or bob's at alice's."""
        if ours:
            self.two.offer(self.alice)
        else:
            offer = self.two.now(self.b.createOffer())
            self.two.now(self.a.setRemoteDescription(offer))

    def test_by_the_call_that_did_not_set_the_offer_it_is_refused_rule_26(self) -> None:
        """As browsers are tested; RFC 9429 section 4.1.10.2 leaves it open."""
        self.connect()
        for ours, roll_back in (
            (True, self.a.setRemoteDescription),
            (False, self.a.setLocalDescription),
        ):
            self.pend(ours=ours)
            self.forget()
            self.refused(roll_back(ROLLBACK), "InvalidStateError")
            self.assertEqual(self.alice.fired, [])
            given = self.a.setLocalDescription if ours else self.a.setRemoteDescription
            self.two.now(given(ROLLBACK))

    def test_in_stable_and_of_a_provisional_answer_it_is_refused_rule_26(self) -> None:
        """The latter by webrtc-pc; RFC 9429 section 5.7 would have it."""
        for roll_back in (self.a.setLocalDescription, self.a.setRemoteDescription):
            self.failureResultOf(roll_back(ROLLBACK), InvalidStateError)  # before any task
        self.two.now(self.b.setRemoteDescription(self.two.offer(self.alice)))
        answer = self.two.now(self.b.createAnswer())
        provisional = Description(DescriptionType.PRANSWER, answer.sdp)
        self.two.now(self.b.setLocalDescription(provisional))
        self.two.now(self.a.setRemoteDescription(provisional))
        for pc in (self.a, self.b):
            self.refused(pc.setLocalDescription(ROLLBACK), "InvalidStateError")
            self.refused(pc.setRemoteDescription(ROLLBACK), "InvalidStateError")
        self.two.now(self.b.setLocalDescription(answer))
        self.two.now(self.a.setRemoteDescription(answer))

    def test_an_offer_that_is_refused_in_glare_leaves_ours_taken_back_rule_28(self) -> None:
        """Two steps of one operation (webrtc-pc 4.4.2): the first is not undone."""
        self.connect()
        old = ufrag(self.a.currentLocalDescription)
        self.two.offer(self.alice, restart=True)
        self.forget()
        bad = {"type": "offer", "sdp": "v=0"}
        self.refused(self.a.setRemoteDescription(bad), "OperationError")
        self.assertEqual(self.a.signalingState, "stable")
        self.assertEqual(ufrag(self.a.localDescription), old)
        self.assertEqual(self.alice.fired, ["signalingstatechange"])

    def test_an_offer_that_is_refused_in_another_state_changes_nothing_rule_35(self) -> None:
        self.connect()
        good = self.two.offer(self.bob, restart=True)
        held = self.a.currentRemoteDescription
        for sdp in ("", "v=0", good.sdp.replace("a=ice-pwd:", "a=ice-pwd:?"), "m=" + good.sdp):
            self.two.advance(0)
            failed = self.a.setRemoteDescription({"type": "offer", "sdp": sdp})
            self.two.advance(0)
            self.failureResultOf(failed)
            self.assertEqual(
                (self.a.signalingState, self.a.pendingRemoteDescription), ("stable", None)
            )
            self.assertEqual(self.a.currentRemoteDescription, held)
        self.assertEqual(self.alice.fired, [])


class NeededTests(ScriptCase):
    """Rule 4: what makes negotiation needed."""

    def test_a_wish_to_restart_is_enough_and_so_is_each_other_wish_rule_4(self) -> None:
        self.connect()
        (self.a.addTransceiver("audio"), self.needed(self.alice))
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.needed(self.alice), 0)
        transceiver = self.a.getTransceivers()[0]

        def turn() -> None:
            transceiver.direction = "inactive"

        for wish in (self.a.restartIce, turn, transceiver.stop):
            wish()
            self.assertEqual(self.needed(self.alice), 1, wish)
            wish()
            self.assertEqual(self.needed(self.alice), 0, wish)
            self.two.exchange(self.alice, self.bob)
            self.assertEqual(self.needed(self.alice), 0, wish)

    def test_a_wish_that_is_taken_back_before_the_task_fires_nothing_rule_4(self) -> None:
        self.a.addTransceiver("audio")
        self.connect()
        transceiver = self.a.getTransceivers()[0]
        transceiver.direction = "inactive"
        transceiver.direction = "sendrecv"
        self.assertEqual(self.needed(self.alice), 0)
