"""The certificate that a daemon's sessions show their peers: kept on disk, renewed in time.

Peers go by its fingerprint and not by its dates (RFC 8122). The dates are ours, so that a key that
got out is of no use for long: a third of a certificate's time is left when another takes its place.
Every session names that one in its next description; what is connected stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.net.files import read_private, write_private
from refreeze.peer import DtlsContext, RTCCertificate
from refreeze.peer.certificate import CertificateProblem

LOOK_EVERY: Final = 3600.0
"""Seconds between two looks at the certificate's age."""

ASIDE: Final = ".bad"
"""Behind the name of a file that is of no use."""

_MAX_FILE: Final = 64 * 1024


@define(eq=False, repr=False, slots=False, kw_only=True)
class KeptCertificate(Service):
    """I have a certificate at any time: the file's, a new one in the file, or one in memory."""

    path: str | None
    """None: in memory only."""
    clock: IReactorTime
    wall: Callable[[], float]
    emit: Callable[[str, dict[str, Any]], None]
    context: DtlsContext = field(init=False)
    """Of the newest certificate; made once for it, shared by all associations."""
    problem: str = field(default="", init=False)
    """Why it is in memory only, in one line."""
    _untold: list[tuple[str, dict[str, Any]]] = field(factory=list, init=False)
    """What happened before anybody could be told."""
    _timer: IDelayedCall | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        try:
            kept = self._read()
        except (OSError, CertificateProblem) as error:
            self._renew(f"{self.path}: {_text(error)}")
            return
        if kept is None:
            self.context = self._make()
            return
        self.context = DtlsContext(kept)
        # A clock that is before the certificate may not be set yet; the first look judges it.
        if self._is_old:
            self._renew("old")

    # The certificate

    @property
    def certificate(self) -> RTCCertificate:
        """The newest."""
        return self.context.certificate

    @property
    def days_left(self) -> float:
        """Until it expires; below 0 when it has."""
        return (self.certificate.expires - self._now()).total_seconds() / 86400

    @property
    def _is_old(self) -> bool:
        certificate = self.certificate
        third = (certificate.expires - certificate.made) / 3
        return certificate.expires - self._now() < third

    @property
    def _is_early(self) -> bool:
        """The clock was wrong when it was made: it would be kept for too long."""
        return self._now() < self.certificate.not_before

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    # The service

    def startService(self) -> None:
        """Look at its age from now on, and tell what was found before."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        untold, self._untold = self._untold, []
        for topic, fields in untold:
            self.emit(topic, fields)
        self._again()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> bool:
        """Whether its time had come, and it has a successor now. The disk gets another chance."""
        if self._is_old or self._is_early:
            self._renew("old")
            return True
        if self.problem:
            self._save(self.certificate)
        return False

    def _look(self) -> None:
        self.look()
        self._again()

    def _again(self) -> None:
        self._timer = self.clock.callLater(LOOK_EVERY, self._look)

    def _tell(self, topic: str, fields: dict[str, Any]) -> None:
        if self.running:
            self.emit(topic, fields)
        else:
            self._untold.append((topic, fields))

    # Making and keeping

    def _renew(self, why: str) -> None:
        self.context = self._make()
        days = int(self.days_left)
        self._log.info("a new certificate for DTLS, for {days} days: {why}", days=days, why=why)
        self._tell("certificate.renewed", {"why": why, "days": days})

    def _make(self) -> DtlsContext:
        made = RTCCertificate.generate(self._now())
        self._save(made)
        return DtlsContext(made)

    def _save(self, certificate: RTCCertificate) -> None:
        if self.path is None:
            return
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            write_private(self.path, certificate.to_pem())
        except OSError as error:
            if not self.problem:
                problem = f"{self.path}: {_text(error)}"
                self._log.error("the certificate is in memory only: {why}", why=problem)
                self._tell("state.memory-only", {"why": problem})
                self.problem = problem
            return
        self.problem = ""

    def _read(self) -> RTCCertificate | None:
        """None without a file; CertificateProblem or OSError when it is of no use.

        That one is moved aside for whoever wants to know what happened to it.
        """
        if self.path is None:
            return None
        try:
            return RTCCertificate.from_pem(read_private(self.path, _MAX_FILE))
        except FileNotFoundError:
            return None
        except (OSError, CertificateProblem) as error:
            self._log.error("{path}: {why}", path=self.path, why=_text(error))
            try:
                os.rename(self.path, self.path + ASIDE)
            except OSError as still:
                self._log.error("{path}: stays: {why}", path=self.path, why=_text(still))
            raise


def _text(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
