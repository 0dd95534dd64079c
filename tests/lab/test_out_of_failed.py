"""Every real peer beside the others: nothing passes until all are `failed`; then we restart.

In one test, because each takes up to half a minute to give up.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from tests.interop.matrix import cell
from tests.interop.peers import missing
from tests.lab import chromium, firefox, nice
from tests.lab.carried import Carried
from tests.lab.case import LabCase
from tests.lab.daemons import Daemon, start_all
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent
from tests.lab.protected_peer import Peer
from tests.lab.segment import Segment
from tests.lab.unrestartable import GAP

UNRESTARTABLE = (AIORTC.name, LIBDATACHANNEL.name)
GIVEN_UP = ("failed", "closed")
"""libdatachannel has the latter."""
PATIENCE = 60.0
"""Seconds until the last of them has."""


@frozen(eq=False)
class End:
    """One of them, and its session."""

    party: str
    peer: Peer
    carried: Carried
    gap: str

    @property
    def association(self) -> int | None:
        """The one that there is at last: a restart keeps it, another connection has another."""
        if self.party == "libnice":
            return None
        return 2 if self.gap else 1

    def given_up(self) -> bool:
        """As it says."""
        return self.peer.connection in GIVEN_UP


def peers() -> dict[str, tuple[str | None, Any]]:
    """By their names in the matrix: what is missing, and how it is made in a machine."""
    stacks = {
        stack.name: (stack.lacking(), lambda machine, stack=stack: Agent(machine, stack))
        for stack in (AIORTC, LIBDATACHANNEL, PION)
    }
    return {
        "chromium": (chromium.lacking(), chromium.Chromium),
        "firefox": (firefox.lacking(), firefox.Firefox),
        "libnice": (nice.lacking(), nice.NiceAgent),
        **stacks,
    }


class OutOfFailedTests(LabCase):
    """The daemon is cut off, and holds; with the network back, it is released."""

    def setUp(self) -> None:
        for what, _ in peers().values():
            if what is not None:
                missing(what)
        super().setUp()
        self.segment = Segment(self.lab, shimmed=True)
        self.daemon = Daemon(self.lab, self.segment.public("alice", 20), "alice", {})
        start_all(self.daemon)
        made = enumerate(peers().items(), 21)
        self.ends = [
            self.begin(party, make(self.segment.public(party, number)))
            for number, (party, (_, make)) in made
        ]

    def begin(self, party: str, peer: Peer) -> End:
        """With a session to it, connected on both sides."""
        peer.start()
        self.addCleanup(peer.close)
        carried = Carried(self.daemon, party, peer, session=party)
        carried.open(offerer="alice", protect="none" if party == "libnice" else "dtls")
        self.addCleanup(carried.close)
        carried.until_round(1)
        return End(party, peer, carried, GAP if party in UNRESTARTABLE else "")

    def test_a_restart_brings_each_back_or_another_connection_does(self) -> None:
        for end in self.ends:
            self.daemon.ask(f"hold {end.party}")
        self.segment.wires.change("alice", up=False)
        for end in self.ends:
            end.carried.until(end.given_up, f"the end of {end.party}", PATIENCE)
            self.assertEqual(self.daemon.state(end.party), "failed")
        self.segment.wires.change("alice", up=True)
        for end in self.ends:
            with cell(end.party, end.peer.version, "out-of-failed", gap=end.gap):
                self.bring_back(end)

    def bring_back(self, end: End) -> None:
        """Our watchdog restarts; who cannot has another connection, which offers."""
        rounds = len(self.daemon.rounds(end.party))
        if end.gap:
            end.peer.begin_again()
            end.carried.begin_again()
            end.carried.offer()
        else:
            self.daemon.ask(f"release {end.party}")
        end.carried.until_round(rounds + 1)
        self.daemon.wait_up(end.party)
        (protect,) = self.daemon.show(end.party, "protect")
        self.assertEqual(protect.get("association"), end.association)
        end.carried.until(lambda: not end.given_up(), f"the path of {end.party}")
