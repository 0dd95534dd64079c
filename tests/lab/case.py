"""The tests' own side of the lab."""

from __future__ import annotations

import sys
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.peers import missing
from tests.lab.commands import lacking
from tests.lab.faults import Fault
from tests.lab.mobility import Cost, Trip
from tests.lab.namespaces import Lab
from tests.lab.world import LINK, World

_TAIL = 15
"""Lines of each log that are shown."""


class LabCase(SynchronousTestCase):
    """Every test has a lab of its own; when it fails, the ends of its logs are shown."""

    lab: Lab

    def setUp(self) -> None:
        what = lacking()
        if what is not None:
            missing(what)
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        method = getattr(self, self._testMethodName)
        setattr(self, self._testMethodName, lambda: self._told(method))

    def _told(self, method: Callable[[], None]) -> None:
        try:
            method()
        except Exception:
            sys.stderr.write(logs(self.lab))
            raise


class MobilityCase(LabCase):
    """Tests of one session each, with 20 ms of delay one way."""

    def setUp(self) -> None:
        super().setUp()
        self.world = World(self.lab, delay=LINK)
        self.addCleanup(self.world.close)

    def suffer(self, fault: Fault, restarts: range) -> tuple[Trip, Cost]:
        """Let it happen; its target is met, with a number of restarts in that range."""
        trip = fault.begin(self.world)
        cost = fault.happen(trip)
        self.assertLessEqual(cost.silence, fault.target, cost)
        self.assertIn(cost.restarts, restarts, cost)
        return trip, cost


def logs(lab: Lab) -> str:
    """The end of everything that the lab's programs have said."""
    parts = []
    for path in sorted(lab.directory.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-_TAIL:]
        parts += [f"\n--- {path.name}", *lines]
    return "\n".join(parts) + "\n"
