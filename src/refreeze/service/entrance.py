"""Where a daemon is driven from: its control port, and the certificates of that on TLS."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from refreeze.config import DaemonSettings
from refreeze.control import Commands, ControlServer, EventLog
from refreeze.service.process import Process
from refreeze.signaling.certificates import check_server
from refreeze.signaling.renewal import Renewal
from refreeze.signaling.tls import TlsIdentity


@define(eq=False, repr=False, kw_only=True, slots=False)
class Entrance(Service):
    """I start the certificates and the port, and stop them the other way round."""

    process: Process
    settings: DaemonSettings
    commands: Commands
    events: EventLog
    emit: Callable[[str, dict[str, Any]], None]
    shared: TlsIdentity | None
    """The hub's identity, which serves here too unless the section names files of its own."""
    certificates: Renewal | None = field(default=None, init=False)
    """Of files of its own."""
    server: ControlServer = field(init=False)

    def startService(self) -> None:
        """What cannot listen, or cannot be read, is raised."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        places = self.settings.control
        if places.tls is not None and places.files is not None:
            self.certificates = self._make_certificates()
            self.certificates.startService()
        own = None if self.certificates is None else self.certificates.identity
        self.server = ControlServer(
            self.process.reactor,
            places.socket,
            self.commands,
            self.events,
            places.access(),
            tcp=places.tcp,
            cookie_file=places.cookie,
            random=self.process.random,
            inherited=self._inherited_at(places.socket),
            tls=places.tls,
            identity=own or self.shared,
        )
        self.server.start()

    def stopService(self) -> Deferred[Any]:
        """Fires when nobody is there any more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self.certificates is not None:
            self.certificates.stopService()
        return Deferred.fromCoroutine(self.server.stop())

    def reconfigure(self, settings: DaemonSettings) -> None:
        """Roles can change while it runs."""
        self.server.change_access(settings.control.access())

    def look_for_certificates(self) -> bool:
        """Whether there were new ones."""
        return self.certificates is not None and self.certificates.look()

    def status(self) -> dict[str, Any]:
        """What `status` shows of it."""
        if self.certificates is None:
            return {}
        return {"control_certificate_days": round(self.certificates.days_left, 1)}

    def _make_certificates(self) -> Renewal:
        files = self.settings.control.files
        assert files is not None
        identity = TlsIdentity(files, lambda material: check_server(files, material))
        return Renewal(
            identity=identity,
            clock=self.process.reactor,
            wall=self.process.wall,
            emit=self.emit,
        )

    def _inherited_at(self, path: str | None) -> socket.socket | None:
        """The socket that the service manager opened at *path*, told apart by nothing else."""
        for each in self.process.inherited:
            if each.family == socket.AF_UNIX and path is not None and each.getsockname() == path:
                return each
        return None
