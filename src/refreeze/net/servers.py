"""STUN and TURN servers as the configuration names them: URIs, credentials, and what went wrong.

A URI is ``stun:host``, ``turn:host``, ``turn:host?transport=tcp`` or ``turns:host``, each with
an optional ``:port`` (RFC 7064 section 3.1, RFC 7065 section 3.1).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, TypeAlias

from attrs import field, frozen

from refreeze.basics import Address, canonical_host
from refreeze.net.files import read_regular
from refreeze.turn.credentials import TurnCredentials, time_limited

Transport: TypeAlias = Literal["udp", "tcp", "tls"]

UNREACHABLE: Final = 701
"""webrtc-pc's code for a server that could not be reached: outside of STUN's range (rule 57)."""

DEFAULT_PORT: Final = 3478
DEFAULT_TLS_PORT: Final = 5349

MAX_URLS: Final = 16
"""Of one server. Each costs requests for every local address."""

MAX_USERNAME: Final = 508
"""Bytes that a request has room for (RFC 8489 section 14.3)."""

MAX_USER: Final = MAX_USERNAME - len("4294967295:")
"""Bytes of a user's name with room for a time in front of it."""

MAX_SECRET_FILE: Final = 4096
"""Bytes that are read of a file with a secret."""

_URI: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[^\]]*\]|[^:?\[\]/@#]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>[A-Za-z]+))?",
    re.IGNORECASE,
)
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class ServerUrlError(ValueError):
    """No URI of a server that could be of use; one line."""


class CredentialError(Exception):
    """A file with a secret could not be used; one line that names it and holds nothing of it."""


@frozen
class ServerUrl:
    """One way to one server. *host* is a name or a canonical numeric address."""

    scheme: Literal["stun", "turn", "turns"]
    host: str
    port: int
    transport: Transport

    @property
    def relays(self) -> bool:
        """Whether it is a TURN server's."""
        return self.scheme != "stun"

    @property
    def reflects(self) -> bool:
        """Whether a UDP socket learns its mapped address there: a TURN server is a STUN server."""
        return self.transport == "udp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = DEFAULT_TLS_PORT if self.scheme == "turns" else DEFAULT_PORT
        port = "" if self.port == default else f":{self.port}"
        query = "?transport=tcp" if self.transport == "tcp" else ""
        return f"{self.scheme}:{host}{port}{query}"


def parse_server_url(text: str) -> ServerUrl:
    """The URI *text*; ServerUrlError, one line, for what is none or cannot serve."""
    if "@" in text:  # what stands before it may be a secret: it is not quoted
        raise ServerUrlError("a URI has no user or password; username and credential are keys")
    match = _URI.fullmatch(text)
    if match is None:
        raise ServerUrlError(f"{text!r} is not stun:HOST, turn:HOST or turns:HOST, with :PORT")
    scheme, asked = match["scheme"].lower(), (match["transport"] or "").lower()
    if scheme == "stuns":
        raise ServerUrlError(f"{text!r}: what TLS shows is not how a UDP port is mapped; use stun:")
    if scheme == "stun" and asked:
        raise ServerUrlError(f"{text!r}: a stun: URI has no transport")
    if scheme == "turns" and asked == "udp":
        raise ServerUrlError(f"{text!r}: TURN over DTLS is not supported; use transport=tcp")
    if asked not in ("", "udp", "tcp"):
        raise ServerUrlError(f"{text!r}: transport is udp or tcp")
    port = int(match["port"] or (DEFAULT_TLS_PORT if scheme == "turns" else DEFAULT_PORT))
    if not 0 < port < 65536:
        raise ServerUrlError(f"{text!r}: a port is 1 to 65535")
    transport: Transport = "tls" if scheme == "turns" else "tcp" if asked == "tcp" else "udp"
    kind: Literal["stun", "turn", "turns"] = (
        "stun" if scheme == "stun" else "turn" if scheme == "turn" else "turns"
    )
    return ServerUrl(kind, _server_host(text, match["host"]), port, transport)


def _server_host(text: str, host: str) -> str:
    bare = host[1:-1] if host.startswith("[") else host
    try:
        return canonical_host(bare)
    except ValueError:
        if host.startswith("[") or not _HOST_NAME.fullmatch(host) or _like_address(host):
            raise ServerUrlError(f"{text!r}: neither a host's name nor an address") from None
        if len(host) > 253:
            raise ServerUrlError(f"{text!r}: the name is longer than 253 letters") from None
        return host.lower().rstrip(".")


def _like_address(host: str) -> bool:
    """Digits and dots alone are a mistyped address, whatever a resolver would make of them."""
    return all(part.isdigit() for part in host.split("."))


