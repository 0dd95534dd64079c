"""One session with traffic, something that happens to its network, and what that cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from tests.lab.case import LabCase
from tests.lab.kinds import HostKind
from tests.lab.traffic import Flow
from tests.lab.world import LINK, Machine, World

LINE = "line"
"""The session's name."""
SETTLED = 0.5
"""Seconds after which what is under way has arrived."""


@frozen
class Cost:
    """Of one fault: to the direction that suffered more, but for the restarts."""

    silence: float
    """Seconds without data."""
    lost: int
    """Packets."""
    restarts: int
    """Rounds of both ends."""


@frozen
class Trip:
    """A session between alice and bob that carries packets both ways."""

    world: World
    alice: Machine
    bob: Machine
    flow: Flow

    @classmethod
    def begin(
        cls,
        world: World,
        alice: Machine,
        bob: Machine,
        **settings: Any,
    ) -> Trip:
        """Run everything; packets pass both ways when this returns."""
        world.session(LINE, alice, bob, **settings)
        world.start()
        for each in (alice, bob):
            each.daemon.wait_up(LINE, 30.0)
        flow = world.flow(LINE)
        flow.wait(10.0)
        return cls(world, alice, bob, flow)

    def suffer(self, fault: Callable[[], object], seconds: float) -> Cost:
        """Let *fault* happen; packets have to pass both ways again within *seconds* of its end."""
        rounds, began = self.rounds(), time.monotonic()
        fault()
        self.flow.wait(seconds)
        return self.cost(began, rounds)

    def rounds(self) -> int:
        """How many there were so far; both ends know of each."""
        return max(
            int(str(each.daemon.rounds(LINE)[-1]["round"])) for each in (self.alice, self.bob)
        )

    def cost(self, began: float, rounds: int) -> Cost:
        """Of what happened since."""
        time.sleep(SETTLED)
        ended = time.monotonic() - SETTLED
        ways = (self.flow.there, self.flow.back)
        return Cost(
            silence=max(way.gap(began) for way in ways),
            lost=max(len(way.lost(began, ended)) for way in ways),
            restarts=self.rounds() - rounds,
        )


class MobilityCase(LabCase):
    """Tests of one trip each, with 20 ms of delay one way."""

    def setUp(self) -> None:
        super().setUp()
        self.world = World(self.lab, delay=LINK)
        self.addCleanup(self.world.close)

    def trip(self, alice: HostKind, bob: HostKind, **settings: Any) -> Trip:
        """Between machines of these kinds."""
        return Trip.begin(
            self.world,
            self.world.machine("alice", alice),
            self.world.machine("bob", bob),
            **settings,
        )

    def check(self, cost: Cost, *, silence: float, restarts: range) -> None:
        """Not more than that."""
        self.assertLessEqual(cost.silence, silence, cost)
        self.assertIn(cost.restarts, restarts, cost)
