"""A NAT forgets, changes or is replaced under a running session, and nobody touches anything."""

from __future__ import annotations

from tests.lab import faults
from tests.lab.case import MobilityCase
from tests.lab.mobility import LINE


class RebindingTests(MobilityCase):
    """Each once."""

    def test_a_flush_that_changes_no_mapping_is_not_even_a_gap(self) -> None:
        self.suffer(faults.FLUSHED, range(1))

    def test_a_symmetric_mapping_that_is_forgotten_is_half_open_and_heals(self) -> None:
        """Alice's packets arrive from another port at once; bob's arrive nowhere."""
        self.suffer(faults.HALF_OPEN, range(1, 4))
        self.assertEqual(self.world.verdict(LINE), "direct")

    def test_other_ports_close_both_ways_and_it_heals(self) -> None:
        self.suffer(faults.OTHER_PORTS, range(1, 4))
        self.assertEqual(self.world.verdict(LINE), "direct")

    def test_a_router_that_is_replaced_brings_another_public_address(self) -> None:
        self.suffer(faults.REPLACED, range(1, 4))
        self.assertEqual(self.world.verdict(LINE), "direct")
