"""A daemon that stands still, and a hub that is away when it is needed."""

from __future__ import annotations

from attrs import evolve

from tests.lab import faults
from tests.lab.case import MobilityCase

STALL = 35.0
"""Seconds: longer than consent lasts (RFC 7675), so that the other end has stopped sending."""
THAWED = 8.0
"""Seconds: 5 are promised, and a tenth more is what a restart for the peer's wish may take."""


class StallTests(MobilityCase):
    """Each once."""

    def test_a_daemon_that_stood_still_is_back_when_it_goes_on(self) -> None:
        """T37, without a suspend: what was silent while nobody listened proves nothing."""
        self.suffer(evolve(faults.stalled(STALL), target=THAWED), range(5))

    def test_a_path_that_dies_while_the_hub_is_away_heals_when_it_is_back(self) -> None:
        self.suffer(faults.HUB_AND_PATH, range(1, 4))
