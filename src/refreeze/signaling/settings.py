"""Where the hub is, and what it takes to be let in there: the ``hub`` section of the file."""

from __future__ import annotations

from attrs import frozen

from refreeze.net.servers import is_numeric
from refreeze.signaling.certificates import (
    CertificateFiles,
    Material,
    check_client,
    check_server,
)
from refreeze.signaling.places import (
    HubPlace,
    LoopbackPlace,
    TlsPlace,
    check_hub_endpoint,
    is_host_name,
)


@frozen(kw_only=True)
class HubSettings:
    """``connect``: the hub that this daemon joins; ``serve``: where it serves one itself.

    ``server_name``: whom the hub's certificate must be for, when not for the host of ``connect``.
    """

    connect: str | None = None
    serve: str | None = None
    cookie: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None
    server_name: str | None = None

    def __attrs_post_init__(self) -> None:
        for key, where in (("connect", self.connect), ("serve", self.serve)):
            place = _place(where, key)
            if isinstance(place, LoopbackPlace) and self.cookie is None:
                raise ValueError(f"cookie: {key} = {where!r} needs a cookie file")
            if isinstance(place, TlsPlace):
                self._check_files(f"{key} = {where!r}")
        joined, served = _place(self.connect, "connect"), _place(self.serve, "serve")
        if isinstance(joined, TlsPlace) and not joined.connectable:
            raise ValueError(f"connect: {self.connect!r} is no place to connect to")
        if isinstance(served, TlsPlace) and not served.listenable:
            raise ValueError(f"serve: {self.serve!r}: an address is wanted, or * for all")
        name = self.server_name
        if name is not None and not is_host_name(name) and not is_numeric(name):
            raise ValueError("server_name: a host's name or an address is wanted")

    def _check_files(self, where: str) -> None:
        for key in ("certificate", "key", "ca"):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: {where} needs a certificate, its key and a ca")

    @property
    def files(self) -> CertificateFiles | None:
        """All three of them, when there is TLS."""
        places = _place(self.connect, "connect"), _place(self.serve, "serve")
        if not any(isinstance(place, TlsPlace) for place in places):
            return None
        if self.certificate is None or self.key is None or self.ca is None:
            return None
        return CertificateFiles(certificate=self.certificate, key=self.key, ca=self.ca)

    def check_certificates(self, name: str, material: Material) -> None:
        """Whether the daemon *name* can do with these what it has to; CertificateError."""
        if self.files is None:
            return
        if isinstance(_place(self.connect, "connect"), TlsPlace):
            check_client(self.files, material, name)
        if isinstance(_place(self.serve, "serve"), TlsPlace):
            check_server(self.files, material)


def _place(description: str | None, key: str) -> HubPlace | None:
    """What *description* names; ValueError names *key* when it is no place at all."""
    try:
        return None if description is None else check_hub_endpoint(description)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
