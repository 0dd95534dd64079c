"""Who may use a session over HTTP: bearer tokens (RFC 6750), origins (CORS), hosts."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from refreeze.net.files import read_private
from refreeze.signaling.http.problems import Problem

MAX_TOKENS: Final = 1000
MAX_FILE: Final = 256 * 1024
ANY: Final = "*"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,256}=*")
"""RFC 6750 section 2.1, and long enough not to be guessed."""
_UNAUTHORIZED: Final = {"WWW-Authenticate": 'Bearer realm="refreeze"'}


@frozen
class Tokens:
    """Tokens by session; ``*`` are good for all of them."""

    _by_session: Mapping[str, Sequence[bytes]] = field(factory=dict, repr=False)

    @classmethod
    def load(cls, path: str) -> Tokens:
        """Lines ``SESSION TOKEN``; ValueError in one line, which repeats no token."""
        try:
            text = read_private(path, MAX_FILE + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"{path}: {why}") from None
        if len(text) > MAX_FILE:
            raise ValueError(f"{path}: longer than {MAX_FILE} bytes")
        found: dict[str, list[bytes]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or _TOKEN.fullmatch(words[1]) is None:
                raise ValueError(
                    f"{path}: line {number}: SESSION TOKEN, the token of 16 to 256 of "
                    "A-Z a-z 0-9 . _ ~ + / -"
                )
            found.setdefault(words[0], []).append(words[1].encode())
            if number > MAX_TOKENS:
                raise ValueError(f"{path}: more than {MAX_TOKENS} lines")
        return cls(found)

    def check(self, session: str, authorization: str | None) -> None:
        """Problem 401, the same whether session or token are unknown."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(401, "a bearer token is wanted", _UNAUTHORIZED)
        token = given.strip().encode()
        known = [*self._by_session.get(session, ()), *self._by_session.get(ANY, ())]
        # All of them are compared, so that the time tells nothing of which one was close.
        if sum(hmac.compare_digest(token, each) for each in known) == 0:
            error = 'Bearer realm="refreeze", error="invalid_token"'
            raise Problem(401, "that token is not this session's", {"WWW-Authenticate": error})


@frozen
class Access:
    """What is checked of every request, before anything else is made of it."""

    tokens: Tokens | None = None
    """None: whoever reaches the listener may use every session."""
    origins: Collection[str] = ()
    """Of pages elsewhere that may use it; ``*``: all."""

    def check(self, session: str, authorization: str | None) -> None:
        """Problem 401."""
        if self.tokens is not None:
            self.tokens.check(session, authorization)

    def check_host(self, host: str | None, unix: bool) -> None:
        """Without tokens only this machine's own names: else any page on the web could have its
        own name resolve to us, and would be let in (DNS rebinding). Problem 421.
        """
        if self.tokens is None and not unix and not _is_loopback(host):
            raise Problem(421, "without tokens only localhost is served")

    def allowed(self, origin: str | None, host: str | None) -> str | None:
        """What CORS says to *origin*; None: a request of our own page, or of no page.

        Problem 403 for a page that is not allowed: it must not even try.
        """
        if origin is None or origin.partition("://")[2] == host:
            return None
        if ANY in self.origins:
            return ANY
        if origin in self.origins:
            return origin
        raise Problem(403, "pages of that origin may not use this daemon")


def _is_loopback(host: str | None) -> bool:
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
