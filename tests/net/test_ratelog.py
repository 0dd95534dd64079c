"""Logs that cannot be filled from outside."""

from __future__ import annotations

from twisted.logger import Logger, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.ratelog import RateLimitedLog


class RateLimitedLogTests(SynchronousTestCase):
    """So many an interval, then a count."""

    def setUp(self) -> None:
        self.time = 0.0
        self.log = RateLimitedLog(Logger(), limit=2, interval=10.0, now=lambda: self.time)

    def test_the_first_ones_pass_and_the_rest_are_counted_in_the_next_interval(self) -> None:
        with capturedLogs() as logs:
            for _ in range(10):
                self.log.warn("{what}", what="bad")
            self.time = 10.0
            self.log.warn("{what}", what="worse")
        said = [log.get("what", log.get("suppressed")) for log in logs]
        self.assertEqual(said, ["bad", "bad", 8, "worse"])
        self.assertEqual(self.log.suppressed, 0)

    def test_failures_carry_the_exception(self) -> None:
        try:
            raise RuntimeError("why")
        except RuntimeError:
            self.log.failure("it failed")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
