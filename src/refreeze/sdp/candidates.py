"""Candidate lines (RFC 8839 section 5.1, rule 76)."""

from __future__ import annotations

import re
from typing import Final

from refreeze.basics import Address, canonical_host, is_mdns_name
from refreeze.ice.candidate import Candidate, CandidateType
from refreeze.sdp.errors import SdpError, UnsupportedCandidate
from refreeze.sdp.grammar import number

MAX_CANDIDATE_LINE: Final = 1024
MAX_PRIORITY: Final = 2**31 - 1
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*")
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9.!#$&'*+_`{|}~^-]{1,32}")
_HOST: Final = re.compile(r"[0-9A-Za-z_.:%-]{1,255}")
_KINDS: Final = frozenset(CandidateType)
_RELATED: Final = frozenset({"raddr", "rport"})


def parse_candidate(line: str) -> Candidate:
    """``candidate:...``, with or without ``a=``.

    A host candidate may have a name of multicast DNS for its address (``LABEL.local``), which is
    kept in lower case: whoever wants to pair it has to resolve it before. UnsupportedCandidate
    for what is well-formed and not for us: other names, zones, unknown types. SdpError for
    everything else that is not a candidate.
    """
    if len(line) > MAX_CANDIDATE_LINE or _PRINTABLE.fullmatch(line) is None:
        raise SdpError(f"a candidate of at most {MAX_CANDIDATE_LINE} printable characters")
    head, _, body = line.removeprefix("a=").partition(":")
    words = body.split()
    if head != "candidate" or len(words) < 8 or words[6] != "typ" or len(words) % 2:
        raise SdpError("candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE")
    foundation, component, transport, priority, host, port, _, kind = words[:8]
    for pattern, word, what in (
        (_FOUNDATION, foundation, "a foundation of 1 to 32 ice-chars"),
        (_TOKEN, transport, "a transport that is a token"),
        (_TOKEN, kind, "a type that is a token"),
    ):
        if pattern.fullmatch(word) is None:
            raise SdpError(what)
    numbers = (
        number(component, 1, 256, "a component"),
        number(priority, 1, MAX_PRIORITY, "a priority"),
        number(port, 0, 65535, "a port"),
    )
    extensions = list(zip(words[8::2], words[9::2], strict=True))
    related = _take_related(kind, extensions)
    if kind not in _KINDS:
        raise UnsupportedCandidate("typ host, srflx, prflx or relay")
    return Candidate(
        type=CandidateType(kind),
        address=(_address_host(kind, host), numbers[2]),
        priority=numbers[1],
        foundation=foundation,
        related=related and _related_address(*related),
        component=numbers[0],
        transport=transport.lower(),
        ufrag=next((value for name, value in extensions if name == "ufrag"), None),
        extensions=tuple(pair for pair in extensions if pair[0] != "ufrag"),
    )


def _address_host(kind: str, text: str) -> str:
    """Only host candidates hide behind names: the addresses of the other types are public."""
    if kind == CandidateType.HOST and is_mdns_name(text):
        return text.lower()
    return _host(text)


def _host(text: str) -> str:
    """A numeric address; zones are another machine's own business and names are not resolved."""
    if _HOST.fullmatch(text) is None:
        raise SdpError("an address")
    try:
        if "%" in text:
            raise ValueError
        return canonical_host(text)
    except ValueError:
        raise UnsupportedCandidate("a numeric address") from None


def _take_related(kind: str, extensions: list[tuple[str, str]]) -> tuple[str, int] | None:
    """raddr and rport come first and together; a host candidate has none (rule 76)."""
    found = None
    if extensions and extensions[0][0] == "raddr":
        if len(extensions) < 2 or extensions[1][0] != "rport":
            raise SdpError("rport after raddr")
        found = extensions[0][1], number(extensions[1][1], 0, 65535, "a port")
        del extensions[:2]
    if kind in _KINDS and (found is None) != (kind == CandidateType.HOST):
        raise SdpError("raddr and rport with every type but host")
    if not _RELATED.isdisjoint(name for name, _ in extensions):
        raise SdpError("raddr and rport once, right after the type")
    return found


def _related_address(text: str, port: int) -> Address | None:
    """None when it is hidden as unspecified, or is a name: it only informs."""
    try:
        host = _host(text)
    except UnsupportedCandidate:
        return None
    return None if host in {"0.0.0.0", "::"} and port in {0, 9} else (host, port)


def format_candidate(candidate: Candidate) -> str:
    """``candidate:...``; a hidden related address is written as unspecified, port 0 (RFC 8839).

    The zone of a link-local address is left out: it means nothing to another machine.
    """
    host, port = candidate.address
    words = [
        f"candidate:{candidate.foundation}",
        str(candidate.component),
        candidate.transport,
        str(candidate.priority),
        host.partition("%")[0],
        str(port),
        "typ",
        candidate.type.value,
    ]
    if candidate.type is not CandidateType.HOST:
        hidden = ("::" if candidate.is_ipv6 else "0.0.0.0", 0)
        related_host, related_port = candidate.related or hidden
        words += ["raddr", related_host.partition("%")[0], "rport", str(related_port)]
    for name, value in candidate.extensions:
        words += [name, value]
    if candidate.ufrag is not None:
        words += ["ufrag", candidate.ufrag]
    return " ".join(words)
