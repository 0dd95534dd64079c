"""How soon a dead path is noticed, and what is no death (DESIGN, Liveness, by default)."""

from __future__ import annotations

import itertools
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import GRID
from refreeze.ice import PROFILES, AgentSettings, IceState
from refreeze.ice.events import ConsentLost, Rebound, Recovered
from refreeze.ice.liveness import Liveness, Verdict
from tests.ice.duo import A1, B1, START, Duo, Nat, connected_duo, host, make_duo, signaled
from tests.ice.solo import make_solo

SLACK = 2 * GRID


def _deaths(duo: Duo, since: float) -> list[tuple[float, float]]:
    """For each side, seconds from *since* to ``disconnected`` and to ``failed``."""
    return [
        (side.at(IceState.DISCONNECTED) - since, side.at(IceState.FAILED) - since)
        for side in duo.sides
    ]


class TimesTests(SynchronousTestCase):
    """Silent loss: 3 / 7.5 s under traffic, 7 / 9.5 s when idle."""

    def test_under_traffic(self) -> None:
        for seed in range(20):
            duo = connected_duo(seed)
            duo.traffic(3 + duo.random.uniform(0, 5))
            since = duo.now
            duo.cut()
            duo.traffic(10)
            for disconnected, failed in _deaths(duo, since):
                self.assertTrue(2.4 <= disconnected <= 3.0, f"seed {seed}: {disconnected}")
                self.assertTrue(6.9 <= failed <= 7.5, f"seed {seed}: {failed}")

    def test_idle(self) -> None:
        for seed in range(40):
            duo = connected_duo(seed)
            duo.run(3 + duo.random.uniform(0, 10))
            since = duo.now
            duo.cut()
            duo.run(12)
            for disconnected, failed in _deaths(duo, since):
                self.assertTrue(disconnected <= 7.0 + SLACK, f"seed {seed}: {disconnected}")
                self.assertTrue(failed <= 9.5, f"seed {seed}: {failed}")

    def test_no_earlier_than_seven_seconds_after_the_last_packet(self) -> None:
        for seed in range(40):
            duo = connected_duo(seed)
            duo.run(2 + duo.random.uniform(0, 10))
            duo.cut()
            duo.run(12)
            for side in duo.sides:
                pair = side.agent.selected
                assert pair is not None
                assert pair.last_received is not None
                silence = side.at(IceState.FAILED) - pair.last_received
                self.assertGreaterEqual(silence, 7.0 - 1e-6, f"seed {seed}")

    def test_sparse_traffic_is_between_the_two(self) -> None:
        for seed in range(10):
            duo = connected_duo(seed)
            duo.traffic(5, every=0.7)
            since = duo.now
            duo.cut()
            duo.traffic(12, every=0.7)
            for disconnected, failed in _deaths(duo, since):
                self.assertLessEqual(disconnected, 4.0)
                self.assertLessEqual(failed, 7.6)

    def test_a_slow_path_gets_four_round_trips_for_an_answer(self) -> None:
        duo = connected_duo(1, delay=0.3)
        duo.run(20)
        since = duo.now
        duo.cut()
        duo.run(14)
        for _, failed in _deaths(duo, since):
            self.assertLessEqual(failed, 6.0 + 1.2 + 4 * 0.5 + 1.2)

    def test_the_profiles(self) -> None:
        """fast 1 / 2.5 s, patient 5 / 25 s, w3c on consent alone."""
        expected = {"fast": (1.0, 2.5), "patient": (5.0, 25.0)}
        for name, (disconnected_after, failed_after) in expected.items():
            duo = connected_duo(1, settings=AgentSettings(liveness=PROFILES[name]))
            duo.traffic(3)
            since = duo.now
            duo.cut()
            duo.traffic(28)
            for disconnected, failed in _deaths(duo, since):
                self.assertLessEqual(abs(disconnected - disconnected_after), 0.3)
                self.assertLessEqual(abs(failed - failed_after), 0.3)

    def test_the_w3c_profile_fails_when_consent_ends(self) -> None:
        duo = connected_duo(1, settings=AgentSettings(liveness=PROFILES["w3c"]))
        duo.traffic(3)
        since = duo.now
        duo.cut()
        duo.traffic(31)
        for side in duo.sides:
            self.assertEqual(side.agent.failed_reason, "consent")
            self.assertTrue(23 <= side.at(IceState.FAILED) - since <= 30.1)

    def test_disconnected_always_comes_before_failed(self) -> None:
        """T37"""
        for seed in range(10):
            duo = connected_duo(seed)
            duo.cut()
            duo.run(20)
            for side in duo.sides:
                self.assertEqual(side.states[-2:], ["disconnected", "failed"])
            duo.check_transitions()


