"""The TURN server under a session: killed, started again, with other accounts."""

from __future__ import annotations

import time

from tests.lab.commands import until
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, MobilityCase
from tests.lab.world import USER

BACK = 10.0
"""Seconds until data passes after the server is back that are promised at most."""
AWAY = 3.0


class TurnFaultTests(MobilityCase):
    """Between two symmetric NATs, where nothing but a relay works."""

    def setUp(self) -> None:
        super().setUp()
        self.line = self.trip(HostKind.SYMMETRIC, HostKind.SYMMETRIC)
        self.assertEqual(self.world.verdict(LINE), "relay")

    def returns(self, *, silently: bool) -> None:
        began = time.monotonic()
        self.world.turn.kill(silently=silently)
        time.sleep(AWAY)
        self.assertFalse(self.line.flow.flows(began))
        self.world.turn.start()
        self.line.flow.wait(BACK)
        self.assertNotEqual(self.world.turn.allocations(), set())

    def test_a_killed_server_that_is_back_carries_the_session_again(self) -> None:
        """T33: allocations are made again without help from outside."""
        self.returns(silently=False)

    def test_a_server_that_fell_silent_is_found_again(self) -> None:
        """T33, when no ICMP and no end of a connection tells that it is away."""
        self.returns(silently=True)

    def test_rotated_credentials_move_the_session_and_lose_nothing(self) -> None:
        """T30: new allocations beside the old ones, a restart over, the old ones released."""
        before, began, rounds = self.world.turn.allocations(), time.monotonic(), self.line.rounds()
        self.world.turn.add_user("rotated", "another password")
        self.world.turn.remove_user(USER)
        rotated = {"username": "rotated", "credential": "another password"}
        for each in self.world.daemons:
            each.rewrite({"servers": {"lab": rotated}})
            each.ask("reload")
        until(lambda: not before & self.world.turn.allocations(), "the end of the old ones", 30.0)
        cost = self.line.cost(began, rounds)
        self.assertEqual(cost.lost, 0, cost)
        self.assertEqual(self.world.verdict(LINE), "relay")
        self.assertEqual(self.world.turn.users(), {"rotated"})
