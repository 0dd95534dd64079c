"""The envelope: one message between two sessions, one JSON object a line, at most 64 KiB.

Members, all others being tolerated and dropped:

==============  ==========================================================================
``v``           1
``id``          name of this message, chosen by its sender: 1-64 of ``A-Za-z0-9._-``
``from, to``    names of the two daemons; the hub sets ``from``, whatever the sender wrote
``session``     name of the session, the same on both sides
``epoch``       which life of the sender's session this is, 1 to 2^53 - 1
``generation``  counted by the sender; see :mod:`.conversation`; 0 to 2^31 - 1
``kind``        one of :class:`EnvelopeKind`
``offer``       answer, ack, stale, undeliverable: the id of the message this one is about
``sdp``         offer, answer
``candidate``   candidate, end-of-candidates: an RTCIceCandidateInit; its ``candidate`` is
                ``""`` in end-of-candidates
``reason``      restart-please, bye, undeliverable, stale: a few printable words
``known``       stale: the epoch of the addressee that its sender knows
==============  ==========================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NoReturn, TypeAlias

from attrs import field, frozen

from refreeze.names import NAME

MAX_LINE = 64 * 1024
"""Bytes of one line, its LF included."""

MAX_EPOCH = 2**53 - 1
"""The greatest integer that every JSON reader keeps exactly."""

MAX_GENERATION = 2**31 - 1
MAX_REASON = 200
MAX_CANDIDATE = 1024

UNKNOWN = "-"
"""Stands for an id or a session that could not be read, in ``undeliverable`` only."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

JsonObject: TypeAlias = dict[str, Any]


class EnvelopeKind(StrEnum):
    """What an envelope is for."""

    OFFER = "offer"
    ANSWER = "answer"
    CANDIDATE = "candidate"
    END_OF_CANDIDATES = "end-of-candidates"
    RESTART_PLEASE = "restart-please"
    BYE = "bye"
    ACK = "ack"
    STALE = "stale"
    UNDELIVERABLE = "undeliverable"


class EnvelopeError(ValueError):
    """A line that is no envelope; the text is one line for people, and quotes nothing secret."""

    @property
    def reason(self) -> str:
        return str(self)


@frozen
class CandidateInit:
    """W3C's RTCIceCandidateInit. An empty *candidate* is the end of candidates."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None
    username_fragment: str | None = None

    def w3c(self) -> dict[str, str | int | None]:
        """As W3C's dictionary."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdp_mid,
            "sdpMLineIndex": self.sdp_mline_index,
            "usernameFragment": self.username_fragment,
        }


def _hidden(text: str | None) -> str:
    """An SDP holds the ice-pwd: only its size is for the eye."""
    return "None" if text is None else f"<{len(text)} characters>"


@frozen(kw_only=True)
class Envelope:
    """A valid message. Which of the optional members are set follows from *kind*."""

    id: str
    from_: str
    to: str
    session: str
    epoch: int
    generation: int
    kind: EnvelopeKind
    offer: str | None = None
    sdp: str | None = field(default=None, repr=_hidden)
    candidate: CandidateInit | None = None
    reason: str | None = None
    known: int | None = None
    v: int = 1


_ABOUT_ANOTHER = {
    EnvelopeKind.ANSWER,
    EnvelopeKind.ACK,
    EnvelopeKind.STALE,
    EnvelopeKind.UNDELIVERABLE,
}
_WITH_SDP = {EnvelopeKind.OFFER, EnvelopeKind.ANSWER}
_WITH_CANDIDATE = {EnvelopeKind.CANDIDATE, EnvelopeKind.END_OF_CANDIDATES}
_WITH_REASON = {
    EnvelopeKind.RESTART_PLEASE,
    EnvelopeKind.BYE,
    EnvelopeKind.STALE,
    EnvelopeKind.UNDELIVERABLE,
}


def parse_envelope(line: bytes | str, *, sender: str | None = None) -> Envelope:
    """The envelope in *line* (with or without its line end); EnvelopeError when there is none.

    With *sender* (the hub's authenticated name of the connection) ``from`` need not be there
    and is not believed.
    """
    return read_envelope(load_object(line), sender=sender)


def load_object(line: bytes | str) -> JsonObject:
    """The JSON object of one line, without duplicate members; EnvelopeError otherwise."""
    data = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    if len(data) > MAX_LINE:
        raise EnvelopeError(f"longer than {MAX_LINE} bytes")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except EnvelopeError:
        raise
    except (ValueError, RecursionError):
        # The decoder's own message may quote what it read.
        raise EnvelopeError("not a JSON object in UTF-8") from None
    if not isinstance(value, dict):
        raise EnvelopeError("not a JSON object")
    return value


