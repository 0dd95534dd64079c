"""The TURN server under a session: killed, started again, with other accounts."""

from __future__ import annotations

from tests.lab import faults
from tests.lab.case import MobilityCase
from tests.lab.mobility import LINE


class TurnFaultTests(MobilityCase):
    """Between two symmetric NATs, where nothing but a relay works."""

    def test_a_killed_server_that_is_back_carries_the_session_again(self) -> None:
        """T33: allocations are made again without help from outside."""
        self.suffer(faults.TURN_KILLED, range(1, 10))
        self.assertNotEqual(self.world.turn.allocations(), set())

    def test_a_server_that_fell_silent_is_found_again(self) -> None:
        """T33, when no ICMP and no end of a connection tells that it is away."""
        self.suffer(faults.TURN_SILENT, range(1, 10))
        self.assertNotEqual(self.world.turn.allocations(), set())

    def test_rotated_credentials_move_the_session_and_lose_nothing(self) -> None:
        """T30: new allocations beside the old ones, a restart over, the old ones released."""
        _, cost = self.suffer(faults.ROTATED, range(1, 3))
        self.assertEqual(cost.lost, 0, cost)
        self.assertEqual(self.world.verdict(LINE), "relay")
        self.assertEqual(self.world.turn.users(), {"rotated"})
