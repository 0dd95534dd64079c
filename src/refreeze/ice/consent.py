"""Keeping the pair that carries data: consent (RFC 7675), liveness, and what follows from them.

The pair is the best valid one until there is a nominated one. Before the nomination a pair that
dies just leaves the valid list and another takes its place; after it, the agent is disconnected
and in the end fails. Data goes out on the pair as long as its consent lasts, also after
``failed``: should it come back, nothing was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from refreeze.basics import Address
from refreeze.ice.events import ConsentLost, Recovered
from refreeze.ice.liveness import Liveness, Verdict
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceState, PairState

if TYPE_CHECKING:
    from refreeze.ice.agent import Agent


@define(eq=False)
class Keeper:
    """I keep one pair of one agent; ``pair`` is None when there is none that data may use."""

    agent: Agent
    pair: Pair | None = None
    liveness: Liveness | None = None

    @property
    def healthy(self) -> bool:
        """The pair is not suspected of anything."""
        return self.liveness is not None and not self.liveness.probing

    def watch(self, pair: Pair, now: float) -> None:
        """*pair* carries data from now on; its consent counts from its last answered check."""
        if pair is not self.pair:
            self.pair = pair
            answered = now if pair.answered_at is None else pair.answered_at
            self.liveness = Liveness(self.agent.settings, self.agent.random, answered)
            if pair.last_received is not None:
                self.liveness.heard(pair.last_received)

    def release(self) -> None:
        """Keep nothing any more."""
        self.pair = self.liveness = None

    def pair_valid(self, pair: Pair, now: float) -> None:
        """A pair became valid: before the nomination the best one is kept."""
        if self.agent.selected is None and (
            self.pair is None or pair.priority > self.pair.priority
        ):
            self.watch(pair, now)

    def pair_failed(self, pair: Pair, now: float) -> None:
        """A pair that was not nominated failed: take the next valid one.

        Those that were valid so long ago that their consent is over must be checked again.
        """
        if pair is not self.pair:
            return
        self.release()
        checklist, expiry = self.agent.checklist, self.agent.settings.consent_expiry
        for following in list(checklist.valid()):
            if now - (following.answered_at or now) < expiry:
                self.watch(following, now)
                return
            following.valid = False
            checklist.trigger(following)

    # What happened

    def heard(self, base: Address, source: Address, now: float) -> None:
        """A packet arrived on a 5-tuple."""
        pair, liveness = self.pair, self.liveness
        if pair is None or liveness is None:
            return
        if pair.remote_address == source and pair.base == base:
            liveness.heard(now)
            if liveness.probing:
                self._judge(pair, liveness, now)

    def answered(self, pair: Pair, now: float) -> None:
        """A check of ours was answered: both directions work."""
        liveness = self.liveness
        if pair is self.pair and liveness is not None:
            failed = liveness.slow
            liveness.answered(now)
            if failed:
                self.agent.tell(Recovered(pair))
            self._judge(pair, liveness, now)

    def hurry(self, now: float) -> None:
        """Ask again soon."""
        if self.liveness is not None:
            self.liveness.hurry(now)

    # Time

    def next_deadline(self, now: float) -> float | None:
        """When :meth:`run` has something to do."""
        return None if self.liveness is None else self.liveness.next_deadline(now)

    def run(self, now: float) -> None:
        """Ask for consent when it is time, and see what the silence says."""
        pair, liveness = self.pair, self.liveness
        if pair is None or liveness is None:
            return
        if now >= liveness.consent_expires_at:
            self._consent_lost(pair, now)
            return
        if liveness.due(now):
            self.agent.checks.ask_consent(pair, now)
            liveness.check_sent(now, pair.rtt)
        if liveness.probing:
            self._judge(pair, liveness, now)

    def held_up(self, late: float, now: float) -> None:
        """The process slept (T37)."""
        if self.liveness is not None:
            self.liveness.held_up(late, now)

    def _consent_lost(self, pair: Pair, now: float) -> None:
        """Never again on that 5-tuple with these credentials (RFC 7675 section 5.1, T19)."""
        agent = self.agent
        self.release()
        pair.valid = False
        pair.state = PairState.FAILED
        agent.checks.attempts.drop_all(pair)
        agent.tell(ConsentLost(pair))
        if agent.selected is pair:
            agent.fail("consent")
        else:
            agent.checks.fail(pair, now)

    def _judge(self, pair: Pair, liveness: Liveness, now: float) -> None:
        """Turn what liveness says into a state; ``failed`` is final for this generation."""
        agent = self.agent
        verdict = liveness.verdict(now)
        if agent.selected is None:
            if verdict is Verdict.FAILED:
                agent.checks.fail(pair, now)
            return
        if agent.state is IceState.FAILED:
            if verdict is Verdict.FAILED:
                liveness.slow = True  # it had come back, and is gone again
            return
        if verdict is Verdict.ALIVE:
            if agent.state is IceState.DISCONNECTED:
                agent.become(IceState.CONNECTED)
                agent.review(now)
            return
        if agent.state is not IceState.DISCONNECTED:
            agent.become(IceState.DISCONNECTED)
        if verdict is Verdict.FAILED:
            liveness.slow = True
            agent.fail("silence")
