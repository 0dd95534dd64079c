"""A machine with two uplinks loses one, or gets one, while its session runs."""

from __future__ import annotations

import time

from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, MobilityCase, Trip
from tests.lab.nat import NatKind
from tests.lab.world import Uplink

REMOVED = 2.0
"""Seconds without data that are promised at most."""
FIRST, SECOND = 100, 200
"""Metrics: of the uplink that is used, and of the one that is there."""


class UplinkTests(MobilityCase):
    """From Wi-Fi to cellular, and back."""

    def between_two(self) -> tuple[Trip, Uplink]:
        """Alice uses her first uplink, and the second is a cellular one; no rule by source."""
        alice = self.world.machine("alice", HostKind.PORT_RESTRICTED)
        second = self.world.uplink(alice, NatKind.SYMMETRIC, metric=SECOND)
        bob = self.world.machine("bob", HostKind.FULL_CONE)
        return Trip.begin(self.world, alice, bob), second

    def used(self, trip: Trip) -> str:
        """Alice's address that carries the data."""
        return str(trip.alice.daemon.pair(LINE)["local"]).rpartition(":")[0]

    def test_an_address_that_is_taken_away_moves_the_session(self) -> None:
        trip, second = self.between_two()
        number = trip.alice.number
        gone = f"addr del 10.{number}.0.2/24 dev lan{number}"
        cost = trip.suffer(lambda: trip.alice.namespace.ip(gone), 20.0)
        self.check(cost, silence=REMOVED, restarts=range(1, 3))
        self.assertEqual(self.used(trip), second.address)

    def test_a_link_that_goes_down_moves_the_session(self) -> None:
        """Its address stays where it was, and is not offered."""
        trip, second = self.between_two()
        down = f"link set lan{trip.alice.number} down"
        cost = trip.suffer(lambda: trip.alice.namespace.ip(down), 20.0)
        self.check(cost, silence=REMOVED, restarts=range(1, 3))
        self.assertEqual(self.used(trip), second.address)

    def test_a_better_uplink_is_taken_by_the_next_restart_without_a_loss(self) -> None:
        """T17: out of the relay, which carries everything until then."""
        trip = self.trip(HostKind.SYMMETRIC, HostKind.PORT_RESTRICTED)
        self.assertEqual(self.world.verdict(LINE), "relay")
        self.world.segment.route_by_source(trip.alice.namespace, trip.alice.number)
        began, rounds = time.monotonic(), trip.rounds()
        better = self.world.uplink(trip.alice, NatKind.FULL_CONE, metric=50)
        self.world.segment.route_by_source(trip.alice.namespace, better.number)
        trip.alice.daemon.wait(
            lambda: better.address in str(trip.alice.daemon.ask("doctor", 15.0)), "its address"
        )
        trip.alice.daemon.ask(f"restart {LINE} wait=10 force", 15.0)
        cost = trip.cost(began, rounds)
        self.check(cost, silence=0.5, restarts=range(1, 4))
        self.assertEqual(cost.lost, 0)
        self.assertEqual((self.world.verdict(LINE), self.used(trip)), ("direct", better.address))
