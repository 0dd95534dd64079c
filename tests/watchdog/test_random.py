"""Random schedules of faults in virtual time: never unbalanced, never stuck, always back."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import PolicySettings, WatchState

from .driving import Driver
from .scenarios import INPUTS
from .world import World

SEEDS = range(60)
RESTING = {WatchState.IDLE, WatchState.WATCHING, WatchState.SUSPECT, WatchState.CLOSED}


def longest_wait(settings: PolicySettings) -> float:
    """30 s and one maximal probe interval."""
    return 30 + settings.probe_max * (1 + settings.probe_jitter)


class RandomInputsTests(SynchronousTestCase):
    """One policy and any input at any time."""

    def test_counters_balance_and_no_state_is_without_a_way_on(self) -> None:
        for seed in SEEDS:
            draw = random.Random(seed)
            driver = Driver(offerer=seed % 2 == 0, seed=seed)
            driver.starts, driver.ends = draw.random() < 0.9, draw.random() < 0.9
            names = [name for name in INPUTS if name not in ("close", "ice closed")]
            driver.policy.opened(driver.now)
            for _ in range(300):
                INPUTS[draw.choice(names)](driver)
                driver.drain()
                driver.wait(draw.choice((0.0, 0.01, 1.0, 30.0)) * draw.random())
                snapshot = driver.policy.snapshot()
                stuck = (
                    driver.policy.next_deadline() is None
                    and snapshot.state not in RESTING
                    and snapshot.held_reason is None
                )
                self.assertFalse(stuck, f"seed {seed}: {snapshot}")
                self.assertIn(driver.policy.counters.pending, (0, 1), f"seed {seed}")
            driver.policy.close(driver.now)
            self.assertEqual(driver.policy.counters.pending, 0)
            self.assertTrue(driver.policy.counters.balanced(), f"seed {seed}")


class TwoSidesTests(SynchronousTestCase):
    """Two policies against each other; World checks the counters after every step."""

    def assertComesBack(self, world: World, seed: int) -> None:
        bound = longest_wait(world.settings)
        came_back = world.run(world.now + bound, world.connected)
        states = [side.policy and side.policy.snapshot() for side in world.sides]
        self.assertTrue(came_back, f"seed {seed}: {states}")

    def test_after_any_faults_the_session_comes_back(self) -> None:
        for seed in SEEDS:
            world = World(seed, presence=seed % 3 != 0)
            for side in world.sides:
                side.boot()
            for _ in range(world.random.randrange(5, 25)):
                world.run(world.now + world.random.choice((0.1, 3, 15, 60)) * world.random.random())
                world.fault()
            world.heal()
            self.assertComesBack(world, seed)

    def test_after_an_outage_of_the_path_alone_the_session_comes_back(self) -> None:
        for seed in SEEDS:
            world = World(seed, presence=seed % 3 != 0)
            world.signaling_loss = (0.0, 0.1, 0.3)[seed % 5 % 3]
            for side in world.sides:
                side.boot()
            world.run(100 * world.random.random())
            world.path = False
            world.run(world.now + world.random.choice((5, 20, 100, 1000)) * world.random.random())
            world.path = True
            self.assertComesBack(world, seed)

    def test_a_long_outage_costs_few_offers_lesson_2(self) -> None:
        """Two symmetric offerers would loop; one offerer and a breaker on each side do not."""
        for seed in range(3):
            world = World(seed)
            for side in world.sides:
                side.boot()
            world.run(90.0)
            world.path = False
            world.run(90.0 + 2 * 3600)
            offers = sum(s.policy.counters.offers_sent for s in world.sides if s.policy)
            self.assertLess(offers, 20, f"seed {seed}")

    def test_a_killed_side_comes_back_without_a_touch_on_the_other(self) -> None:
        for seed in range(10):
            for presence in (True, False):
                for killed in (0, 1):
                    world = World(seed, presence=presence)
                    for side in world.sides:
                        side.boot()
                    self.assertTrue(world.run(30.0, world.connected), f"seed {seed}")
                    world.run(world.now + 100)
                    world.sides[killed].crash()
                    world.run(world.now + 20)
                    world.sides[killed].boot()
                    for side in world.sides:
                        side.link_changed()
                    back = world.run(world.now + 30, world.connected)
                    self.assertTrue(back, f"seed {seed} presence {presence} killed {killed}")
