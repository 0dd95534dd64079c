"""The control protocol's grammar, version 1: requests in, replies and events out. Sans-IO.

request = [ "@" tag SP ] verb *( SP word ) LF
word    = bare / string / key "=" ( bare / string )       string = a JSON string, exactly
reply   = *( [ "@" tag SP ] "- " record LF ) [ "@" tag SP ] final LF
final   = "OK" *( SP key=value ) / "ERR" SP code *( SP key=value )
event   = "! " seq SP timestamp SP topic *( SP key=value ) LF
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen

from refreeze.control.codes import error_fields

MAX_LINE: Final = 4096
"""Bytes of a request, without its LF."""

MAX_SIGNAL_LINE: Final = 200 * 1024
"""A `signal` request carries an envelope as a JSON string, which quotes its quotes."""

_TAG: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_BARE: Final = re.compile(r"[A-Za-z0-9_.:/@+,%*-]+")
_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=")
_VERB: Final = re.compile(r"[a-z][a-z-]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRING: Final = json.JSONDecoder()


class GrammarError(Exception):
    """A request that cannot be read; *column* counts from 1, *tag* is its tag if that was read."""

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
    if not text.strip(" ") or text.startswith("#"):
        return None
    tag, position = _parse_tag(text)
    match = _VERB.match(text, position)
    if match is None:
        raise GrammarError("a verb in lower case", position + 1, tag)
    position = match.end()
    words: list[str] = []
    keys: dict[str, str] = {}
    while position < len(text):
        if text[position] != " ":
            raise GrammarError("a space between words", position + 1, tag)
        position += 1
        if position == len(text) or text[position] == " ":
            continue
        keyed = _KEY.match(text, position)
        value, position = _parse_value(text, keyed.end() if keyed else position, tag)
        if keyed is None:
            words.append(value)
        elif keyed.group(1) in keys:
            raise GrammarError(f"{keyed.group(1)} only once", keyed.start() + 1, tag)
        else:
            keys[keyed.group(1)] = value
    return Request(match.group(), tuple(words), keys, tag)


def _parse_tag(text: str) -> tuple[str | None, int]:
    if not text.startswith("@"):
        return None, 0
    match = _TAG.match(text, 1)
    if match is None or not text.startswith(" ", match.end()):
        raise GrammarError("a tag of 1 to 32 of A-Z a-z 0-9 . _ -, then a space", 2)
    return match.group(), match.end() + 1


def _parse_value(text: str, position: int, tag: str | None) -> tuple[str, int]:
    if text.startswith('"', position):
        try:
            value, end = _STRING.raw_decode(text, position)
        except ValueError:
            raise GrammarError("a complete JSON string", position + 1, tag) from None
        # JSON can escape half a character; nothing could write that out again.
        if _SURROGATE.search(value):
            raise GrammarError("no lone surrogate", position + 1, tag)
        return str(value), end
    match = _BARE.match(text, position)
    if match is None:
        raise GrammarError('a word, or a "JSON string"', position + 1, tag)
    return match.group(), match.end()


def format_value(value: Any) -> str:
    """A bare word when it is one, else a JSON string; ``-`` is nothing, a list has commas."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if _BARE.fullmatch(text) and text != "-" else json.dumps(text)


def format_fields(fields: Mapping[str, Any]) -> str:
    """``key=value`` words."""
    return " ".join(f"{key}={format_value(value)}" for key, value in fields.items())


def format_payload(fields: Mapping[str, Any], *, as_json: bool) -> str:
    """A record or an event's fields, in the connection's format; always one line."""
    if not as_json:
        return format_fields(fields)
    plain = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in fields.items()
    }
    return json.dumps(plain, separators=(",", ":"), default=str)


def _joined(head: str, rest: str) -> str:
    return f"{head} {rest}\n" if rest else f"{head}\n"


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
    return "".join([*lines, _joined(f"{prefix}OK", format_fields(final))])


def format_error(code: str, fields: Mapping[str, Any], *, tag: str | None) -> str:
    """The end of a reply that failed; ``retry=`` is added for the known codes."""
    return _joined(f"{_prefix(tag)}ERR {code}", format_fields(error_fields(code, fields)))


def format_event(
    number: int, timestamp: str, topic: str, fields: Mapping[str, Any], *, as_json: bool
) -> str:
    """One event, always one line."""
    return _joined(f"! {number} {timestamp} {topic}", format_payload(fields, as_json=as_json))


def format_notice(word: str, fields: Mapping[str, Any]) -> str:
    """A line that belongs to no request: the greeting, and the goodbye."""
    return _joined(f"* {word}", format_fields(fields))
