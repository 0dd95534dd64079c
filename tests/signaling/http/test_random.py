"""Random lives of a browser and a daemon: whatever happened, there is a path in the end."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.signaling.http.browser import Street

SEEDS = range(8)
STEPS = 15
SETTLED = 90.0
"""Seconds without a fault, at most, until both are connected again."""


class Story:
    """What may happen, by chance; every step is a method."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.street = Street(self.random.choice([None, None, "browser"]))
        self.done: list[str] = []

    def step(self) -> None:
        """One thing, and some time."""
        name = self.random.choice(
            ["restart", "operate", "both", "cut", "late", "reload", "leave", "hole", "nothing"]
        )
        self.done.append(name)
        getattr(self, name)()
        self.street.settle(self.random.choice([0.0, 0.1, 0.5, 2.0, 8.0]))

    def restart(self) -> None:
        """The browser does."""
        self.street.browser.restart()

    def operate(self) -> None:
        """The daemon does."""
        self.street.operate()

    def both(self) -> None:
        """Within a moment of each other."""
        self.street.operate()
        self.street.advance(self.random.choice([0.0, 0.001, 0.02, 0.1]))
        self.street.browser.restart()

    def cut(self) -> None:
        """The stream breaks off, and comes again when it is missed."""
        self.street.browser.cut()

    def late(self) -> None:
        """The browser stands still for a while."""
        self.street.operate()
        self.street.advance(self.random.uniform(0.0, 12.0))

    def reload(self) -> None:
        """The page is loaded again."""
        self.street.browser.reload(self.street.side())
        self.street.advance(self.random.uniform(0.0, 3.0))

    def leave(self) -> None:
        """It says good-bye, and comes again."""
        self.street.browser.client.ask("DELETE", self.street.browser.place)

    def hole(self) -> None:
        """No datagram gets through for some time."""
        hole = self.street.world.network.blackhole("192.0.2.2")
        self.street.settle(self.random.uniform(0.1, 40.0))
        hole.end()

    def nothing(self) -> None:
        """For once."""


class RandomTests(SynchronousTestCase):
    """Each seed is a story of its own."""

    def test_both_are_connected_in_the_end(self) -> None:
        for seed in SEEDS:
            story = Story(seed)
            street = story.street
            try:
                street.settle(3.0)
                for _ in range(STEPS):
                    story.step()
                until = street.world.reactor.seconds() + SETTLED
                while not street.agreed() and street.world.reactor.seconds() < until:
                    street.settle(1.0)
                self.assertTrue(street.agreed(), f"seed {seed}: {story.done}")
            finally:
                left = street.end()
            self.assertEqual(left, [], f"seed {seed}")
        self.assertEqual(self.flushLoggedErrors(), [])
