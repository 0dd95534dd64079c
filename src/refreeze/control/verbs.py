"""The table of verbs: who may use them, what they take, whether this daemon has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from refreeze.control import acting, looking
from refreeze.control.access import Role
from refreeze.control.codes import CommandError
from refreeze.control.commands import Commands, Reply, Result
from refreeze.control.grammar import Request
from refreeze.control.operations import Settable


@frozen
class Verb:
    """One verb. *keys*: the keyed words it takes; *words*: the least and most of the others.

    *run* is None when the connection itself answers. *exists* tells whether a daemon has it.
    """

    name: str
    role: Role
    usage: str
    run: Callable[[Commands, Request], Result] | None
    words: tuple[int, int]
    keys: frozenset[str]
    any_key: bool
    exists: Callable[[Any], bool]

    def check(self, request: Request) -> None:
        """CommandError when the words are not what the usage says."""
        least, most = self.words
        if not least <= len(request.words) <= most:
            raise CommandError("bad-argument", hint=f"usage: {self.usage}")
        unknown = [key for key in request.keys if key not in self.keys]
        if unknown and not self.any_key:
            raise CommandError("bad-argument", key=unknown[0], hint=f"usage: {self.usage}")


def find(commands: Commands, request: Request, role: Role) -> Verb:
    """The verb that *role* may use, its words checked; CommandError."""
    verb = VERBS.get(request.verb)
    if verb is None or not verb.exists(commands.operations):
        raise CommandError("unknown-command", verb=request.verb, hint="help lists them")
    if role < verb.role:
        if role is Role.NONE:
            raise CommandError("auth-required", verb=verb.name)
        raise CommandError("not-permitted", verb=verb.name, needs=verb.role.word)
    verb.check(request)
    return verb


def show_help(commands: Commands, request: Request) -> Reply:
    """All verbs that this daemon has, or one."""
    wanted = request.words[0] if request.words else None
    records = tuple(
        {"verb": verb.name, "role": verb.role.word, "usage": verb.usage}
        for verb in VERBS.values()
        if wanted in (None, verb.name) and verb.exists(commands.operations)
    )
    if not records:
        raise CommandError("unknown-command", verb=wanted, hint="help lists them")
    return Reply(records)


def _has_faults(operations: Any) -> bool:
    return bool(operations.faults_enabled)


def _is_settable(operations: Any) -> bool:
    return isinstance(operations, Settable)


def _always(_operations: Any) -> bool:
    return True


def _verb(
    role: Role,
    usage: str,
    run: Callable[[Commands, Request], Result] | None,
    words: tuple[int, int] = (0, 0),
    keys: str = "",
    *,
    exists: Callable[[Any], bool] = _always,
) -> Verb:
    name = usage.partition(" ")[0]
    any_key = keys == "*"
    return Verb(name, role, usage, run, words, frozenset(keys.split()), any_key, exists)


_SELECT = "ID|all|peer=GLOB|state=STATE"
_N, _O, _P, _A = Role.NONE, Role.OBSERVER, Role.OPERATOR, Role.ADMIN
_OPEN = "open NAME peer=PEER [protect=none] [listen=ADDRESS] [deliver=ADDRESS] [signaling=WAY] ..."
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        _verb(_N, "hello 1 [format=text|json] [name=NAME]", None, (1, 1), "format name"),
        _verb(_N, "auth cookie nonce=HEX | auth cookie proof=HEX", None, (1, 1), "nonce proof"),
        _verb(_N, "help [VERB]", show_help, (0, 1)),
        _verb(_N, "quit", None),
        _verb(_O, "version", looking.show_version),
        _verb(_O, "ping", looking.ping),
        _verb(_O, "status", looking.status),
        _verb(
            _O,
            "list [state=STATE] [peer=GLOB] [id=GLOB] [limit=N] [after=ID]",
            looking.list_sessions,
            keys="state peer id limit after",
        ),
        _verb(_O, "show ID", looking.show, (1, 1)),
        _verb(_O, "stats", looking.stats),
        _verb(_O, "metrics", looking.metrics),
        _verb(_O, "history ID", looking.history, (1, 1)),
        _verb(_O, "watch [TOPIC...] [since=SEQ] [snapshot]", None, (0, 32), "since"),
        _verb(_O, "unwatch", None),
        _verb(_O, "get [NAME]", looking.get, (0, 1)),
        _verb(
            _P,
            f"restart {_SELECT} [reason=TEXT] [wait=TIME] [force] [confirm=N]",
            acting.restart,
            (0, 2),
            "peer state reason wait force confirm",
        ),
        _verb(_P, f"cancel {_SELECT}", acting.cancel, (0, 1), "peer state"),
        _verb(_P, f"hold [{_SELECT}] [for=TIME]", acting.hold, (0, 1), "peer state for"),
        _verb(_P, f"release [{_SELECT}]", acting.release, (0, 1), "peer state"),
        _verb(_P, f"reset {_SELECT}", acting.reset, (0, 1), "peer state"),
        _verb(_P, "doctor", acting.doctor),
        _verb(_P, 'signal "ENVELOPE"', acting.signal, (1, 1)),
        _verb(_A, _OPEN, acting.open_session, (1, 1), "*"),
        _verb(_A, "close ID [reason=TEXT]", acting.close_session, (1, 1), "reason"),
        _verb(
            _A,
            "fault ID path|all|clear [for=TIME]",
            acting.fault,
            (2, 2),
            "for",
            exists=_has_faults,
        ),
        _verb(_A, "set NAME=VALUE ...", acting.change_setting, keys="*", exists=_is_settable),
        _verb(
            _A,
            "log level=debug|info|warn|error|critical",
            acting.change_log,
            keys="level",
            exists=_is_settable,
        ),
        _verb(_A, "reload", acting.reload),
        _verb(_A, "drain", acting.drain),
        _verb(_A, "shutdown", acting.shutdown),
    )
}
"""By name, in the order of `help`."""
