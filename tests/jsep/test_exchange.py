"""Offers, answers and what they ask of the transport (rules 6 to 8, 11, 12, 18, 19, 22, 25)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    Description,
    DtlsAgreed,
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    RemoteCredentialsPending,
    StageGeneration,
    StartGeneration,
)

from .sides import (
    ANSWER,
    CHANGE,
    OFFER,
    PRANSWER,
    ROLLBACK,
    Side,
    candidate,
    connected,
    credentials,
    exchange,
    only,
    replaced,
    ufrag,
)


class FirstExchangeTests(SynchronousTestCase):
    """From nothing to stable."""

    def test_effects_in_order_on_both_sides(self) -> None:
        one, two = Side(1), Side(2)
        offer = one.jsep.create_offer()
        self.assertEqual(
            one.did(one.jsep.set_local(offer)), [StageGeneration(credentials(offer)), CHANGE]
        )
        self.assertEqual(one.state, "have-local-offer")
        self.assertEqual(two.take(offer), [RemoteCredentialsPending(credentials(offer)), CHANGE])
        self.assertEqual(two.state, "have-remote-offer")
        answer = two.jsep.create_answer()
        ours, theirs = credentials(answer), credentials(offer)
        *started, agreed, changed = two.did(two.jsep.set_local(answer))
        self.assertEqual(
            started,
            [StageGeneration(ours), StartGeneration(ours.ufrag, theirs, False, False)],
        )
        self.assertEqual(changed, CHANGE)
        self.assertIsInstance(agreed, DtlsAgreed)
        *started, agreed, changed = one.take(answer)
        self.assertEqual(started, [StartGeneration(theirs.ufrag, ours, False, True)])
        self.assertEqual(changed, CHANGE)
        self.assertIsInstance(agreed, DtlsAgreed)
        self.assertEqual((one.state, two.state), ("stable", "stable"))
        self.assertEqual(one.jsep.current_remote, two.jsep.current_local)
        self.assertIsNone(one.jsep.pending_local)
        self.assertIsNone(two.jsep.pending_remote)

    def test_the_offer_is_what_libwebrtc_takes(self) -> None:
        sdp = Side().jsep.create_offer().sdp
        for wanted in (
            "a=group:BUNDLE 0",
            "a=ice-options:trickle ice2",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=setup:actpass",
            "a=mid:0",
            "a=sctp-port:5000",
            "a=max-message-size:262144",
        ):
            self.assertIn(f"\r\n{wanted}\r\n", sdp)
        self.assertIn("a=fingerprint:sha-256 AB:AB", sdp)

    def test_every_description_has_a_higher_version(self) -> None:
        side = Side(session_id=77)
        versions = [side.jsep.create_offer().sdp.splitlines()[1] for _ in range(3)]
        self.assertEqual(versions, [f"o=- 77 {n} IN IP4 127.0.0.1" for n in (1, 2, 3)])

    def test_the_restart_option_changes_nothing_on_a_first_offer_rule_8(self) -> None:
        plain, restart = Side(5).offer(), Side(5).offer(restart=True)
        self.assertEqual(plain, restart)

    def test_trickle_is_known_after_the_first_remote_description_rule_21(self) -> None:
        one, two = Side(1), Side(2)
        self.assertIsNone(two.jsep.can_trickle)
        offer = one.offer()
        without = replaced(offer, "a=ice-options:trickle ice2\r\n", "")
        two.take(without)
        self.assertIs(two.jsep.can_trickle, False)
        self.assertNotIn("ice-options", two.jsep.create_answer().sdp)
        two.take(replaced(offer, "trickle ice2", "trickle renomination"))
        self.assertIs(two.jsep.can_trickle, True)
        self.assertIn("a=ice-options:trickle\r\n", two.jsep.create_answer().sdp)

    def test_a_fresh_side_takes_a_peers_later_offer(self) -> None:
        """The peer lives on; we were restarted, and its offer's version is above 1."""
        one, _ = connected()
        fresh = Side(9)
        offer = one.offer(restart=True)
        self.assertNotIn(" 1 IN IP4", offer.sdp.splitlines()[1])
        fresh.take(offer)
        one.take(fresh.answer())
        self.assertEqual(one.state, "stable")

    def test_a_peer_process_that_was_restarted_restarts_ice(self) -> None:
        """New o= id, new fingerprint, new credentials, while we are stable: a legal restart."""
        _, two = connected()
        reborn = Side(9, fingerprint=":".join(["CD"] * 32))
        effects = two.take(reborn.offer())
        self.assertEqual(len(only(effects, RemoteCredentialsPending)), 1)
        reborn.take(two.answer())
        self.assertEqual(
            two.started[ufrag(two.jsep.local_description)].ufrag, ufrag(reborn.offer())
        )