def read_envelope(members: Mapping[str, Any], *, sender: str | None = None) -> Envelope:
    """The envelope in a loaded JSON object; EnvelopeError says what is wrong first."""
    if _integer(members, "v", 0, MAX_EPOCH) != 1:
        raise EnvelopeError("v: only version 1 is known")
    kind = _kind(members)
    lost = kind is EnvelopeKind.UNDELIVERABLE
    return Envelope(
        id=_match(members, "id", _ID),
        from_=_match(members, "from", NAME) if sender is None else sender,
        to=_match(members, "to", NAME),
        session=UNKNOWN
        if lost and members.get("session") == UNKNOWN
        else _match(members, "session", NAME),
        epoch=_integer(members, "epoch", 1, MAX_EPOCH),
        generation=_integer(members, "generation", 0, MAX_GENERATION),
        kind=kind,
        offer=_match(members, "offer", _ID) if kind in _ABOUT_ANOTHER else None,
        sdp=_text(members, "sdp", MAX_LINE) if kind in _WITH_SDP else None,
        candidate=_candidate(members, kind) if kind in _WITH_CANDIDATE else None,
        reason=_reason(members, required=lost) if kind in _WITH_REASON else None,
        known=_integer(members, "known", 1, MAX_EPOCH) if kind is EnvelopeKind.STALE else None,
    )


def format_envelope(envelope: Envelope, **more: str) -> bytes:
    """One JSON line with its LF; EnvelopeError when it would be longer than :data:`MAX_LINE`.

    *more* are further members, for the eyes of people: a reader drops them.
    """
    members: JsonObject = {
        "v": envelope.v,
        "id": envelope.id,
        "from": envelope.from_,
        "to": envelope.to,
        "session": envelope.session,
        "epoch": envelope.epoch,
        "generation": envelope.generation,
        "kind": envelope.kind.value,
        "offer": envelope.offer,
        "sdp": envelope.sdp,
        "candidate": None if envelope.candidate is None else envelope.candidate.w3c(),
        "reason": envelope.reason,
        "known": envelope.known,
        **more,
    }
    return format_line({name: value for name, value in members.items() if value is not None})


def format_line(members: Mapping[str, Any]) -> bytes:
    """One JSON object as a line with its LF; EnvelopeError when it is too long."""
    line = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise EnvelopeError(f"longer than {MAX_LINE} bytes")
    return line


def is_id(value: object) -> bool:
    """True for a string that may be the id of an envelope."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _members(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Two readers may differ on which one counts.
        raise EnvelopeError("a member appears twice")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise EnvelopeError("not a JSON object in UTF-8")


def _kind(members: Mapping[str, Any]) -> EnvelopeKind:
    try:
        return EnvelopeKind(str(members.get("kind")))
    except ValueError:
        raise EnvelopeError("kind: unknown or missing") from None


def _integer(members: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = members.get(name)
    if type(value) is not int:
        raise EnvelopeError(f"{name}: not an integer")
    if not low <= value <= high:
        raise EnvelopeError(f"{name}: not in {low} to {high}")
    return value


def _match(members: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = members.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise EnvelopeError(f"{name}: missing or not 1 to 64 allowed characters")
    return value


def _text(members: Mapping[str, Any], name: str, limit: int) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise EnvelopeError(f"{name}: not a string")
    if len(value) > limit:
        raise EnvelopeError(f"{name}: longer than {limit} characters")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise EnvelopeError(f"{name}: holds a character that no text has")
    return value


def _reason(members: Mapping[str, Any], *, required: bool) -> str | None:
    if members.get("reason") is None and not required:
        return None
    value = _text(members, "reason", MAX_REASON)
    if not value.isprintable():
        raise EnvelopeError("reason: not one printable line")
    return value


def _candidate(members: Mapping[str, Any], kind: EnvelopeKind) -> CandidateInit:
    value = members.get("candidate")
    if not isinstance(value, dict):
        raise EnvelopeError("candidate: not an object")
    ends = kind is EnvelopeKind.END_OF_CANDIDATES
    line = _text(value, "candidate", MAX_CANDIDATE) if not ends or "candidate" in value else ""
    if ends != (line == "") or not line.isprintable():
        raise EnvelopeError("candidate: not one candidate line, or not the end of them")
    return CandidateInit(
        candidate=line,
        sdp_mid=_optional_text(value, "sdpMid"),
        sdp_mline_index=None
        if value.get("sdpMLineIndex") is None
        else _integer(value, "sdpMLineIndex", 0, 65535),
        username_fragment=_optional_text(value, "usernameFragment"),
    )


def _optional_text(members: Mapping[str, Any], name: str) -> str | None:
    if members.get(name) is None:
        return None
    value = _text(members, name, 256)
    if not value.isprintable():
        raise EnvelopeError(f"{name}: not printable")
    return value
