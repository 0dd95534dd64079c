"""Is the selected pair alive? Consent, liveness and keepalive are one stream of checks.

A healthy pair costs one authenticated check per 5 s. Outbound data unanswered for 1 s, or a check
unanswered after max(500 ms, 4 RTT), starts probing every 500 ms. ``disconnected`` is 2.5 s of
silence and 2 probes unanswered, ``failed`` 7 s and 5. Data that arrives while our probes go
unanswered proves one direction only. Consent ends 30 s after the last answer (RFC 7675 5.1).
"""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from refreeze.basics import Randomness, on_grid
from refreeze.ice.settings import AgentSettings


class Verdict(Enum):
    """What the silence says."""

    ALIVE = auto()
    DISCONNECTED = auto()
    FAILED = auto()


@define(eq=False, repr=False)
class Liveness:
    """The record of one selected pair, from the moment of its nomination."""

    settings: AgentSettings
    random: Randomness
    heard_at: float
    answered_at: float = field(init=False)
    consent_expires_at: float = field(init=False)
    unanswered: int = 0
    """Checks since the last answer whose time to be answered is over."""
    check_at: float = field(init=False)
    wait_until: float | None = None
    """When the check that is out counts as unanswered."""
    data_waits_since: float | None = None

    def __attrs_post_init__(self) -> None:
        self.answered_at = self.heard_at
        self.consent_expires_at = on_grid(self.heard_at + self.settings.consent_expiry)
        self._plan_idle(self.heard_at)

    def _plan_idle(self, now: float) -> None:
        interval = self.settings.consent_interval
        self.check_at = on_grid(now + self.random.uniform(0.8 * interval, 1.2 * interval))

    @property
    def probing(self) -> bool:
        """Whether checks leave at the quick pace."""
        return self.unanswered > 0

    def heard(self, now: float) -> None:
        """Any packet arrived on the 5-tuple."""
        self.heard_at = now
        self.data_waits_since = None

    def answered(self, now: float) -> None:
        """A valid response arrived: consent is fresh."""
        self.heard(now)
        self.answered_at = now
        self.unanswered = 0
        self.wait_until = None
        self.consent_expires_at = on_grid(now + self.settings.consent_expiry)
        self._plan_idle(now)

    def data_sent(self, now: float) -> None:
        """Data left; it should be answered by something, some time."""
        if self.data_waits_since is None:
            self.data_waits_since = now

    def check_sent(self, now: float, rtt: float | None) -> None:
        """A check left."""
        profile = self.settings.liveness
        patience = max(profile.probe_interval, 4 * (rtt or 0.0))
        if self.wait_until is None:
            self.wait_until = on_grid(now + patience)
        self.check_at = on_grid(now + profile.probe_interval)

    def due(self, now: float) -> bool:
        """Account for what was not answered; whether a check is to be sent now."""
        if self.wait_until is not None and now >= self.wait_until:
            self.unanswered += 1
            self.wait_until = on_grid(now + self.settings.liveness.probe_interval)
            return True
        if self.wait_until is None and self._data_deadline() <= now:
            return True
        return self.wait_until is None and now >= self.check_at

    def _data_deadline(self) -> float:
        if self.data_waits_since is None:
            return float("inf")
        return on_grid(self.data_waits_since + self.settings.liveness.reply_wait)

    def verdict(self, now: float) -> Verdict:
        """What the silence says at this moment."""
        profile = self.settings.liveness
        silence = now - self.heard_at
        if self.unanswered >= profile.failed_probes and not profile.consent_only:
            one_way = now - self.answered_at >= profile.failed_after + profile.one_way_grace
            if silence >= profile.failed_after or one_way:
                return Verdict.FAILED
        if self.unanswered >= profile.disconnected_probes and silence >= profile.disconnected_after:
            return Verdict.DISCONNECTED
        return Verdict.ALIVE

    def next_deadline(self) -> float:
        """The next moment at which :meth:`due` or :meth:`verdict` can say something new."""
        at = self.check_at if self.wait_until is None else self.wait_until
        if self.wait_until is None:
            at = min(at, self._data_deadline())
        return min(at, self.consent_expires_at)

    def held_up(self, late: float, now: float) -> None:
        """Nobody ran for *late* seconds: that silence proves nothing, ask first (T37)."""
        self.heard_at = self.answered_at = now
        self.unanswered = 0
        self.wait_until = None
        self.data_waits_since = None
        self.check_at = now
        grace = now + 2 * self.settings.consent_interval
        self.consent_expires_at = min(self.consent_expires_at + late, on_grid(grace))
