"""The control protocol's grammar, version 1: requests in, replies and events out. Sans-IO.

request = [ "@" tag SP ] verb *( SP word ) LF
word    = bare / string / key "=" ( bare / string )       string = a JSON string, exactly
reply   = *( "- " record LF ) ( "OK" / "ERR" code ) *( SP key=value ) LF
event   = "! " seq SP timestamp SP topic *( SP key=value ) LF
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

MAX_LINE: Final = 4096
"""Bytes of a request, without its LF."""

MAX_SIGNAL_LINE: Final = 200 * 1024
"""A `signal` request carries an envelope as a JSON string, which quotes its quotes."""

_TAG: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_BARE: Final = re.compile(r"[\w.:/@+,%*-]+", re.ASCII)
_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=")
_VERB: Final = re.compile(r"[a-z][a-z-]*")
_STRING: Final = json.JSONDecoder()


class GrammarError(Exception):
    """A request that cannot be read; *column* counts from 1."""

    def __init__(self, hint: str, column: int, tag: str | None = None) -> None:
        super().__init__(hint)
        self.hint = hint
        self.column = column
        self.tag = tag


@frozen
class Request:
    """One line: the verb, the words in order, and the keyed ones."""

    verb: str
    words: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(factory=dict)
    tag: str | None = None


def parse_request(line: str) -> Request | None:
    """The request, or None for an empty line or a comment; GrammarError."""
    text = line.removesuffix("\r")
    if not text.strip() or text.startswith("#"):
        return None
    tag, position = None, 0
    if text.startswith("@"):
        match = _TAG.match(text, 1)
        if match is None or not text.startswith(" ", match.end()):
            raise GrammarError("a tag of 1 to 32 of A-Z a-z 0-9 . _ -, then a space", 2)
        tag, position = match.group(), match.end() + 1
    match = _VERB.match(text, position)
    if match is None:
        raise GrammarError("a verb in lower case", position + 1, tag)
    verb, position = match.group(), match.end()
    words: list[str] = []
    keys: dict[str, str] = {}
    while position < len(text):
        if text[position] != " ":
            raise GrammarError("a space between words", position + 1, tag)
        position += 1
        if position == len(text) or text[position] == " ":
            continue
        keyed = _KEY.match(text, position)
        if keyed is not None:
            value, position = _value(text, keyed.end(), tag)
            if keyed.group(1) in keys:
                raise GrammarError(f"{keyed.group(1)} only once", keyed.start() + 1, tag)
            keys[keyed.group(1)] = value
        else:
            value, position = _value(text, position, tag)
            words.append(value)
    return Request(verb, tuple(words), keys, tag)


def _value(text: str, position: int, tag: str | None) -> tuple[str, int]:
    if text.startswith('"', position):
        try:
            value, end = _STRING.raw_decode(text, position)
        except ValueError:
            raise GrammarError("a complete JSON string", position + 1, tag) from None
        return str(value), end
    match = _BARE.match(text, position)
    if match is None:
        raise GrammarError('a word, or a "JSON string"', position + 1, tag)
    return match.group(), match.end()


def format_value(value: Any) -> str:
    """A bare word when it is one, else a JSON string."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else str(value)
    return text if _BARE.fullmatch(text) and text != "-" else json.dumps(text)


def format_fields(fields: Mapping[str, Any]) -> str:
    """``key=value`` words."""
    return " ".join(f"{key}={format_value(value)}" for key, value in fields.items())


def format_payload(fields: Mapping[str, Any], *, as_json: bool) -> str:
    """A record or an event's fields, in the connection's format."""
    return json.dumps(fields, separators=(",", ":")) if as_json else format_fields(fields)


def _prefix(tag: str | None) -> str:
    return "" if tag is None else f"@{tag} "


def format_reply(
    records: Sequence[Mapping[str, Any]],
    final: Mapping[str, Any],
    *,
    tag: str | None,
    as_json: bool,
) -> str:
    """Data lines and their end, each with the request's tag."""
    prefix = _prefix(tag)
    lines = [f"{prefix}- {format_payload(record, as_json=as_json)}\n" for record in records]
    end = format_fields(final)
    return "".join([*lines, f"{prefix}OK{' ' if end else ''}{end}\n"])


def format_error(code: str, fields: Mapping[str, Any], *, tag: str | None) -> str:
    """The end of a reply that failed."""
    more = format_fields(fields)
    return f"{_prefix(tag)}ERR {code}{' ' if more else ''}{more}\n"


def format_event(
    number: int, timestamp: str, topic: str, fields: Mapping[str, Any], *, as_json: bool
) -> str:
    """One event, always one line."""
    payload = format_payload(fields, as_json=as_json)
    return f"! {number} {timestamp} {topic}{' ' if payload else ''}{payload}\n"
