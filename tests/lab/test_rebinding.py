"""A NAT forgets, changes or is replaced under a running session, and nobody touches anything."""

from __future__ import annotations

from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, MobilityCase
from tests.lab.nat import PortRange

NEW_PORTS = PortRange(20000, 20999)
HALF_OPEN = 10.0
"""Seconds without data that are promised at most, when only one end can notice."""


class RebindingTests(MobilityCase):
    """Each once."""

    def test_a_flush_that_changes_no_mapping_is_not_even_a_gap(self) -> None:
        trip = self.trip(HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED)
        cost = trip.suffer(trip.alice.nat().flush, 5.0)
        self.check(cost, silence=1.0, restarts=range(1))

    def test_a_symmetric_mapping_that_is_forgotten_is_half_open_and_heals(self) -> None:
        """Alice's packets arrive from another port at once; bob's arrive nowhere."""
        trip = self.trip(HostKind.SYMMETRIC, HostKind.FULL_CONE)
        self.assertEqual(self.world.verdict(LINE), "direct")
        cost = trip.suffer(trip.alice.nat().flush, 15.0)
        self.check(cost, silence=HALF_OPEN, restarts=range(1, 4))

    def test_another_range_of_ports_closes_both_ways_and_heals(self) -> None:
        trip = self.trip(HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED)
        cost = trip.suffer(lambda: trip.alice.nat().new_port_range(NEW_PORTS), 20.0)
        self.check(cost, silence=HALF_OPEN, restarts=range(1, 4))

    def test_a_router_that_is_replaced_brings_another_public_address(self) -> None:
        trip = self.trip(HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED)
        cost = trip.suffer(lambda: self.world.replace_router(trip.alice), 20.0)
        self.check(cost, silence=HALF_OPEN, restarts=range(1, 4))