class LaterExchangeTests(SynchronousTestCase):
    """Restarts and what is none."""

    def test_without_a_restart_credentials_stay_and_nothing_starts_rules_6_18(self) -> None:
        one, two = connected()
        before = credentials(one.jsep.current_local), credentials(two.jsep.current_local)
        offer = one.jsep.create_offer(ice_restart=False)
        self.assertEqual(one.jsep.set_local(offer), [CHANGE])
        self.assertEqual(two.jsep.set_remote(offer), [CHANGE])
        answer = two.jsep.create_answer()
        self.assertEqual(two.jsep.set_local(answer), [CHANGE])
        self.assertEqual(one.jsep.set_remote(answer), [CHANGE])
        self.assertEqual((credentials(offer), credentials(answer)), before)

    def test_a_restart_offer_has_both_new_and_only_stages_rules_6_22_25(self) -> None:
        one, _ = connected()
        before = credentials(one.jsep.current_local)
        offer = one.jsep.create_offer(ice_restart=True)
        new = credentials(offer)
        self.assertNotEqual(new.ufrag, before.ufrag)
        self.assertNotEqual(new.pwd, before.pwd)
        self.assertEqual(one.jsep.set_local(offer), [StageGeneration(new), CHANGE])
        # Rule 25: both descriptions are in force until the answer.
        self.assertEqual(credentials(one.jsep.current_local), before)
        self.assertEqual(credentials(one.jsep.pending_local), new)

    def test_restart_by_either_side_in_order_roles_untouched_rules_22_42(self) -> None:
        one, two = connected()
        for offerer, answerer in ((one, two), (two, one)):
            offer = offerer.jsep.create_offer(ice_restart=True)
            offerer.did(offerer.jsep.set_local(offer))
            theirs = credentials(offer)
            self.assertEqual(
                answerer.take(offer), [RemoteCredentialsPending(credentials(offer)), CHANGE]
            )
            answer = answerer.jsep.create_answer()
            ours = credentials(answer)
            self.assertEqual(
                answerer.did(answerer.jsep.set_local(answer)),
                [StageGeneration(ours), StartGeneration(ours.ufrag, theirs, False), CHANGE],
            )
            self.assertEqual(
                offerer.take(answer), [StartGeneration(theirs.ufrag, ours, False), CHANGE]
            )
        self.assertEqual((one.roles, two.roles), ([True, None, None], [False, None, None]))

    def test_the_answer_to_a_restart_has_new_credentials_rules_18_19_T8(self) -> None:
        one, two = connected()
        before = credentials(two.jsep.current_local)
        exchange(one, two, restart=True)
        after = credentials(two.jsep.current_local)
        self.assertNotEqual(after.ufrag, before.ufrag)
        self.assertNotEqual(after.pwd, before.pwd)

    def test_the_answerer_compares_with_the_previous_remote_description_rule_19(self) -> None:
        """An offer that came to nothing is not what the next one is compared with."""
        one, two = connected()
        two.take(one.offer(restart=True))
        two.did(two.jsep.set_remote(ROLLBACK))
        one.did(one.jsep.set_local(ROLLBACK))
        before = credentials(two.jsep.current_local)
        exchange(one, two)
        self.assertEqual(credentials(two.jsep.current_local), before)

    def test_an_answer_cannot_start_a_restart_rules_11_T8(self) -> None:
        one, two = connected()
        before = credentials(two.jsep.current_local)
        two.jsep.restart_ice()
        exchange(one, two)
        self.assertEqual(credentials(two.jsep.current_local), before)

    def test_offers_that_are_not_applied_leave_all_alone_rules_7_T7(self) -> None:
        one, two = connected()
        before = one.jsep.current_local
        unused = [ufrag(one.jsep.create_offer(ice_restart=True)) for _ in range(2)]
        self.assertNotEqual(*unused)
        self.assertEqual(one.jsep.local_description, before)
        self.assertEqual(one.state, "stable")
        exchange(two, one)
        self.assertEqual(ufrag(one.jsep.current_local), ufrag(before))

    def test_a_parameterless_call_makes_what_is_due_rule_12(self) -> None:
        one, two = connected()
        before = ufrag(one.jsep.current_local)
        one.jsep.restart_ice()
        one.did(one.jsep.set_local())
        offer = one.jsep.pending_local
        assert offer is not None
        self.assertNotEqual(ufrag(offer), before)
        two.take(offer)
        two.did(two.jsep.set_local())
        answer = two.jsep.current_local
        assert answer is not None
        one.take(answer)
        self.assertEqual((one.state, two.state), ("stable", "stable"))

    def test_a_newer_offer_replaces_the_pending_one_T12(self) -> None:
        one, two = connected()
        first = one.offer(restart=True)
        second = one.offer(restart=True)
        self.assertNotIn(ufrag(first), one.staged)
        two.take(second)
        one.take(two.answer())
        self.assertIn(ufrag(second), one.started)

    def test_a_first_offer_made_again_keeps_what_was_gathered(self) -> None:
        side = Side()
        first = side.offer()
        again = side.jsep.create_offer()
        self.assertEqual(credentials(again), credentials(first))
        self.assertEqual(side.did(side.jsep.set_local(again)), [])

    def test_the_candidates_of_a_generation_that_goes_on_are_offered_again(self) -> None:
        one, two = connected()
        name = ufrag(one.jsep.current_local)
        one.jsep.local_candidate(candidate(5000, name))
        one.jsep.local_end_of_candidates(name)
        offer = one.jsep.create_offer()
        self.assertIn(" 5000 typ host", offer.sdp)
        self.assertIn("a=end-of-candidates", offer.sdp)
        one.did(one.jsep.set_local(offer))
        assert one.jsep.pending_local is not None
        self.assertEqual(one.jsep.pending_local.sdp.count("a=candidate"), 1)
        two.take(one.jsep.pending_local)
        self.assertNotIn(" 5000 ", one.jsep.create_offer(ice_restart=True).sdp)