@frozen
class ServerProblem:
    """Why a server gave nothing: shown to people, never silently missing."""

    url: str
    reason: str
    """A slug: ``unauthorized``, ``unreachable``, ``untrusted-certificate``, ``unresolved``..."""
    text: str
    """One line; no secret is in it."""
    code: int | None = UNREACHABLE
    """The STUN error code, 701 when the server was not reached (rule 57)."""
    local: Address | None = None
    """From where it was tried."""


@frozen
class TimedCredentials:
    """*expires_at* is wall time in seconds; None: nobody says."""

    credentials: TurnCredentials
    expires_at: float | None = None


def _check_urls(_: object, __: object, value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError("urls: at least one is wanted")
    if len(value) > MAX_URLS:
        raise ValueError(f"urls: at most {MAX_URLS}")
    for each in value:
        try:
            parse_server_url(each)
        except ServerUrlError as error:
            raise ValueError(f"urls: {error}") from None


@frozen(kw_only=True)
class IceServer:
    """RTCIceServer's members under W3C's names, and where else credentials may come from.

    *credential_file*: its first line is the user's name, its second the password. *secret* or
    *secret_file*: shared with the server, which takes credentials made of it for *ttl* seconds
    (coturn's ``use-auth-secret``); *username* is then the part behind the time. *ca* is a PEM
    file that ``turns:`` trusts instead of the system's. Files are read at every use, so what they
    hold can change. ValueError, one line that begins with the key.
    """

    urls: tuple[str, ...] = field(validator=_check_urls)
    username: str | None = None
    credential: str | None = field(default=None, repr=False)
    credential_file: str | None = None
    secret: str | None = field(default=None, repr=False)
    secret_file: str | None = None
    ttl: float = 86400.0
    ca: str | None = None

    def __attrs_post_init__(self) -> None:
        sources = ("credential", "credential_file", "secret", "secret_file")
        given = [key for key in sources if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: {given[0]} is given too")
        relays = any(url.relays for url in self.parsed)
        if relays and not given:
            raise ValueError("credential: a turn: server needs one, or a file, or a secret")
        if given and not relays:
            raise ValueError(f"{given[0]}: a stun: server takes none")
        if self.credential is not None and self.username is None:
            raise ValueError("username: a credential needs one")
        if self.credential_file is not None and self.username is not None:
            raise ValueError("username: credential_file has it")
        for key in ("credential_file", "secret_file", "ca"):
            path = getattr(self, key)
            if path is not None and not (path and path.isprintable()):
                raise ValueError(f"{key}: is no path")
        longest = MAX_USER if self.credential is None else MAX_USERNAME
        if self.username is not None and len(self.username.encode()) > longest:
            raise ValueError(f"username: longer than {longest} bytes")
        if not 60.0 <= self.ttl <= 31_536_000.0:
            raise ValueError(f"ttl: 60 seconds to a year, not {self.ttl:g}")

    @property
    def parsed(self) -> tuple[ServerUrl, ...]:
        """*urls*, parsed, each once."""
        return tuple(dict.fromkeys(parse_server_url(each) for each in self.urls))

    @property
    def reads_files(self) -> bool:
        """Whether its credentials can change where nobody tells us."""
        return self.credential_file is not None or self.secret_file is not None

    def credentials(self, wall: float) -> TimedCredentials:
        """Those to use at *wall* time; CredentialError when a file does not have them."""
        if self.credential is not None:
            return TimedCredentials(
                TurnCredentials(username=self.username or "", password=self.credential)
            )
        if self.credential_file is not None:
            return TimedCredentials(_read_credentials(self.credential_file))
        secret = self.secret
        if secret is None:
            assert self.secret_file is not None
            secret = _read_lines(self.secret_file)[0]
        expires = int(wall + self.ttl)
        made = time_limited(secret, self.username or "refreeze", expires)
        return TimedCredentials(made, float(expires))


def _read_credentials(path: str) -> TurnCredentials:
    lines = _read_lines(path)
    if len(lines) < 2:
        raise CredentialError(f"{path}: two lines are wanted, a user's name and a password")
    if len(lines[0].encode()) > MAX_USER:
        raise CredentialError(f"{path}: the user's name is longer than {MAX_USER} bytes")
    return TurnCredentials(username=lines[0], password=lines[1])


def _read_lines(path: str) -> list[str]:
    """The lines with something in them; CredentialError when there is none."""
    try:
        content = read_regular(path, MAX_SECRET_FILE + 1)
        text = content.decode()
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CredentialError(f"{path}: not UTF-8") from None
    if len(content) > MAX_SECRET_FILE:
        raise CredentialError(f"{path}: larger than {MAX_SECRET_FILE} bytes")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise CredentialError(f"{path}: is empty")
    return lines


def is_numeric(host: str) -> bool:
    """Whether *host* is an address and not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
