"""restartIce() as browsers are tested for it (webrtc-pc, rules 1 to 6, 9 to 13, 26, 28, 29)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from refreeze.jsep import Description, DescriptionType
from tests.peer.pair import GOOD, ROLLBACK
from tests.peer.scripts import NEEDED, Negotiator, ScriptCase, ufrag


class BeforeTests(ScriptCase):
    """There is nothing to restart yet."""

    def test_before_any_negotiation_it_does_nothing_rule_2(self) -> None:
        self.assertEqual(self.needed(self.alice), 1)  # the data channel's
        self.assertIsNone(self.a.restartIce())
        self.assertEqual(self.needed(self.alice), 0)
        self.connect()
        self.assertEqual(self.needed(self.alice), 0)

    def test_in_the_first_remote_offer_it_does_nothing_rule_2(self) -> None:
        self.needed(self.bob)
        self.two.now(self.b.setRemoteDescription(self.two.offer(self.alice)))
        self.b.restartIce()
        self.two.now(self.b.setLocalDescription())
        self.assertEqual(self.needed(self.bob), 0)

    def test_in_the_first_local_offer_it_is_due_after_the_answer_rule_1(self) -> None:
        self.needed(self.alice)
        offer = self.two.offer(self.alice)
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 0)
        self.two.now(self.a.setRemoteDescription(self.two.answer(self.bob, offer)))
        self.assertEqual(self.needed(self.alice), 1)
        self.assertNotEqual(ufrag(self.two.now(self.a.createOffer())), ufrag(offer))

    def test_on_a_closed_connection_it_neither_raises_nor_fires_rule_2(self) -> None:
        self.connect()
        self.a.restartIce()
        self.a.close()
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 0)


class ConnectedTests(ScriptCase):
    """Restarting what runs."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.old = ufrag(self.a.currentLocalDescription)

    def complete(self, offer: Description) -> None:
        """Alice's offer is answered."""
        self.two.now(self.a.setRemoteDescription(self.two.answer(self.bob, offer)))

    def test_it_fires_once_and_the_next_offer_restarts_rules_1_3_6(self) -> None:
        self.a.restartIce()
        self.a.restartIce()
        self.assertEqual(self.alice.fired, [])
        self.assertEqual(self.needed(self.alice), 1)
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 0)
        self.assertNotEqual(ufrag(self.two.now(self.a.createOffer(iceRestart=False))), self.old)

    def test_creating_an_offer_changes_nothing_rules_7_8(self) -> None:
        route = self.alice.transport.route
        for _ in range(2):
            self.assertNotEqual(ufrag(self.two.now(self.a.createOffer(iceRestart=True))), self.old)
        self.assertEqual(ufrag(self.two.now(self.a.createOffer())), self.old)
        self.assertEqual(self.a.signalingState, "stable")
        self.assertIs(self.alice.transport.route, route)

    def test_a_call_without_a_description_restarts_too_rule_12(self) -> None:
        self.a.restartIce()
        self.two.now(self.a.setLocalDescription())
        self.assertNotEqual(ufrag(self.a.pendingLocalDescription), self.old)

    def test_after_its_exchange_it_is_satisfied_rule_9(self) -> None:
        self.a.restartIce()
        self.needed(self.alice)
        self.complete(self.two.offer(self.alice))
        self.assertEqual(self.needed(self.alice), 0)
        new = ufrag(self.a.currentLocalDescription)
        self.assertEqual(ufrag(self.two.now(self.a.createOffer())), new)

    def test_during_an_offer_that_does_not_restart_it_is_due_after_it_rule_1(self) -> None:
        offer = self.two.offer(self.alice)
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 0)
        self.complete(offer)
        self.assertEqual(self.needed(self.alice), 1)

    def test_during_an_offer_that_restarts_it_asks_for_another_rule_1(self) -> None:
        """The slot takes the pending credentials, too."""
        self.a.restartIce()
        self.needed(self.alice)
        offer = self.two.offer(self.alice)
        self.a.restartIce()
        self.complete(offer)
        self.assertEqual(self.needed(self.alice), 1)
        self.assertNotEqual(ufrag(self.two.now(self.a.createOffer())), ufrag(offer))

    def test_in_a_remote_offer_that_does_not_restart_it_outlives_the_answer_rule_10(self) -> None:
        self.two.now(self.a.setRemoteDescription(self.two.offer(self.bob)))
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 0)
        self.two.now(self.a.setLocalDescription())
        self.assertEqual(ufrag(self.a.currentLocalDescription), self.old)
        self.assertEqual(self.needed(self.alice), 1)

    def test_a_remote_restart_satisfies_it_rules_10_11(self) -> None:
        self.a.restartIce()
        self.assertEqual(self.needed(self.alice), 1)
        self.two.exchange(self.bob, self.alice, restart=True)
        self.assertNotEqual(ufrag(self.a.currentLocalDescription), self.old)
        self.assertEqual(self.needed(self.alice), 0)

    def test_a_provisional_answer_does_not_satisfy_it_rule_10(self) -> None:
        self.a.restartIce()
        self.needed(self.alice)
        self.two.now(self.b.setRemoteDescription(self.two.offer(self.alice)))
        answer = self.two.now(self.b.createAnswer())
        provisional = Description(DescriptionType.PRANSWER, answer.sdp)
        self.two.now(self.a.setRemoteDescription(provisional))
        self.assertEqual(len(self.a.negotiator.needs.to_replace), 1)
        self.two.now(self.a.setRemoteDescription(answer))
        self.assertEqual(self.a.negotiator.needs.to_replace, set())

    def test_rolled_back_it_is_asked_for_again_rules_10_26(self) -> None:
        self.a.restartIce()
        self.needed(self.alice)
        self.two.offer(self.alice)
        self.assertEqual(self.needed(self.alice), 0)
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.assertEqual(ufrag(self.a.localDescription), self.old)
        self.assertEqual(self.needed(self.alice), 1)

    def test_a_rolled_back_offer_is_applied_again_and_connects_rule_26(self) -> None:
        offer = self.two.offer(self.alice, restart=True)
        self.two.now(self.a.setLocalDescription(ROLLBACK))
        self.two.now(self.a.setLocalDescription(self.a_created(offer)))
        self.complete(offer)
        self.two.advance(8.0)
        self.assertEqual(ufrag(self.a.currentLocalDescription), ufrag(offer))
        self.assertEqual(len(list(self.alice.transport.generations())), 1)
        self.assertIn(self.alice.state, GOOD)

    def a_created(self, offer: Description) -> Description:
        """As createOffer() returned it, without the candidates that came later."""
        lines = offer.sdp.splitlines(keepends=True)
        gained = ("a=candidate:", "a=end-of-candidates")
        return Description(offer.type, "".join(x for x in lines if not x.startswith(gained)))

    def test_it_outlives_an_offer_that_wins_without_restarting_rules_10_28(self) -> None:
        self.a.restartIce()
        self.needed(self.alice)
        self.two.offer(self.alice)
        self.complete_glare()
        self.assertEqual(ufrag(self.a.currentLocalDescription), self.old)
        self.assertEqual(self.needed(self.alice), 1)

    def complete_glare(self) -> None:
        """Bob's plain offer comes while alice's is out."""
        answer = self.two.answer(self.alice, self.two.offer(self.bob))
        self.two.now(self.b.setRemoteDescription(answer))

    def test_glare_is_a_rollback_and_then_the_offer_rule_28(self) -> None:
        states: list[str] = []
        self.a.onsignalingstatechange = lambda _: states.append(self.a.signalingState)
        self.two.offer(self.alice, restart=True)
        self.complete_glare()
        self.assertEqual(states, ["have-local-offer", "stable", "have-remote-offer", "stable"])

    def test_the_old_path_carries_data_while_the_offer_is_out_rules_7_25(self) -> None:
        self.two.offer(self.alice, restart=True)
        self.two.advance(40.0)
        self.assertEqual(self.alice.send(b"\x80still"), 1)
        self.two.advance(0.1)
        self.assertEqual(self.bob.received, [b"\x80still"])
        self.assertIn(self.alice.state, GOOD)


