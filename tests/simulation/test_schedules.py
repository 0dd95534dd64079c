"""Random faults: whatever happens, the session comes back, and everything adds up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.networks import random_network
from tests.simulation.schedule import Schedule, judge, random_schedule

FIRST = 1


class RandomScheduleTests(SynchronousTestCase):
    """``REFREEZE_SCHEDULES`` says how many, ``REFREEZE_SEED`` which one alone."""

    def play(self, schedule: Callable[[int], Schedule], count: int) -> None:
        alone = os.environ.get("REFREEZE_SEED")
        if alone is not None:
            seeds = range(int(alone), int(alone) + 1)
        else:
            seeds = range(FIRST, FIRST + int(os.environ.get("REFREEZE_SCHEDULES", count)))
        print(f"seeds {seeds.start} to {seeds.stop - 1}", file=sys.stderr)
        for seed in seeds:
            judge(self, schedule(seed))

    def test_after_any_faults_the_session_connects_again_and_nothing_is_lost(self) -> None:
        self.play(random_schedule, 200)

    def test_whatever_nats_and_servers_do_the_session_connects_again(self) -> None:
        """NATs of all kinds on both sides, rebinding, moving hosts, TURN loss, dead servers."""
        self.play(random_network, 100)
