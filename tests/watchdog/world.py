"""Two sessions, their signaling and their path, in virtual time, with faults drawn by seed.

The sessions here are the simplest that keep the policy's contract: a round has a token, an offer
is repeated with the same token and answered again from memory, the configured offerer wins glare,
a pair connects when both ends run the same round over a path that works.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from refreeze.watchdog import (
    AbandonRound,
    Cause,
    Policy,
    PolicySettings,
    RequestGrant,
    ResendOffer,
    RoundOutcome,
    SendRestartPlease,
    StartRound,
    WatchState,
)

DISCONNECTED, FAILED, CONSENT = 3.0, 7.0, 30.0


class Side:
    """One daemon's session."""

    def __init__(self, world: World, name: str, offerer: bool) -> None:
        self.world, self.name, self.offerer = world, name, offerer
        self.peer: Side
        self.alive = False
        self.link = True
        self.network = True
        self.policy: Policy | None = None
        self.epoch = 0
        self.unbalanced = 0

    def boot(self) -> None:
        self.alive = True
        self.epoch += 1
        self.policy = Policy(
            settings=self.world.settings,
            random=self.world.random,
            offerer=self.offerer,
            now=self.world.now,
        )
        self.ice = "new"
        self.active: str | None = None
        self.token: str | None = None
        self.answered_token: str | None = None
        self.ours = False
        self.round = 0
        self.silent_since: float | None = None
        self.consent = False
        self.policy.opened(self.world.now)
        self.link_changed()
        self.drain()

    def crash(self) -> None:
        self.alive = False
        self.policy = None
        self.active = self.token = None
        self.peer.link_changed()

    def link_changed(self) -> None:
        """Tell the policy about the link and the peer's presence as the hub does."""
        if self.policy is not None:
            now = self.world.now
            self.policy.signaling(self.link and self.network, now)
            if self.link and self.network:
                presence = self.peer.alive and self.peer.link and self.peer.network
                self.policy.peer_online(presence if self.world.presence else None, now)
            self.drain()

    def drain(self) -> None:
        policy, now = self.policy, self.world.now
        while policy is not None and (actions := policy.take_actions()):
            for action in actions:
                if isinstance(action, RequestGrant):
                    self.world.later(
                        self.world.random.uniform(0, 0.1), self._granted(action.ticket)
                    )
                elif isinstance(action, StartRound):
                    self._start(action.cause)
                elif isinstance(action, SendRestartPlease):
                    self._send("please", "")
                elif isinstance(action, ResendOffer) and action.round_id == self.round:
                    self._send("offer", self.token or "")
                elif isinstance(action, AbandonRound) and action.round_id == self.round:
                    self.token = None
                    policy.round_ended(action.round_id, action.outcome, action.reason, now)
            if not policy.counters.balanced():
                raise AssertionError(f"unbalanced: {policy.counters}")

    def _granted(self, ticket: int) -> Callable[[], None]:
        policy = self.policy

        def grant() -> None:
            if self.policy is policy and policy is not None:
                policy.granted(ticket, self.world.now)

        return grant

    def _start(self, cause: Cause) -> None:
        assert self.policy is not None
        assert self.token is None or self.policy.state is not WatchState.ROUND, "a second round"
        self.round += 1
        self.token = f"{self.name}-{self.epoch}-{self.round}"
        self.ours = True
        self.policy.round_started(self.round, cause=cause, ours=True, now=self.world.now)
        self._send("offer", self.token)

    def _send(self, kind: str, token: str) -> None:
        world, peer = self.world, self.peer
        if not (self.link and self.network):
            return
        if not (peer.alive and peer.link and peer.network):
            if world.presence and kind != "answer":
                world.later(0.02, self._undeliverable)
            return
        if world.random.random() >= world.signaling_loss:
            world.later(world.random.uniform(0.005, 0.1), lambda: peer.receive(kind, token))

    def _undeliverable(self) -> None:
        if self.policy is not None:
            self.policy.undeliverable(self.world.now, "offline")

    def receive(self, kind: str, token: str) -> None:
        policy, now = self.policy, self.world.now
        if policy is None or not (self.link and self.network):
            return
        if kind == "please":
            policy.restart_please_received(now)
        elif kind == "answer" and token == self.token and self.ours:
            policy.round_answered(self.round, now)
            self.answered_token = token
        elif kind == "offer":
            self._offered(policy, token, now)
        self.drain()

    def _offered(self, policy: Policy, token: str, now: float) -> None:
        if token == self.answered_token:
            self._send("answer", token)
            return
        if self.token is not None and self.ours and self.answered_token != self.token:
            if self.offerer:
                policy.offer_dropped("glare")
                return
            policy.round_ended(self.round, RoundOutcome.SUPERSEDED, "glare", now)
        policy.offer_received(now)
        self.round += 1
        self.token, self.ours, self.answered_token = token, False, token
        policy.round_started(self.round, cause=Cause.PEER, ours=False, now=now)
        self._send("answer", token)

    def check(self) -> None:
        """What ICE would notice, every 0.1 s."""
        policy, peer, now = self.policy, self.peer, self.world.now
        if policy is None:
            return
        works = self.world.path and self.network and peer.network
        both = self.token is not None and self.token == peer.token
        if both and works and self.token == self.answered_token == peer.answered_token:
            for side in (self, peer):
                side._cut_over()
        elif self.active is not None:
            self._liveness(policy, works and self.active == peer.active, now)
        self.drain()

    def _cut_over(self) -> None:
        assert self.policy is not None
        self.active, self.token = self.token, None
        self.ice, self.silent_since, self.consent = "connected", None, True
        self.policy.ice_state("connected", self.world.now)
        self.policy.round_connected(self.round, self.world.now)
        self.drain()

    def _liveness(self, policy: Policy, heard: bool, now: float) -> None:
        if heard:
            if self.ice == "disconnected":
                self.ice = "connected"
                policy.ice_state("connected", now)
            elif self.ice == "failed" and self.silent_since is not None and self.consent:
                policy.recovered(now)
            self.silent_since = None
            return
        self.silent_since = now if self.silent_since is None else self.silent_since
        silent = now - self.silent_since
        if silent >= DISCONNECTED and self.ice == "connected":
            self.ice = "disconnected"
            policy.ice_state("disconnected", now)
        if silent >= FAILED and self.ice == "disconnected":
            self.ice = "failed"
            policy.ice_state("failed", now)
        if silent >= CONSENT and self.consent:
            self.consent = False
            policy.consent_lost(now)


