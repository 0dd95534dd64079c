"""What a changed configuration means for a running daemon: compared here, carried out by it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, get_type_hints

from attrs import evolve, field, fields, frozen

from refreeze.config import ConfigError, DaemonSettings, typed
from refreeze.sessions.settings import SessionSettings

AT_RUN_TIME = ("watchdog", "storm")
"""Sections whose every number can change while the daemon runs."""

AT_NEXT_GATHERING = ("servers", "gathering")
"""Sections that are in force from every session's next gathering (rule 14)."""

_ROLES = ("users", "groups", "others", "certificates")
_CLIENTS = ("tokens", "origins", "page")
"""Of ``http``."""


@frozen(kw_only=True)
class Changes:
    """Names of sessions by what is to be done with them, and the keys that wait for a restart."""

    opened: list[str] = field(factory=list)
    closed: list[str] = field(factory=list)
    forwards: list[str] = field(factory=list)
    """Only where datagrams come from and go to changed: the path stays."""
    remade: list[str] = field(factory=list)
    restart_needed: list[str] = field(factory=list)


def compare(
    old: DaemonSettings, new: DaemonSettings, running: Mapping[str, SessionSettings]
) -> Changes:
    """The way from *old* to *new*; *running*: the sessions that there are, by whatever way."""
    wanted = new.sessions
    both = [name for name in wanted if name in running and wanted[name] != running[name]]
    forwards = [n for n in both if evolve(running[n], forward=wanted[n].forward) == wanted[n]]
    return Changes(
        opened=[name for name in wanted if name not in running],
        closed=[name for name in old.sessions if name not in wanted and name in running],
        forwards=forwards,
        remade=[name for name in both if name not in forwards],
        restart_needed=_fixed(old, new),
    )


def _fixed(old: DaemonSettings, new: DaemonSettings) -> list[str]:
    """Dotted names of what differs and cannot change at run time."""
    names = []
    for attribute in fields(DaemonSettings):
        part = attribute.name
        was, now = getattr(old, part), getattr(new, part)
        if was == now or part in ("sessions", *AT_RUN_TIME, *AT_NEXT_GATHERING):
            continue
        if not hasattr(was, "__attrs_attrs__"):
            names.append("network.ports" if part == "ports" else part)
            continue
        section = "network" if part == "addresses" else part
        names += [
            f"{section}.{each.name}"
            for each in fields(type(was))
            if getattr(was, each.name) != getattr(now, each.name)
            and not (part == "control" and each.name in _ROLES)
            and not (part == "http" and each.name in _CLIENTS)
        ]
    return names


def applied(old: DaemonSettings, new: DaemonSettings) -> DaemonSettings:
    """*old* with everything of *new* that is in force at once."""
    roles: dict[str, Any] = {key: getattr(new.control, key) for key in _ROLES}
    clients: dict[str, Any] = {key: getattr(new.http, key) for key in _CLIENTS}
    return evolve(
        old,
        sessions=new.sessions,
        watchdog=new.watchdog,
        storm=new.storm,
        servers=new.servers,
        gathering=new.gathering,
        control=evolve(old.control, **roles),
        http=evolve(old.http, **clients),
    )


def with_setting(settings: DaemonSettings, name: str, text: str) -> DaemonSettings:
    """*settings* with one number changed, as `set NAME=VALUE` asks; ValueError in one line."""
    section, _, key = name.partition(".")
    if section not in AT_RUN_TIME:
        raise ValueError("only log.level, watchdog.* and storm.* can be set at run time")
    current = getattr(settings, section)
    hints = get_type_hints(type(current))
    if key not in hints:
        raise ValueError("unknown key")
    try:
        value = typed(tomllib.loads(f"value = {text}")["value"], hints[key], name)
    except tomllib.TOMLDecodeError:
        raise ValueError(f"{name}: {text!r} is no value") from None
    except ConfigError as error:
        raise ValueError(str(error)) from None
    change: dict[str, Any] = {section: evolve(current, **{key: value})}
    return evolve(settings, **change)