class HealthTests(SynchronousTestCase):
    """What costs nothing, and what is no failure."""

    def test_idle_is_one_check_in_five_seconds_and_nothing_else(self) -> None:
        """Rules 48 and 66: the consent check is the liveness check and the keepalive."""
        duo = connected_duo(3)
        since = duo.now
        duo.run(600)
        for side in duo.sides:
            sent = side.requests(since)
            self.assertTrue(100 <= len(sent) <= 150, len(sent))
            times = [at for at, _, _ in sent]
            gaps = [b - a for a, b in itertools.pairwise(times)]
            self.assertGreaterEqual(min(gaps), 4.0)
            self.assertLessEqual(max(gaps), 6.0 + SLACK)
            self.assertGreater(max(gaps) - min(gaps), 1.0)
            self.assertEqual(len(side.answers(since)), len(duo.other(side).requests(since)))

    def test_idle_deadlines_are_on_the_grid(self) -> None:
        duo = connected_duo(3)
        for _ in range(20):
            duo.run(4)
            for at in duo.deadlines():
                self.assertAlmostEqual(at / GRID, round(at / GRID), places=5)

    def test_nothing_is_silent_for_fifteen_seconds(self) -> None:
        """rule 48: Tr; no setting makes the consent check rarer than a keepalive."""
        self.assertRaises(ValueError, AgentSettings, consent_interval=13.0)
        duo = connected_duo(3, settings=AgentSettings(consent_interval=12.5))
        since = duo.now
        duo.run(300)
        times = [since] + [at for at, _, _ in duo.a.requests(since)]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        self.assertLessEqual(max(gaps), 15.0 + SLACK)

    def test_one_way_traffic_asks_once_a_second_and_stays_connected(self) -> None:
        duo = connected_duo(3)
        since = duo.now
        duo.traffic(20, senders="a")
        self.assertTrue(15 <= len(duo.a.requests(since)) <= 22)
        self.assertEqual(duo.a.states[-1], "completed")

    def test_traffic_that_is_answered_needs_no_more_checks(self) -> None:
        duo = connected_duo(3)
        since = duo.now
        duo.traffic(60)
        self.assertLessEqual(len(duo.a.requests(since)), 15)

    def test_a_lossy_path_stays_connected(self) -> None:
        for seed in range(10):
            duo = connected_duo(seed)
            duo.loss = 0.3
            duo.run(120)
            for side in duo.sides:
                self.assertNotIn("failed", side.states, f"seed {seed}")

    def test_a_short_break_is_disconnected_and_connected_again(self) -> None:
        duo = connected_duo(3)
        duo.traffic(1)
        duo.cut()
        duo.traffic(4)
        duo.heal()
        duo.traffic(2)
        for side in duo.sides:
            self.assertEqual(side.states[-3:], ["disconnected", "connected", "completed"])
        duo.check_transitions()

    def test_a_late_answer_is_an_answer(self) -> None:
        """Latency that jumps over the patience is suspicion, not failure."""
        duo = connected_duo(3)
        duo.delay = 0.8
        duo.run(120)
        for side in duo.sides:
            self.assertNotIn("failed", side.states)