class TimingTests(ScriptCase):
    """When the event comes (rules 3 and 5)."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_during_an_operation_the_event_waits_for_the_chain_rule_3(self) -> None:
        heard: list[str] = []
        self.a.onnegotiationneeded = lambda _: heard.append("event")
        for number in range(3):
            self.a.createOffer().addCallback(lambda _, n=number: heard.append(f"offer {n}"))
        self.a.restartIce()
        self.tasks()
        self.assertEqual(heard, ["offer 0", "offer 1", "offer 2", "event"])

    def test_an_operation_that_begins_before_the_task_delays_it_rule_3(self) -> None:
        heard: list[str] = []
        self.a.onnegotiationneeded = lambda _: heard.append("event")
        self.a.restartIce()
        self.a.createOffer().addCallback(lambda _: heard.append("offer"))
        self.tasks()
        self.assertEqual(heard, ["offer", "event"])

    def test_a_listener_that_is_attached_after_the_answer_hears_it_rule_5(self) -> None:
        heard: list[str] = []
        offer = self.two.offer(self.alice)
        self.a.restartIce()
        answer = self.two.answer(self.bob, offer)

        async def script() -> None:
            await self.a.setRemoteDescription(answer)
            heard.append(self.a.signalingState)
            self.a.onnegotiationneeded = lambda _: heard.append("event")

        self.two.now(Deferred.fromCoroutine(script()))
        self.tasks()
        self.assertEqual(heard, ["stable", "event"])

    def test_outside_stable_nothing_is_fired_rule_3(self) -> None:
        self.two.offer(self.alice)
        self.a.restartIce()
        self.a.addTransceiver("audio")
        self.two.advance(1.0)
        self.assertNotIn(NEEDED, self.alice.fired)

    def test_closed_before_the_task_nothing_is_fired_rules_2_3(self) -> None:
        self.a.restartIce()
        self.a.close()
        self.two.advance(1.0)
        self.assertEqual(self.alice.fired, [])


class RecipeTests(ScriptCase):
    """The web's own way, whole."""

    def negotiators(self) -> tuple[Negotiator, Negotiator]:
        """Alice is polite."""
        one = Negotiator(self.two, self.alice, polite=True)
        other = Negotiator(self.two, self.bob, polite=False)
        one.other, other.other = other, one
        return one, other

    def connected(self) -> tuple[Negotiator, Negotiator]:
        """By a data channel's event on each side: the first glare."""
        both = self.negotiators()
        self.two.advance(5.0)
        self.assertIn(self.alice.state, GOOD)
        self.assertIn(self.bob.state, GOOD)
        return both

    def test_both_that_begin_at_once_connect_rule_29(self) -> None:
        one, other = self.connected()
        self.assertEqual((one.rolled_back, other.answered), (1, 1))

    def test_both_that_restart_at_once_end_with_one_new_pair_rules_10_29_T11(self) -> None:
        one, other = self.connected()
        old = {ufrag(self.a.localDescription), ufrag(self.b.localDescription)}
        self.a.restartIce()
        self.b.restartIce()
        self.two.advance(5.0)
        self.assertEqual(one.rolled_back, 2)
        new = {ufrag(self.a.localDescription), ufrag(self.b.localDescription)}
        self.assertEqual(old & new, set())
        self.assertEqual((one.answered, other.answered), (0, 2))
        self.assertEqual((self.a.signalingState, self.b.signalingState), ("stable", "stable"))
        self.assertIn(self.alice.state, GOOD)

    def test_failed_then_restart_then_connected_rule_13(self) -> None:
        """iceconnectionstatechange, restartIce(), negotiationneeded, setLocalDescription()."""
        self.connected()
        states: list[str] = []

        def changed(_: object) -> None:
            states.append(self.alice.state)
            if self.alice.state == "failed":
                hole.end()
                self.a.restartIce()

        self.a.oniceconnectionstatechange = changed
        hole = self.two.network.blackhole("alice", "bob")
        self.two.advance(30.0)
        self.assertEqual(states[:3], ["disconnected", "failed", "checking"])
        self.assertIn(states[-1], GOOD)
