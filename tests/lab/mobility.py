"""One session with traffic, something that happens to its network, and what that cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from tests.lab.traffic import Flow
from tests.lab.world import Machine, World

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
    """Rounds."""


@frozen
class Trip:
    """A session between alice and bob that carries packets both ways."""

    world: World
    alice: Machine
    bob: Machine
    flow: Flow

    @classmethod
    def begin(cls, world: World, alice: Machine, bob: Machine, **settings: Any) -> Trip:
        """Run everything, the session with *settings*; packets pass both ways on return."""
        world.session(LINE, alice, bob, **settings)
        world.start()
        for each in (alice, bob):
            each.daemon.wait_up(LINE, 30.0)
            each.daemon.wait_settled(LINE)
        flow = world.flow(LINE)
        flow.wait(10.0)
        return cls(world, alice, bob, flow)

    def suffer(
        self, fault: Callable[[], object], seconds: float, *, counted_after: bool = False
    ) -> Cost:
        """Let *fault* happen; packets have to pass both ways again within *seconds* of its end.

        *counted_after*: nothing can pass before that, so the silence is counted from there.
        """
        rounds, began = self.rounds(), time.monotonic()
        fault()
        waited = self.flow.wait(seconds)
        cost = self.cost(began, rounds)
        return Cost(waited, cost.lost, cost.restarts) if counted_after else cost

    def rounds(self) -> int:
        """How many there were so far; who has seen more of them knows."""
        ends = (self.alice.daemon, self.bob.daemon)
        return max(int(str(each.rounds(LINE)[-1]["round"])) for each in ends)

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

    def used(self) -> str:
        """Alice's address that carries the data."""
        return str(self.alice.daemon.pair(LINE)["local"]).rpartition(":")[0]