class OneWayTests(SynchronousTestCase):
    """Received data without answers to our probes proves one direction only."""

    def _one_way(self, seconds: float) -> tuple[Duo, float]:
        duo = connected_duo(5)
        duo.traffic(5)
        since = duo.now
        duo.cut(both=False)
        duo.traffic(seconds)
        return duo, since

    def test_it_fails_although_data_comes_in(self) -> None:
        duo, since = self._one_way(25)
        failed = duo.a.at(IceState.FAILED) - since
        self.assertLessEqual(failed, 6.0 + 7.0 + 3.0 + SLACK)

    def test_but_not_before_seven_seconds_and_the_probes(self) -> None:
        duo, since = self._one_way(25)
        self.assertGreaterEqual(duo.a.at(IceState.FAILED) - since, 7.0)

    def test_data_that_stops_after_probing_began_delays_by_three_seconds_at_most(self) -> None:
        random = Random(1)
        for extra in (0.5, 2.0, 3.0, 6.0):
            live = Liveness(AgentSettings(), random, START)
            live.heard(START + 5.0)
            live.data_sent(START + 5.0)
            now = START + 5.0
            first = heard = None
            while live.verdict(now) is not Verdict.FAILED:
                now += GRID
                if live.due(now):
                    first = first or now
                    live.check_sent(now, 0.02)
                if now < START + 6.0 + extra:
                    heard = now
                    live.heard(now)
            assert first is not None
            assert heard is not None
            self.assertLessEqual(now - first, 10.0 + SLACK)
            self.assertTrue(now - heard >= 7.0 - SLACK or now - first >= 10.0 - SLACK, extra)


class AfterFailedTests(SynchronousTestCase):
    """``failed`` is final, but the pair is used while its consent lasts."""

    def _failed(self) -> Duo:
        duo = connected_duo(5)
        duo.traffic(2)
        duo.cut()
        duo.traffic(9)
        self.assertEqual({s.agent.state for s in duo.sides}, {IceState.FAILED})
        return duo

    def test_data_goes_on_until_consent_ends(self) -> None:
        """rule 66"""
        duo = self._failed()
        self.assertIsNotNone(duo.a.agent.data_pair)
        duo.run(24)
        for side in duo.sides:
            self.assertIsNone(side.agent.data_pair)
            self.assertEqual(len(side.of(ConsentLost)), 1)
            self.assertIsNone(side.agent.next_deadline())

    def test_a_pair_that_comes_back_is_told_once_and_the_state_stays(self) -> None:
        duo = self._failed()
        duo.heal()
        duo.traffic(10)
        for side in duo.sides:
            self.assertEqual(len(side.of(Recovered)), 1)
            self.assertIs(side.agent.state, IceState.FAILED)
            self.assertIsNotNone(side.agent.data_pair)

    def test_a_pair_that_dies_again_and_comes_back_is_told_again(self) -> None:
        duo = self._failed()
        duo.heal()
        duo.traffic(5)
        duo.cut()
        duo.traffic(10)
        duo.heal()
        duo.traffic(5)
        for side in duo.sides:
            self.assertEqual(len(side.of(Recovered)), 2)
            self.assertEqual(side.states.count("failed"), 1)

    def test_it_is_noticed_within_a_probe(self) -> None:
        duo = self._failed()
        duo.heal()
        since = duo.now
        duo.run(3, lambda: bool(duo.a.of(Recovered)))
        self.assertLessEqual(duo.now - since, 2.6)

    def test_probing_a_failed_pair_costs_little(self) -> None:
        """Ten thousand sessions may be in this state at once."""
        duo = self._failed()
        since = duo.now
        duo.run(15)
        self.assertLessEqual(len(duo.a.requests(since)), 8)


class ClockTests(SynchronousTestCase):
    """T37: a process that slept knows nothing, and asks first."""

    def test_a_late_timer_fails_nothing(self) -> None:
        """T37"""
        for gap in (3.0, 20.0, 60.0, 3600.0):
            duo = connected_duo(6)
            duo.run(3)
            duo.frozen = {"a"}
            duo.drop = lambda *_: True
            duo.run(gap)
            duo.drop = None
            duo.frozen = set()
            before = len(duo.a.requests())
            duo.run(0.001)
            self.assertEqual(duo.a.states[-1], "completed", f"gap {gap}")
            self.assertGreater(len(duo.a.requests()), before)
            duo.run(3)
            self.assertEqual(duo.a.states[-1], "completed", f"gap {gap}")
            self.assertIsNotNone(duo.a.agent.data_pair)

    def test_a_dead_path_is_found_dead_soon_after(self) -> None:
        """T37: disconnected before failed, and consent is not endless."""
        duo = connected_duo(6)
        duo.run(3)
        duo.frozen = {"a"}
        duo.run(60)
        duo.frozen = set()
        duo.cut()
        woke = duo.now
        duo.run(45)
        self.assertEqual(duo.a.states[-2:], ["disconnected", "failed"])
        self.assertLessEqual(duo.a.at(IceState.FAILED) - woke, 9.5)
        self.assertIsNone(duo.a.agent.data_pair)
        duo.check_transitions()

    def test_a_packet_that_is_read_before_the_timer_runs_is_late_too(self) -> None:
        """T37"""
        duo = connected_duo(6)
        duo.run(3)
        agent, pair = duo.a.agent, duo.a.agent.selected
        assert pair is not None
        agent.next_deadline()
        late = duo.now + 100
        agent.data_sent(late, 10)
        self.assertIsNotNone(agent.data_pair)
        self.assertIs(agent.state, IceState.COMPLETED)
        self.assertLessEqual(agent.next_deadline() or 0.0, late)

    def test_checks_that_were_out_get_their_time_back(self) -> None:
        """T37: a suspend while checking does not fail the pairs, nor end PAC."""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        (check,) = solo.checks()
        solo.wait(0.6)
        solo.agent.next_deadline()
        solo.now += 1000
        solo.agent.handle_timeout(solo.now)
        self.assertIs(solo.agent.state, IceState.CHECKING)
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)
        self.assertIsNone(solo.agent.pairs[0].rtt)


