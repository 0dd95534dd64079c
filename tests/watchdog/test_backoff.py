"""Delays, limits and the breaker."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import Circuit, PolicySettings
from refreeze.watchdog.backoff import Breaker, Limit, delay

SETTINGS = PolicySettings()


class DelayTests(SynchronousTestCase):
    def test_the_first_attempt_has_jitter_too_lesson_8(self) -> None:
        drawn = [delay(SETTINGS, random.Random(seed), 1) for seed in range(200)]
        self.assertTrue(all(0 <= each <= 0.5 for each in drawn))
        self.assertGreater(max(drawn) - min(drawn), 0.4)

    def test_later_attempts_double_with_jitter_up_to_the_cap_T39(self) -> None:
        for attempt, longest in ((2, 2.0), (3, 4.0), (5, 16.0), (6, 32.0), (7, 60.0), (999, 60.0)):
            for seed in range(50):
                drawn = delay(SETTINGS, random.Random(seed), attempt)
                self.assertTrue(longest / 2 <= drawn <= longest, (attempt, drawn))


class LimitTests(SynchronousTestCase):
    def test_so_many_in_any_window(self) -> None:
        limit = Limit(3, 300.0)
        self.assertEqual([limit.take(at) for at in (0, 1, 2, 3, 299)], [True] * 3 + [False] * 2)
        self.assertEqual([limit.take(at) for at in (300, 300.5, 301)], [True, False, True])


class BreakerTests(SynchronousTestCase):
    def breaker(self, seed: int = 1) -> Breaker:
        return Breaker(SETTINGS, random.Random(seed))

    def fail(self, breaker: Breaker, times: int, now: float = 0.0) -> list[bool]:
        return [breaker.failed(now + i, connected_once=True) for i in range(times)]

    def test_five_failures_in_two_minutes_open_it_T39(self) -> None:
        breaker = self.breaker()
        self.assertEqual(self.fail(breaker, 5), [False] * 4 + [True])
        self.assertIs(breaker.circuit, Circuit.OPEN)

    def test_slow_failures_do_not_open_it(self) -> None:
        breaker = self.breaker()
        opened = [breaker.failed(i * 31.0, connected_once=True) for i in range(30)]
        self.assertFalse(any(opened))
        self.assertEqual(breaker.run, 30)

    def test_probes_are_jittered_and_double_up_to_an_hour(self) -> None:
        for seed in range(20):
            breaker = self.breaker(seed)
            self.fail(breaker, 5)
            now = 4.0
            for base in (300, 600, 1200, 2400, 3600, 3600):
                assert breaker.probe_at is not None
                self.assertTrue(0.8 * base <= breaker.probe_at - now <= 1.2 * base)
                now = breaker.probe_at
                breaker.half_open()
                self.assertTrue(breaker.failed(now, connected_once=True))

    def test_two_restarts_before_the_first_connection(self) -> None:
        breaker = self.breaker()
        opened = [breaker.failed(i * 1000.0, connected_once=False) for i in range(3)]
        self.assertEqual(opened, [False, False, True])

    def test_a_connection_after_an_open_circuit_is_on_probation(self) -> None:
        breaker = self.breaker()
        self.fail(breaker, 5)
        breaker.half_open()
        breaker.connected()
        self.assertIs(breaker.circuit, Circuit.CLOSED)
        self.assertTrue(breaker.failed(10_000.0, connected_once=True))

    def test_a_peers_offer_closes_it_for_one_round_and_does_not_double_the_probe(self) -> None:
        breaker = self.breaker()
        self.fail(breaker, 5)
        breaker.peer_offered()
        self.assertIs(breaker.circuit, Circuit.CLOSED)
        self.assertTrue(breaker.failed(100.0, connected_once=True))
        assert breaker.probe_at is not None
        self.assertTrue(240 <= breaker.probe_at - 100.0 <= 360)

    def test_a_failure_while_open_changes_nothing_but_the_count(self) -> None:
        breaker = self.breaker()
        self.fail(breaker, 5)
        probe_at = breaker.probe_at
        self.assertFalse(breaker.failed(20.0, connected_once=True))
        self.assertEqual((breaker.probe_at, breaker.run), (probe_at, 6))

    def test_reset_forgets_everything(self) -> None:
        breaker = self.breaker()
        self.fail(breaker, 5)
        self.assertFalse(breaker.pristine)
        breaker.reset()
        self.assertTrue(breaker.pristine)
        self.assertEqual(self.fail(breaker, 5, 10.0), [False] * 4 + [True])
