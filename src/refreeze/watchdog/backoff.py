"""Delays, rates, and the breaker that stops a run of failures."""

from __future__ import annotations

from collections import deque

from attrs import Factory, define, field

from refreeze.basics import Randomness

from .settings import PolicySettings
from .words import Circuit

NEVER = float("-inf")


def delay(settings: PolicySettings, random: Randomness, attempt: int) -> float:
    """Seconds before attempt number *attempt* (from 1); also the first has jitter."""
    if attempt <= 1:
        return random.uniform(0.0, settings.first_delay)
    longest = min(settings.backoff_cap, settings.backoff_base * 2.0 ** min(attempt - 1, 32))
    return random.uniform(longest / 2, longest)


@define(eq=False, repr=False)
class Limit:
    """At most *number* in any *window* seconds."""

    number: int
    window: float
    _times: deque[float] = Factory(deque)

    def take(self, now: float) -> bool:
        """Use one if there is one."""
        while self._times and self._times[0] <= now - self.window:
            self._times.popleft()
        if len(self._times) >= self.number:
            return False
        self._times.append(now)
        return True


@define(eq=False, repr=False)
class Breaker:
    """I count failed attempts and open the circuit when there were too many.

    The counters fall only by :meth:`reset`: a connection lasted 60 s, an operator asked, the
    network changed. Until then a circuit that was open once is on probation: a connection or a
    peer's offer closes it, and the next failure opens it again.
    """

    settings: PolicySettings
    _random: Randomness
    circuit: Circuit = Circuit.CLOSED
    run: int = 0
    """Failed attempts since the last stable connection or reset."""
    probe_at: float | None = None
    """When an open circuit is probed (monotonic seconds)."""
    _failures: deque[float] = field(factory=deque)
    _openings: int = 0
    _probation: bool = False
    _trial: bool = False

    @property
    def pristine(self) -> bool:
        """Nothing to reset."""
        return self.run == 0 and self._openings == 0 and self.circuit is Circuit.CLOSED

    def failed(self, now: float, *, connected_once: bool) -> bool:
        """Count one failed attempt; True when that opened the circuit (again)."""
        self.run += 1
        self._failures.append(now)
        while self._failures[0] < now - self.settings.attempts_window:
            self._failures.popleft()
        if self.circuit is Circuit.OPEN:
            return False
        if connected_once:
            exhausted = len(self._failures) >= self.settings.attempts
        else:
            exhausted = self.run > self.settings.initial_restarts
        if not (exhausted or self._probation or self.circuit is Circuit.HALF_OPEN):
            return False
        self._open(now)
        return True

    def _open(self, now: float) -> None:
        if not self._trial:
            self._openings += 1
        self._probation = self._trial = False
        self.circuit = Circuit.OPEN
        jitter = self.settings.probe_jitter
        base = self.settings.probe_first * 2.0 ** min(self._openings - 1, 32)
        base = min(self.settings.probe_max, base)
        self.probe_at = now + base * self._random.uniform(1 - jitter, 1 + jitter)

    def half_open(self) -> None:
        """Let one probe through."""
        self.circuit = Circuit.HALF_OPEN
        self.probe_at = None

    def connected(self) -> None:
        """A round connected: closed, but on probation until it is stable."""
        self._close()
        self._probation = self._openings > 0

    def peer_offered(self) -> None:
        """The peer offered by itself: an open circuit closes for that one round."""
        if self.circuit is Circuit.OPEN:
            self._close()
            self._probation = self._trial = True

    def _close(self) -> None:
        self.circuit = Circuit.CLOSED
        self.probe_at = None
        self._trial = False

    def reset(self) -> None:
        """A fresh budget."""
        self._close()
        self._probation = False
        self.run = self._openings = 0
        self._failures.clear()
