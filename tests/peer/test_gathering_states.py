"""iceGatheringState, icecandidate and the order of what is fired (rules 53, 54 and 62)."""

from __future__ import annotations

from refreeze.peer import Event, RTCIceCandidate
from tests.peer.pair import ROLLBACK
from tests.peer.scripts import ScriptCase, ufrag


def shown(event: Event) -> RTCIceCandidate:
    """What it tells of."""
    assert isinstance(event.candidate, RTCIceCandidate)
    return event.candidate


class GatheringCase(ScriptCase):
    """Alice's events about gathering are written down."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[str] = []
        self.a.iceTransport.ongatheringstatechange = self.listen
        self.a.onicegatheringstatechange = self.listen
        self.a.onicecandidate = self.listen

    def listen(self, event: Event) -> None:
        """Candidates by what they are, states by what shows at that moment."""
        if event.type != "icecandidate":
            states = self.a.iceTransport.gatheringState, self.a.iceGatheringState
            self.heard.append(f"{event.type} {' '.join(states)}")
        elif event.candidate is None:
            self.heard.append("null")
        else:
            self.heard.append("candidate" if shown(event).candidate else "end")

    def states(self) -> list[str]:
        """What iceGatheringState became, from now on anew."""
        found = [x.split()[-1] for x in self.heard if x.startswith("icegatheringstatechange")]
        self.heard.clear()
        return found

    def settle(self, seconds: float = 2.0) -> None:
        """Time for gathering to end."""
        self.two.advance(seconds)


class StateTests(GatheringCase):
    """Rule 62."""

    def test_at_first_it_is_new_rule_62(self) -> None:
        self.assertEqual(self.a.iceGatheringState, "new")
        self.assertEqual(self.a.iceTransport.gatheringState, "new")

    def test_creating_an_offer_gathers_nothing_rule_62(self) -> None:
        self.two.now(self.a.createOffer())
        self.settle()
        self.assertEqual(self.states(), [])

    def test_the_first_offer_gathers_and_completes_rule_62(self) -> None:
        self.two.offer(self.alice)
        self.settle()
        self.assertEqual(self.states(), ["gathering", "complete"])

    def test_a_remote_offer_alone_gathers_nothing_rule_62(self) -> None:
        self.two.now(self.a.setRemoteDescription(self.two.offer(self.bob)))
        self.settle()
        self.assertEqual(self.states(), [])
        self.two.now(self.a.setLocalDescription())
        self.settle()
        self.assertEqual(self.states(), ["gathering", "complete"])

    def test_a_restart_offer_gathers_again_and_an_offer_without_it_does_not_rule_62(self) -> None:
        self.connect()
        self.states()
        self.two.offer(self.alice)
        self.settle()
        self.assertEqual(self.states(), [])
        self.two.offer(self.alice, restart=True)
        self.settle()
        self.assertEqual(self.states(), ["gathering", "complete"])

    def test_rolling_back_a_finished_restart_fires_nothing_rule_62(self) -> None:
        self.connect()
        self.two.offer(self.alice, restart=True)
        self.settle()
        self.states()
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.settle()
        self.assertEqual((self.states(), self.a.iceGatheringState), ([], "complete"))

    def test_rolling_back_the_first_offer_leads_back_to_new_rule_62(self) -> None:
        self.two.offer(self.alice)
        self.settle()
        self.states()
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.settle()
        self.assertEqual((self.states(), self.a.iceGatheringState), (["new"], "new"))

    def test_a_remote_restart_gathers_with_our_answer_rule_62(self) -> None:
        self.connect()
        self.states()
        offer = self.two.offer(self.bob, restart=True)
        self.two.now(self.a.setRemoteDescription(offer))
        self.settle()
        self.assertEqual(self.states(), [])
        self.two.now(self.a.setLocalDescription())
        self.settle()
        self.assertEqual(self.states(), ["gathering", "complete"])

    def test_a_restart_of_an_offer_gathers_again_and_is_never_new_rule_62_T13(self) -> None:
        self.a.setLocalDescription()
        self.a.createOffer(iceRestart=True).addCallback(self.a.setLocalDescription)
        self.settle()
        self.assertEqual(self.states(), ["gathering", "complete"] * 2)


class OrderTests(GatheringCase):
    """Rules 53 and 54."""

    def test_candidates_their_end_then_the_states_and_null_rule_53(self) -> None:
        self.two.offer(self.alice)
        self.settle()
        self.assertEqual(
            self.heard,
            [
                "gatheringstatechange gathering gathering",
                "icegatheringstatechange gathering gathering",
                "candidate",
                "candidate",
                "end",
                "gatheringstatechange complete complete",
                "icegatheringstatechange complete complete",
                "null",
            ],
        )

    def test_they_name_their_generation_and_section_rule_53(self) -> None:
        events: list[Event] = []
        self.a.addEventListener("icecandidate", events.append)
        name = ufrag(self.two.offer(self.alice))
        self.settle()
        found = [shown(each) for each in events if each.candidate is not None]
        self.assertEqual(
            {(each.usernameFragment, each.sdpMid, each.sdpMLineIndex) for each in found},
            {(name, "0", 0)},
        )

    def test_when_the_first_section_was_rejected_they_name_the_next_rule_53(self) -> None:
        """The peer would ignore candidates of a section that is not used (rule 55d)."""
        self.a.addTransceiver("audio")
        self.connect()
        self.a.getTransceivers()[0].stop()
        self.two.exchange(self.alice, self.bob)
        events: list[Event] = []
        self.a.addEventListener("icecandidate", events.append)
        self.two.exchange(self.alice, self.bob, restart=True)
        self.settle()
        found = [shown(each) for each in events if each.candidate is not None]
        self.assertEqual({(each.sdpMid, each.sdpMLineIndex) for each in found}, {("1", 1)})

    def test_a_candidate_is_in_the_description_when_its_event_fires_rule_54(self) -> None:
        counts: list[int] = []

        def look(event: Event) -> None:
            description = self.a.localDescription
            assert description is not None
            if event.candidate is not None:
                counts.append(description.sdp.count("a=candidate:"))
                counts.append(description.sdp.count("a=end-of-candidates"))

        self.a.addEventListener("icecandidate", look)
        self.two.offer(self.alice)
        self.settle()
        self.assertEqual(counts, [1, 0, 2, 0, 2, 1])

    def test_a_restarts_candidates_are_in_its_description_only_rule_54(self) -> None:
        self.connect()
        before = self.a.currentLocalDescription
        self.two.offer(self.alice, restart=True)
        self.settle()
        self.assertEqual(self.a.currentLocalDescription, before)
        pending = self.a.pendingLocalDescription
        assert pending is not None
        self.assertEqual(pending.sdp.count("a=candidate:"), 2)

    def test_of_a_restart_that_is_rolled_back_none_shows_rules_26_54(self) -> None:
        self.connect()
        self.heard.clear()
        self.a.setLocalDescription(self.two.now(self.a.createOffer(iceRestart=True)))
        self.a.setLocalDescription(ROLLBACK)
        self.settle()
        self.assertEqual(self.a.signalingState, "stable")
        self.assertNotIn("candidate", self.heard)
        self.assertEqual(self.a.iceGatheringState, "complete")

    def test_closed_nothing_of_it_is_fired_rule_65(self) -> None:
        self.a.setLocalDescription()
        self.tasks()
        self.heard.clear()
        self.a.close()
        self.settle()
        self.assertEqual(self.heard, [])
