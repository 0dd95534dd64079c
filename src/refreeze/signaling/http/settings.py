"""The ``http`` section of the file: where clients come, and who they have to be."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from refreeze.signaling.http.access import ANY, Access, Tokens
from refreeze.signaling.places import (
    HubEndpointError,
    TlsPlace,
    UnixPlace,
    check_hub_endpoint,
)

HttpPlace: TypeAlias = UnixPlace | TlsPlace
"""A UNIX socket or a TCP port; whether there is TLS, the files decide."""


@frozen(kw_only=True)
class HttpSettings:
    """``listen``: ``unix:PATH`` or ``tcp:ADDRESS:PORT``, ``*`` for all addresses; with
    ``certificate`` and ``key`` on TLS. Where others than this machine come, TLS is wanted, or a
    proxy that adds it (``behind_proxy``), and ``tokens``: a file of lines ``SESSION TOKEN``.
    ``origins``: whose pages may use it. ``page``: serve one of our own.
    """

    listen: str | None = None
    certificate: str | None = None
    key: str | None = None
    behind_proxy: bool = False
    tokens: str | None = None
    origins: tuple[str, ...] = ()
    page: bool = False

    def __attrs_post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            key = "key" if self.key is None else "certificate"
            raise ValueError(f"{key}: certificate and key are wanted, or none of them")
        place = self.place
        if isinstance(place, TlsPlace) and not _is_loopback(place.host):
            if self.certificate is None and not self.behind_proxy:
                raise ValueError(
                    f"certificate: {self.listen!r} needs one and its key, or behind_proxy = true"
                )
            if self.tokens is None:
                raise ValueError(f"tokens: {self.listen!r} needs a file of tokens")
        for origin in self.origins:
            if origin != ANY and not _is_origin(origin):
                raise ValueError(f"origins: {origin!r} is not SCHEME://HOST or *")

    @property
    def place(self) -> HttpPlace | None:
        """Where it listens; None: nowhere."""
        if self.listen is None:
            return None
        kind, _, rest = self.listen.partition(":")
        named = f"tls:{rest}" if kind == "tcp" else f"unix:{rest}"
        try:
            place = check_hub_endpoint(named)
        except HubEndpointError as error:
            why = str(error).removeprefix(f"{named!r}: ")
            raise ValueError(f"listen: {self.listen!r}: {why}") from None
        if kind == "tcp" and isinstance(place, TlsPlace) and place.listenable:
            return place
        if kind == "unix" and isinstance(place, UnixPlace):
            return place
        raise ValueError(f"listen: {self.listen!r}: unix:PATH or tcp:ADDRESS:PORT is wanted")

    def access(self) -> Access:
        """Reads the tokens; ValueError in one line that begins with the key."""
        try:
            tokens = None if self.tokens is None else Tokens.load(self.tokens)
        except ValueError as error:
            raise ValueError(f"tokens: {error}") from None
        return Access(tokens, self.origins)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    """RFC 6454 section 6.2, of the web."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in {"http", "https"}
            and parts.hostname is not None
            and text == f"{parts.scheme}://{parts.netloc}"
            and "@" not in parts.netloc
        )
    except ValueError:
        return False
