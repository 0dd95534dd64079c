"""The verbs: who may use them, what they take, what they answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from refreeze.control.grammar import Request
from refreeze.control.operations import Operations, Record

CONFIRM_ABOVE = 20
MAX_WAIT = 3600.0
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0, "": 1.0}


class Role(IntEnum):
    """Each may do what the lesser ones may."""

    NONE = 0
    OBSERVER = 1
    OPERATOR = 2
    ADMIN = 3


class CommandError(Exception):
    """A refusal: one of the protocol's codes, and fields."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


@frozen
class Reply:
    """Records, the fields of the final line, and what is still to come before it."""

    records: tuple[Record, ...] = ()
    final: Record = field(factory=dict)


Result: TypeAlias = "Reply | Deferred[Reply]"


@frozen
class Verb:
    """One verb. *keys* are the keyed words it takes; *words* the least and most bare ones."""

    name: str
    role: Role
    usage: str
    run: Callable[[Commands, Request], Result]
    words: tuple[int, int] = (0, 0)
    keys: frozenset[str] = frozenset()


def duration(text: str, key: str) -> float:
    """``10``, ``1.5s``, ``2m``: seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CommandError("bad-argument", key=key, hint="a time such as 10, 1.5s, 2m or 1h")
    return float(match.group(1)) * _UNITS[match.group(2)]


@define(eq=False, repr=False)
class Commands:
    """I carry requests out against one daemon's operations."""

    operations: Operations
    clock: IReactorTime
    version: str
    _jobs: int = 0

    def run(self, request: Request, role: Role) -> Result:
        """CommandError (or the operations' refusal) when it is not carried out."""
        verb = VERBS.get(request.verb)
        if verb is None or (verb.name == "fault" and not self.operations.faults_enabled):
            raise CommandError("unknown-command", verb=request.verb, hint="help lists them")
        if role < verb.role:
            raise CommandError("not-permitted", verb=verb.name, needs=verb.role.name.lower())
        least, most = verb.words
        if not least <= len(request.words) <= most:
            raise CommandError("bad-argument", hint=f"usage: {verb.usage}")
        for key in request.keys:
            if key not in verb.keys and "*" not in verb.keys:
                raise CommandError("bad-argument", key=key, hint=f"usage: {verb.usage}")
        return verb.run(self, request)

    # Looking

    def help(self, request: Request) -> Reply:
        """All verbs, or one."""
        wanted = request.words[0] if request.words else None
        verbs = [verb for verb in VERBS.values() if wanted in (None, verb.name)]
        if not verbs:
            raise CommandError("unknown-command", verb=wanted)
        return Reply(
            tuple(
                {"verb": verb.name, "role": verb.role.name.lower(), "usage": verb.usage}
                for verb in verbs
                if verb.name != "fault" or self.operations.faults_enabled
            )
        )

    def show_version(self, _request: Request) -> Reply:
        """Of server and protocol."""
        return Reply(final={"server": self.version, "protocol": 1})

    def ping(self, _request: Request) -> Reply:
        """The daemon turns."""
        return Reply()

    def status(self, _request: Request) -> Reply:
        """One record."""
        return Reply((self.operations.status(),))

    def list(self, request: Request) -> Reply:
        """Sessions, filtered, paged by id."""
        records = [r for r in self.operations.list_sessions() if _passes(r, request.keys)]
        after = request.keys.get("after")
        if after is not None:
            records = [record for record in records if str(record["id"]) > after]
        limit = _whole(request.keys.get("limit", "1000"), "limit")
        return Reply(tuple(records[:limit]), {"count": len(records)})

    def show(self, request: Request) -> Reply:
        """Everything about one session."""
        return Reply(tuple(self.operations.show(request.words[0])))

    def stats(self, _request: Request) -> Reply:
        """Totals."""
        return Reply(tuple(self.operations.stats()))

    def metrics(self, _request: Request) -> Reply:
        """Prometheus' exposition, a sample a record."""
        lines = self.operations.metrics().splitlines()
        pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return Reply(tuple({"sample": name, "value": value} for name, _, value in pairs))

    def history(self, request: Request) -> Reply:
        """One session's rounds."""
        records = self.operations.history(request.words[0])
        return Reply(tuple(records), {"count": len(records)})

    def get(self, request: Request) -> Reply:
        """One setting, or all whose name begins so."""
        wanted = request.words[0] if request.words else ""
        settings = self.operations.settings()
        found = [{"name": k, "value": v} for k, v in settings.items() if k.startswith(wanted)]
        if not found:
            raise CommandError("bad-argument", name=wanted, hint="get lists all names")
        return Reply(tuple(found))

    # Acting

    def _select(self, request: Request) -> Iterable[str]:
        """The ids that a selector means: an id, ``all``, ``peer=glob`` or ``state=word``."""
        filters = {key: request.keys[key] for key in ("peer", "state") if key in request.keys}
        word = request.words[0] if request.words else None
        if word is not None and word != "all":
            return [word]
        if word is None and not filters:
            raise CommandError("bad-argument", hint="an id, all, peer=GLOB or state=STATE")
        return [str(r["id"]) for r in self.operations.list_sessions() if _passes(r, filters)]

    def restart(self, request: Request) -> Result:
        """At once `OK job=`, or, with wait=, when it is over."""
        selected = list(self._select(request))
        if len(selected) > CONFIRM_ABOVE and request.keys.get("confirm") != str(len(selected)):
            raise CommandError("confirm-required", count=len(selected), retry="yes")
        force = "force" in request.words or request.keys.get("force") == "yes"
        reason = request.keys.get("reason", "")
        wait = request.keys.get("wait")
        seconds = None if wait is None else duration(wait, "wait")
        waiting: list[Deferred[Record]] = []
        refusals: list[Exception] = []
        for session_id in selected:
            try:
                waiting.append(self.operations.restart(session_id, reason=reason, force=force))
            except self.operations.refusal as refusal:
                refusals.append(refusal)
        if refusals and not waiting:
            raise refusals[0]
        self._jobs += 1
        final: Record = {
            "job": f"r{self._jobs}",
            "matched": len(selected),
            "queued": len(waiting),
            "refused": len(refusals),
        }
        if seconds is None:
            return Reply(final=final)
        return self._wait(waiting, min(seconds, MAX_WAIT), final)

    def _wait(
        self, waiting: Iterable[Deferred[Record]], seconds: float, final: Record
    ) -> Deferred[Reply]:
        """The outcomes, or `timeout` when the time is over first; the restarts go on."""
        answer: Deferred[Reply] = Deferred()
        outcomes: list[Record] = []
        all_over: Deferred[Any] = DeferredList(
            [each.addCallback(outcomes.append) for each in waiting], consumeErrors=True
        )

        def over(_: object) -> None:
            if timer.active():
                timer.cancel()
                answer.callback(Reply(tuple(outcomes), final))

        def late() -> None:
            answer.errback(CommandError("timeout", **final))

        timer = self.clock.callLater(seconds, late)
        all_over.addBoth(over)
        return answer

    def cancel(self, request: Request) -> Reply:
        """Cancel what is queued or pending."""
        self.operations.cancel(request.words[0])
        return Reply()

    def hold(self, request: Request) -> Reply:
        """No automatic restart, for a while or until release."""
        seconds = request.keys.get("for")
        length = None if seconds is None else duration(seconds, "for")
        return self._each(request, lambda each: self.operations.hold(each, length))

    def release(self, request: Request) -> Reply:
        """End a hold."""
        return self._each(request, self.operations.release)

    def reset(self, request: Request) -> Reply:
        """Close the circuit."""
        return self._each(request, self.operations.reset)

    def _each(self, request: Request, act: Callable[[str], None]) -> Reply:
        known = [str(record["id"]) for record in self.operations.list_sessions()]
        selected = list(request.words) or known
        for session_id in selected:
            act(session_id)
        return Reply(final={"count": len(selected)})

    def open(self, request: Request) -> Reply:
        """A session at run time."""
        return Reply((self.operations.open(request.words[0], dict(request.keys)),))

    def close(self, request: Request) -> Reply:
        """End a session."""
        self.operations.close(request.words[0], request.keys.get("reason", "operator"))
        return Reply()

    def fault(self, request: Request) -> Reply:
        """Lose packets on purpose."""
        seconds = duration(request.keys.get("for", "30"), "for")
        return Reply(final=self.operations.fault(request.words[0], request.words[1], seconds))

    def signal(self, request: Request) -> Reply:
        """An envelope that the application carried here."""
        self.operations.signal(request.words[0])
        return Reply()

    def reload(self, _request: Request) -> Reply:
        """Read the configuration again."""
        return Reply(final=self.operations.reload())

    def drain(self, _request: Request) -> Reply:
        """Take no new sessions."""
        self.operations.drain()
        return Reply()

    def shutdown(self, _request: Request) -> Reply:
        """End the daemon, in order."""
        self.operations.shutdown()
        return Reply()


