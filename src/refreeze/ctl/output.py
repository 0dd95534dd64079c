"""What people read: aligned tables, and one line per event. What programs read: JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from refreeze.ctl.wire import Final


def show_value(value: object) -> str:
    """One cell; nothing that could move a terminal's cursor goes out."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(show_value, value))
    return "".join(c if c.isprintable() else "?" for c in str(value))


def table(records: Sequence[Mapping[str, object]]) -> str:
    """A header and a row per record, aligned; numbers to the right."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[show_value(record.get(key)) for key in columns] for record in records]
    head = [column.upper() for column in columns]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(columns))]
    right = [_is_numeric([record.get(key) for record in records]) for key in columns]
    lines = [_row(row, widths, right) for row in [head, *rows]]
    return "\n".join(lines)


def _is_numeric(column: Sequence[object]) -> bool:
    """Whether there are numbers, and nothing else beside gaps."""
    there = [value for value in column if value is not None]
    return bool(there) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in there
    )


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def parts(records: Sequence[Mapping[str, object]]) -> str:
    """`show`: a block per part, and the pairs as a table."""
    blocks = []
    pairs = [_but_part(record) for record in records if record.get("part") == "pair"]
    for record in records:
        if record.get("part") == "pair":
            continue
        rest = _but_part(record)
        width = max(map(len, rest), default=0)
        lines = [f"  {key.ljust(width)}  {show_value(value)}" for key, value in rest.items()]
        blocks.append("\n".join([show_value(record.get("part", "")), *lines]))
    if pairs:
        blocks.append("pairs\n" + "\n".join(f"  {line}" for line in table(pairs).splitlines()))
    return "\n".join(blocks)


def _but_part(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key != "part"}


def answer(verb: str, records: Sequence[Mapping[str, object]], final: Final) -> str:
    """An answer for people; empty when there is nothing to say beyond "done"."""
    blocks = []
    if verb in ("show", "stats"):
        blocks.append(parts(records))
    elif verb in ("status", "open"):
        blocks.append(parts([{"part": verb, **record} for record in records]))
    elif verb == "metrics":
        blocks += [f"{show_value(r['sample'])} {show_value(r['value'])}" for r in records]
    elif verb == "help":
        blocks += [show_value(record.get("usage")) for record in records]
    elif records:
        blocks.append(table(records))
    if final.fields and (not records or verb == "restart" or "more" in final.fields):
        blocks.append(" ".join(f"{key}={show_value(v)}" for key, v in final.fields.items()))
    return "\n".join(blocks)


def refusal(final: Final) -> str:
    """Why not, for people."""
    hidden = ("hint", "retry")
    fields = [f"{k}={show_value(v)}" for k, v in final.fields.items() if k not in hidden]
    hint = f" ({show_value(final.fields['hint'])})" if "hint" in final.fields else ""
    return " ".join([final.code, *fields]) + hint


def answer_json(records: Sequence[Mapping[str, object]], final: Final) -> str:
    """An object per record; the end of the answer as an object when there is none, or it failed."""
    lines = [json.dumps(record) for record in records]
    if not final.ok:
        lines.append(json.dumps({"ok": False, "code": final.code, **final.fields}))
    elif not records or "job" in final.fields:
        lines.append(json.dumps({"ok": True, **final.fields}))
    return "\n".join(lines)


def split_event(line: str) -> tuple[int, str, str, dict[str, object]]:
    """Number, timestamp, topic and fields of ``! seq stamp topic {json}``; ValueError."""
    mark, number, stamp, topic, *rest = line.split(" ", 4)
    fields = json.loads(rest[0]) if rest else {}
    if mark != "!" or not isinstance(fields, dict):
        raise ValueError(line)
    return int(number), stamp, topic, fields


def event(line: str) -> str:
    """One readable line: the time of day, the topic, and what changed."""
    try:
        _, stamp, topic, fields = split_event(line)
    except (ValueError, RecursionError):
        return show_value(line)
    clock = stamp[11:23] if len(stamp) > 23 else stamp
    name = fields.pop("id", "")
    if "from" in fields and "to" in fields:
        change = f"{show_value(fields.pop('from'))} -> {show_value(fields.pop('to'))}"
    elif "local" in fields and "remote" in fields:
        change = f"{show_value(fields.pop('local'))} -> {show_value(fields.pop('remote'))}"
    else:
        change = ""
    words = [change, *(f"{key}={show_value(value)}" for key, value in fields.items())]
    text = " ".join(word for word in words if word)
    return f"{clock}  {topic:<18} {show_value(name):<10} {text}".rstrip()


def event_json(line: str) -> str:
    """One JSON object."""
    try:
        number, stamp, topic, fields = split_event(line)
    except (ValueError, RecursionError):
        return json.dumps({"line": line})
    return json.dumps({"seq": number, "time": stamp, "topic": topic, **fields})
