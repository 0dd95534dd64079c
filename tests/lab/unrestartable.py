"""Stacks that cannot restart ICE: what happens then, and what an application does about it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from tests.lab.carried import SESSION
from tests.lab.protected_peer import ProtectedPeer

GAP = "cannot; another connection of its application takes the old one's place"


class Unrestartable(ProtectedPeer):
    """The path goes on; whoever wants another one needs another connection."""

    at_once_gap = GAP

    @abstractmethod
    def check_refusal(self) -> None:
        """What our restart offer comes to, in round 2."""

    def restart_each(self) -> None:
        """Ours comes to nothing; then its application begins again, and offers."""
        with self.cell("we-restart", gap=GAP):
            self.carried.refusals = []
            self.daemon.ask(f"restart {SESSION}")
            self.check_refusal()
            self.check_connected()
        with self.cell("they-restart", gap=GAP):
            self.check_repeats(3)
            self.begin_again()
            self.carried.offer()
            self.carried.until_round(4)
            self.check_connected(2)

    def check_repeats(self, number: int) -> None:
        """Its next offer has the old credentials: that is no restart (rule 18)."""
        case: Any = self
        self.carried.offer(restart=True)
        self.carried.until_round(number, "abandoned")
        case.assertEqual(self.daemon.rounds(SESSION)[number - 1]["why"], "no-restart")
        self.check_connected()

    def ours_stands(self) -> None:
        """It has nothing to restart."""

    def theirs_stands(self) -> None:
        """It has nothing to restart."""

    def restart_bundled(self) -> None:
        """It cannot."""
