"""A daemon that stands still, and a hub that is away when it is needed."""

from __future__ import annotations

from tests.lab import faults
from tests.lab.case import MobilityCase
from tests.lab.mobility import LINE

STALL = 35.0
"""Seconds: longer than consent lasts (RFC 7675), so that the other end has stopped sending."""


class StallTests(MobilityCase):
    """Each once."""

    def test_a_daemon_that_stood_still_is_back_when_it_goes_on(self) -> None:
        """T37, without a suspend: what was silent while nobody listened proves nothing."""
        self.suffer(faults.stalled(STALL), range(5))

    def test_a_path_that_dies_while_the_hub_is_away_heals_when_it_is_back(self) -> None:
        self.suffer(faults.HUB_AND_PATH, range(1, 4))
        self.assertEqual(self.world.verdict(LINE), "direct")
