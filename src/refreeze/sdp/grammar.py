"""The values of the ICE and DTLS attributes (RFC 8839 section 5, RFC 8122, 8842; rules 75, 77).

Every check either returns what was read or raises :class:`~refreeze.sdp.errors.SdpError`. None
of them puts the text into the error: some of it is secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from refreeze.sdp.errors import SdpError

ICE_PACING_DEFAULT: Final = 50
"""Milliseconds, when a description says nothing (RFC 8839 section 5.7)."""

_TOKEN: Final = re.compile(r"[\x21\x23-\x27\x2a\x2b\x2d\x2e\x30-\x39\x41-\x5a\x5e-\x7e]{1,64}")
_OPTIONS: Final = re.compile(r"[A-Za-z0-9+/]+(?:[ ,][A-Za-z0-9+/]+)*")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PWD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT: Final = re.compile(r"([A-Za-z0-9-]{1,32}) ((?:[0-9A-Fa-f]{2}:)*[0-9A-Fa-f]{2})")
_TLS_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{20,255}")
_REMOTE: Final = re.compile(r"[0-9]{1,5} [0-9A-Za-z.:-]+ [0-9]{1,5}")
_ORIGIN: Final = re.compile(r"\S+ [0-9]{1,20} [0-9]{1,20} \S+ \S+ \S+")
_SETUPS: Final = frozenset({"active", "passive", "actpass", "holdconn"})


def number(text: str, least: int, most: int, what: str) -> int:
    """A decimal number of at most ten digits within the bounds."""
    if _DIGITS.fullmatch(text) is None or not least <= int(text) <= most:
        raise SdpError(f"{what} from {least} to {most}")
    return int(text)


def ice_options(value: str) -> tuple[str, ...]:
    """1*(1*ice-char), separated by single spaces, or by commas as libdatachannel writes it."""
    _match(_OPTIONS, value, "ice-options of ice-chars, separated by spaces")
    return tuple(value.replace(",", " ").split(" "))


def ice_pacing(value: str) -> int:
    """Milliseconds."""
    return number(value, 0, 10**10 - 1, "ice-pacing in milliseconds")


def fingerprint(value: str) -> str:
    """Hash and digest, folded so that equal ones compare equal (RFC 8122 section 5)."""
    _match(_FINGERPRINT, value, "a fingerprint: HASH XX:XX:...")
    name, _, digest = value.partition(" ")
    return f"{name.lower()} {digest.upper()}"


def remote_candidates(value: str) -> None:
    """1*(component SP address SP port)."""
    words = value.split(" ")
    triples = [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)]
    for triple in triples:
        _match(_REMOTE, triple, "remote-candidates: COMPONENT ADDRESS PORT ...")
        component, _, port = triple.split(" ")
        number(component, 1, 256, "a component")
        number(port, 0, 65535, "a port")


def setup(value: str) -> str:
    """One of RFC 4145's four."""
    if value not in _SETUPS:
        raise SdpError("setup: active, passive, actpass or holdconn")
    return value


def origin(value: str) -> tuple[str, int]:
    """(session id, version) of an o= line."""
    _match(_ORIGIN, value, "o=USER ID VERSION NETTYPE ADDRTYPE ADDRESS")
    _, identity, version, *_ = value.split(" ")
    return identity, int(version)


def _match(pattern: re.Pattern[str], value: str, expected: str) -> None:
    if pattern.fullmatch(value) is None:
        raise SdpError(expected)


def _of(pattern: re.Pattern[str], expected: str) -> Callable[[str], object]:
    return lambda value: _match(pattern, value, expected)


def _flag(name: str) -> Callable[[str], object]:
    def check(value: str) -> None:
        if value:
            raise SdpError(f"{name} without a value")

    return check


CHECKS: Final[Mapping[str, Callable[[str], object]]] = {
    "ice-ufrag": _of(_UFRAG, "an ice-ufrag of 4 to 256 ice-chars"),
    "ice-pwd": _of(_PWD, "an ice-pwd of 22 to 256 ice-chars"),
    "ice-options": ice_options,
    "ice-pacing": ice_pacing,
    "ice-lite": _flag("ice-lite"),
    "ice-mismatch": _flag("ice-mismatch"),
    "end-of-candidates": _flag("end-of-candidates"),
    "remote-candidates": remote_candidates,
    "fingerprint": fingerprint,
    "setup": setup,
    "tls-id": _of(_TLS_ID, "a tls-id of 20 to 255 characters"),
    "mid": _of(_TOKEN, "a mid that is a token"),
}
"""What is checked wherever it stands; candidates are checked within their section."""

ONCE: Final = ("ice-ufrag", "ice-pwd", "ice-options", "ice-pacing", "setup", "tls-id", "mid")
"""What has one value at a level: of two that differ, each reader might believe another one."""
