"""Every kind of network with every kind: directly where a path exists, else by the relay."""

from __future__ import annotations

import time

from tests.lab.capture import Capture
from tests.lab.case import LabCase
from tests.lab.commands import looks, until
from tests.lab.kinds import PAIRINGS, HostKind, is_direct
from tests.lab.traffic import Flow
from tests.lab.world import World

PATIENCE = 60.0
"""Seconds that all pairings together may take, on a machine that has other things to do."""


class MatrixTests(LabCase):
    """All of them at once: a machine a kind, and a second one for the pairing with itself."""

    maxDiff = None

    def setUp(self) -> None:
        super().setUp()
        self.world = World(self.lab)
        self.addCleanup(self.world.close)
        machines = {
            (kind, copy): self.world.machine(f"{kind.value}-{copy}", kind)
            for kind in HostKind
            for copy in (1, 2)
        }
        self.sessions = {}
        for one, two in PAIRINGS:
            name = f"{one.value}+{two.value}"
            self.sessions[name] = (one, two)
            self.world.session(name, machines[one, 1], machines[two, 2 if one is two else 1])

    def connected(self) -> set[str]:
        """The sessions that have a path, as both ends say."""
        for _ in looks(PATIENCE):
            up = self.world.connected()
            if len(up) == len(self.sessions):
                break
        return up

    def carrying(self, flows: dict[str, Flow]) -> set[str]:
        """Those through which packets arrive at both ends."""
        began = time.monotonic()
        for _ in looks(5.0):
            there = {name for name, flow in flows.items() if flow.flows(began)}
            if len(there) == len(flows):
                break
        return there

    def test_every_pairing_connects_as_it_should_and_close_leaves_no_allocation(self) -> None:
        """T29 and T34 for the end: a closed session ends its allocations on the server.

        And whatever passes coturn meanwhile is STUN, TURN and ChannelData as tshark knows them.
        """
        capture = Capture(self.world.turn.namespace, "eth0")
        capture.start()
        self.world.start()
        up = self.connected()
        carrying = self.carrying({name: self.world.flow(name, rate=5.0) for name in up})
        seen = {
            name: "no path"
            if name not in up
            else "no data"
            if name not in carrying
            else self.world.verdict(name)
            for name in self.sessions
        }
        wrong = {
            name: seen[name]
            for name, kinds in self.sessions.items()
            if seen[name] != ("direct" if is_direct(*kinds) else "relay")
        }
        self.assertEqual(wrong, {})
        capture.stop()
        self.assertEqual(capture.malformed(), [])
        for what in ("stun.type == 0x0001", "stun.type == 0x0003", "stun.channel"):
            self.assertGreater(capture.count(what), len(HostKind), what)
        self.assertNotEqual(self.world.turn.allocations(), set())
        for name in self.sessions:
            self.world.close_session(name)
        until(lambda: not self.world.turn.allocations(), "the end of all allocations")
