"""Our own checks: when they leave, when again, and what their responses mean (RFC 8445 7.2).

What a response finds (the late-message table of one agent):

=========================== ==================================================================
response                    what becomes of it
=========================== ==================================================================
of no attempt of ours       stale: counted, nothing else (T26): the attempt was answered, given
                            up, or stopped by the nomination, or another generation sent it
not signed by the peer      counted; the attempt goes on, as if nothing had come
487, role kept since        switch roles, new tie-breaker, ask again (rule 43)
487, role changed since     ask again in the new role; the role stays (T26)
other error                 the pair fails; a consent check counts as unanswered
from or to another address  the pair fails (symmetric-address check, 7.2.5.2.1)
success, before nomination  the pair is valid; its foundation thaws
success, nominating         the pair is selected, if the role is still the attempt's
success, consent            consent and liveness are fresh, after ``failed`` too
=========================== ==================================================================
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from attrs import define, field

from refreeze.basics import Address, format_address
from refreeze.ice.attempts import Attempt, Attempts, Purpose
from refreeze.ice.candidate import Candidate, CandidateType, candidate_foundation
from refreeze.ice.events import PairValid, Rebound, Transmit
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, PairState
from refreeze.stun import (
    Message,
    MessageClass,
    Method,
    RequestTemplate,
    RetransmissionSchedule,
    check_rto,
)

if TYPE_CHECKING:
    from refreeze.ice.agent import Agent

HURRY_AFTER: Final = 0.01
"""Seconds a check that is out gets before the peer's own check has it sent again at once."""

MAX_ROLE_CHANGES: Final = 8
"""An honest pair of agents agrees after one (T27)."""

_schedule: Final = lru_cache(maxsize=256)(RetransmissionSchedule)


@define
class ResponseCounters:
    """Responses that changed nothing."""

    stale: int = 0
    unauthenticated: int = 0
    malformed: int = 0
    asymmetric: int = 0


