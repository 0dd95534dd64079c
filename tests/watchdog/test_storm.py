"""The budget of all sessions, with up to 10,000 of them in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import Cause, Storm, StormPhase, StormSettings

Outcome = Callable[[str, float], bool]


class Fleet:
    """Many sessions that fail and ask again, and a network that works or does not."""

    def __init__(self, number: int, seed: int = 1, settings: StormSettings | None = None) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.settings = settings or StormSettings()
        self.storm = Storm(self.settings, self.random, self.now)
        self.storm.session_count(number)
        self.names = [f"s{i}" for i in range(number)]
        self.works: Callable[[float], bool] = lambda now: True
        self.grants: list[tuple[float, str]] = []
        self.notes: list[tuple[float, dict[str, object]]] = []
        self.waiting: dict[str, int] = {}
        self.ends: list[tuple[float, str]] = []
        self.round_takes = 1.0
        self.most_pending = 0
        self.ticket = 0

    def want(self, name: str, cause: Cause = Cause.FAILED, *, online: bool = True) -> None:
        self.ticket += 1
        self.waiting[name] = self.ticket
        self.storm.request(name, self.ticket, cause, self.now, online)

    def fail(self, names: list[str]) -> None:
        for name in names:
            self.storm.failed(name, self.now)
            self.want(name)
        self.turn()

    def turn(self) -> None:
        self.storm.handle_timeout(self.now)
        for name, ticket in self.storm.take_grants(self.now):
            assert self.waiting.pop(name) == ticket
            self.grants.append((self.now, name))
            self.ends.append((self.now + self.round_takes, name))
        self.most_pending = max(self.most_pending, self.storm.snapshot().pending)
        self.notes += [(self.now, dict(note.fields)) for note in self.storm.take_notes()]

    def until(self, at: float) -> None:
        """Every grant becomes a round of *round_takes* seconds; a failed one asks again."""
        for _ in range(500_000):
            deadline = self.storm.next_deadline()
            times = [t for t in (deadline, self.ends[0][0] if self.ends else None) if t is not None]
            if not times or min(times) > at:
                break
            self.now = max(self.now, min(times))
            while self.ends and self.ends[0][0] <= self.now:
                name = self.ends.pop(0)[1]
                ok = self.works(self.now)
                self.storm.ended(name, self.now, ok)
                if not ok:
                    self.want(name)
            self.turn()
        else:
            raise AssertionError("the storm spins")
        self.now = max(self.now, at)

    def of(self, state: str) -> list[tuple[float, dict[str, object]]]:
        return [(at, fields) for at, fields in self.notes if fields["state"] == state]


class BudgetTests(SynchronousTestCase):
    def test_a_burst_of_500_then_250_a_second(self) -> None:
        fleet = Fleet(10_000)
        for name in fleet.names[:3000]:
            fleet.want(name, Cause.NETWORK)
        fleet.turn()
        self.assertEqual(len(fleet.grants), 500)
        fleet.round_takes = 0.01
        fleet.until(4.0)
        self.assertTrue(1495 <= len(fleet.grants) <= 1501, len(fleet.grants))
        fleet.until(20.0)
        self.assertEqual(len(fleet.grants), 3000)

    def test_never_more_than_1000_rounds_pending(self) -> None:
        fleet = Fleet(10_000)
        fleet.round_takes = 30.0
        for name in fleet.names:
            fleet.want(name, Cause.NETWORK)
        fleet.until(200.0)
        self.assertEqual(fleet.most_pending, 1000)

    def test_unreported_ends_do_not_block_for_ever(self) -> None:
        fleet = Fleet(10_000)
        fleet.round_takes = 1e9
        for name in fleet.names[:2000]:
            fleet.want(name, Cause.NETWORK)
        fleet.until(59.0)
        self.assertEqual(len(fleet.grants), 1000)
        fleet.until(120.0)
        self.assertEqual(len(fleet.grants), 2000)

    def test_operators_before_the_network_before_failures_and_absent_peers_last(self) -> None:
        fleet = Fleet(10, settings=StormSettings(burst=1, rate=1.0))
        fleet.want("spend")
        fleet.turn()
        fleet.want("offline", Cause.OPERATOR, online=False)
        fleet.want("failed")
        fleet.want("network", Cause.NETWORK)
        fleet.want("failed-2")
        fleet.want("rebind", Cause.REBIND)
        fleet.want("peer", Cause.PEER)
        fleet.want("operator", Cause.OPERATOR)
        fleet.until(60.0)
        self.assertEqual(
            [name for _, name in fleet.grants][1:],
            ["operator", "peer", "rebind", "network", "failed", "failed-2", "offline"],
        )

    def test_a_withdrawn_request_is_not_granted_and_a_newer_one_replaces_it(self) -> None:
        fleet = Fleet(10)
        fleet.want("a")
        fleet.want("b")
        fleet.storm.withdraw("a")
        fleet.want("b", Cause.OPERATOR)
        self.assertEqual(fleet.storm.take_grants(0.0), [("b", 3)])
        fleet.storm.withdraw("b")
        self.assertEqual(fleet.storm.snapshot().pending, 0)
        self.assertIsNone(fleet.storm.next_deadline())

    def test_the_spread_of_a_return_and_of_a_network_change(self) -> None:
        self.assertEqual(Fleet(10_000).storm.return_spread(), 40.0)
        self.assertEqual(Fleet(30).storm.network_spread(), 0.0)
        self.assertEqual(Fleet(31).storm.network_spread(), 1.0)


class StormTests(SynchronousTestCase):
    def test_30_failures_are_no_storm_and_31_are_among_few_sessions(self) -> None:
        for number, on in ((30, False), (31, True)):
            fleet = Fleet(100)
            fleet.fail(fleet.names[:number])
            self.assertEqual(fleet.storm.on, on)

    def test_ten_percent_of_many_sessions_are_no_storm_and_more_are(self) -> None:
        for number, on in ((1000, False), (1001, True)):
            fleet = Fleet(10_000)
            for name in fleet.names[:number]:
                fleet.storm.failed(name, 0.0)
            self.assertEqual(fleet.storm.on, on)

    def test_one_session_failing_often_is_no_storm(self) -> None:
        fleet = Fleet(10)
        for _ in range(1000):
            fleet.storm.failed("s1", 0.0)
        self.assertFalse(fleet.storm.on)

    def test_failures_spread_over_time_are_no_storm(self) -> None:
        fleet = Fleet(100)
        for index in range(1000):
            fleet.now = index * 0.5
            fleet.storm.failed(fleet.names[index % 100], fleet.now)
        self.assertFalse(fleet.storm.on)

    def test_five_canaries_go_first(self) -> None:
        fleet = Fleet(10_000)
        fleet.round_takes = 5.0
        fleet.fail(fleet.names)
        fleet.until(4.9)
        self.assertEqual(len(fleet.grants), 5)
        self.assertIs(fleet.storm.snapshot().phase, StormPhase.CANARIES)
        self.assertTrue(fleet.of("canaries")[0][1]["probe"])

    def test_when_they_pass_all_are_released_over_n_by_rate(self) -> None:
        fleet = Fleet(10_000)
        fleet.fail(fleet.names)
        fleet.until(300.0)
        self.assertEqual(len(fleet.grants), 10_000)
        (released, fields), *more = fleet.of("release")
        self.assertEqual((more, fields["seconds"]), ([], 40.0))
        last = fleet.grants[-1][0]
        self.assertTrue(released + 38 <= last <= released + 45, last)
        per_second: dict[int, int] = {}
        for at, _ in fleet.grants:
            per_second[int(at)] = per_second.get(int(at), 0) + 1
        self.assertLessEqual(max(per_second.values()), 750)

    def test_release_takes_at_least_5_s_and_at_most_120(self) -> None:
        for number, rate, seconds in ((100, 250.0, 5.0), (10_000, 20.0, 120.0)):
            fleet = Fleet(number, settings=StormSettings(rate=rate))
            fleet.fail(fleet.names)
            fleet.until(2.0)
            self.assertEqual(fleet.of("release")[0][1]["seconds"], seconds)

    def test_when_all_fail_the_rest_is_held_5_10_20_40_60_60_s(self) -> None:
        fleet = Fleet(10_000)
        fleet.works = lambda now: False
        fleet.fail(fleet.names)
        fleet.until(250.0)
        holds = [fields["seconds"] for _, fields in fleet.of("hold")]
        self.assertEqual(holds[:6], [5, 10, 20, 40, 60, 60])
        self.assertEqual(len(fleet.of("on")), 1)
        self.assertEqual(len(fleet.grants), 5 * len(fleet.of("canaries")))
        canaries = {name for _, name in fleet.grants}
        self.assertEqual(len(canaries), len(fleet.grants), "other canaries each time")

    def test_after_a_long_outage_all_come_back_and_the_storm_ends(self) -> None:
        fleet = Fleet(10_000)
        fleet.works = lambda now: now > 100
        fleet.fail(fleet.names)
        fleet.until(400.0)
        self.assertEqual(len({name for _, name in fleet.grants}), 10_000)
        self.assertEqual(fleet.storm.snapshot().queued, 0)
        self.assertFalse(fleet.storm.on)
        self.assertEqual(len(fleet.of("off")), 1)
        self.assertLessEqual(len(fleet.notes), 20)
        self.assertGreaterEqual(fleet.of("off")[0][0] - fleet.of("release")[0][0], 60)

    def test_operators_peers_and_rebindings_pass_a_hold(self) -> None:
        fleet = Fleet(1000)
        fleet.works = lambda now: False
        fleet.fail(fleet.names[1:])
        fleet.until(2.0)
        self.assertIs(fleet.storm.snapshot().phase, StormPhase.HOLDING)
        before = len(fleet.grants)
        for cause in (Cause.OPERATOR, Cause.PEER, Cause.REBIND, Cause.NETWORK):
            fleet.want(cause.value, cause)
        fleet.turn()
        self.assertEqual([n for _, n in fleet.grants[before:]], ["operator", "peer", "rebind"])

    def test_canaries_without_a_result_are_failed_canaries(self) -> None:
        fleet = Fleet(1000)
        fleet.round_takes = 1e9
        fleet.fail(fleet.names)
        fleet.until(31.0)
        self.assertEqual(fleet.of("hold")[0][0], 30.0)

    def test_a_second_wave_during_the_release_sends_canaries_again(self) -> None:
        fleet = Fleet(1000)
        fleet.works = lambda now: now <= 1.5 or now > 60
        fleet.fail(fleet.names)
        fleet.until(20.0)
        self.assertEqual(len(fleet.of("release")), 1)
        self.assertGreaterEqual(len(fleet.of("canaries")), 2)
        self.assertGreaterEqual(len(fleet.of("hold")), 1)
        fleet.until(400.0)
        self.assertEqual((fleet.storm.on, fleet.storm.snapshot().queued), (False, 0))
        self.assertEqual(fleet.storm.storms, 1)

    def test_a_storm_whose_sessions_recover_by_themselves_ends(self) -> None:
        fleet = Fleet(1000)
        fleet.works = lambda now: False
        fleet.fail(fleet.names)
        fleet.until(3.0)
        for name in fleet.names:
            fleet.storm.withdraw(name)
        fleet.until(100.0)
        self.assertFalse(fleet.storm.on)
        self.assertIsNone(fleet.storm.next_deadline())

    def test_random_fleets_always_drain(self) -> None:
        for seed in range(10):
            draw = random.Random(seed)
            fleet = Fleet(draw.choice((20, 200, 2000)), seed)
            works_from = draw.uniform(0, 300)
            fleet.works = lambda now, at=works_from: now > at  # type: ignore[misc]
            fleet.round_takes = draw.uniform(0.1, 20)
            fleet.fail([name for name in fleet.names if draw.random() < 0.7])
            fleet.until(1500.0)
            snapshot = fleet.storm.snapshot()
            self.assertEqual(
                (snapshot.on, snapshot.queued, snapshot.pending), (False, 0, 0), f"seed {seed}"
            )
