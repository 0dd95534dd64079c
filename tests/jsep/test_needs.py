"""The wish to restart and the negotiation-needed flag (rules 1 to 5, 9, 10, 14, 15, T9)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import AbandonGeneration, InvalidAccessError, StageGeneration

from .sides import NEEDED, ROLLBACK, Side, connected, exchange, only, replaced, ufrag


class WishTests(SynchronousTestCase):
    """restartIce()."""

    def test_the_next_offer_restarts_even_with_the_option_false_rules_1_6(self) -> None:
        one, _ = connected()
        before = ufrag(one.jsep.current_local)
        self.assertEqual(one.jsep.restart_ice(), [])
        self.assertNotEqual(ufrag(one.jsep.create_offer(ice_restart=False)), before)

    def test_before_any_description_it_does_nothing_rule_2(self) -> None:
        side = Side(data=False)
        side.jsep.restart_ice()
        self.assertEqual(side.run_tasks(), [])
        self.assertEqual(side.jsep.needs.to_replace, set())

    def test_in_the_first_remote_offer_it_does_nothing_rule_2(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        two.jsep.restart_ice()
        one.take(two.answer())
        self.assertEqual(two.run_tasks(), [])

    def test_on_a_closed_connection_nothing_is_fired_rule_2(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        one.jsep.close()
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [])

    def test_the_event_comes_in_a_task_and_once_rule_3(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        self.assertEqual(one.fired, [])
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [NEEDED])
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [])

    def test_a_task_that_finds_no_stable_state_fires_nothing_rule_3(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        one.offer()
        self.assertEqual(one.run_tasks(), [])

    def test_an_operation_under_way_delays_the_event_rules_3_5(self) -> None:
        one, _ = connected()
        one.jsep.needs.operation_began()
        one.jsep.restart_ice()
        self.assertEqual(one.tasks, [])
        one.jsep.needs.operation_began()
        one.jsep.needs.operation_ended()
        self.assertEqual(one.tasks, [])
        one.jsep.needs.operation_ended()
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_an_operation_that_begins_before_the_task_runs_delays_it_rule_3(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        one.jsep.needs.operation_began()
        self.assertEqual(one.run_tasks(), [])
        one.jsep.needs.operation_ended()
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_after_an_exchange_the_event_follows_in_a_later_task_rule_5(self) -> None:
        """A listener attached after the promise settled still hears of it."""
        one, two = connected()
        offer = one.offer()
        two.take(offer)
        answer = two.answer()
        one.jsep.restart_ice()
        one.run_tasks()
        one.jsep.needs.operation_began()
        one.take(answer)
        one.jsep.needs.operation_ended()
        self.assertEqual(one.fired, [])
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_asked_during_its_own_offer_it_is_not_satisfied_by_that_one_rule_1(self) -> None:
        """The slot holds the pending credentials too."""
        one, two = connected()
        two.take(one.offer(restart=True))
        one.jsep.restart_ice()
        self.assertEqual(len(one.jsep.needs.to_replace), 2)
        one.take(two.answer())
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_an_exchange_with_new_credentials_satisfies_it_rule_9(self) -> None:
        one, two = connected()
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [NEEDED])
        exchange(one, two)
        self.assertEqual(one.jsep.needs.to_replace, set())
        self.assertEqual(one.run_tasks(), [])
        self.assertFalse(one.jsep.needs.flag)

    def test_an_offer_alone_does_not_satisfy_it_rules_9_10(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        one.run_tasks()
        one.offer()
        self.assertTrue(one.jsep.needs.to_replace)

    def test_a_rollback_does_not_satisfy_it_and_it_is_told_again_rules_10_26(self) -> None:
        one, _ = connected()
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [NEEDED])
        one.offer()
        one.did(one.jsep.set_local(ROLLBACK))
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_a_remote_restart_satisfies_it_whatever_came_first_rule_10_T9(self) -> None:
        for first in (True, False):
            one, two = connected()
            if first:
                one.jsep.restart_ice()
            one.take(two.offer(restart=True))
            if not first:
                one.jsep.restart_ice()
            two.take(one.answer())
            self.assertEqual(one.jsep.needs.to_replace, set(), first)
            one.run_tasks()
            self.assertFalse(one.jsep.needs.flag)

    def test_a_remote_exchange_without_restart_leaves_it_rule_10(self) -> None:
        one, two = connected()
        one.jsep.restart_ice()
        self.assertEqual(one.run_tasks(), [NEEDED])
        exchange(two, one)
        self.assertEqual(one.run_tasks(), [NEEDED])

    def test_a_refused_answer_leaves_it_rule_35(self) -> None:
        one, two = connected()
        one.jsep.restart_ice()
        one.run_tasks()
        two.take(one.offer())
        answer = two.answer()
        self.assertRaises(
            InvalidAccessError, one.take, replaced(answer, "m=application", "m=audio")
        )
        self.assertEqual(one.state, "have-local-offer")
        one.take(answer)
        self.assertEqual(one.jsep.needs.to_replace, set())


class ConfigurationTests(SynchronousTestCase):
    """setConfiguration's bit."""

    def test_the_next_offer_restarts_and_nothing_announces_it_rules_14_15(self) -> None:
        one, two = connected()
        before = ufrag(one.jsep.current_local)
        one.jsep.configuration_changed()
        self.assertEqual(one.run_tasks(), [])
        exchange(one, two)
        after = ufrag(one.jsep.current_local)
        self.assertNotEqual(after, before)
        exchange(one, two)
        self.assertEqual(ufrag(one.jsep.current_local), after)

    def test_before_gathering_there_is_nothing_to_restart_rule_15(self) -> None:
        side = Side()
        side.jsep.configuration_changed()
        side.offer()
        self.assertEqual(side.did(side.jsep.set_local(side.jsep.create_offer())), [])

    def test_an_answer_with_new_credentials_clears_it_rule_15(self) -> None:
        one, two = connected()
        two.jsep.configuration_changed()
        exchange(one, two, restart=True)
        self.assertEqual(only(two.did(two.jsep.set_local()), StageGeneration), [])

    def test_an_answer_without_new_ones_leaves_it_rule_15(self) -> None:
        one, two = connected()
        two.jsep.configuration_changed()
        exchange(one, two)
        self.assertEqual(len(only(two.did(two.jsep.set_local()), StageGeneration)), 1)

    def test_rolled_back_the_change_is_still_to_come_rule_15(self) -> None:
        one, _ = connected()
        one.jsep.configuration_changed()
        one.offer()
        self.assertEqual(len(only(one.did(one.jsep.set_local(ROLLBACK)), AbandonGeneration)), 1)
        self.assertEqual(len(only(one.did(one.jsep.set_local()), StageGeneration)), 1)