def _passes(record: Record, filters: Any) -> bool:
    return all(
        fnmatchcase(str(record.get(key, "")), filters[key])
        for key in ("id", "peer", "state")
        if key in filters
    )


def _whole(text: str, key: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise CommandError("bad-argument", key=key, hint="a whole number")
    return int(text)


def _unreachable(_commands: Commands, request: Request) -> Reply:
    """The connection itself answers these."""
    raise CommandError("internal", verb=request.verb)


_SELECT = "ID | all | peer=GLOB | state=STATE"
_O, _P, _A = Role.OBSERVER, Role.OPERATOR, Role.ADMIN
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "hello",
            Role.NONE,
            "hello 1 [format=text|json] [name=NAME]",
            _unreachable,
            (1, 1),
            frozenset({"format", "name"}),
        ),
        Verb("help", Role.NONE, "help [VERB]", Commands.help, (0, 1)),
        Verb("version", _O, "version", Commands.show_version),
        Verb("ping", _O, "ping", Commands.ping),
        Verb("status", _O, "status", Commands.status),
        Verb(
            "list",
            _O,
            "list [state=STATE] [peer=GLOB] [limit=N] [after=ID]",
            Commands.list,
            (0, 0),
            frozenset({"state", "peer", "limit", "after", "id"}),
        ),
        Verb("show", _O, "show ID", Commands.show, (1, 1)),
        Verb("stats", _O, "stats", Commands.stats),
        Verb("metrics", _O, "metrics", Commands.metrics),
        Verb("history", _O, "history ID", Commands.history, (1, 1)),
        Verb(
            "watch",
            _O,
            "watch [TOPIC...] [since=SEQ] [snapshot]",
            _unreachable,
            (0, 32),
            frozenset({"since"}),
        ),
        Verb("unwatch", _O, "unwatch", _unreachable),
        Verb("get", _O, "get [NAME]", Commands.get, (0, 1)),
        Verb("quit", Role.NONE, "quit", _unreachable),
        Verb(
            "restart",
            _P,
            f"restart {_SELECT} [reason=TEXT] [wait=TIME] [force] [confirm=N]",
            Commands.restart,
            (0, 2),
            frozenset({"peer", "state", "reason", "wait", "confirm", "force"}),
        ),
        Verb("cancel", _P, "cancel ID", Commands.cancel, (1, 1)),
        Verb("hold", _P, "hold [ID] [for=TIME]", Commands.hold, (0, 1), frozenset({"for"})),
        Verb("release", _P, "release [ID]", Commands.release, (0, 1)),
        Verb("reset", _P, "reset [ID]", Commands.reset, (0, 1)),
        Verb(
            "open",
            _A,
            "open NAME peer=PEER protect=none [listen=ADDR] [deliver=ADDR] [signaling=WAY] ...",
            Commands.open,
            (1, 1),
            frozenset({"*"}),
        ),
        Verb("close", _A, "close ID [reason=TEXT]", Commands.close, (1, 1), frozenset({"reason"})),
        Verb(
            "fault",
            _A,
            "fault ID path|all|clear [for=TIME]",
            Commands.fault,
            (2, 2),
            frozenset({"for"}),
        ),
        Verb("signal", _P, 'signal "ENVELOPE"', Commands.signal, (1, 1)),
        Verb("reload", _A, "reload", Commands.reload),
        Verb("drain", _A, "drain", Commands.drain),
        Verb("shutdown", _A, "shutdown", Commands.shutdown),
    )
}
