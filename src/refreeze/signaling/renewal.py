"""Certificates while the daemon runs: looked at again in time, and warned of before they expire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.signaling.certificates import CertificateError, days_left
from refreeze.signaling.tls import TlsIdentity

LOOK_EVERY: Final = 3600.0
"""Seconds between two looks at the files."""

WARN_DAYS: Final = 14.0
"""Before the end."""

WARN_EVERY: Final = 86400.0
"""Seconds between two warnings."""


@define(eq=False, repr=False, slots=False, kw_only=True)
class Renewal(Service):
    """I take new certificates when somebody has put them where the old ones were.

    Only handshakes to come are touched. Files that are of no use are named once, and what the
    daemon has stays in force.
    """

    identity: TlsIdentity
    clock: IReactorTime
    wall: Callable[[], float]
    emit: Callable[[str, dict[str, Any]], None]
    _timer: IDelayedCall | None = field(default=None, init=False)
    _problem: str = field(default="", init=False)
    _warned_at: float | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def startService(self) -> None:
        """The files have just been read."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._warn()
        self._again()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def days_left(self) -> float:
        """Until the first of our certificates expires."""
        return days_left(self.identity.material.expires, self.wall())

    def look(self) -> bool:
        """Read the files again; True when they were new. What is wrong with them is told."""
        try:
            renewed = self.identity.reread()
        except CertificateError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._log.error("the certificates stay as they were: {why}", why=error)
                self.emit("config.certificate", {"why": str(error), "days": self._days()})
            return False
        self._problem = ""
        if renewed:
            self._warned_at = None
            self._log.info("new certificates, good for {days} days", days=self._days())
            self.emit("config.certificate", {"why": "renewed", "days": self._days()})
        return renewed

    def _look(self) -> None:
        self.look()
        self._warn()
        self._again()

    def _again(self) -> None:
        self._timer = self.clock.callLater(LOOK_EVERY, self._look)

    def _warn(self) -> None:
        now = self.clock.seconds()
        if self.days_left > WARN_DAYS:
            return
        if self._warned_at is not None and now < self._warned_at + WARN_EVERY:
            return
        self._warned_at = now
        path = self.identity.files.certificate
        if self.days_left > 0:
            self._log.warn("{path}: expires in {days} days", path=path, days=self._days())
        else:
            self._log.error("{path}: has expired; nobody will take it", path=path)
        self.emit("config.certificate", {"why": "expires", "days": self._days()})

    def _days(self) -> int:
        return int(self.days_left // 1)
