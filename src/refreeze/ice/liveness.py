"""Is a pair alive? Consent, liveness and keepalive are one stream of checks.

A healthy pair costs one authenticated check per 5 s +-20 % (RFC 7675 section 5.1), and that is
its keepalive too (RFC 8445 section 11). Outbound data unanswered for 1 s, or a check unanswered
after max(500 ms, 4 RTT), starts probing every 500 ms, until a probe is answered:

* ``disconnected``: 2.5 s of silence and 2 checks unanswered;
* ``failed``: 7 s of silence and 5 checks unanswered;
* data that arrives while no probe is answered proves one direction only: it delays ``failed`` by
  3 s at most, counted from what was heard before the first unanswered check;
* consent ends 30 s after the last answer, whatever else happens.

So under traffic 3 and 7 s, idle 7 and 9 s.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from attrs import define, field

from refreeze.basics import GRID, Randomness, on_grid
from refreeze.ice.settings import AgentSettings

NEVER: Final = float("inf")
MAX_OUTSTANDING: Final = 32
FAILED_PACE: Final = 5
"""After ``failed`` probes go on at this many times their interval, as long as consent lasts."""


class Verdict(Enum):
    """What the silence says."""

    ALIVE = auto()
    DISCONNECTED = auto()
    FAILED = auto()


@define(eq=False)
class Liveness:
    """The record of one pair, from its last answered check (*heard_at*) on."""

    settings: AgentSettings
    random: Randomness
    heard_at: float
    answered_at: float = field(init=False)
    consent_expires_at: float = field(init=False)
    unanswered: int = 0
    """Checks since the last answer whose time to be answered is over."""
    probing: bool = False
    slow: bool = False
    """The pair was declared failed: probing goes on, but costs little."""
    check_at: float = field(init=False, default=0.0)
    _out: deque[float] = field(init=False, factory=deque)
    """Send times of the checks that may still be answered in time, oldest first."""
    _patience: float = 0.0
    _heard_before: float = 0.0
    """What :attr:`heard_at` was when the first unanswered check left."""
    _data_waits_since: float | None = None

    def __attrs_post_init__(self) -> None:
        self.answered_at = self.heard_at
        self.consent_expires_at = on_grid(self.heard_at + self.settings.consent_expiry)
        self._plan_idle(self.heard_at)

    def _plan_idle(self, now: float) -> None:
        """One grid tick less than 1.2 intervals: rounding up must not leave RFC 7675's range."""
        interval = self.settings.consent_interval
        wait = self.random.uniform(0.8 * interval, 1.2 * interval - GRID)
        self.check_at = on_grid(now + wait)

    @property
    def _interval(self) -> float:
        pace = FAILED_PACE if self.slow else 1
        return self.settings.liveness.probe_interval * pace

    # What happened

    def heard(self, now: float) -> None:
        """Any packet arrived on the 5-tuple."""
        self.heard_at = now
        self._data_waits_since = None
        if self.slow and self.check_at > now + self.settings.liveness.probe_interval:
            self.check_at = on_grid(now)  # a sign of life: ask at once

    def answered(self, now: float) -> None:
        """A valid response arrived: consent is fresh."""
        self.heard_at = self.answered_at = now
        self.unanswered = 0
        self.probing = self.slow = False
        self._out.clear()
        self._data_waits_since = None
        self.consent_expires_at = on_grid(now + self.settings.consent_expiry)
        self._plan_idle(now)

    def data_sent(self, now: float) -> None:
        """Data left; it should be answered by something, some time."""
        if self._data_waits_since is None:
            self._data_waits_since = now

    def check_sent(self, now: float, rtt: float | None) -> None:
        """A check left."""
        self._patience = max(self.settings.liveness.probe_interval, 4 * (rtt or 0.0))
        if not self._out and not self.unanswered:
            self._heard_before = self.heard_at
        if len(self._out) < MAX_OUTSTANDING:
            self._out.append(now)
        start = self.check_at if 0 <= now - self.check_at < GRID else now
        wait = self._interval if self.probing else max(self._interval, self._patience)
        self.check_at = on_grid(start + wait)

    # What follows

    def due(self, now: float) -> bool:
        """Account for what was not answered; whether a check is to be sent now."""
        while self._out and now >= self._out_deadline():
            self._out.popleft()
            self.unanswered += 1
            self._probe(now)
        if not self.probing and now >= self._data_deadline():
            self._probe(now)
        return now >= self.check_at

    def _probe(self, now: float) -> None:
        if not self.probing:
            self.probing = True
            self.check_at = min(self.check_at, now)

    def hurry(self, now: float) -> None:
        """Ask now (a role was corrected, an owner wants to know)."""
        self.check_at = min(self.check_at, now)

    def _out_deadline(self) -> float:
        """When the oldest check counts as unanswered. A tick's fraction early beats a tick late."""
        return on_grid(self._out[0] + self._patience - GRID / 2) if self._out else NEVER

    def _data_deadline(self) -> float:
        if self._data_waits_since is None:
            return NEVER
        return on_grid(self._data_waits_since + self.settings.liveness.reply_wait - GRID / 2)

    def verdict(self, now: float) -> Verdict:
        """What the silence says at this moment."""
        if now >= self._failed_at():
            return Verdict.FAILED
        if now >= self._disconnected_at():
            return Verdict.DISCONNECTED
        return Verdict.ALIVE

    def _disconnected_at(self) -> float:
        profile = self.settings.liveness
        if self.unanswered < profile.disconnected_probes:
            return NEVER
        return on_grid(self.heard_at + profile.disconnected_after)

    def _failed_at(self) -> float:
        profile = self.settings.liveness
        if profile.consent_only or self.unanswered < profile.failed_probes:
            return NEVER
        latest = self._heard_before + profile.failed_after + profile.one_way_grace
        return on_grid(min(self.heard_at + profile.failed_after, latest))

    def next_deadline(self, now: float) -> float:
        """The next moment at which :meth:`due` or :meth:`verdict` can say something new."""
        at = min(self.check_at, self.consent_expires_at, self._out_deadline())
        if not self.probing:
            return min(at, self._data_deadline())
        for threshold in (self._disconnected_at(), self._failed_at()):
            if now < threshold < at:
                at = threshold
        return at

    def held_up(self, late: float, now: float) -> None:
        """Nobody ran for *late* seconds: that silence proves nothing, ask first (T37).

        Consent that ran out meanwhile gets as long as it takes to be declared failed.
        """
        self.heard_at = self._heard_before = now
        self.unanswered = 0
        self.probing = False
        self._out.clear()
        self._data_waits_since = None
        self.check_at = now
        profile = self.settings.liveness
        grace = on_grid(now + profile.failed_after + profile.one_way_grace)
        expires = min(self.consent_expires_at + late, on_grid(now + self.settings.consent_expiry))
        if self.consent_expires_at < grace:
            self.consent_expires_at = min(expires, grace)