class RebindingTests(SynchronousTestCase):
    """A NAT on the way gave somebody a new address: the owner restarts at once."""

    def test_a_request_from_another_source(self) -> None:
        solo = make_solo()
        solo.connect()
        solo.check()
        solo.now += 10
        solo.check(source=("10.0.0.2", 6999))
        (event,) = solo.of(Rebound)
        assert isinstance(event, Rebound)
        self.assertEqual((event.what, event.detail), ("source", "10.0.0.2:6999"))
        self.assertIs(event.pair, solo.agent.selected)

    def test_it_is_told_once_for_an_address(self) -> None:
        solo = make_solo()
        solo.connect()
        solo.now += 10
        for _ in range(5):
            solo.check(source=("10.0.0.2", 6999))
        self.assertEqual(len(solo.of(Rebound)), 1)

    def test_a_changed_mapped_address(self) -> None:
        solo = make_solo()
        solo.connect()
        consent = next(t for t in solo.wait(6.1) if t.transaction is not None)
        solo.answer(consent, mapped=("192.0.2.1", 4242))
        (event,) = solo.of(Rebound)
        assert isinstance(event, Rebound)
        self.assertEqual((event.what, event.detail), ("mapped", "192.0.2.1:4242"))
        self.assertIsNotNone(solo.agent.data_pair)

    def test_unauthenticated_requests_and_data_rebind_nothing(self) -> None:
        """T28"""
        solo = make_solo()
        solo.connect()
        solo.now += 10
        other = ("10.0.0.2", 6999)
        solo.check(source=other, key=solo.agent.remote_key)
        self.assertFalse(solo.agent.data_received(solo.agent.pairs[0].base, other, solo.now))
        self.assertEqual(solo.of(Rebound), [])

    def test_late_ordinary_checks_right_after_the_nomination_are_none(self) -> None:
        solo = make_solo()
        solo.connect()
        solo.now += 1
        solo.check(source=("10.0.0.2", 6999))
        self.assertEqual(solo.of(Rebound), [])

    def test_another_socket_of_the_peer_is_none(self) -> None:
        """A peer that keeps checking backup pairs (libwebrtc) has another PRIORITY there."""
        solo = make_solo()
        solo.connect()
        solo.check()
        solo.now += 10
        solo.check(source=("10.9.9.9", 6999), priority=77)
        self.assertEqual(solo.of(Rebound), [])

    def test_a_known_pair_is_none(self) -> None:
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(("10.0.0.3", 1), 5)), solo.now)
        solo.connect()
        solo.now += 10
        solo.check(source=("10.0.0.3", 1))
        self.assertEqual(solo.of(Rebound), [])

    def test_behind_a_nat_that_forgets(self) -> None:
        """The peer's side of a symmetric NAT moves; its next consent check tells."""
        duo = make_duo(9)
        nat = duo.nats["a"] = Nat("198.51.100.1", symmetric=True)
        duo.add(duo.a, host(A1), tell=False)
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        duo.run(10)
        nat.rebind()
        duo.run(7)
        kinds = {e.what for s in duo.sides for e in s.of(Rebound) if isinstance(e, Rebound)}
        self.assertIn("source", kinds)
