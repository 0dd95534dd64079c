"""Where the control port is and who may use it: the ``control`` section of the file."""

from __future__ import annotations

from attrs import field, frozen

from refreeze.control.access import Access, access_by_names
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.places import TlsPlace, check_hub_endpoint


@frozen(kw_only=True)
class ControlPlaces:
    """``socket``: the path of the UNIX socket; ``tcp``: a loopback address, with a cookie; ``tls``:
    an address that other machines reach, with certificates on both ends.

    ``users`` and ``groups``: the roles of names or numbers; ``others``: of everybody else who
    can open the socket; ``certificates``: of names in certificates, instead of their own words.
    """

    socket: str | None = None
    tcp: str | None = None
    cookie: str | None = None
    tls: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None
    users: dict[str, str] = field(factory=dict)
    groups: dict[str, str] = field(factory=dict)
    others: str = "observer"
    certificates: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.socket is not None:
            _check(f"unix:{self.socket}", "socket")
        if self.tcp is not None:
            _check(f"tcp:{self.tcp}", "tcp")
            if self.cookie is None:
                raise ValueError("cookie: control.tcp needs a cookie file")
        if self.tls is not None:
            place = _check(f"tls:{self.tls}", "tls")
            if not isinstance(place, TlsPlace) or not place.listenable:
                raise ValueError(f"tls: {self.tls!r}: an address is wanted, or * for all")
        given = [each is not None for each in (self.certificate, self.key, self.ca)]
        if any(given) and not all(given):
            raise ValueError("certificate: certificate, key and ca belong together")
        self.access()

    def access(self) -> Access:
        """Who has which role; ValueError for a name that this machine does not know."""
        return access_by_names(self.users, self.groups, self.others, self.certificates)

    @property
    def files(self) -> CertificateFiles | None:
        """Its own; None: the hub's."""
        if self.certificate is None or self.key is None or self.ca is None:
            return None
        return CertificateFiles(certificate=self.certificate, key=self.key, ca=self.ca)


def _check(description: str, key: str) -> object:
    """ValueError names *key* when *description* is no place."""
    try:
        return check_hub_endpoint(description)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
