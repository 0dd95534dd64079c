"""Stacks that cannot restart ICE: what happens then, and what an application does about it."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from tests.lab.carried import SESSION
from tests.lab.protected_peer import Exchanges, Forms

GAP = "cannot; another connection of its application takes the old one's place"
AT_ONCE_GAP = "cannot; the old path goes on"


class Unrestartable(Exchanges, Forms):
    """The path goes on; whoever wants another one needs another connection."""

    at_once_gap = AT_ONCE_GAP

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
            self.carried.offer(restart=True)
            self.check_repeats(3)
            self.begin_again()
            self.carried.offer()
            self.carried.until_round(4)
            self.check_connected()
            self.check_told()

    def check_told(self) -> None:
        """Whoever watches has seen each association come, in its order."""
        case: Any = self
        control = self.daemon.connect()
        control.ask("watch session.dtls since=0")
        came: list[int] = []
        while self.association not in came:
            *_, fields = control.event(1.0).split(" ", 4)
            told = json.loads(fields)
            if told["state"] == "connected":
                came.append(told["association"])
        control.close()
        case.assertEqual(came, list(range(1, self.association + 1)))

    def check_repeats(self, number: int) -> None:
        """Its offer has the old credentials, and is no restart (rule 18): that is the round."""
        case: Any = self
        self.carried.until_round(number, "abandoned")
        case.assertEqual(self.daemon.rounds(SESSION)[number - 1]["why"], "no-restart")
        self.check_connected()

    def ours_stands(self) -> None:
        """It can neither take back its offer nor answer ours; then we answer its offer."""
        with self.cell("at-once", gap=self.at_once_gap):
            self.carried.refusals = refusals = list[str]()
            self.daemon.ask(f"restart {SESSION}")
            self.carried.offer(restart=True)
            self.carried.until(lambda: refusals, "its refusal")
            self.daemon.ask(f"cancel {SESSION}")
            self.carried.until_round(5, "abandoned")
            self.repeat_offer()
            self.check_repeats(6)

    def repeat_offer(self) -> None:
        """The one that nobody answered."""
        self.carried.offer_again()

    def theirs_stands(self) -> None:
        """We roll back, and answer an offer that restarts nothing."""
        with self.cell("at-once", gap=self.at_once_gap):
            self.daemon.ask(f"restart {SESSION}")
            self.carried.offer(restart=True)
            self.carried.until_round(5, "superseded")
            self.check_repeats(6)

    def restart_bundled(self) -> None:
        """It cannot."""
