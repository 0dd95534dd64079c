"""What is known about the path of one session, and since when."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from attrs import define, field

from .settings import PolicySettings
from .words import Cause


class Health(StrEnum):
    """The path as the watchdog sees it; not the outward ICE state.

    `checking` during a restart does not heal a failed path, and a failed path that is heard again
    is usable although its outward state stays `failed`.
    """

    NEW = "new"
    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"
    RECOVERED = "recovered"


@define(eq=False, repr=False)
class Path:
    """I remember the health of one session's path and the times that follow from it."""

    settings: PolicySettings
    health: Health = Health.NEW
    ever_connected: bool = False
    cause: Cause = Cause.INITIAL
    """The cause of the restart that a broken path asks for."""
    flapping: bool = False
    stable_at: float | None = None
    suspect_until: float | None = None
    """When a suspect path is restarted early (off by default)."""
    recovered_until: float | None = None
    broken_since: float | None = None
    _earned: bool = False
    _flaps: deque[float] = field(factory=deque)
    _first_failed: float | None = None
    _last_failed: float | None = None

    @property
    def broken(self) -> bool:
        """Nothing usable: a restart is wanted."""
        return self.health in (Health.NEW, Health.BAD)

    @property
    def flaps(self) -> int:
        """disconnected -> connected in the current window."""
        return len(self._flaps)

    @property
    def grace_until(self) -> float | None:
        """Until when a never connected path that failed waits for late candidates."""
        if self._first_failed is None:
            return None
        hard = self._first_failed + self.settings.initial_hard
        if self._last_failed is None:
            return hard
        return min(self._last_failed + self.settings.initial_grace, hard)

    def forget_grace(self) -> None:
        """A new round has its own grace."""
        self._first_failed = self._last_failed = None

    def checking(self) -> None:
        """Late candidates took it back from failed to checking: only the hard limit counts."""
        self._last_failed = None

    def connected(self, now: float, *, earned: bool) -> float | None:
        """Usable (again); returns the length of the outage that ended, if one did.

        *earned*: made by a restart of a broken path, so an early death is a failed attempt.
        """
        self.forget_grace()
        self.suspect_until = self.recovered_until = None
        outage = None
        if self.health is not Health.GOOD and self.health is not Health.SUSPECT:
            self._earned = earned
            self.stable_at = now + self.settings.stable_after
        elif earned and self.stable_at is not None:
            self._earned = True
        if self.broken_since is not None:
            outage = now - self.broken_since
        self.broken_since = None
        self.health = Health.GOOD
        self.ever_connected = True
        return outage

    def flapped(self, now: float) -> bool:
        """Count disconnected -> connected; True when the limit was crossed just now."""
        self._flaps.append(now)
        while self._flaps[0] < now - self.settings.flap_window:
            self._flaps.popleft()
        while len(self._flaps) > self.settings.flap_limit + 1:
            self._flaps.popleft()
        over = len(self._flaps) > self.settings.flap_limit
        crossed = over and not self.flapping
        self.flapping = over
        return crossed

    def suspect(self, now: float) -> None:
        """`disconnected`: a doubt, not a failure."""
        if self.health is Health.GOOD:
            self.health = Health.SUSPECT
            if self.settings.early_restart_after is not None:
                self.suspect_until = now + self.settings.early_restart_after

    def failed(self, now: float, cause: Cause) -> bool:
        """Broken; True when a connection won by a restart died before it was stable."""
        if not self.ever_connected:
            self._first_failed = now if self._first_failed is None else self._first_failed
            self._last_failed = now
            return False
        young = self._earned and self.stable_at is not None
        if self.health is not Health.BAD:
            self.cause = cause
        if self.broken_since is None:
            self.broken_since = now
        self.health = Health.BAD
        self._earned = False
        self.stable_at = self.suspect_until = self.recovered_until = None
        return young

    def recovered(self, now: float) -> bool:
        """Heard again after `failed`; True when that is news."""
        if self.health is not Health.BAD:
            return False
        self.health = Health.RECOVERED
        self.recovered_until = now + self.settings.recovered_restart_after
        return True

    def relapse(self) -> None:
        """It was heard again, but no generation connected: restart after all."""
        self.health = Health.BAD
        self.cause = Cause.FAILED
        self.recovered_until = None

    def next_deadline(self) -> float | None:
        times = (self.stable_at, self.suspect_until, self.recovered_until)
        return min((at for at in times if at is not None), default=None)
