"""Where browsers come in: the listener for sessions on HTTP, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final

from attrs import define, field
from OpenSSL import crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from refreeze.service.process import Process
from refreeze.signaling.certificates import CertificateError, load_pair
from refreeze.signaling.http.carrier import HttpSignaling
from refreeze.signaling.http.resources import Doorway
from refreeze.signaling.http.settings import HttpSettings
from refreeze.signaling.http.wire import MAX_OF_ORIGIN, BoundedSite
from refreeze.signaling.places import UnixPlace, server_endpoint

_SCRIPT: Final = "text/javascript; charset=utf-8"
_PAGE: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", _SCRIPT),
    "/refreeze.js": ("refreeze.js", _SCRIPT),
    "/requests.js": ("requests.js", _SCRIPT),
    "/sdp.js": ("sdp.js", _SCRIPT),
}


def page_files() -> Mapping[str, tuple[str, bytes]]:
    """The page and its module, by path: type and content."""
    directory = files("refreeze.signaling.http") / "page"
    return {
        path: (kind, (directory / name).read_bytes())
        for path, (name, kind) in _PAGE.items()
        if (directory / name).is_file()
    }


@define(eq=False, repr=False, kw_only=True, slots=False)
class Frontage(Service):
    """I listen while I run; what cannot listen, or cannot be read, is raised."""

    process: Process
    settings: HttpSettings
    signaling: HttpSignaling
    draining: Callable[[], bool]
    site: BoundedSite = field(init=False)
    _doorway: Doorway = field(init=False)
    _port: Any = field(default=None, init=False)

    def startService(self) -> None:
        """See IService."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        place = self.settings.place
        assert place is not None, "made only for a place"
        self._doorway = Doorway(
            signaling=self.signaling,
            clock=self.process.reactor,
            access=self.settings.access(),
            unix=isinstance(place, UnixPlace),
            page=page_files() if self.settings.page else {},
            draining=self.draining,
        )
        alike = self.settings.behind_proxy
        self.site = BoundedSite(
            self._doorway, self.process.reactor, None if alike else MAX_OF_ORIGIN
        )
        listening = server_endpoint(self.process.reactor, place).listen(self._factory())
        problems: list[Any] = []
        listening.addCallbacks(self._listens, problems.append)
        if problems:
            problems[0].raiseException()

    def stopService(self) -> Deferred[Any]:
        """Nobody new, and whoever is there is gone."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        stopping = [] if self._port is None else [maybeDeferred(self._port.stopListening)]
        return gatherResults([*stopping, self.site.close()], consumeErrors=True)

    def reconfigure(self, settings: HttpSettings) -> None:
        """Tokens, origins and the page can change while it runs; ValueError for bad tokens."""
        access = settings.access()
        self.settings = settings
        self._doorway.access = access
        self._doorway.page = page_files() if settings.page else {}

    @property
    def connections(self) -> int:
        """That are open."""
        return self.site.connections

    @property
    def clients(self) -> int:
        """Sessions at which somebody is."""
        return sum(each.life is not None for each in self.signaling.carriers.values())

    @property
    def responses(self) -> Mapping[int, int]:
        """By status, since the daemon started."""
        return self.site.counters + self._doorway.counters

    def status(self) -> dict[str, Any]:
        """What `status` shows of it."""
        return {"http_connections": self.connections, "http_clients": self.clients}

    def _listens(self, port: Any) -> None:
        self._port = port

    def _factory(self) -> Any:
        certificate, key = self.settings.certificate, self.settings.key
        if certificate is None or key is None:
            return self.site
        options = tls_options(certificate, key)
        return TLSMemoryBIOFactory(options, False, self.site, clock=self.process.reactor)


def tls_options(certificate: str, key: str) -> CertificateOptions:
    """Of PEM files, the certificate's with the rest of its chain; ValueError names the file."""
    try:
        chain, private = load_pair(certificate, key)
    except CertificateError as error:
        raise ValueError(f"http: {error}") from None
    shown = [crypto.X509.from_cryptography(each) for each in chain]
    return CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(private),
        certificate=shown[0],
        extraCertChain=shown[1:],
    )
