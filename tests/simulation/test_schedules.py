"""Random faults: whatever happens, the session comes back, and everything adds up."""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.schedule import judge

FIRST = 1


class RandomScheduleTests(SynchronousTestCase):
    """``REFREEZE_SCHEDULES`` says how many, ``REFREEZE_SEED`` which one alone."""

    def test_after_any_faults_the_session_connects_again_and_nothing_is_lost(self) -> None:
        alone = os.environ.get("REFREEZE_SEED")
        if alone is not None:
            seeds = range(int(alone), int(alone) + 1)
        else:
            seeds = range(FIRST, FIRST + int(os.environ.get("REFREEZE_SCHEDULES", "200")))
        print(f"seeds {seeds.start} to {seeds.stop - 1}", file=sys.stderr)
        for seed in seeds:
            judge(self, seed)
