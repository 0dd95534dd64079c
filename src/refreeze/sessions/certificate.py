"""The certificate that a daemon's sessions show their peers: kept on disk, renewed in time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.peer import DtlsContext, RTCCertificate
from refreeze.peer.certificate import LIFETIME, CertificateProblem

MODE: Final = 0o600
MAX_FILE: Final = 64 * 1024
LOOK_EVERY: Final = 3600.0
"""Seconds between two looks at the certificate's age."""

RENEWED_AT: Final = LIFETIME / 3
"""So much of its life is left when another takes its place."""


@define(eq=False, repr=False, slots=False, kw_only=True)
class KeptCertificate(Service):
    """I have a certificate at any time: the file's, a new one in the file, or one in memory.

    Peers hear of another by the next restart's description, so a change disturbs nobody.
    """

    path: str | None
    """None: in memory only."""
    clock: IReactorTime
    wall: Callable[[], float]
    emit: Callable[[str, dict[str, Any]], None]
    renewed: Callable[[], None]
    """Told when :attr:`context` is another."""
    context: DtlsContext = field(init=False)
    """Of the newest certificate; made once for it, shared by all associations."""
    problem: str = field(default="", init=False)
    """Why it is in memory only, in one line."""
    _timer: IDelayedCall | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        kept = self._read()
        if kept is None or self._is_old(kept):
            kept = self._make()
        self.context = DtlsContext(kept)

    @property
    def certificate(self) -> RTCCertificate:
        """The newest."""
        return self.context.certificate

    @property
    def days_left(self) -> float:
        """Until it expires; below 0 when it has."""
        return (self.certificate.expires - self._now()).total_seconds() / 86400

    def startService(self) -> None:
        """Look at its age from now on."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        if self.problem:
            self.emit("state.memory-only", {"why": self.problem})
        self._again()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> bool:
        """Whether it was old, and has a successor now."""
        if not self._is_old(self.certificate):
            return False
        self.context = DtlsContext(self._make())
        self._log.info("a new certificate for DTLS; sessions show it at their next restart")
        self.emit("certificate.renewed", {"days": int(self.days_left)})
        self.renewed()
        return True

    def _look(self) -> None:
        self.look()
        self._again()

    def _again(self) -> None:
        self._timer = self.clock.callLater(LOOK_EVERY, self._look)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def _is_old(self, certificate: RTCCertificate) -> bool:
        """Also one that a wrong clock made in the future."""
        now = self._now()
        return certificate.expires - now < RENEWED_AT or certificate.expires - now > 2 * LIFETIME

    # The file

    def _make(self) -> RTCCertificate:
        made = RTCCertificate.generate(self._now())
        if self.path is not None:
            try:
                _write(self.path, made.to_pem())
                self.problem = ""
            except OSError as error:
                self.problem = f"{self.path}: {error.strerror or error}"
                self._log.error("the certificate is kept in memory only: {why}", why=self.problem)
        return made

    def _read(self) -> RTCCertificate | None:
        """None when there is none of use; a damaged file is replaced, and said so."""
        if self.path is None:
            return None
        try:
            return RTCCertificate.from_pem(_read(self.path))
        except FileNotFoundError:
            return None
        except (OSError, CertificateProblem) as error:
            why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            self._log.error("{path}: {why}; there will be a new one", path=self.path, why=why)
            return None


def _read(path: str) -> bytes:
    """The file, if it is ours alone; OSError or CertificateProblem."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise CertificateProblem("is not a file of this user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise CertificateProblem("others may read it, and so its key is no secret")
        return file.read(MAX_FILE)


def _write(path: str, content: bytes) -> None:
    """All of it or nothing, readable by nobody else at any time."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    beside = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), MODE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
