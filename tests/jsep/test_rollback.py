"""Rollback and glare (rules 26, 28, 35; T7, T11, T12)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    AbandonGeneration,
    Description,
    ForgetRemote,
    InvalidAccessError,
    InvalidStateError,
    RemoteCredentialsPending,
    RTCError,
)

from .sides import (
    CHANGE,
    PRANSWER,
    ROLLBACK,
    Side,
    connected,
    credentials,
    exchange,
    kinds,
    line,
    replaced,
    ufrag,
)


class RollbackTests(SynchronousTestCase):
    """Rule 26."""

    def test_a_restart_offer_is_abandoned_and_the_old_credentials_stay_rule_26_T7(self) -> None:
        for set_it in ("set_local", "set_remote"):
            one, two = connected()
            before = one.jsep.current_local
            offer = one.offer(restart=True)
            effects = one.did(getattr(one.jsep, set_it)(ROLLBACK))
            self.assertEqual(effects, [AbandonGeneration(ufrag(offer)), CHANGE])
            self.assertEqual(one.state, "stable")
            self.assertIsNone(one.jsep.pending_local)
            self.assertEqual(one.jsep.local_description, before)
            exchange(one, two)
            self.assertEqual(ufrag(one.jsep.current_local), ufrag(before))

    def test_an_offer_without_restart_leaves_nothing_to_abandon_rule_26(self) -> None:
        one, _ = connected()
        one.offer()
        self.assertEqual(one.jsep.set_local(ROLLBACK), [CHANGE])

    def test_a_remote_restart_offer_is_forgotten_rule_26(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        two.take(offer)
        effects = two.did(two.jsep.set_remote(ROLLBACK))
        self.assertEqual(effects, [ForgetRemote(ufrag(offer)), CHANGE])
        self.assertIsNone(two.jsep.pending_remote)

    def test_the_same_offer_may_come_again_after_a_rollback(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        two.take(offer)
        two.did(two.jsep.set_local(ROLLBACK))
        two.take(offer)
        two.add(line(5000, ufrag(offer)))
        one.take(two.answer())
        self.assertIn((ufrag(offer), 5000), two.received)

    def test_the_first_offer_rolled_back_leaves_a_blank_connection_rule_26(self) -> None:
        one, two = Side(1), Side(2)
        offer = one.offer()
        self.assertEqual(
            one.did(one.jsep.set_local(ROLLBACK)), [AbandonGeneration(ufrag(offer)), CHANGE]
        )
        self.assertIsNone(one.jsep.local_description)
        exchange(two, one)
        self.assertEqual((one.roles, two.roles), ([False], [True]))

    def test_provisional_answers_are_rolled_back_on_both_sides_rule_26(self) -> None:
        one, two = connected()
        two.take(one.offer(restart=True))
        answer = Description(PRANSWER, two.jsep.create_answer().sdp)
        two.did(two.jsep.set_local(answer))
        one.take(answer)
        self.assertEqual(
            kinds(two.did(two.jsep.set_local(ROLLBACK))),
            ["AbandonGeneration", "ForgetRemote", "Fire"],
        )
        self.assertEqual(
            kinds(one.did(one.jsep.set_remote(ROLLBACK))), ["AbandonGeneration", "Fire"]
        )
        exchange(one, two)

    def test_in_stable_there_is_nothing_to_roll_back_rule_26(self) -> None:
        one, _ = connected()
        for call in (one.jsep.set_local, one.jsep.set_remote):
            self.assertRaises(InvalidStateError, call, ROLLBACK)
        self.assertEqual(one.state, "stable")


class GlareTests(SynchronousTestCase):
    """Rule 28 and T11."""

    def test_an_offer_rolls_ours_back_and_is_applied_in_one_operation_rule_28(self) -> None:
        one, two = connected()
        ours, theirs = one.offer(restart=True), two.offer(restart=True)
        effects = one.take(theirs)
        self.assertEqual(
            effects,
            [
                AbandonGeneration(ufrag(ours)),
                RemoteCredentialsPending(credentials(theirs)),
                CHANGE,
            ],
        )
        self.assertEqual(one.state, "have-remote-offer")
        self.assertIsNone(one.jsep.pending_local)

    def test_both_restart_at_once_and_the_polite_side_answers_with_fresh_ones_T11(self) -> None:
        one, two = connected()
        before = ufrag(one.jsep.current_local)
        one.jsep.restart_ice()
        ours, theirs = one.offer(), two.offer(restart=True)
        one.take(theirs)
        two.take(one.answer())
        now = ufrag(one.jsep.current_local)
        self.assertNotIn(now, {before, ufrag(ours)})
        self.assertEqual(one.started[now], credentials(theirs))
        self.assertEqual(one.jsep.needs.to_replace, set())

    def test_in_the_first_glare_the_offer_that_stands_decides_the_roles_T11(self) -> None:
        one, two = Side(1), Side(2)
        one.offer()
        one.take(two.offer())
        two.take(one.answer())
        self.assertEqual((one.roles, two.roles), ([False], [True]))

    def test_a_restart_wish_survives_an_offer_that_does_not_restart_rules_10_28(self) -> None:
        one, two = connected()
        one.jsep.restart_ice()
        one.offer()
        one.take(two.offer())
        two.take(one.answer())
        one.run_tasks()
        self.assertTrue(one.jsep.needs.flag)

    def test_a_failing_offer_leaves_the_pending_one_rules_28_35(self) -> None:
        one, two = connected()
        ours = one.offer(restart=True)
        good = two.offer(restart=True)
        pwd = credentials(good).pwd
        for bad in (
            replaced(good, f"a=ice-pwd:{pwd}\r\n", ""),
            replaced(good, pwd, "short"),
            replaced(good, "v=0", "v=1"),
            Description(good.type, ""),
        ):
            self.assertRaises((InvalidAccessError, RTCError), one.jsep.set_remote, bad)
            self.assertEqual(one.state, "have-local-offer")
            self.assertEqual(one.jsep.pending_local, ours)

    def test_a_newer_remote_offer_replaces_the_pending_one_T12(self) -> None:
        one, two = connected()
        first = one.offer(restart=True)
        two.take(first)
        second = one.offer(restart=True)
        self.assertEqual(
            two.take(second),
            [ForgetRemote(ufrag(first)), RemoteCredentialsPending(credentials(second))],
        )
        one.take(two.answer())
        self.assertEqual(two.started[ufrag(two.jsep.current_local)], credentials(second))

    def test_the_same_offer_twice_asks_for_nothing_T5(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        two.take(offer)
        self.assertEqual(two.take(offer), [])
