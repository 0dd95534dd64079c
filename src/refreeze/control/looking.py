"""The verbs that change nothing."""

from __future__ import annotations

from refreeze.control.codes import CommandError
from refreeze.control.commands import Commands, Reply, whole
from refreeze.control.grammar import Request

PROTOCOL = 1
MAX_LISTED = 10_000


def show_version(commands: Commands, _request: Request) -> Reply:
    """Of server and protocol."""
    return Reply(final={"server": commands.version, "protocol": PROTOCOL})


def ping(_commands: Commands, _request: Request) -> Reply:
    """The daemon turns."""
    return Reply()


def status(commands: Commands, _request: Request) -> Reply:
    """One record."""
    return Reply((commands.operations.status(),))


def list_sessions(commands: Commands, request: Request) -> Reply:
    """Sessions by id, filtered and paged: ``next=`` on the final line is the next ``after=``."""
    limit = whole(request.keys.get("limit", str(MAX_LISTED)), "limit")
    if limit == 0:
        raise CommandError("bad-argument", key="limit", hint="1 or more")
    records = commands.sessions(request.keys)
    after = request.keys.get("after")
    if after is not None:
        records = [record for record in records if str(record["id"]) > after]
    page = records[:limit]
    final: dict[str, object] = {"count": len(page)}
    if len(page) < len(records):
        final |= {"more": len(records) - len(page), "next": page[-1]["id"]}
    return Reply(tuple(page), final)


def show(commands: Commands, request: Request) -> Reply:
    """Everything about one session."""
    return Reply(tuple(commands.operations.show(request.words[0])))


def stats(commands: Commands, _request: Request) -> Reply:
    """Totals."""
    return Reply(tuple(commands.operations.stats()))


def history(commands: Commands, request: Request) -> Reply:
    """One session's rounds."""
    records = commands.operations.history(request.words[0])
    return Reply(tuple(records), {"count": len(records)})


def get(commands: Commands, request: Request) -> Reply:
    """One setting, or all below a name (``watchdog`` has ``watchdog.attempts``)."""
    wanted = request.words[0] if request.words else ""
    found = [
        {"name": name, "value": value}
        for name, value in commands.operations.settings().items()
        if wanted in ("", name) or name.startswith(f"{wanted}.")
    ]
    if not found:
        raise CommandError("bad-argument", name=wanted, hint="get lists all names")
    return Reply(tuple(found))


def metrics(commands: Commands, _request: Request) -> Reply:
    """Prometheus' exposition, a sample a record."""
    lines = commands.operations.metrics().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return Reply(tuple({"sample": name, "value": value} for name, _, value in pairs))
