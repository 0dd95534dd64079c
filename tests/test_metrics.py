"""The exposition of a whole daemon's numbers."""

from __future__ import annotations

import tempfile

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.world import World


class MetricsTests(TestCase):
    """What a scrape gets."""

    timeout = 30

    def test_rounds_and_sessions_are_counted(self) -> Deferred[None]:
        """started = succeeded + failed + superseded + abandoned + pending."""

        async def story() -> None:
            with tempfile.TemporaryDirectory() as directory:
                world = World(directory)
                self.addCleanup(lambda: Deferred.fromCoroutine(world.stop()))
                done = [watch.next("round.done") for watch in world.watch.values()]
                world.start()
                await gatherResults(done)
                text = world.daemons["alice"].supervisor.metrics()
            self.assertIn('refreeze_restarts_started_total{cause="initial"} 1.0', text)
            self.assertIn("refreeze_restarts_succeeded_total 1.0", text)
            self.assertIn("refreeze_rounds_pending 0.0", text)
            self.assertTrue(world.daemons["alice"].supervisor.totals().balanced())

        return Deferred.fromCoroutine(story())
