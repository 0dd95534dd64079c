"""Every state x input pair of the watchdog, against the table that documents it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import WatchState
from refreeze.watchdog.table import REACTIONS, may_follow

from .scenarios import INPUTS, SCENARIOS, reactions


class TableTests(SynchronousTestCase):
    def test_every_input_and_every_state_has_a_row_and_a_column(self) -> None:
        self.assertEqual(sorted(REACTIONS), sorted(INPUTS))
        self.assertEqual(set(SCENARIOS), set(WatchState))

    def test_every_pair_does_what_the_table_says(self) -> None:
        for name, row in reactions().items():
            for state, seen in row.items():
                self.assertEqual(seen, may_follow(name, state), f"{name} in {state}")

    def test_closed_is_final(self) -> None:
        for name in REACTIONS:
            self.assertEqual(may_follow(name, WatchState.CLOSED), {WatchState.CLOSED}, name)

    def test_no_input_twice_makes_a_second_round(self) -> None:
        """T12: never more than one round pending, whatever comes."""
        for name, feed in INPUTS.items():
            for builders in SCENARIOS.values():
                for build in builders:
                    driver = build(True)
                    for _ in range(2):
                        feed(driver)
                        driver.drain()
                        self.assertIn(driver.policy.counters.pending, (0, 1), name)

    def test_a_state_without_a_deadline_waits_for_a_fact_from_outside(self) -> None:
        """Lesson 10: no way out leaves a session that nothing will ever move."""
        for state, builders in SCENARIOS.items():
            for build in builders:
                driver = build(True)
                if driver.policy.next_deadline() is None:
                    held = driver.policy.snapshot().held_reason
                    outside = held in ("operator", "peer-offline", "peer-closed:bye")
                    down = state is WatchState.WAITING
                    ungranted = build.__name__ == "_ungranted"
                    resting = state in (
                        WatchState.WATCHING,
                        WatchState.SUSPECT,
                        WatchState.IDLE,
                        WatchState.CLOSED,
                    )
                    self.assertTrue(outside or down or ungranted or resting, build.__name__)
