"""The verbs that change something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from refreeze.control.codes import CommandError
from refreeze.control.commands import Commands, Reply, Result, duration
from refreeze.control.grammar import Request
from refreeze.control.operations import Record, Settable

CONFIRM_ABOVE = 20
"""A restart of more sessions must name their number, so that nobody restarts all by a typo."""

MAX_WAIT = 3600.0
LOG_LEVEL = "log.level"
_LEVELS = ("debug", "info", "warn", "error", "critical")


@define(eq=False, repr=False)
class _Job:
    """Restarts that one request asked for; over when each has its outcome."""

    commands: Commands
    name: str
    matched: int
    refused: list[Record] = field(factory=list)
    outcomes: list[Record] = field(factory=list)
    over: Deferred[None] = field(factory=Deferred[None])
    _queued: int = 0
    _asked: bool = False

    def restart(self, session_id: str, *, reason: str, force: bool) -> Exception | None:
        """Ask for one; the refusal, when it is one."""
        try:
            outcome = self.commands.operations.restart(session_id, reason=reason, force=force)
        except Exception as error:
            refusal = self.commands.refusal_of(error)
            if refusal is None:
                raise
            self.refused.append({"id": session_id, "refused": refusal[0], **_but_id(refusal[1])})
            return error
        self._queued += 1
        outcome.addErrback(self._broken, session_id)
        outcome.addCallback(self.outcomes.append)
        outcome.addCallback(lambda _: self.check())
        return None

    def _broken(self, failure: Failure, session_id: str) -> Record:
        refusal = None
        if isinstance(failure.value, Exception):
            refusal = self.commands.refusal_of(failure.value)
        code = "internal" if refusal is None else refusal[0]
        return {"id": session_id, "outcome": "failed", "why": code}

    def fields(self) -> Record:
        """For the final line."""
        return {
            "job": self.name,
            "matched": self.matched,
            "queued": self._queued,
            "refused": len(self.refused),
        }

    def asked(self) -> None:
        """All restarts were asked for."""
        self._asked = True
        self.commands.announce("job.queued", self.fields())
        self.check()

    def check(self) -> None:
        """Is it over? Not before :meth:`asked`, even when a restart is over at once."""
        if not self._asked or self.over.called or len(self.outcomes) < self._queued:
            return
        succeeded = sum(outcome.get("outcome") == "succeeded" for outcome in self.outcomes)
        counts = {
            "succeeded": succeeded,
            "failed": self._queued - succeeded,
            "refused": len(self.refused),
        }
        self.commands.announce("job.done", {"job": self.name, **counts})
        self.over.callback(None)


def _but_id(fields: Any) -> Record:
    return {key: value for key, value in fields.items() if key != "id"}


def restart(commands: Commands, request: Request) -> Result:
    """At once ``OK job=``, or, with wait=, when it is over.

    When nothing was accepted the answer is the first refusal. The restarts of a request that
    timed out, or whose client went away, go on.
    """
    keys = request.keys
    if keys.get("force", "yes") not in ("yes", "no"):
        raise CommandError("bad-argument", key="force", hint="yes or no")
    force = "force" in request.words or keys.get("force") == "yes"
    seconds = None if "wait" not in keys else min(duration(keys["wait"], "wait"), MAX_WAIT)
    selected = commands.select(request)
    if len(selected) > CONFIRM_ABOVE and keys.get("confirm") != str(len(selected)):
        hint = f"confirm={len(selected)} if you mean them all"
        raise CommandError("confirm-required", count=len(selected), hint=hint)
    job = _Job(commands, commands.next_job(), len(selected))
    reason = keys.get("reason", "")
    errors = [job.restart(each, reason=reason, force=force) for each in selected]
    refusals = [error for error in errors if error is not None]
    if refusals and len(refusals) == len(selected):
        raise refusals[0]
    job.asked()
    if seconds is None:
        return Reply(tuple(job.refused), job.fields())
    return _wait(commands, job, seconds)


def _wait(commands: Commands, job: _Job, seconds: float) -> Deferred[Reply]:
    """The outcomes, or ``timeout`` when the time is over first."""
    answer: Deferred[Reply] = Deferred()

    def late() -> None:
        answer.errback(CommandError("timeout", **job.fields(), done=len(job.outcomes)))

    timer: IDelayedCall = commands.clock.callLater(seconds, late)

    def over(_: None) -> None:
        if timer.active():
            timer.cancel()
            answer.callback(Reply((*job.outcomes, *job.refused), job.fields()))

    job.over.addCallback(over)
    return answer


def _each(
    commands: Commands, request: Request, act: Callable[[str], None], *, otherwise_all: bool
) -> Reply:
    """*act* on every selected session; the refusal itself when all refuse."""
    selected = commands.select(request, otherwise_all=otherwise_all)
    refused: list[Record] = []
    first: Exception | None = None
    for session_id in selected:
        try:
            act(session_id)
        except Exception as error:
            refusal = commands.refusal_of(error)
            if refusal is None:
                raise
            first = first or error
            refused.append({"id": session_id, "refused": refusal[0], **_but_id(refusal[1])})
    if first is not None and len(refused) == len(selected):
        raise first
    final: Record = {"count": len(selected) - len(refused)}
    if refused:
        final["refused"] = len(refused)
    return Reply(tuple(refused), final)


def cancel(commands: Commands, request: Request) -> Reply:
    """Cancel what is queued or pending."""
    return _each(commands, request, commands.operations.cancel, otherwise_all=False)


def hold(commands: Commands, request: Request) -> Reply:
    """No automatic restart, for a while or until release; of all sessions without a selector."""
    text = request.keys.get("for")
    seconds = None if text is None else duration(text, "for")
    return _each(
        commands,
        request,
        lambda session_id: commands.operations.hold(session_id, seconds),
        otherwise_all=True,
    )


def release(commands: Commands, request: Request) -> Reply:
    """End a hold."""
    return _each(commands, request, commands.operations.release, otherwise_all=True)


def reset(commands: Commands, request: Request) -> Reply:
    """Close the circuit breaker."""
    return _each(commands, request, commands.operations.reset, otherwise_all=False)


def open_session(commands: Commands, request: Request) -> Reply:
    """A session at run time."""
    return Reply((commands.operations.open(request.words[0], dict(request.keys)),))


def close_session(commands: Commands, request: Request) -> Reply:
    """End a session."""
    commands.operations.close(request.words[0], request.keys.get("reason", "operator"))
    return Reply()


def fault(commands: Commands, request: Request) -> Reply:
    """Lose packets on purpose."""
    session_id, what = request.words
    if what not in ("path", "all", "clear"):
        raise CommandError("bad-argument", hint="path, all or clear")
    seconds = duration(request.keys.get("for", "30"), "for")
    return Reply(final=commands.operations.fault(session_id, what, seconds))


def doctor(commands: Commands, _request: Request) -> Deferred[Reply]:
    """Look at the network without any session; answered when it is over, which takes seconds."""
    examined = commands.operations.examine()
    return examined.addCallback(lambda found: Reply(tuple(found[0]), found[1]))


def signal(commands: Commands, request: Request) -> Reply:
    """An envelope that the application carried here."""
    commands.operations.signal(request.words[0])
    return Reply()


def reload(commands: Commands, _request: Request) -> Reply:
    """Read the configuration again."""
    return Reply(final=commands.operations.reload())


def drain(commands: Commands, _request: Request) -> Reply:
    """Take no new sessions."""
    commands.operations.drain()
    return Reply()


def shutdown(commands: Commands, _request: Request) -> Reply:
    """End the daemon, in order."""
    commands.operations.shutdown()
    return Reply()


def change_setting(commands: Commands, request: Request) -> Reply:
    """Settings by name; the first one that is refused ends it."""
    if not request.keys:
        raise CommandError("bad-argument", hint="set NAME=VALUE")
    _set(commands, list(request.keys.items()))
    return Reply(final={"count": len(request.keys)})


def change_log(commands: Commands, request: Request) -> Reply:
    """How much is logged."""
    level = request.keys.get("level", "")
    if level not in _LEVELS:
        raise CommandError("bad-argument", key="level", hint=", ".join(_LEVELS))
    _set(commands, [(LOG_LEVEL, level)])
    return Reply()


def _set(commands: Commands, pairs: Sequence[tuple[str, str]]) -> None:
    operations = commands.operations
    assert isinstance(operations, Settable)  # else the verb does not exist
    for name, value in pairs:
        try:
            operations.set(name, value)
        except ValueError as error:
            raise CommandError("bad-argument", name=name, hint=str(error)) from None
