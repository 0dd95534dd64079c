"""RTCConfiguration: what it may say, and what of it may change (webrtc-pc sections 4.2, 4.4.1.6).

There is no pool of candidates: iceCandidatePoolSize is checked and kept, and gathers nothing
ahead (rule 16; docs/assumptions.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from attrs import field, fields, frozen

from refreeze.jsep import (
    InvalidAccessError,
    InvalidModificationError,
    NotSupportedError,
    SyntaxProblem,
)
from refreeze.net.servers import (
    MAX_URLS,
    MAX_USERNAME,
    IceServer,
    ServerUrlError,
    parse_server_url,
)
from refreeze.peer.certificate import RTCCertificate

MAX_SERVERS: Final = 32
MAX_POOL: Final = 255


class RTCIceTransportPolicy(StrEnum):
    """Which candidates are offered."""

    ALL = "all"
    RELAY = "relay"


class RTCBundlePolicy(StrEnum):
    """There is one transport whatever it says: everything that is not bundled is rejected."""

    BALANCED = "balanced"
    MAX_COMPAT = "max-compat"
    MAX_BUNDLE = "max-bundle"


class RTCRtcpMuxPolicy(StrEnum):
    """There is one."""

    REQUIRE = "require"


_Word = TypeVar("_Word", bound=StrEnum)


def _several(urls: str | Sequence[str]) -> Sequence[str]:
    return (urls,) if isinstance(urls, str) else urls


@frozen
class RTCIceServer:
    """``stun:``, ``turn:`` and ``turns:`` URLs, and what TURN is told."""

    urls: Sequence[str] = field(converter=_several)
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.urls:
            raise SyntaxProblem("urls: at least one is wanted")
        if len(self.urls) > MAX_URLS:
            raise TypeError(f"urls: at most {MAX_URLS} of one server")
        relays = [_relays(url) for url in self.urls]
        if any(relays):
            if self.username is None or self.credential is None:
                raise InvalidAccessError("a turn: server needs username and credential")
            if len(_bytes(self.username)) > MAX_USERNAME:
                raise InvalidAccessError(f"username: longer than {MAX_USERNAME} bytes")

    @classmethod
    def of(cls, init: RTCIceServer | Mapping[str, Any]) -> RTCIceServer:
        """From W3C's dictionary; TypeError for what is none."""
        if isinstance(init, RTCIceServer):
            return init
        if not isinstance(init, Mapping) or "urls" not in init:
            raise TypeError("iceServers: dictionaries with urls")
        urls, username, credential = init["urls"], init.get("username"), init.get("credential")
        urls = (urls,) if isinstance(urls, str) else _sequence("urls", urls)
        words = [*urls, *(word for word in (username, credential) if word is not None)]
        if not all(isinstance(word, str) for word in words):
            raise TypeError("iceServers: urls, username and credential are text")
        for word in words:
            _bytes(word)
        return cls(urls, username, credential)

    def for_gathering(self) -> Iterable[IceServer]:
        """As a gatherer takes them: those that relay apart from those that only reflect."""
        relaying = tuple(url for url in self.urls if _relays(url))
        reflecting = tuple(url for url in self.urls if not _relays(url))
        if relaying:
            yield IceServer(urls=relaying, username=self.username, credential=self.credential)
        if reflecting:
            yield IceServer(urls=reflecting)


@frozen
class RTCConfiguration:
    """Checked on construction, but for dates: W3C's errors, by their names."""

    iceServers: Sequence[RTCIceServer] = ()
    iceTransportPolicy: RTCIceTransportPolicy = RTCIceTransportPolicy.ALL
    bundlePolicy: RTCBundlePolicy = RTCBundlePolicy.BALANCED
    rtcpMuxPolicy: RTCRtcpMuxPolicy = RTCRtcpMuxPolicy.REQUIRE
    certificates: Sequence[RTCCertificate] = ()
    iceCandidatePoolSize: int = 0

    def __attrs_post_init__(self) -> None:
        if len(self.iceServers) > MAX_SERVERS:
            raise TypeError(f"iceServers: at most {MAX_SERVERS}")
        size = self.iceCandidatePoolSize
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_POOL:
            raise TypeError(f"iceCandidatePoolSize: 0 to {MAX_POOL}")
        if not all(isinstance(each, RTCCertificate) for each in self.certificates):
            raise TypeError("certificates: each is an RTCCertificate")

    @classmethod
    def of(cls, init: RTCConfiguration | Mapping[str, Any] | None) -> RTCConfiguration:
        """From W3C's dictionary; TypeError for unknown members and words."""
        if init is None or isinstance(init, RTCConfiguration):
            return init or cls()
        if not isinstance(init, Mapping):
            raise TypeError("a configuration is a dictionary")
        unknown = init.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise TypeError(f"{min(map(str, unknown))}: no member of RTCConfiguration")
        return cls(
            tuple(map(RTCIceServer.of, _sequence("iceServers", init.get("iceServers", ())))),
            _word(RTCIceTransportPolicy, init, "iceTransportPolicy", RTCIceTransportPolicy.ALL),
            _word(RTCBundlePolicy, init, "bundlePolicy", RTCBundlePolicy.BALANCED),
            _word(RTCRtcpMuxPolicy, init, "rtcpMuxPolicy", RTCRtcpMuxPolicy.REQUIRE),
            _sequence("certificates", init.get("certificates", ())),
            init.get("iceCandidatePoolSize", 0),
        )

    def check_dates(self, now: datetime) -> None:
        """InvalidAccessError for a certificate that has expired by *now*, which has a zone."""
        if any(certificate.expires <= now for certificate in self.certificates):
            raise InvalidAccessError("certificates: one has expired")

    def check_change(self, new: RTCConfiguration, *, described: bool) -> None:
        """InvalidModificationError for what stays as it is, or once *described* locally does."""
        for name in ("bundlePolicy", "rtcpMuxPolicy"):
            if getattr(self, name) != getattr(new, name):
                raise InvalidModificationError(f"{name}: cannot change")
        if new.certificates and [*self.certificates] != [*new.certificates]:
            raise InvalidModificationError("certificates: cannot change")
        if described and self.iceCandidatePoolSize != new.iceCandidatePoolSize:
            raise InvalidModificationError("iceCandidatePoolSize: gathering has begun")

    def gathers_as(self, other: RTCConfiguration) -> bool:
        """Whether candidates come from the same servers under the same policy."""
        mine = [*self.iceServers], self.iceTransportPolicy
        return mine == ([*other.iceServers], other.iceTransportPolicy)


def _relays(url: str) -> bool:
    """SyntaxError for what is no URL of a server, NotSupportedError for one that is not here."""
    try:
        return parse_server_url(url).relays
    except ServerUrlError as error:
        scheme = url.partition(":")[0].lower()
        if scheme == "stuns" or (scheme == "turns" and url.lower().endswith("transport=udp")):
            raise NotSupportedError(f"urls: {error}") from None
        raise SyntaxProblem(f"urls: {error}") from None


def _sequence(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: a sequence")
    return tuple(value)


def _bytes(word: str) -> bytes:
    """As it is sent; half a character is none."""
    try:
        return word.encode()
    except UnicodeEncodeError:
        raise TypeError("iceServers: text that UTF-8 can hold") from None


def _word(kind: type[_Word], init: Mapping[str, Any], name: str, usual: _Word) -> _Word:
    try:
        return kind(init.get(name, usual))
    except ValueError:
        raise TypeError(f"{name}: one of {', '.join(kind)}") from None
