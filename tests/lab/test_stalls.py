"""A daemon that stands still, and a hub that is away when it is needed."""

from __future__ import annotations

import time

from tests.lab.kinds import HostKind
from tests.lab.mobility import MobilityCase
from tests.lab.test_rebinding import NEW_PORTS

STALL = 35.0
"""Seconds: longer than consent lasts (RFC 7675), so that the other end has stopped sending."""
THAWED = 8.0
"""Seconds until data passes again that are promised at most."""
AWAY = 12.0
"""Seconds: longer than a path takes to be called failed."""


class StallTests(MobilityCase):
    """Each once."""

    def test_a_daemon_that_stood_still_is_back_when_it_goes_on(self) -> None:
        """T37, without a suspend: what was silent while nobody listened proves nothing."""
        trip = self.trip(HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED)
        trip.alice.daemon.freeze()
        time.sleep(STALL)
        trip.alice.daemon.thaw()
        trip.flow.wait(THAWED)

    def test_a_path_that_dies_while_the_hub_is_away_heals_when_it_is_back(self) -> None:
        trip = self.trip(HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED)
        self.world.hub.kill()
        began = time.monotonic()
        trip.alice.nat().new_port_range(NEW_PORTS)
        time.sleep(AWAY)
        self.assertFalse(trip.flow.flows(began))
        self.world.hub.start()
        self.world.hub.ready()
        trip.flow.wait(20.0)
