"""The promised times, with whole daemons and default timers in virtual time (performance.md)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import LinkSettings
from tests.simulation.scene import Scene, SceneEvent, Shape


class FigureTests(SynchronousTestCase):
    """40 ms from one side to the other and back, and twenty different seeds."""

    SEEDS = range(20)
    RTT = 0.04

    def scene(self, seed: int, rate: float) -> Scene:
        scene = Scene(seed, Shape(link=LinkSettings(delay=self.RTT / 2), rate=rate or 1.0))
        scene.flow(10.0)
        if not rate:
            scene.program.pause()
        scene.advance(10.0 + seed * 0.37)
        return scene

    def dead(self, scene: Scene) -> float:
        route = scene.route("alice")
        scene.world.network.blackhole(route.base, route.remote_address)
        return scene.now

    def became(self, scene: Scene, state: str, since: float) -> float:
        """When the first side said so, seconds after *since*; its restart saves the other."""
        told = [e for name in ("alice", "bob") for e in scene.of(name, "session.state", since)]
        return min(event.at for event in told if event.fields["to"] == state) - since

    def test_under_traffic_a_dead_path_fails_within_7_5_s_and_data_flows_within_10(self) -> None:
        for seed in self.SEEDS:
            scene = self.scene(seed, rate=50.0)
            began = self.dead(scene)
            scene.advance(1.0)
            flowing = 1.0 + scene.flow(20.0)
            self.assertLessEqual(self.became(scene, "disconnected", began), 3.0, f"seed {seed}")
            self.assertLessEqual(self.became(scene, "failed", began), 7.5, f"seed {seed}")
            self.assertLessEqual(flowing, 10.0, f"seed {seed}")
            self.assertEqual(scene.end(), [])

    def test_idle_it_is_noticed_in_7_and_failed_in_9_5_s(self) -> None:
        for seed in self.SEEDS:
            scene = self.scene(seed, rate=0.0)
            began = self.dead(scene)
            scene.advance(12.0)
            self.assertLessEqual(self.became(scene, "disconnected", began), 7.0, f"seed {seed}")
            self.assertLessEqual(self.became(scene, "failed", began), 9.5, f"seed {seed}")
            self.assertEqual(scene.end(), [])

    def test_a_restart_of_a_live_pair_loses_nothing_and_takes_two_round_trips(self) -> None:
        """From the answer to the nominated pair: 2 RTT + 5 ms; a packet every millisecond."""
        for seed in range(3):
            scene = self.scene(seed, rate=10.0)
            scene.program.rate = 1000.0
            scene.program.resume()
            scene.advance(0.5)
            began, first = scene.now, scene.program.sent
            scene.running["alice"].supervisor.restart("demo", reason="", force=False)
            scene.advance(4.0)
            took = self.first(scene, "session.pair", began).at - began
            self.assertLessEqual(took, 2 * self.RTT + 0.005, f"seed {seed}")
            scene.program.pause()
            scene.advance(1.0)
            self.assertEqual(scene.program.missing(first), [], f"seed {seed}")
            self.assertEqual((scene.program.duplicates, scene.program.reordered), (0, 0))
            self.assertEqual(scene.end(), [])

    def first(self, scene: Scene, topic: str, since: float) -> SceneEvent:
        return scene.of("alice", topic, since)[0]

    def test_an_idle_hour_costs_about_one_check_in_five_seconds_and_side(self) -> None:
        scene = self.scene(1, rate=0.0)
        log = scene.world.network.log
        began, before = scene.now, log.sent
        scene.advance(3600.0)
        self.assertTrue(scene.connected())
        packets = log.sent - before  # of each side a check and an answer
        self.assertLess(abs(packets / 4 * 5.0 / (scene.now - began) - 1.0), 0.1)
        self.assertEqual(scene.end(), [])