@define(eq=False)
class Checks:
    """I send the checks of one agent and judge their responses."""

    agent: Agent
    attempts: Attempts = field(factory=Attempts)
    counters: ResponseCounters = field(factory=ResponseCounters)
    _slot_at: float = float("-inf")
    """When Ta lets the next ordinary check go."""
    _ticket_at: float | None = None
    """A place in the bucket, paid for and not used yet."""

    # Sending

    def run(self, now: float) -> None:
        """Send what may leave now: triggered checks first, then one ordinary check per Ta."""
        agent = self.agent
        if not agent.may_check:
            return
        checklist, strict = agent.checklist, agent.settings.strict_pacing
        while checklist.triggered:
            if (strict and now < self._slot_at) or not self._has_ticket(now):
                return
            pair = checklist.next_triggered()
            if pair is not None:
                self._begin(pair, now)
                if strict:
                    self._slot_at = now + agent.settings.ta
        if agent.selected is not None or now < self._slot_at:
            return
        pair = checklist.next_ordinary()
        if pair is not None and self._has_ticket(now):
            self._begin(pair, now)
            self._slot_at = now + agent.settings.ta

    def _has_ticket(self, now: float) -> bool:
        if self._ticket_at is None:
            self._ticket_at = self.agent.bucket.reserve(now)
        return self._ticket_at <= now

    @property
    def busy(self) -> bool:
        """Whether anything is out or queued, consent aside."""
        return bool(self.agent.checklist.triggered) or self.attempts.next_deadline() is not None

    def next_deadline(self, now: float) -> float | None:
        """When :meth:`run` or :meth:`retransmit` has something to do."""
        at = self.attempts.next_deadline()
        agent = self.agent
        if not agent.may_check:
            return at
        if agent.checklist.triggered:
            slot = self._slot_at if agent.settings.strict_pacing else now
        elif agent.selected is None and agent.checklist.next_ordinary() is not None:
            slot = self._slot_at
        else:
            return at
        ticket = self._ticket_at
        leaves = max(slot, agent.bucket.next_at(now) if ticket is None else ticket)
        return leaves if at is None or leaves < at else at

    def _begin(self, pair: Pair, now: float) -> None:
        self._ticket_at = None
        pair.state = PairState.IN_PROGRESS
        self._send(pair, now, Purpose.NOMINATION if pair.nominating else Purpose.CHECK)

    def nominate(self, pair: Pair, now: float) -> None:
        """Check *pair* once more, with USE-CANDIDATE; waits only under strict pacing."""
        pair.nominating = True
        if self.agent.settings.strict_pacing:
            self.agent.checklist.trigger(pair)
        else:
            self._send(pair, now, Purpose.NOMINATION)

    def ask_consent(self, pair: Pair, now: float) -> None:
        """Once, with an id of its own (RFC 7675 section 5.1)."""
        pair.counters.consent_sent += 1
        self._send(pair, now, Purpose.CONSENT)

    @property
    def rto(self) -> float:
        """Seconds after which a check that begins now is sent again (RFC 8445 section 14.3)."""
        settings = self.agent.settings
        return max(settings.rto, check_rto(settings.ta, self.agent.checklist.active_count()))

    def _send(self, pair: Pair, now: float, purpose: Purpose) -> None:
        agent, settings = self.agent, self.agent.settings
        if pair.template is None:
            pair.template = self._template(pair)
        if purpose is not Purpose.CONSENT:
            pair.counters.checks_sent += 1
        transaction = agent.random.randbytes(12)
        # Consent repeats the nomination: whoever lost the one, on either side, gets the other.
        named = pair.nominating or (pair.nominated and agent.role is IceRole.CONTROLLING)
        data = pair.template.encode(transaction, named)
        rto = settings.rto if purpose is Purpose.CONSENT else self.rto
        schedule = _schedule(rto, settings.rc, settings.rm)
        self.attempts.add(
            Attempt(transaction, pair, agent.role, purpose, named, now, data, schedule)
        )
        self._transmit(pair, data, transaction)

    def _transmit(self, pair: Pair, data: bytes, transaction: bytes) -> None:
        pair.counters.requests_sent += 1
        self.agent.send(Transmit(pair.base, pair.remote_address, data, transaction))

    def _template(self, pair: Pair) -> RequestTemplate:
        agent = self.agent
        assert agent.remote is not None
        assert agent.remote_key is not None
        return RequestTemplate(
            username=f"{agent.remote.ufrag}:{agent.local.ufrag}",
            key=agent.remote_key,
            priority=pair.reflexive_priority,
            controlling=agent.role is IceRole.CONTROLLING,
            tie_breaker=agent.tie_breaker,
        )

    def peer_checked(self, pair: Pair, now: float) -> None:
        """The peer's check came in on *pair*: ours is worth sending now (RFC 8445 7.3.1.4).

        Of a check that is out already the next retransmission is pulled forward: its first
        packet may have come to a NAT that the peer's check has opened only now. While it is
        younger than 10 ms its response is given the time to arrive.
        """
        if pair.state is PairState.SUCCEEDED and not pair.nominating:
            return
        attempt = self.attempts.check_of(pair)
        if attempt is None or attempt.role is not self.agent.role:
            if attempt is not None:
                self.attempts.drop(attempt)
            self.agent.checklist.trigger(pair)
            return
        if not attempt.hurried:
            earliest = max(now, attempt.last_sent + HURRY_AFTER)
            if self.agent.settings.strict_pacing:
                earliest = max(earliest, self._slot_at)
                self._slot_at = earliest + self.agent.settings.ta
            at = max(earliest, self.agent.bucket.reserve(now))
            if at < attempt.due:
                attempt.hurried = True
                self.attempts.plan(attempt, at)

    def retransmit(self, now: float) -> None:
        """Send again what is due, give up what was sent Rc times."""
        while (attempt := self.attempts.pop_due(now)) is not None:
            if attempt.sends >= attempt.schedule.rc and not attempt.hurried:
                self.attempts.drop(attempt)
                self.fail(attempt.pair, now)
                continue
            if attempt.hurried:
                attempt.hurried = False
            else:
                attempt.sends += 1
            attempt.measurable = False
            attempt.last_sent = now
            self.attempts.plan(attempt, attempt.next_at())
            self._transmit(attempt.pair, attempt.data, attempt.transaction)

    def fail(self, pair: Pair, now: float) -> None:
        """The pair is of no use; a selected one is judged by liveness and consent alone."""
        agent = self.agent
        if pair is agent.selected:
            return
        pair.state = PairState.FAILED
        pair.valid = pair.nominating = False
        self.attempts.drop_all(pair)
        agent.keeper.pair_failed(pair, now)
        agent.nomination.consider(now)
        agent.review(now)

    def stop(self, selected: Pair) -> None:
        """A pair is nominated: no other check goes on (RFC 8445 section 8.1.2)."""
        self.agent.checklist.stop(selected)
        self.attempts.clear_checks()

    # Responses

    def response(self, message: Message, base: Address, source: Address, now: float) -> None:
        """RFC 8445 section 7.2.5; see the table above."""
        agent = self.agent
        attempt = self.attempts.find(message.transaction_id)
        if attempt is None or message.method != Method.BINDING:
            self.counters.stale += 1
            return
        if agent.remote_key is None or not message.verify(agent.remote_key):
            self.counters.unauthenticated += 1
            return
        pair = attempt.pair
        mapped = message.xor_mapped_address
        success = message.message_class is MessageClass.SUCCESS
        if success and mapped is None:
            self.counters.malformed += 1
            return
        self.attempts.drop(attempt)
        pair.counters.responses_received += 1
        if not success:
            self._error(attempt, (message.error_code or (0, ""))[0], now)
        elif pair.base != base or pair.remote_address != source:
            self.counters.asymmetric += 1
            self.fail(pair, now)
        elif message.unknown_required:
            self.fail(pair, now)  # RFC 8489 section 6.3.3
        else:
            assert mapped is not None
            self._success(attempt, mapped, now)

    def _error(self, attempt: Attempt, code: int, now: float) -> None:
        agent, pair = self.agent, attempt.pair
        pair.nominating = False
        conflict = code == 487 and agent.role_changes < MAX_ROLE_CHANGES
        if conflict and attempt.role is agent.role:
            agent.set_role(agent.role.other, now, new_tie_breaker=True)
        if attempt.purpose is Purpose.CONSENT:
            if conflict:
                agent.keeper.hurry(now)
        elif conflict:
            agent.checklist.trigger(pair)
        else:
            self.fail(pair, now)

    def _success(self, attempt: Attempt, mapped: Address, now: float) -> None:
        agent, pair = self.agent, attempt.pair
        if attempt.measurable:
            pair.sample(now - attempt.sent_at)
        pair.last_received = pair.answered_at = now
        if mapped != pair.mapped:
            self._mapped(pair, mapped)
        agent.keeper.answered(pair, now)
        if attempt.purpose is Purpose.CONSENT:
            if pair.nominating and attempt.use_candidate:
                agent.nomination.succeeded(attempt, now)
            return
        pair.state = PairState.SUCCEEDED
        agent.checklist.unfreeze(pair.foundation)
        if not pair.valid:
            pair.valid, pair.valid_since = True, now
            agent.keeper.pair_valid(pair, now)
            agent.tell(PairValid(pair))
        agent.nomination.succeeded(attempt, now)
        agent.review(now)

    def _mapped(self, pair: Pair, mapped: Address) -> None:
        """How the peer sees us on this pair; unknown, it is a new candidate (7.2.5.3.1)."""
        agent = self.agent
        if pair.mapped is not None and pair is agent.selected:
            agent.tell(Rebound(pair, "mapped", format_address(mapped)))
        pair.mapped = mapped
        for candidate in agent.local_candidates:
            if candidate.base == pair.base and _bare(candidate.address) == mapped:
                pair.local = candidate
                return
        candidate = Candidate(
            type=CandidateType.PRFLX,
            address=mapped,
            priority=pair.reflexive_priority,
            foundation=candidate_foundation(CandidateType.PRFLX, pair.base[0]),
            base=pair.base,
            related=pair.base,
        )
        agent.learn_local(candidate)
        pair.local = candidate


def _bare(address: Address) -> Address:
    """Without the zone, which does not travel."""
    host, port = address
    return host.partition("%")[0], port
