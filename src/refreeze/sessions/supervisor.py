"""All sessions of one daemon: who may restart when, and what operators ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.net.findings import Findings
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.sessions import looking
from refreeze.sessions.forward import ForwardError
from refreeze.sessions.rounds import RoundRecord
from refreeze.sessions.session import Session
from refreeze.watchdog import Cause, Counters, Refusal, RoundOutcome, Storm

Record: TypeAlias = dict[str, Any]


class OperationError(Exception):
    """Why an operator does not get what was asked: a code of the control protocol and fields."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


@define(eq=False, repr=False, kw_only=True)
class Supervisor:
    """I own the sessions and their common budget. Control's Operations are mine."""

    scheduler: Scheduler
    storm: Storm
    emit: Callable[[str, Record], None]
    open_session: Callable[[str, dict[str, str]], Session]
    """Makes a session from run-time options; ValueError in one line."""
    save_epoch: Callable[[str, int], None]
    save_round: Callable[[str, RoundRecord], None]
    describe: Callable[[], Record]
    """The daemon's settings by dotted name."""
    expose: Callable[[Supervisor], str]
    """Prometheus' exposition of the totals."""
    deliver_signal: Callable[[str], None]
    """Takes an envelope that the application carried; ValueError in one line."""
    reread: Callable[[], Record]
    """Reads the configuration again; ValueError in one line."""
    examine_network: Callable[[], Deferred[Findings]]
    """Looks at the network without any session; cancelled when the daemon ends."""
    end: Callable[[], None]
    """Ends the process, in order."""
    look: Callable[[], None] = field(default=lambda: None)
    """Looks soon at the machine's addresses and sockets."""
    more_status: Callable[[], Record] = dict
    """What the daemon adds to `status`."""
    remember: Callable[[str, dict[str, str] | None], None] = lambda name, options: None
    """Keeps the options of a session that was opened at run time; None: it was closed."""
    change_setting: Callable[[str, str], None] | None = None
    """Changes a setting at run time; ValueError in one line."""
    drop_path: Callable[[Session, str, float], int] | None = None
    """Injects faults; None when they are not enabled."""
    sessions: dict[str, Session] = field(factory=dict, init=False)
    past: Counters = field(factory=Counters, init=False)
    """Totals of sessions that are closed."""
    started_at: float = field(init=False)
    draining: bool = field(default=False, init=False)
    network_up: bool = field(default=True, init=False)
    """Whether there is any local address to use."""
    _waiters: dict[Session, list[tuple[int, Deferred[Record]]]] = field(factory=dict, init=False)
    _handle: Handle = field(init=False)
    _granting: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self.started_at = self.scheduler.now()
        self._handle = self.scheduler.add(self)

    # Sessions

    def add(self, session: Session) -> None:
        """Start a session; ForwardError when it cannot listen."""
        name = session.identity.name
        if not self.network_up:
            session.policy.network("down", self.scheduler.now())
        try:
            session.start()
        except ForwardError:
            session.close("", tell=False)
            raise
        self.sessions[name] = session
        self.storm.session_count(len(self.sessions))

    def stop(self) -> None:
        """Close all sessions, telling their peers."""
        for name in list(self.sessions):
            self.end_session(name, "shutdown")
        self._handle.remove()

    def find(self, session_id: str) -> Session:
        """OperationError when there is none."""
        session = self.sessions.get(session_id)
        if session is None:
            raise OperationError("no-such-session", id=session_id, hint="list shows ids")
        return session

    # Budget

    def request(self, session: Session, ticket: int, cause: Cause) -> None:
        """See :class:`~refreeze.sessions.session.Budget`."""
        online = session.peer_online is not False
        now = self.scheduler.now()
        self.storm.request(session.identity.name, ticket, cause, now, online)
        self._grant()

    def withdraw(self, session: Session) -> None:
        """See :class:`~refreeze.sessions.session.Budget`."""
        self.storm.withdraw(session.identity.name)
        self._handle.update()

    def failed(self, session: Session) -> None:
        """See :class:`~refreeze.sessions.session.Budget`."""
        self.storm.failed(session.identity.name, self.scheduler.now())
        self._grant()

    def round_ended(self, session: Session, record: RoundRecord) -> None:
        """See :class:`~refreeze.sessions.session.Budget`."""
        name, now = session.identity.name, self.scheduler.now()
        if record.outcome is RoundOutcome.SUPERSEDED or not record.ours:
            self.storm.withdraw(name)
        else:
            self.storm.ended(name, now, record.outcome is RoundOutcome.SUCCEEDED)
        self.save_round(name, record)
        outcome = record.outcome.value if record.outcome is not None else ""
        result = {"id": name, "outcome": outcome, "seconds": round(record.seconds or 0.0, 3)}
        if record.outcome is not RoundOutcome.SUCCEEDED:
            result["why"] = record.detail
        waiting = self._waiters.pop(session, [])
        self._waiters[session] = [each for each in waiting if each[0] >= record.id]
        for asked_after, waiter in waiting:
            if asked_after < record.id:
                waiter.callback(result)
        self._grant()

    def epoch_raised(self, session: Session, epoch: int) -> None:
        """See :class:`~refreeze.sessions.session.Budget`."""
        self.save_epoch(session.identity.name, epoch)

    def look_at_network(self) -> None:
        """A session suspects that the network changed: broken sockets are opened again (T35)."""
        self.look()

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        return self.storm.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        self.storm.handle_timeout(now)
        self._grant()

    def _grant(self) -> None:
        if self._granting:
            return
        self._granting = True
        try:
            while grants := self.storm.take_grants(self.scheduler.now()):
                for name, ticket in grants:
                    session = self.sessions.get(name)
                    if session is None or not session.granted(ticket):
                        self.storm.withdraw(name)
        finally:
            self._granting = False
        for note in self.storm.take_notes():
            self.emit(note.topic, dict(note.fields))
        self._handle.update()

    # What the network brings

    def all_sessions(self) -> Iterable[Session]:
        """See :class:`~refreeze.sessions.network.Sessions`."""
        return list(self.sessions.values())

    def network_spread(self) -> float:
        """See :class:`~refreeze.sessions.network.Sessions`."""
        return self.storm.network_spread()

    def network_available(self, available: bool) -> None:
        """See :class:`~refreeze.sessions.network.Sessions`."""
        self.network_up = available
        self.emit("net.up" if available else "net.down", {})
        now = self.scheduler.now()
        change = "up" if available else "down"
        for session in self.sessions.values():
            session.policy.network(change, now, spread=self.storm.return_spread())
            session.settle()

    def clock_jumped(self, gap: float) -> None:
        """The machine slept (T37)."""
        now, spread = self.scheduler.now(), self.storm.network_spread()
        self.emit("net.change", {"why": "clock-jump", "seconds": round(gap, 1)})
        self.look()
        for session in self.sessions.values():
            session.gatherer.warm()
            session.policy.clock_jump(gap, now, spread=spread)
            session.settle()

    # Operations: looking

    def status(self) -> Record:
        """One record about the daemon."""
        states: dict[str, int] = {}
        for session in self.sessions.values():
            states[session.state] = states.get(session.state, 0) + 1
        storm = self.storm.snapshot()
        return {
            "sessions": len(self.sessions),
            **{state.replace("-", "_"): number for state, number in sorted(states.items())},
            "rounds_pending": storm.pending,
            "queued": storm.queued,
            "storm": storm.phase.value,
            "uptime": round(self.scheduler.now() - self.started_at, 1),
            **self.more_status(),
        }

    def list_sessions(self) -> list[Record]:
        """A record per session."""
        return [looking.summary(session) for session in self.sessions.values()]

    def show(self, session_id: str) -> list[Record]:
        """Records about one session; no secret is among them."""
        return looking.details(self.find(session_id), self.scheduler.now())

    def stats(self) -> list[Record]:
        """Totals over all sessions, the closed ones too."""
        total = self.totals()
        return [
            {
                "part": "restarts",
                "started": total.started.total(),
                "succeeded": total.succeeded,
                "failed": total.failed.total(),
                "superseded": total.superseded,
                "abandoned": total.abandoned,
                "pending": total.pending,
            },
            {
                "part": "offers",
                "sent": total.offers_sent,
                "received": total.offers_received,
                "stale": total.offers_stale,
                "glare": total.offers_glare,
            },
        ]

    def totals(self) -> Counters:
        """The watchdog's counters, summed."""
        total = Counters()
        total.add(self.past)
        for session in self.sessions.values():
            total.add(session.policy.counters)
        return total

    def history(self, session_id: str) -> list[Record]:
        """The latest rounds, oldest first."""
        return looking.rounds(self.find(session_id))

    # Operations: acting

    def restart(self, session_id: str, *, reason: str, force: bool) -> Deferred[Record]:
        """Restart by an operator; OperationError when refused, else fires with the outcome."""
        session = self.find(session_id)
        refusal = session.policy.operator_restart(self.scheduler.now(), force=force)
        if refusal is not None:
            raise _refused(session_id, refusal)
        session.book.next_reason = reason
        waiter: Deferred[Record] = Deferred()
        self._waiters.setdefault(session, []).append((session.book.count, waiter))
        session.settle()
        return waiter

    def cancel(self, session_id: str) -> None:
        """Cancel what is queued or pending."""
        session = self.find(session_id)
        if not session.policy.cancel(self.scheduler.now()):
            raise OperationError("wrong-state", id=session_id, hint="nothing is pending")
        session.settle()

    def hold(self, session_id: str, seconds: float | None) -> None:
        """No automatic restart for a while."""
        session = self.find(session_id)
        session.policy.hold(self.scheduler.now(), seconds)
        session.settle()

    def release(self, session_id: str) -> None:
        """End a hold."""
        session = self.find(session_id)
        session.policy.release(self.scheduler.now())
        session.settle()

    def reset(self, session_id: str) -> None:
        """Close the circuit."""
        session = self.find(session_id)
        session.policy.reset(self.scheduler.now())
        session.settle()

    def open(self, name: str, options: dict[str, str]) -> Record:
        """A session at run time."""
        if self.draining:
            raise OperationError("shutting-down")
        if name in self.sessions:
            raise OperationError("bad-argument", id=name, hint="a session has that name")
        try:
            session = self.open_session(name, options)
            self.add(session)
        except (ValueError, ForwardError) as error:
            raise OperationError("bad-argument", id=name, hint=str(error)) from None
        self.remember(name, options)
        return looking.summary(session)

    def close(self, session_id: str, reason: str) -> None:
        """End a session for good: it does not come back with the daemon."""
        self.end_session(session_id, reason)
        self.remember(session_id, None)

    def end_session(self, session_id: str, reason: str, *, tell: bool = True) -> None:
        """End a session that may come again; without *tell* the peer hears of it by the next."""
        session = self.find(session_id)
        session.close(reason, tell=tell)
        self.past.add(session.policy.counters)
        for _, waiter in self._waiters.pop(session, []):
            waiter.callback({"id": session_id, "outcome": "abandoned", "why": "closed"})
        del self.sessions[session_id]
        self.storm.session_count(len(self.sessions))

    @property
    def faults_enabled(self) -> bool:
        """Whether `fault` exists."""
        return self.drop_path is not None

    def fault(self, session_id: str, what: str, seconds: float) -> Record:
        """Lose the packets of the selected 5-tuple (path), of all (all), or of none (clear)."""
        session = self.find(session_id)
        if self.drop_path is None:
            raise OperationError("not-permitted", hint="faults are not enabled")
        if what not in ("path", "all", "clear"):
            raise OperationError("bad-argument", hint="path, all or clear")
        number = self.drop_path(session, what, seconds)
        self.emit("fault", {"id": session_id, "what": what, "seconds": seconds, "paths": number})
        return {"id": session_id, "paths": number, "seconds": seconds}

    def metrics(self) -> str:
        """Prometheus' exposition."""
        return self.expose(self)

    def signal(self, envelope: str) -> None:
        """An envelope of a session whose signaling is "control"."""
        try:
            self.deliver_signal(envelope)
        except ValueError as error:
            raise OperationError("bad-argument", hint=str(error)) from None

    def settings(self) -> Record:
        """The daemon's settings by dotted name."""
        return self.describe()

    def reload(self) -> Record:
        """Read the configuration again."""
        try:
            return self.reread()
        except ValueError as error:
            raise OperationError("bad-argument", hint=str(error)) from None

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running daemon; ValueError in one line."""
        if self.change_setting is None:
            raise ValueError("nothing can be set here")
        self.change_setting(name, value)

    def settings_changed(self) -> None:
        """The storm budget or the policies have other numbers: ask them again when they are due."""
        for session in self.sessions.values():
            session.settle()
        self._grant()

    def shutdown(self) -> None:
        """End the daemon."""
        self.end()

    @property
    def refusal(self) -> type[Exception]:
        """What an operation raises when it is refused."""
        return OperationError

    def examine(self) -> Deferred[tuple[list[Record], Record]]:
        """The network without any session: records, and counts."""
        examined = self.examine_network().addErrback(_ended)
        return examined.addCallback(lambda findings: (findings.records(), findings.final()))

    def drain(self) -> None:
        """Take no new sessions; those there are go on."""
        self.draining = True


def _ended(failure: Failure) -> Failure:
    if isinstance(failure.value, CancelledError):
        raise OperationError("shutting-down")
    return failure


def _refused(session_id: str, refusal: Refusal) -> OperationError:
    fields: Record = {"id": session_id}
    if refusal.after is not None:
        fields["after"] = round(refusal.after, 1)
    if refusal.reason is not None:
        fields["why"] = refusal.reason
    return OperationError(refusal.code, **fields)
