"""Drives one Policy as a session does, so that the tests can speak in facts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TypeVar

from refreeze.watchdog import (
    AbandonRound,
    Action,
    Cause,
    Note,
    Policy,
    PolicySettings,
    RequestGrant,
    ResendOffer,
    RoundOutcome,
    SendRestartPlease,
    StartRound,
    WatchState,
)

T = TypeVar("T")


class Driver:
    """I am the session glue of one policy: I grant, start and end rounds as I am told to.

    Everything that the policy did is in *log*, as (time, action). With *grants* off the storm
    budget never answers; with *starts* off the session never begins a round.
    """

    def __init__(
        self,
        *,
        offerer: bool = True,
        seed: int = 1,
        settings: PolicySettings | None = None,
        grants: bool = True,
        starts: bool = True,
    ) -> None:
        self.now = 1000.0
        self.settings = settings or PolicySettings()
        self.policy = Policy(
            settings=self.settings, random=random.Random(seed), offerer=offerer, now=self.now
        )
        self.grants = grants
        self.starts = starts
        self.ends = True
        self.log: list[tuple[float, Action]] = []
        self.round = 0

    def drain(self) -> None:
        """Do what the policy wants, until it wants nothing more."""
        while actions := self.policy.take_actions():
            for action in actions:
                self.log.append((self.now, action))
                if isinstance(action, RequestGrant) and self.grants:
                    self.policy.granted(action.ticket, self.now)
                elif isinstance(action, StartRound) and self.starts:
                    self.start(action.cause)
                elif isinstance(action, AbandonRound) and self.ends:
                    self.policy.round_ended(
                        action.round_id, action.outcome, action.reason, self.now
                    )
        assert self.policy.counters.balanced(), self.policy.counters

    def start(self, cause: Cause = Cause.FAILED, *, ours: bool = True) -> int:
        """A round begins."""
        self.round += 1
        self.policy.round_started(self.round, cause=cause, ours=ours, now=self.now)
        self.drain()
        return self.round

    def until(self, at: float) -> None:
        """Let time pass up to *at*, with every deadline on its way."""
        for _ in range(100_000):
            deadline = self.policy.next_deadline()
            if deadline is None or deadline > at:
                break
            self.now = max(self.now, deadline)
            self.policy.handle_timeout(self.now)
            self.drain()
        else:
            raise AssertionError("the policy spins")
        self.now = max(self.now, at)

    def wait(self, seconds: float) -> None:
        self.until(self.now + seconds)

    # Facts, in a session's order

    def ice(self, state: str, reason: str | None = None) -> None:
        self.policy.ice_state(state, self.now, reason)
        self.drain()

    def signaling(self, up: bool = True) -> None:
        self.policy.signaling(up, self.now)
        self.drain()

    def online(self, online: bool | None = True) -> None:
        self.policy.peer_online(online, self.now)
        self.drain()

    def network(self, change: str) -> None:
        self.policy.network(change, self.now)
        self.drain()

    def please(self) -> bool:
        accepted = self.policy.restart_please_received(self.now)
        self.drain()
        return accepted

    def offer(self) -> int:
        """The peer's offer is accepted and answered."""
        self.policy.offer_received(self.now)
        self.drain()
        return self.start(Cause.PEER, ours=False)

    def answer(self) -> None:
        self.policy.round_answered(self.round, self.now)
        self.drain()

    def connect(self) -> None:
        """The pending round is answered and connects."""
        self.answer()
        self.policy.round_connected(self.round, self.now)
        self.policy.ice_state("connected", self.now)
        self.drain()

    def end(self, outcome: RoundOutcome, reason: str = "test") -> None:
        self.policy.round_ended(self.round, outcome, reason, self.now)
        self.drain()

    def open(self) -> None:
        """Signaling and the peer are there, and the session opens."""
        self.policy.signaling(True, self.now)
        self.policy.peer_online(True, self.now)
        self.policy.opened(self.now)
        self.drain()

    def established(self, *, stable: bool = True) -> Driver:
        """Open and connected; with *stable*, for so long that the counters are clean."""
        self.open()
        if not self.policy.offerer:
            self.offer()
        self.connect()
        if stable:
            self.wait(self.settings.stable_after + 1)
        self.log.clear()
        return self

    def fail_rounds(self, limit: int = 50) -> None:
        """Let every round fail by itself until the policy stops making them for a minute."""
        for _ in range(limit):
            before = self.policy.counters.started.total()
            self.wait(100)
            if before == self.policy.counters.started.total():
                return

    # What happened

    @property
    def state(self) -> WatchState:
        return self.policy.state

    def of(self, kind: type[T]) -> list[T]:
        return [action for _, action in self.log if isinstance(action, kind)]

    def times(self, kind: type[Action]) -> list[float]:
        return [at for at, action in self.log if isinstance(action, kind)]

    def notes(self, topic: str) -> Iterator[dict[str, object]]:
        return (dict(note.fields) for note in self.of(Note) if note.topic == topic)


__all__ = [
    "AbandonRound",
    "Driver",
    "Note",
    "RequestGrant",
    "ResendOffer",
    "SendRestartPlease",
    "StartRound",
]
