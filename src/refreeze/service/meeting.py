"""Where a daemon meets its peers: the hub that it serves, its link to one, its certificates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults

from refreeze.config import DaemonSettings
from refreeze.service.process import Process
from refreeze.signaling.access import CookieAccess, SocketAccess
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.cookie import ensure_cookie, load_cookie
from refreeze.signaling.hub import Hub, hub_listener
from refreeze.signaling.link import HubLink
from refreeze.signaling.places import LoopbackPlace, check_hub_endpoint
from refreeze.signaling.renewal import Renewal
from refreeze.signaling.tls import TlsIdentity, link_endpoint


@define(eq=False, repr=False, kw_only=True, slots=False)
class Meeting(Service):
    """I start certificates, hub and link, in this order, and stop them the other way round."""

    process: Process
    settings: DaemonSettings
    emit: Callable[[str, dict[str, Any]], None]
    link: HubLink | None = field(default=None, init=False)
    hub: Hub | None = field(default=None, init=False)
    certificates: Renewal | None = field(default=None, init=False)
    """None: nothing of this daemon is on TLS."""
    _services: list[Any] = field(factory=list, init=False)

    def startService(self) -> None:
        """What cannot listen, or cannot be read, is raised."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        hub = self.settings.hub
        if hub.files is not None:
            self.certificates = self._make_certificates(hub.files)
            self._start(self.certificates)
        if hub.serve is not None:
            self.hub = self._make_hub(hub.serve)
            self._start(self.hub)
        if hub.connect is not None:
            self.link = self._make_link(hub.connect)
            self._start(self.link)

    def stopService(self) -> Deferred[Any]:
        """Fires when all of them have stopped."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        stopping = [service.stopService() for service in reversed(self._services)]
        waits = [each for each in stopping if isinstance(each, Deferred)]
        return gatherResults(waits, consumeErrors=True)

    def look_for_certificates(self) -> bool:
        """Whether there were new ones."""
        return self.certificates is not None and self.certificates.look()

    def status(self) -> dict[str, Any]:
        """What `status` shows of it."""
        shown: dict[str, Any] = {}
        if self.link is not None:
            why = self.link.problem or "no try yet"
            shown["signaling"] = "up" if self.link.up else f"down: {why}"
        if self.hub is not None:
            shown["hub_links"] = len(self.hub.online)
            for counter in ("refused", "turned_away", "foreign_from"):
                shown[f"hub_{counter}"] = self.hub.counters[counter]
        if self.certificates is not None:
            shown["certificate_days"] = round(self.certificates.days_left, 1)
        return shown

    def _start(self, service: Any) -> None:
        service.startService()
        self._services.append(service)

    def _make_certificates(self, files: CertificateFiles) -> Renewal:
        check = partial(self.settings.hub.check_certificates, self.settings.name)
        return Renewal(
            identity=TlsIdentity(files, check),
            clock=self.process.reactor,
            wall=self.process.wall,
            emit=self.emit,
        )

    @property
    def _identity(self) -> TlsIdentity | None:
        return None if self.certificates is None else self.certificates.identity

    def _make_hub(self, where: str) -> Hub:
        place = check_hub_endpoint(where)
        cookie = None
        if isinstance(place, LoopbackPlace) and self.settings.hub.cookie is not None:
            secret = ensure_cookie(self.settings.hub.cookie, self.process.random)
            cookie = CookieAccess(secret, self.process.random)
        listener = hub_listener(
            self.process.reactor,
            place,
            socket=SocketAccess(),
            cookie=cookie,
            tls=self._identity,
        )
        return Hub([listener], self.process.reactor)

    def _make_link(self, where: str) -> HubLink:
        place = check_hub_endpoint(where)
        cookie = None
        if isinstance(place, LoopbackPlace) and self.settings.hub.cookie is not None:
            cookie = load_cookie(self.settings.hub.cookie)
        return HubLink(
            endpoint=link_endpoint(
                self.process.reactor, place, self._identity, self.settings.hub.server_name
            ),
            name=self.settings.name,
            clock=self.process.reactor,
            random=self.process.random,
            cookie=cookie,
        )