class StateTests(SynchronousTestCase):
    """What is refused, and changes nothing."""

    def test_calls_that_do_not_fit_the_state(self) -> None:
        one, two = connected()
        offer, answer = one.jsep.create_offer(), two.jsep.current_local
        assert answer is not None
        refused = self.assertRaises
        refused(InvalidStateError, one.jsep.set_remote, answer)
        refused(InvalidStateError, one.jsep.create_answer)
        refused(InvalidModificationError, one.jsep.set_local, Description(ANSWER, answer.sdp))
        refused(InvalidStateError, one.jsep.set_local, Description(ANSWER, ""))
        one.jsep.set_local(offer)
        refused(InvalidStateError, one.jsep.create_answer)
        two.take(offer)
        refused(InvalidStateError, two.jsep.create_offer)
        refused(InvalidStateError, two.jsep.set_local, Description(OFFER, ""))
        refused(InvalidStateError, two.jsep.set_remote, answer)
        self.assertEqual((one.state, two.state), ("have-local-offer", "have-remote-offer"))

    def test_only_the_description_created_last_can_be_applied(self) -> None:
        one, _ = connected()
        older, newer = one.jsep.create_offer(ice_restart=True), one.jsep.create_offer()
        self.assertRaises(InvalidModificationError, one.jsep.set_local, older)
        self.assertEqual(one.state, "stable")
        one.jsep.set_local(newer)

    def test_a_description_made_before_the_last_exchange_is_void(self) -> None:
        one, two = connected()
        stale = one.jsep.create_offer()
        exchange(two, one, restart=True)
        self.assertRaises(InvalidModificationError, one.jsep.set_local, stale)

    def test_nothing_goes_after_close(self) -> None:
        one, two = connected()
        offer = two.offer()
        one.jsep.close()
        self.assertEqual(one.state, "closed")
        for call in (
            one.jsep.create_offer,
            one.jsep.create_answer,
            one.jsep.set_local,
            one.jsep.configuration_changed,
            lambda: one.jsep.set_remote(offer),
            lambda: one.jsep.set_local(ROLLBACK),
            lambda: one.jsep.add_remote_candidate("", "0"),
        ):
            self.assertRaises(InvalidStateError, call)

    def test_a_provisional_answer_starts_what_the_answer_confirms(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        provisional = Description(PRANSWER, two.jsep.create_answer().sdp)
        effects = two.did(two.jsep.set_local(provisional))
        self.assertEqual(len(only(effects, StartGeneration)), 1)
        self.assertEqual(two.state, "have-local-pranswer")
        self.assertEqual(len(only(one.take(provisional), StartGeneration)), 1)
        self.assertEqual(one.state, "have-remote-pranswer")
        answer = two.jsep.create_answer()
        self.assertEqual(credentials(answer), credentials(provisional))
        self.assertEqual(two.did(two.jsep.set_local(answer)), [CHANGE])
        self.assertEqual(one.take(answer), [CHANGE])

    def test_no_repr_or_error_shows_a_password(self) -> None:
        one, two = Side(1), Side(2)
        offer = one.offer()
        shown = repr(two.take(offer)) + repr(offer) + repr(two.jsep) + repr(one.jsep.needs)
        pwd = credentials(offer).pwd
        self.assertNotIn(pwd, shown)
        bad = replaced(offer, pwd, pwd[:9] + "!" + pwd[10:])
        error = self.assertRaises(InvalidAccessError, two.jsep.set_remote, bad)
        self.assertNotIn(pwd[:9], str(error) + repr(error))
