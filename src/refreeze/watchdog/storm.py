"""The budget of all sessions: how many restarts may go at once, and what a storm is.

| phase     | leaves when                                     | who is granted                    |
|-----------|-------------------------------------------------|-----------------------------------|
| calm      | too many failed at once -> canaries             | all, by lanes, bucket and pending |
| canaries  | one connected -> releasing; all failed, or no   | urgent causes, and 5 canaries     |
|           | result in time -> holding; calm for 60 s -> calm|                                   |
| holding   | hold over -> canaries                           | urgent causes                     |
| releasing | too many failed again -> canaries; calm for     | urgent causes, others in random   |
|           | 60 s and nothing queued -> calm                 | slots                             |

Urgent are the causes operator, peer and rebind.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum

from attrs import frozen

from refreeze.basics import Randomness

from .actions import Field, Note
from .lanes import Lanes, Request
from .settings import StormSettings
from .words import Cause

_TICK = 1.0
"""While a storm is on its end is looked for this often (seconds)."""
_BATCH = 0.02
"""An empty bucket is looked at again after this, for several tokens at once (seconds)."""


class StormPhase(StrEnum):
    CALM = "calm"
    CANARIES = "canaries"
    HOLDING = "holding"
    RELEASING = "releasing"


@frozen
class StormSnapshot:
    """Plain values at one moment. Times are monotonic seconds."""

    on: bool
    phase: StormPhase
    sessions: int
    queued: int
    pending: int
    failing: int
    """Distinct sessions that failed within the window."""
    tokens: float
    hold_until: float | None


class Storm:
    """I grant the restarts of all sessions, and hold them back when they fail together."""

    def __init__(self, settings: StormSettings, random: Randomness, now: float) -> None:
        self._settings = settings
        self._random = random
        self._sessions = 0
        self._lanes = Lanes()
        self._pending: OrderedDict[str, float] = OrderedDict()
        self._tokens = float(settings.burst)
        self._refilled_at = now
        self._failing: OrderedDict[str, float] = OrderedDict()
        self._phase = StormPhase.CALM
        self._canaries: set[str] = set()
        self._canaries_failed = 0
        self._canary_deadline: float | None = None
        self._holds = 0
        self._hold_until: float | None = None
        self._calm_since: float | None = None
        self._tick_at: float | None = None
        self._storms = 0
        self._notes: list[Note] = []

    def change_settings(self, settings: StormSettings) -> None:
        """Go by *settings* from now on; what is scheduled already stays when it is."""
        self._settings = settings
        self._tokens = min(self._tokens, float(settings.burst))

    # What can be read

    @property
    def on(self) -> bool:
        """A storm is on (gauge)."""
        return self._phase is not StormPhase.CALM

    @property
    def storms(self) -> int:
        """How many there were (counter)."""
        return self._storms

    def snapshot(self) -> StormSnapshot:
        return StormSnapshot(
            on=self.on,
            phase=self._phase,
            sessions=self._sessions,
            queued=len(self._lanes),
            pending=len(self._pending),
            failing=len(self._failing),
            tokens=self._tokens,
            hold_until=self._hold_until,
        )

    def take_notes(self) -> list[Note]:
        """One-line events since the last call: one for a hold or a release, not one a session."""
        notes, self._notes = self._notes, []
        return notes

    def return_spread(self) -> float:
        """Seconds to spread all sessions over when the network or signaling is back: N/rate."""
        return self._sessions / self._settings.rate

    def network_spread(self) -> float:
        """Seconds to spread the restarts of a major network change over; 0 for few sessions."""
        many = self._sessions > self._settings.network_spread_above
        return self._settings.network_spread if many else 0.0

    # Facts

    def session_count(self, number: int) -> None:
        """How many sessions there are."""
        self._sessions = number

    def request(
        self, session_id: str, ticket: int, cause: Cause, now: float, online: bool = True
    ) -> None:
        """A session wants to restart; its older request or grant is over."""
        self._free(session_id)
        self._lanes.put(Request(session_id, ticket, cause, online))
        self._check(now)

    def withdraw(self, session_id: str) -> None:
        """The request, or the granted place, is no longer needed (cancelled, superseded)."""
        self._lanes.remove(session_id)
        self._free(session_id)
        self._canaries.discard(session_id)

    def failed(self, session_id: str, now: float) -> None:
        """The path of a session failed (the common-cause detector counts these)."""
        self._failing.pop(session_id, None)
        self._failing[session_id] = now
        self._check(now)
        if self._phase in (StormPhase.CALM, StormPhase.RELEASING) and self._too_many():
            self._storm(now)

    def ended(self, session_id: str, now: float, ok: bool) -> None:
        """A granted round ended; *ok* when it connected."""
        self._free(session_id)
        canary = session_id in self._canaries
        self._canaries.discard(session_id)
        if ok:
            self._failing.pop(session_id, None)
        else:
            self.failed(session_id, now)
        if canary and self._phase is StormPhase.CANARIES:
            self._canary_result(now, ok)
        self._check(now)

    # Grants

    def take_grants(self, now: float) -> list[tuple[str, int]]:
        """The (session, ticket) pairs that may go now."""
        self._refill(now)
        self._lanes.ripen(now)
        grants = []
        while not self._short and len(self._pending) < self._settings.max_pending:
            request = self._next()
            if request is None:
                break
            self._tokens -= 1
            self._pending[request.session_id] = now
            grants.append((request.session_id, request.ticket))
            if request.session_id in self._canaries and self._canary_deadline is None:
                self._canary_deadline = now + self._settings.canary_timeout
        return grants

    def _next(self) -> Request | None:
        urgent = self._lanes.pop(urgent_only=True)
        if urgent is not None:
            return urgent
        if self._phase is StormPhase.HOLDING:
            return None
        if self._phase is not StormPhase.CANARIES:
            return self._lanes.pop(urgent_only=False)
        if not self._canary_wanted:
            return None
        canary = self._lanes.pop(urgent_only=False)
        if canary is not None:
            self._canaries.add(canary.session_id)
        return canary

    @property
    def _canary_wanted(self) -> bool:
        return len(self._canaries) + self._canaries_failed < self._settings.canaries

    @property
    def _short(self) -> bool:
        """The bucket is empty, but for what rounding leaves."""
        return self._tokens < 1 - 1e-6

    def _refill(self, now: float) -> None:
        if now > self._refilled_at:
            earned = (now - self._refilled_at) * self._settings.rate
            self._tokens = min(float(self._settings.burst), self._tokens + earned)
            self._refilled_at = now

    def _free(self, session_id: str) -> None:
        self._pending.pop(session_id, None)

    # Time

    def next_deadline(self) -> float | None:
        """When to call :meth:`handle_timeout` and :meth:`take_grants` again."""
        times = [self._canary_deadline, self._hold_until, self._tick_at, self._lanes.first_slot]
        if self._pending:
            times.append(next(iter(self._pending.values())) + self._settings.pending_timeout)
        if self._grantable() and len(self._pending) < self._settings.max_pending:
            missing = (1 - self._tokens) / self._settings.rate
            times.append(self._refilled_at + (max(missing, _BATCH) if self._short else 0.0))
        return min((at for at in times if at is not None), default=None)

    def _grantable(self) -> bool:
        if self._phase is StormPhase.HOLDING:
            return self._lanes.urgent > 0
        if self._phase is StormPhase.CANARIES and not self._canary_wanted:
            return self._lanes.urgent > 0
        return self._lanes.ready > 0

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._expire(now)
        self._lanes.ripen(now)
        if self._hold_until is not None and now >= self._hold_until:
            self._send_canaries("re-probe")
        if self._canary_deadline is not None and now >= self._canary_deadline:
            self._hold(now)
        self._check(now)

    def _expire(self, now: float) -> None:
        """Forget grants whose end nobody reported."""
        while self._pending:
            session_id, granted_at = next(iter(self._pending.items()))
            if now < granted_at + self._settings.pending_timeout:
                return
            del self._pending[session_id]
            self._canaries.discard(session_id)

    # Storms

    def _too_many(self) -> bool:
        share = self._settings.storm_share * self._sessions
        return len(self._failing) > max(self._settings.storm_sessions, share)

    def _storm(self, now: float) -> None:
        if not self.on:
            self._storms += 1
            self._holds = 0
        self._tick_at = now + _TICK
        self._calm_since = None
        self._lanes.ripen(None)
        self._note(state="on", failed=len(self._failing), sessions=self._sessions)
        self._send_canaries("storm")

    def _send_canaries(self, why: str) -> None:
        """Let a few go first; the owner also looks at its own sockets and STUN servers."""
        self._phase = StormPhase.CANARIES
        self._hold_until = self._canary_deadline = None
        self._canaries.clear()
        self._canaries_failed = 0
        self._note(state="canaries", why=why, probe=True)

    def _canary_result(self, now: float, ok: bool) -> None:
        if ok:
            self._release(now)
            return
        self._canaries_failed += 1
        if self._canaries_failed >= self._settings.canaries:
            self._hold(now)

    def _hold(self, now: float) -> None:
        growing = self._settings.hold_first * 2.0 ** min(self._holds, 32)
        seconds = min(self._settings.hold_max, growing)
        self._holds += 1
        self._phase = StormPhase.HOLDING
        self._hold_until = now + seconds
        self._canary_deadline = None
        self._canaries.clear()
        self._note(state="hold", seconds=seconds, held=len(self._lanes))

    def _release(self, now: float) -> None:
        """The canaries connected: everybody gets a slot of its own."""
        self._phase = StormPhase.RELEASING
        self._hold_until = self._canary_deadline = None
        self._canaries.clear()
        self._failing.clear()
        held = list(self._lanes.held())
        seconds = min(
            max(len(held) / self._settings.rate, self._settings.release_min),
            self._settings.release_max,
        )
        for request in held:
            self._lanes.give_slot(request, now + self._random.uniform(0.0, seconds))
        self._note(state="release", seconds=round(seconds, 1), held=len(held))

    def _check(self, now: float) -> None:
        """Forget old failures, and see whether the storm is over."""
        horizon = now - self._settings.storm_window
        while self._failing and next(iter(self._failing.values())) <= horizon:
            self._failing.popitem(last=False)
        if not self.on:
            return
        if self._tick_at is not None and now >= self._tick_at:
            self._tick_at = now + _TICK
        if not self._quiet():
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= self._settings.calm_after and not len(self._lanes):
            self._end()

    def _quiet(self) -> bool:
        """Few fail, and not because they are held back."""
        few = len(self._failing) < max(1.0, self._settings.calm_share * self._sessions)
        return few and (self._phase is StormPhase.RELEASING or not len(self._lanes))

    def _end(self) -> None:
        self._phase = StormPhase.CALM
        self._hold_until = self._canary_deadline = self._tick_at = self._calm_since = None
        self._holds = 0
        self._canaries.clear()
        self._note(state="off")

    def _note(self, **fields: Field) -> None:
        self._notes.append(Note("watchdog.storm", fields))
