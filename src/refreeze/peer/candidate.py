"""RTCIceCandidate: what a candidate's line says, attribute by attribute (webrtc-pc section 4.8.1).

A line that cannot be read leaves its attributes None; whether it is of any use is for
addIceCandidate to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, TypedDict

from attrs import evolve, field, frozen

from refreeze.ice import Candidate, CandidateType
from refreeze.ice.candidate import COMPONENT
from refreeze.net.servers import ServerUrlError, parse_server_url
from refreeze.sdp import SdpError, format_candidate, parse_candidate

MAX_INDEX: Final = 0xFFFF
"""W3C's sdpMLineIndex is an unsigned short."""

_COMPONENTS: Final = {COMPONENT: "rtp", 2: "rtcp"}
_PROTOCOLS: Final = frozenset({"udp", "tcp"})
_RELAY_PROTOCOLS: Final = ("udp", "tcp", "tls")
_TCP_TYPES: Final = frozenset({"active", "passive", "so"})
_RADDR, _RPORT = 9, 11
"""Words of a line that has them."""


class RTCIceCandidateInit(TypedDict, total=False):
    """W3C's dictionary: what crosses the signaling."""

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: str | None


@frozen(init=False)
class RTCIceCandidate:
    """One candidate; an empty line is the end of its generation's.

    Made of W3C's dictionary or of its members as keywords. TypeError unless sdpMid or
    sdpMLineIndex is there, and for members of another kind.
    """

    candidate: str
    sdpMid: str | None
    sdpMLineIndex: int | None
    usernameFragment: str | None
    url: str | None
    """Of the server that a local one comes from."""
    relayProtocol: str | None
    """``udp``, ``tcp`` or ``tls``: how we reach the TURN server of a local relayed one."""
    _secret: bool = field(repr=False)
    """Whether its address was learnt from the network alone, and is not for scripts."""

    def __init__(self, init: Mapping[str, Any] | None = None, /, **members: Any) -> None:
        if init is not None and not isinstance(init, Mapping):
            raise TypeError("a candidate is a dictionary")
        read = {**(init or {}), **members}
        line, mid, index, ufrag = read_members(read)
        if mid is None and index is None:
            raise TypeError("a candidate needs sdpMid or sdpMLineIndex")
        self.__attrs_init__(
            line,
            mid,
            index,
            ufrag,
            _text(read, "url"),
            _relay_protocol(read),
            bool(read.get("_secret")),
        )

    @classmethod
    def of(
        cls, candidate: Candidate | None, ufrag: str, place: tuple[str | None, int]
    ) -> RTCIceCandidate:
        """One of ours or of the peer's, of the generation *ufrag*; None: the end of them.

        *place* is mid and index of its section. A remote candidate that no signaling told of has
        no address, and one that hides behind a name has that.
        """
        mid, index = place
        line, url, relayed, secret = "", None, None, False
        if candidate is not None:
            secret = candidate.type is CandidateType.PRFLX and candidate.base is None
            url = candidate.url
            relayed = _reached(candidate)
            line = format_candidate(_nowhere(candidate) if secret else _named(candidate))
        return cls(
            candidate=line,
            sdpMid=mid,
            sdpMLineIndex=index,
            usernameFragment=ufrag,
            url=url,
            relayProtocol=relayed,
            _secret=secret,
        )

    def toJSON(self) -> RTCIceCandidateInit:
        """For the signaling."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }

    # What the line says

    @cached_property
    def _read(self) -> Candidate | None:
        """None when anything in it is no value of its attribute."""
        try:
            found = parse_candidate(self.candidate)
        except SdpError:
            return None
        known = found.component in _COMPONENTS and found.transport in _PROTOCOLS
        return found if known else None

    @property
    def foundation(self) -> str | None:
        """Equal for candidates of one type, base and server."""
        return None if self._read is None else self._read.foundation

    @property
    def component(self) -> str | None:
        """``rtp`` or ``rtcp``."""
        return None if self._read is None else _COMPONENTS[self._read.component]

    @property
    def priority(self) -> int | None:
        """RFC 8445 section 5.1.2."""
        return None if self._read is None else self._read.priority

    @property
    def address(self) -> str | None:
        """Numeric, or a ``.local`` name; None for a remote one that was never signaled."""
        return None if self._read is None or self._secret else self._read.address[0]

    @property
    def protocol(self) -> str | None:
        """``udp`` or ``tcp``, to the peer."""
        return None if self._read is None else self._read.transport

    @property
    def port(self) -> int | None:
        """0 to 65535."""
        return None if self._read is None else self._read.address[1]

    @property
    def type(self) -> str | None:
        """``host``, ``srflx``, ``prflx`` or ``relay``."""
        return None if self._read is None else self._read.type.value

    @property
    def tcpType(self) -> str | None:
        """``active``, ``passive`` or ``so``, of TCP candidates."""
        if self._read is None or self._read.transport != "tcp":
            return None
        found = next((value for name, value in self._read.extensions if name == "tcptype"), None)
        return found if found in _TCP_TYPES else None

    @property
    def relatedAddress(self) -> str | None:
        """As the line has it, though it be unspecified; None for hosts."""
        return None if self.type in (None, "host") else self.candidate.split()[_RADDR]

    @property
    def relatedPort(self) -> int | None:
        """With :attr:`relatedAddress`."""
        return None if self.type in (None, "host") else int(self.candidate.split()[_RPORT])


@frozen
class RTCIceCandidatePair:
    """The two ends of a path."""

    local: RTCIceCandidate
    remote: RTCIceCandidate


def read_members(init: Mapping[str, Any]) -> tuple[str, str | None, int | None, str | None]:
    """candidate, sdpMid, sdpMLineIndex and usernameFragment; TypeError for another kind."""
    line, mid = _text(init, "candidate") or "", _text(init, "sdpMid")
    return line, mid, _index(init), _text(init, "usernameFragment")


def _named(candidate: Candidate) -> Candidate:
    """A peer that hides its address is known by the name that it gave."""
    if candidate.name is None:
        return candidate
    return evolve(candidate, address=(candidate.name, candidate.address[1]))


def _nowhere(candidate: Candidate) -> Candidate:
    """Scripts learn of a peer's address from its signaling or not at all (webrtc-pc 4.8.1)."""
    host = "::" if candidate.is_ipv6 else "0.0.0.0"
    return evolve(candidate, address=(host, candidate.address[1]))


def _reached(candidate: Candidate) -> str | None:
    if candidate.url is None or candidate.type is not CandidateType.RELAY:
        return None
    try:
        return parse_server_url(candidate.url).transport
    except ServerUrlError:
        return None


def _relay_protocol(members: Mapping[str, Any]) -> str | None:
    value = _text(members, "relayProtocol")
    if value not in (None, *_RELAY_PROTOCOLS):
        raise TypeError(f"relayProtocol: one of {', '.join(_RELAY_PROTOCOLS)}")
    return value


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name}: text")
    return value


def _index(members: Mapping[str, Any]) -> int | None:
    value = members.get("sdpMLineIndex")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INDEX:
        raise TypeError(f"sdpMLineIndex: 0 to {MAX_INDEX}")
    return value
