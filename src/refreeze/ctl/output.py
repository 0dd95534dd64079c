"""What people read: aligned tables, and one line per event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def show_value(value: object) -> str:
    """One cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def table(records: Sequence[Mapping[str, object]]) -> str:
    """A header and a row per record, aligned."""
    columns: list[str] = []
    for record in records:
        columns += [key for key in record if key not in columns]
    rows = [[show_value(record.get(key)) for key in columns] for record in records]
    head = [column.upper() for column in columns]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(columns))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def parts(records: Sequence[Mapping[str, object]]) -> str:
    """`show`: a block per part, and the pairs as a table."""
    blocks = []
    pairs = [dict(record) for record in records if record.get("part") == "pair"]
    for record in records:
        if record.get("part") == "pair":
            continue
        rest = {key: value for key, value in record.items() if key != "part"}
        width = max(map(len, rest), default=0)
        lines = [f"  {key.ljust(width)}  {show_value(value)}" for key, value in rest.items()]
        blocks.append("\n".join([str(record.get("part", "")), *lines]))
    if pairs:
        for pair in pairs:
            del pair["part"]
        text = table(pairs)
        blocks.append("pairs\n" + "\n".join(f"  {line}" for line in text.splitlines()))
    return "\n".join(blocks)


def event(line: str) -> str:
    """``! seq stamp topic {json}`` as one readable line."""
    words = line.split(" ", 4)
    if words[0] != "!" or len(words) < 4:
        return line
    fields = json.loads(words[4]) if len(words) == 5 and words[4].startswith("{") else {}
    clock = words[2][11:23] if len(words[2]) > 23 else words[2]
    shown = " ".join(f"{key}={show_value(value)}" for key, value in fields.items())
    return f"{clock}  {words[3]:<18} {shown or (words[4] if len(words) == 5 else '')}".rstrip()
