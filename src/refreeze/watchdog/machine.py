"""The engine of one session's watchdog: one attempt, one round, and what follows from the facts."""

from __future__ import annotations

from attrs import define, field

from refreeze.basics import Randomness

from .actions import (
    AbandonRound,
    Action,
    Field,
    Note,
    RequestGrant,
    ResendOffer,
    SendRestartPlease,
    StartRound,
    WithdrawGrant,
)
from .backoff import NEVER, Breaker, Limit, delay
from .counters import Counters, count
from .gates import PEER_OFFLINE, SIGNALLING_DOWN, Gates
from .path import Health, Path
from .rounds import Attempt, Round, Stage
from .settings import PolicySettings
from .words import RANK, WANTED_WHEN_CONNECTED, Cause, Circuit, RoundOutcome

NOT_COUNTED = frozenset({"cancelled", PEER_OFFLINE, "closed"})
"""Rounds that ended so say nothing about the path: no attempt is counted for them."""

_AT_ONCE = frozenset({Cause.OPERATOR, Cause.PEER, Cause.INITIAL})
"""Not delayed when a gate opens, unless all sessions are to be spread."""


@define(eq=False, repr=False)
class Machine:
    """I hold the facts of one session, and :meth:`settle` them after every input.

    :class:`.Policy` translates what happens outside into changes of the facts; I keep the promise
    that a broken path always has an attempt, a round, or a time at which it gets one, and that
    there is never more than one round.
    """

    settings: PolicySettings
    random: Randomness
    offerer: bool
    path: Path = field(init=False)
    breaker: Breaker = field(init=False)
    gates: Gates = field(factory=Gates)
    counters: Counters = field(factory=Counters)
    attempt: Attempt | None = None
    round: Round | None = None
    opened: bool = False
    closed: bool = False
    last_outcome: RoundOutcome | None = None
    last_reason: str | None = None
    last_round: int | None = None
    _resets: Limit = field(init=False)
    _shut: str | None = SIGNALLING_DOWN
    _tickets: int = 0
    _promoted: bool = False
    _last_please: float = NEVER
    _not_before: float = NEVER
    _actions: list[Action] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.path = Path(self.settings)
        self.breaker = Breaker(self.settings, self.random)
        self._resets = Limit(self.settings.resets, self.settings.resets_window)

    def change_settings(self, settings: PolicySettings) -> None:
        """See :meth:`.Policy.change_settings`."""
        self.settings = self.path.settings = self.breaker.settings = settings
        self._resets.number, self._resets.window = settings.resets, settings.resets_window

    # What comes out

    def act(self, action: Action) -> None:
        self._actions.append(action)

    def note(self, topic: str, **fields: Field) -> None:
        self._actions.append(Note(topic, fields))

    def take_actions(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    # The budget

    def refresh(self, now: float, why: str) -> bool:
        """A fresh budget because something changed outside; False when it changes too often."""
        if not self._resets.take(now):
            return False
        self.fresh_budget(why)
        return True

    def fresh_budget(self, why: str) -> None:
        """Forget all failures, close the circuit."""
        was_open = self.breaker.circuit is not Circuit.CLOSED
        self.breaker.reset()
        self._promoted = False
        self._not_before = NEVER
        if was_open:
            self.note("watchdog.breaker", state=Circuit.CLOSED.value, why=why)

    def count_failure(self, now: float, why: str) -> None:
        """One more failed attempt; perhaps one too many."""
        if self.breaker.failed(now, connected_once=self.path.ever_connected):
            held = None if self.path.ever_connected else "never-connected"
            self.note(
                "watchdog.breaker",
                state=Circuit.OPEN.value,
                why=why,
                attempts=self.breaker.run,
                held=held,
                probe_in=round(self.breaker.probe_at - now, 1) if self.breaker.probe_at else None,
            )
            if self.attempt is not None and self.attempt.cause not in WANTED_WHEN_CONNECTED:
                self.drop_attempt("circuit-open")

    # Attempts

    @property
    def forced(self) -> bool:
        """An operator's attempt passes every hold."""
        return self.attempt is not None and self.attempt.forced

    @property
    def shut(self) -> str | None:
        """What the attempt, if there were one, would wait for."""
        return self.gates.down if self.forced else self.gates.shut

    def want(
        self,
        cause: Cause,
        due: float,
        *,
        direct: bool = False,
        supersedes: bool = False,
        forced: bool = False,
    ) -> bool:
        """Queue a restart; the one slot keeps what is more urgent. True when this took the slot."""
        old = self.attempt
        if old is not None:
            if old.stage is Stage.START or RANK[old.cause] <= RANK[cause]:
                return False
            if old.stage is Stage.ASK and not direct:
                return False
            due = min(due, old.due) if old.stage is Stage.DELAY else due
            self._withdraw()
        number = self.breaker.run + 1
        self.attempt = Attempt(
            cause, number, due, direct=direct, supersedes=supersedes, forced=forced
        )
        return True

    def queued(self, now: float) -> None:
        """Tell people that a restart is queued."""
        if self.attempt is not None:
            self.note(
                "watchdog.queued",
                cause=self.attempt.cause.value,
                attempt=self.attempt.number,
                delay=round(max(0.0, self.attempt.due - now), 3),
                waits_for=self.shut,
            )

    def drop_attempt(self, why: str) -> None:
        """The queued restart is no longer wanted."""
        if self.attempt is not None:
            self._withdraw()
            self.note("watchdog.cancelled", cause=self.attempt.cause.value, why=why)
            count(self.counters.suppressed, why)
            self.attempt = None

    def postpone(self, now: float) -> None:
        """No automatic attempt before the longest back-off is over (an operator cancelled one)."""
        cap = self.settings.backoff_cap
        self._not_before = now + self.random.uniform(cap / 2, cap)

    def expect_peer_round(self, now: float) -> None:
        """The peer's offer is being applied: our own attempt only if no round comes of it."""
        self._promoted = False
        self._not_before = max(self._not_before, now + self.settings.start_timeout)

    def _withdraw(self) -> None:
        attempt = self.attempt
        if attempt is not None and attempt.stage in (Stage.GRANT, Stage.START):
            self.act(WithdrawGrant(attempt.ticket))

    # Bringing the facts in order

    def settle(self, now: float, *, spread: float = 0.0) -> None:
        """After every input: react to what became possible, impossible or due."""
        if self.closed or not self.opened:
            return
        self._pause_or_resume(now)
        self._gate_moved(now, spread)
        self._review(now)
        self._advance(now)

    def _pause_or_resume(self, now: float) -> None:
        """A round stands still without a network, and an unanswered one without signaling."""
        current = self.round
        if current is None:
            return
        unanswered = current.ours and not current.answered
        still = not self.gates.network or (unanswered and not self.gates.signaling)
        if still and current.paused_at is None:
            current.paused_at = now
        elif not still and current.paused_at is not None:
            current.resume(now)
            if unanswered and current.ending is None:
                self.act(ResendOffer(current.id))

    def _gate_moved(self, now: float, spread: float) -> None:
        """Park the attempt when a gate shut; spread it when the last one opened."""
        before, self._shut = self._shut, self.shut
        attempt = self.attempt
        if attempt is None or before == self._shut:
            return
        if self._shut is not None:
            if attempt.stage is not Stage.DELAY:
                self._withdraw()
                attempt.stage, attempt.due = Stage.DELAY, now
            count(self.counters.suppressed, self._shut)
            self.note("watchdog.held", reason=self._shut, cause=attempt.cause.value)
        elif attempt.cause not in _AT_ONCE or spread > 0:
            wait = self.random.uniform(0.0, max(self.settings.first_delay, spread))
            attempt.due = max(now + wait, self._not_before)
            self.queued(now)

    def _review(self, now: float) -> None:
        """A broken path without attempt and round gets one, or waits for the probe."""
        if not self.path.broken or self.attempt is not None or self.round is not None:
            return
        if self.breaker.circuit is Circuit.OPEN:
            if self.breaker.probe_at is None or now < self.breaker.probe_at or self.shut:
                return
            self.breaker.half_open()
            self._promoted = False
            self.note("watchdog.breaker", state=Circuit.HALF_OPEN.value)
            self.want(Cause.PROBE, now)
        else:
            first = not self.path.ever_connected and self.breaker.run == 0
            cause = Cause.INITIAL if first else self._automatic_cause()
            wait = 0.0 if first else delay(self.settings, self.random, self.breaker.run + 1)
            due = max(now + wait, self._not_before, self.path.grace_until or NEVER)
            self.want(cause, due)
        self._shut = self.shut
        self.queued(now)

    def _automatic_cause(self) -> Cause:
        if self.breaker.circuit is Circuit.HALF_OPEN:
            return Cause.PROBE
        return self.path.cause if self.path.ever_connected else Cause.FAILED

    def _advance(self, now: float) -> None:
        """Take the attempt as far as it can go."""
        attempt = self.attempt
        if attempt is None or self.shut is not None:
            return
        if self.round is not None:
            self._make_way(attempt, self.round, now)
        elif attempt.stage is Stage.DELAY and now >= attempt.due:
            if self.offerer or attempt.direct:
                self._request(attempt)
            else:
                self._ask(attempt, now)
        elif attempt.stage is Stage.ASK:
            self._keep_asking(attempt, now)
        elif attempt.stage is Stage.START and now >= attempt.due:
            self._withdraw()
            self._attempt_failed(attempt, now, "not-started")

    def _make_way(self, attempt: Attempt, current: Round, now: float) -> None:
        if attempt.supersedes and now >= attempt.due and current.ending is None:
            self.abandon(now, RoundOutcome.SUPERSEDED, attempt.cause.value)

    def _request(self, attempt: Attempt) -> None:
        self._tickets += 1
        attempt.stage, attempt.ticket = Stage.GRANT, self._tickets
        self.act(RequestGrant(attempt.ticket, attempt.cause))

    def granted(self, ticket: int, now: float) -> bool:
        """The storm budget lets the attempt go; False when it no longer waits for that ticket."""
        attempt = self.attempt
        if attempt is None or attempt.stage is not Stage.GRANT or attempt.ticket != ticket:
            return False
        attempt.stage, attempt.due = Stage.START, now + self.settings.start_timeout
        failures = self.breaker.run
        relay = not self.path.ever_connected and failures == self.settings.initial_restarts
        self.act(StartRound(attempt.cause, attempt.number, relay_only=relay))
        return True

    def _ask(self, attempt: Attempt, now: float) -> None:
        attempt.stage, attempt.due = Stage.ASK, now + self.settings.offer_wait
        self._keep_asking(attempt, now)

    def _keep_asking(self, attempt: Attempt, now: float) -> None:
        """Ask again now and then; when nobody offers, promote ourselves, but once only."""
        if now >= attempt.due:
            if self._promoted:
                self._attempt_failed(attempt, now, "no-offer")
                return
            self._promoted = attempt.direct = True
            self.note("watchdog.promoted", cause=attempt.cause.value)
            self._request(attempt)
        elif now >= self._last_please + self.settings.please_interval:
            self._last_please = now
            self.act(SendRestartPlease(attempt.cause))

    def _attempt_failed(self, attempt: Attempt, now: float, reason: str) -> None:
        self.note("watchdog.attempt-failed", cause=attempt.cause.value, reason=reason)
        count(self.counters.suppressed, reason)
        self.attempt = None
        if self.path.broken:
            self.count_failure(now, reason)
        self._review(now)

    # Rounds

    def round_started(self, current: Round) -> None:
        """A round is pending; an older one is superseded by it, an attempt fulfilled."""
        if self.round is not None:
            self.finish(RoundOutcome.SUPERSEDED, "newer-round", current.started_at)
        if self.attempt is not None and self.attempt.stage is Stage.GRANT:
            self._withdraw()
        self.attempt = None
        self.round = current
        self.path.forget_grace()
        self.counters.round_started(current.cause)

    def abandon(self, now: float, outcome: RoundOutcome, reason: str) -> None:
        """Have the session give the pending round up; it reports the end."""
        if self.round is not None and self.round.ending is None:
            self.round.ending = (outcome, reason)
            self.round.end_by = now + self.settings.start_timeout
            self.act(AbandonRound(self.round.id, reason, outcome))

    def finish(self, outcome: RoundOutcome, reason: str, now: float) -> None:
        """Account for the end of the pending round, once."""
        ended, self.round = self.round, None
        if ended is None:
            return
        self.counters.round_ended(outcome, reason)
        self.last_round, self.last_outcome, self.last_reason = ended.id, outcome, reason
        if outcome is RoundOutcome.SUCCEEDED:
            self.connected(now, earned=ended.recovering)
            return
        counted = outcome in (RoundOutcome.FAILED, RoundOutcome.ABANDONED)
        counted = counted and ended.cause is not Cause.OPERATOR and reason not in NOT_COUNTED
        if counted and self.path.broken:
            self.count_failure(now, reason)

    def connected(self, now: float, *, earned: bool) -> None:
        """A round connected: nothing is queued any more, the counters wait for stability."""
        was_open = self.breaker.circuit is not Circuit.CLOSED
        self.gates.nacks = 0
        self._not_before = NEVER
        self.breaker.connected()
        self.drop_attempt("connected")
        self._usable(now, earned=earned)
        if was_open:
            self.note("watchdog.breaker", state=Circuit.CLOSED.value, why="connected")

    def usable(self, now: float) -> None:
        """The outward state says connected; restarts that only wanted that are cancelled."""
        if self.path.health is Health.SUSPECT:
            self.counters.flaps += 1
            if self.path.flapped(now):
                self.note("watchdog.flapping", flaps=self.path.flaps)
        self._usable(now, earned=self.round is not None and self.round.recovering)
        self.cancel_recovery("recovered")

    def cancel_recovery(self, why: str) -> None:
        """Cancel a queued restart unless it is wanted although the path is good."""
        if self.attempt is not None and self.attempt.cause not in WANTED_WHEN_CONNECTED:
            self.drop_attempt(why)

    def path_failed(self, now: float, cause: Cause) -> None:
        """The path broke; if a restart made it and it was young, that attempt failed after all."""
        if self.path.failed(now, cause):
            self.count_failure(now, "died-young")

    def _usable(self, now: float, *, earned: bool) -> None:
        outage = self.path.connected(now, earned=earned)
        if outage is not None:
            self.note("watchdog.recovered", seconds=round(outage, 3))

    # Time

    def next_deadline(self) -> float | None:
        """The next time at which something happens by itself; None: waiting for a fact."""
        if self.closed or not self.opened:
            return None
        times = [self.path.next_deadline(), self.gates.next_deadline(), self._attempt_deadline()]
        if self.round is not None:
            times.append(self.round.next_deadline(self.settings))
            if self.round.paused_at is None and self.round.ending is None:
                times.append(self.path.grace_until)
        return min((at for at in times if at is not None), default=None)

    def _attempt_deadline(self) -> float | None:
        attempt = self.attempt
        if self.shut is not None:
            return None
        if attempt is None:
            probing = self.path.broken and self.round is None
            return self.breaker.probe_at if probing else None
        if self.round is not None:
            waits = attempt.supersedes and self.round.ending is None
            return attempt.due if waits else None
        if attempt.stage is Stage.GRANT:
            return None
        if attempt.stage is Stage.ASK:
            return min(attempt.due, self._last_please + self.settings.please_interval)
        return attempt.due

    def handle_timeout(self, now: float) -> None:
        """Do what is due; :meth:`settle` follows."""
        self.gates.handle_timeout(now)
        path = self.path
        if path.stable_at is not None and now >= path.stable_at:
            path.stable_at = None
            self.fresh_budget("stable")
        if path.suspect_until is not None and now >= path.suspect_until:
            self.path_failed(now, Cause.FAILED)
        if path.recovered_until is not None and now >= path.recovered_until:
            path.relapse()
        self._round_timeout(now)

    def _round_timeout(self, now: float) -> None:
        current = self.round
        if current is None:
            return
        if current.ending is not None:
            if now >= current.end_by:
                self.finish(*current.ending, now)
            return
        if current.paused_at is not None:
            return
        if now >= current.gives_up_at(self.settings):
            if current.ours and not current.answered:
                self.abandon(now, RoundOutcome.FAILED, "no-answer")
            else:
                self.abandon(now, RoundOutcome.ABANDONED, "timeout")
            return
        grace = self.path.grace_until
        if grace is not None and now >= grace:
            self.abandon(now, RoundOutcome.FAILED, "checks-failed")
            return
        self._resend(current, now)

    def _resend(self, current: Round, now: float) -> None:
        """Send the same offer again, once even if we are late for several."""
        missed = False
        while (at := current.next_resend(self.settings)) is not None and now >= at:
            current.resent += 1
            missed = True
        if missed:
            self.act(ResendOffer(current.id))
