"""A hub that dies with envelopes on their way: nothing that was accepted is lost for good.

The hub keeps nothing that outlives it, on purpose; it is the living sender that sends again. So
whatever had been accepted when the hub died arrives another time, and the very round that it
belongs to ends as it would have.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.scene import SESSION, Scene

DELAY = 0.05
"""Seconds on the way to the hub, and from it: an offer and its answer take four times that."""


class HubRestartTests(SynchronousTestCase):
    """The hub is killed at one moment of an exchange, and another one is started."""

    def restart_with_the_hub_killed_at(self, moment: float, away: float = 0.2) -> None:
        """*moment*: seconds after the offer was sent. Seeds decide who comes back first."""
        for seed in range(1, 7):
            self.play(seed, moment, away)

    def play(self, seed: int, moment: float, away: float) -> None:
        """One of them."""
        scene = Scene(seed)
        scene.connect()
        scene.world.reactor.streams.delay = DELAY
        scene.advance(20.0)
        began = scene.now
        scene.running["alice"].supervisor.restart(SESSION, reason="", force=True)
        scene.advance(moment)
        scene.kill("hub")
        scene.advance(away)
        scene.start("hub")
        scene.advance(30.0)
        done = [
            (e.fields["round"], e.fields["outcome"]) for e in scene.of("alice", "round.done", began)
        ]
        self.assertEqual(done, [(2, "succeeded")], (seed, moment, away))
        self.assertEqual(len(scene.of("alice", "round.start", began)), 1)
        scene.flow(5.0)
        self.assertEqual(scene.end(), [])

    def test_an_offer_that_was_on_its_way_to_the_hub(self) -> None:
        self.restart_with_the_hub_killed_at(0.5 * DELAY)

    def test_an_offer_that_was_on_its_way_from_the_hub(self) -> None:
        self.restart_with_the_hub_killed_at(1.5 * DELAY)

    def test_an_answer_that_was_on_its_way_to_the_hub(self) -> None:
        self.restart_with_the_hub_killed_at(2.5 * DELAY)

    def test_an_answer_that_was_on_its_way_from_the_hub(self) -> None:
        self.restart_with_the_hub_killed_at(3.5 * DELAY)

    def test_a_hub_that_is_away_for_some_seconds(self) -> None:
        for moment in (0.5 * DELAY, 2.5 * DELAY):
            self.restart_with_the_hub_killed_at(moment, away=4.0)
