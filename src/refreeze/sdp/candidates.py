"""Candidate lines (RFC 8839 section 5.1)."""

from __future__ import annotations

import re
from typing import Final

from refreeze.basics import Address, canonical_host
from refreeze.ice.candidate import Candidate, CandidateType
from refreeze.sdp.errors import SdpError, UnsupportedCandidate

MAX_CANDIDATE_LINE: Final = 1024
MAX_PRIORITY: Final = 2**31 - 1
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")


def _number(text: str, least: int, most: int, what: str) -> int:
    if _NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise SdpError(f"{what} from {least} to {most}")
    return int(text)


def _host(text: str) -> str:
    try:
        return canonical_host(text)
    except ValueError:
        raise UnsupportedCandidate("a numeric address") from None


def parse_candidate(line: str) -> Candidate:
    """``candidate:...`` with or without ``a=``; SdpError, or UnsupportedCandidate to ignore."""
    if len(line) > MAX_CANDIDATE_LINE:
        raise SdpError(f"a candidate of at most {MAX_CANDIDATE_LINE} characters")
    words = line.removeprefix("a=").removeprefix("candidate:").split()
    if len(words) < 8 or words[6] != "typ" or len(words) % 2:
        raise SdpError("candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE")
    foundation, component, transport, priority, host, port, _typ, kind, *rest = words
    if _FOUNDATION.fullmatch(foundation) is None:
        raise SdpError("a foundation of 1 to 32 ice-chars")
    extensions = list(zip(rest[::2], rest[1::2], strict=True))
    related = _take_related(extensions)
    ufrag = next((value for name, value in extensions if name == "ufrag"), None)
    if kind not in list(CandidateType):
        raise UnsupportedCandidate("typ host, srflx, prflx or relay")
    return Candidate(
        type=CandidateType(kind),
        address=(_host(host), _number(port, 0, 65535, "a port")),
        priority=_number(priority, 1, MAX_PRIORITY, "a priority"),
        foundation=foundation,
        related=related,
        component=_number(component, 1, 256, "a component"),
        transport=transport.lower(),
        ufrag=ufrag,
        extensions=tuple(pair for pair in extensions if pair[0] != "ufrag"),
    )


def _take_related(extensions: list[tuple[str, str]]) -> Address | None:
    """raddr and rport come first and together; they are taken out of the list."""
    if not extensions or extensions[0][0] != "raddr":
        return None
    if len(extensions) < 2 or extensions[1][0] != "rport":
        raise SdpError("rport after raddr")
    address = _host(extensions[0][1]), _number(extensions[1][1], 0, 65535, "a port")
    del extensions[:2]
    return address


def format_candidate(candidate: Candidate) -> str:
    """``candidate:...``; a hidden related address is written as unspecified, port 0 (RFC 8839)."""
    host, port = candidate.address
    words = [
        f"candidate:{candidate.foundation}",
        str(candidate.component),
        candidate.transport,
        str(candidate.priority),
        host,
        str(port),
        "typ",
        candidate.type.value,
    ]
    if candidate.type is not CandidateType.HOST:
        hidden = ("::" if candidate.is_ipv6 else "0.0.0.0", 0)
        related_host, related_port = candidate.related or hidden
        words += ["raddr", related_host, "rport", str(related_port)]
    for name, value in candidate.extensions:
        words += [name, value]
    if candidate.ufrag is not None:
        words += ["ufrag", candidate.ufrag]
    return " ".join(words)
