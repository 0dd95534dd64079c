"""`doctor` for people: a section per part of the answer, the sentences last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from refreeze.ctl.output import show_value, table

Records = Sequence[Mapping[str, object]]

_TABLES = {
    "address": "local addresses",
    "server": "servers",
    "nat": "between this host and the servers",
    "reach": "ways out",
}
_COLUMNS = {
    "address": ("address", "interface", "scope", "used", "default"),
    "server": (
        "server", "url", "check", "address", "result", "code", "rtt_ms", "mapped", "relayed",
    ),
    "nat": ("local", "mapped", "mapping", "filtering", "kind"),
    "reach": ("family", "udp", "tcp", "tls"),
}  # fmt: skip
_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}


def examined(records: Records) -> str:
    """All sections that have something in them. Parts that this program does not know are left
    out: ``--json`` has them."""
    sections = [
        _section(title, _table(part, _of(records, part))) for part, title in _TABLES.items()
    ]
    sections.append(_section("what to expect", _expectations(_of(records, "expect"))))
    notes = [show_value(record.get("text")) for record in _of(records, "note")]
    sections.append(_section("notes", notes))
    return "\n\n".join(section for section in sections if section)


def _of(records: Records, part: str) -> Records:
    return [record for record in records if record.get("part") == part]


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _table(part: str, records: Records) -> list[str]:
    """The columns that say something, and below them why something is as it is."""
    if not records:
        return []
    columns = [
        name
        for name in _COLUMNS[part]
        if part == "reach" or any(record.get(name) not in (None, []) for record in records)
    ]
    rows = [{name: _shown(record.get(name)) for name in columns} for record in records]
    reasons = [
        f"{show_value(record.get(columns[0]))}{_url(record)}: {show_value(record['why'])}"
        for record in records
        if record.get("why") is not None
    ]
    return [*table(rows).splitlines(), *dict.fromkeys(reasons)]


def _url(record: Mapping[str, object]) -> str:
    url = record.get("url")
    return "" if url is None else f" {show_value(url)}"


def _shown(value: object) -> object:
    return None if value == [] else value


def _expectations(records: Records) -> list[str]:
    lines: list[str] = []
    before = ""
    for record in records:
        family = show_value(record.get("family"))
        name = _FAMILIES.get(family, family)
        head = f"{name}: " if name != before else " " * (len(name) + 2)
        lines.append(head + show_value(record.get("text")))
        before = name
    return lines
