"""A machine with two uplinks loses one, or gets one, while its session runs."""

from __future__ import annotations

from tests.lab import faults
from tests.lab.case import MobilityCase
from tests.lab.faults import Fault
from tests.lab.mobility import LINE


class UplinkTests(MobilityCase):
    """From Wi-Fi to cellular, and back."""

    def moves(self, fault: Fault) -> None:
        """From alice's first address to her other."""
        trip, _ = self.suffer(fault, range(1, 3))
        self.assertTrue(trip.used().startswith("10."), trip.used())
        self.assertNotEqual(trip.used(), f"10.{trip.alice.number}.0.2")

    def test_an_address_that_is_taken_away_moves_the_session(self) -> None:
        self.moves(faults.ADDRESS_GONE)

    def test_a_link_that_goes_down_moves_the_session(self) -> None:
        """Its address stays where it was, and is not offered."""
        self.moves(faults.LINK_DOWN)

    def test_a_better_uplink_is_taken_by_the_next_restart_without_a_loss(self) -> None:
        """T17: out of the relay, which carries everything until then."""
        trip, cost = self.suffer(faults.BETTER_UPLINK, range(1, 4))
        self.assertEqual(cost.lost, 0)
        self.assertEqual(self.world.verdict(LINE), "direct")
        self.assertNotEqual(trip.used(), f"10.{trip.alice.number}.0.2")
