"""Who may connect to the hub, and under which names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol, TypeAlias

from attrs import field, frozen

from refreeze.basics import Randomness
from refreeze.signaling.cookie import Cookie, CookieServer
from refreeze.signaling.peercred import Credentials, peer_credentials
from refreeze.signaling.verification import Verification, verification_of

PURPOSE = "hub"
"""The hub's label in the cookie handshake."""


@frozen
class SocketAccess:
    """On a UNIX socket: the daemon's own user, root, and whom the configuration names.

    *names* limits which daemon names a uid may take; a uid that is not in it may take any.
    """

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()
    names: Mapping[int, frozenset[str]] = field(factory=dict)
    own_uid: int = field(factory=os.getuid)

    def admits(self, credentials: Credentials) -> bool:
        """Whether this process may connect at all."""
        return (
            credentials.uid in (0, self.own_uid)
            or credentials.uid in self.uids
            or credentials.gid in self.gids
        )

    def may_be(self, credentials: Credentials, name: str) -> bool:
        """Whether this process may take that daemon's name."""
        allowed = self.names.get(credentials.uid)
        return allowed is None or name in allowed

    def guard(self, transport: object) -> SocketGuard | None:
        """What guards one new connection; None: refused."""
        credentials = peer_credentials(transport)
        if credentials is None or not self.admits(credentials):
            return None
        return SocketGuard(self, credentials)


@frozen
class CookieAccess:
    """On loopback TCP: whoever proves to know the cookie; then any name."""

    cookie: Cookie
    random: Randomness = field(repr=False)

    def guard(self, transport: object) -> CookieGuard | None:
        """What guards one new connection."""
        return CookieGuard(CookieServer(self.cookie, PURPOSE, self.random))


@frozen
class TlsAccess:
    """On TCP with TLS: whoever shows a certificate of our CA; then the names that are in it."""

    def guard(self, transport: object) -> TlsGuard | None:
        """What guards one new connection, whose handshake may be still to come."""
        verification = verification_of(transport)
        return None if verification is None else TlsGuard(verification)


Access: TypeAlias = SocketAccess | CookieAccess | TlsAccess


class Guard(Protocol):
    """Of one connection."""

    @property
    def handshake(self) -> CookieServer | None:
        """What must succeed before the hello; None: nothing."""
        ...

    def may_be(self, name: str) -> bool: ...


@frozen
class SocketGuard:
    """The kernel has said who it is."""

    access: SocketAccess
    credentials: Credentials

    @property
    def handshake(self) -> CookieServer | None:
        return None

    def may_be(self, name: str) -> bool:
        return self.access.may_be(self.credentials, name)


@frozen
class TlsGuard:
    """The certificate has said who it is, by the time that anything is heard."""

    verification: Verification

    @property
    def handshake(self) -> CookieServer | None:
        return None

    def may_be(self, name: str) -> bool:
        return name in self.verification.names


@frozen
class CookieGuard:
    """The handshake will say whether it may."""

    handshake: CookieServer | None

    def may_be(self, name: str) -> bool:
        return True
