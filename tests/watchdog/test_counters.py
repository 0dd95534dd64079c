"""The counters: every started round is accounted for once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import Cause, Counters, RoundOutcome
from refreeze.watchdog.counters import MOST_REASONS, count


class CountersTests(SynchronousTestCase):
    def test_each_outcome_has_its_total_and_all_add_up(self) -> None:
        counters = Counters()
        for outcome in RoundOutcome:
            counters.round_started(Cause.FAILED)
            self.assertEqual((counters.pending, counters.balanced()), (1, True))
            counters.round_ended(outcome, "no-answer")
            self.assertTrue(counters.balanced())
        self.assertEqual(counters.started, {"failed": 4})
        self.assertEqual((counters.succeeded, counters.superseded, counters.abandoned), (1, 1, 1))
        self.assertEqual((counters.failed, counters.pending), ({"no-answer": 1}, 0))

    def test_an_end_without_a_start_shows_as_unbalanced(self) -> None:
        counters = Counters()
        counters.round_ended(RoundOutcome.FAILED, "x")
        self.assertFalse(counters.balanced())

    def test_totals_of_sessions_add_up(self) -> None:
        one, two = Counters(), Counters()
        one.round_started(Cause.FAILED)
        two.round_started(Cause.PEER)
        two.round_ended(RoundOutcome.SUCCEEDED, "")
        two.offers_glare = two.late = two.flaps = 2
        one.add(two)
        self.assertEqual(one.started, {"failed": 1, "peer": 1})
        self.assertEqual((one.succeeded, one.pending, one.offers_glare), (1, 1, 2))
        self.assertTrue(one.balanced())

    def test_a_table_of_reasons_stays_small(self) -> None:
        counters = Counters()
        for number in range(1000):
            counters.round_started(Cause.FAILED)
            counters.round_ended(RoundOutcome.FAILED, f"reason-{number}")
        self.assertEqual(len(counters.failed), MOST_REASONS + 1)
        self.assertEqual(counters.failed["other"], 1000 - MOST_REASONS)
        self.assertTrue(counters.balanced())
        count(counters.failed, "reason-0")
        self.assertEqual(counters.failed["reason-0"], 2)