class World:
    """Both sides, and what goes wrong between them."""

    def __init__(
        self, seed: int, *, presence: bool = True, settings: PolicySettings | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.settings = settings or PolicySettings()
        self.presence = presence
        self.now = 0.0
        self.path = True
        self.signaling_loss = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self.sides = (Side(self, "a", True), Side(self, "b", False))
        self.sides[0].peer, self.sides[1].peer = self.sides[1], self.sides[0]

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._heap, (self.now + seconds, self._number, call))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Go on to *until*, or until *done* holds at one of ICE's ticks."""
        tick = self.now
        while self.now < until:
            deadlines = [
                at for s in self.sides if s.policy and (at := s.policy.next_deadline()) is not None
            ]
            head = [self._heap[0][0]] if self._heap else []
            self.now = max(self.now, min([*deadlines, *head, tick, until]))
            while self._heap and self._heap[0][0] <= self.now:
                heapq.heappop(self._heap)[2]()
            for side in self.sides:
                if side.policy is not None:
                    side.policy.handle_timeout(self.now)
                    side.drain()
            if self.now >= tick:
                tick = self.now + 0.1
                for side in self.sides:
                    side.check()
                if done():
                    return True
        return done()

    def connected(self) -> bool:
        """Outward connected on both sides, over the same generation."""
        first, second = self.sides
        same = first.alive and second.alive and first.active == second.active is not None
        return same and first.ice == second.ice == "connected"

    def fault(self) -> None:
        """Draw one change of the world."""
        side = self.random.choice(self.sides)
        what = self.random.randrange(9)
        if what <= 1:
            self.path = not self.path
        elif what <= 3:
            side.link = not side.link
        elif what == 4:
            side.network = not side.network
            if side.policy is not None:
                side.policy.network("up" if side.network else "down", self.now)
        elif what == 5:
            side.crash() if side.alive else side.boot()
        elif what == 6 and side.policy is not None:
            side.policy.network("major", self.now)
        elif what == 7 and side.policy is not None:
            side.policy.rebound(self.now)
        else:
            self.signaling_loss = self.random.choice((0.0, 0.1, 0.5))
        for each in self.sides:
            each.link_changed()

    def heal(self) -> None:
        """Everything works again."""
        self.path = True
        self.signaling_loss = 0.0
        for side in self.sides:
            side.link = True
            if not side.network and side.policy is not None:
                side.policy.network("up", self.now)
            side.network = True
            if not side.alive:
                side.boot()
        for side in self.sides:
            side.link_changed()
