"""A thousand restarts of one session, behind NATs and with allocations: nothing is left open."""

from __future__ import annotations

import time

from tests.lab.case import LabCase
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, Trip
from tests.lab.world import World

RESTARTS = 1000
WARM = 20
"""Restarts after which everything that stays open is open."""
DRAINED = 4.0
"""Seconds: a generation that was replaced is gone."""

_AT_ONCE = {"watchdog": {"operator_interval": 0.001}}


class DescriptorTests(LabCase):
    """No shim: each restart takes as long as it must."""

    def test_a_thousand_restarts_leave_no_descriptor_and_no_allocation(self) -> None:
        world = World(self.lab)
        self.addCleanup(world.close)
        trip = Trip.begin(
            world,
            world.machine("alice", HostKind.PORT_RESTRICTED, _AT_ONCE),
            world.machine("bob", HostKind.PORT_RESTRICTED),
        )
        self.restart(trip, WARM)
        before = self.open(trip)
        began = time.monotonic()
        self.restart(trip, RESTARTS - WARM)
        self.assertEqual(self.open(trip), before)
        self.assertEqual(trip.cost(began, 0).lost, 0)

    def restart(self, trip: Trip, count: int) -> None:
        """Again and again."""
        for _ in range(count):
            trip.alice.daemon.ask(f"restart {LINE} wait=10", 15.0)

    def open(self, trip: Trip) -> tuple[int, int, int]:
        """Descriptors of both daemons, and allocations on the server."""
        time.sleep(DRAINED)
        return (
            trip.alice.daemon.descriptors(),
            trip.bob.daemon.descriptors(),
            len(trip.world.turn.allocations()),
        )
