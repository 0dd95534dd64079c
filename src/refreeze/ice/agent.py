"""One ICE generation (RFC 8445): checks, nomination, consent, and one outcome.

I manage a single generation: one ufrag and pwd per side. I know nothing of restarts; when I fail
or am superseded I am thrown away. Time is an argument of every call; after each, drain
:meth:`Agent.take_transmits` and :meth:`Agent.take_events` and read :meth:`Agent.next_deadline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, evolve, field

from refreeze.basics import Address, Randomness, on_grid
from refreeze.ice.answers import Answers
from refreeze.ice.attempts import Attempt, Attempts, Purpose
from refreeze.ice.candidate import (
    Candidate,
    CandidateType,
    candidate_foundation,
    candidate_priority,
)
from refreeze.ice.checklist import Checklist
from refreeze.ice.credentials import Credentials, ice_string
from refreeze.ice.events import (
    AgentEvent,
    ConsentLost,
    PairSelected,
    PairValid,
    Rebound,
    Recovered,
    RemoteActive,
    RoleChanged,
    StateChanged,
    Transmit,
)
from refreeze.ice.hostile import refusal
from refreeze.ice.liveness import Liveness, Verdict
from refreeze.ice.pacing import CheckBucket
from refreeze.ice.pair import Pair
from refreeze.ice.settings import AgentSettings
from refreeze.ice.states import IceRole, IceState, PairState
from refreeze.stun import (
    IntegrityKey,
    Message,
    MessageClass,
    RequestTemplate,
    RetransmissionSchedule,
    short_term_key,
)

MAX_REMOTE_CANDIDATES: Final = 100
PRFLX_PRIORITY: Final = candidate_priority(CandidateType.PRFLX)
_SETTLED: Final = frozenset({IceState.FAILED, IceState.CLOSED})


@define(eq=False, repr=False, kw_only=True)
class Agent:
    """See the module. *tie_breaker* is 64 random bits (RFC 8445 section 16.1)."""

    local: Credentials
    role: IceRole
    tie_breaker: int
    settings: AgentSettings
    bucket: CheckBucket
    random: Randomness
    now: float
    remote: Credentials | None = field(default=None, init=False)
    state: IceState = field(default=IceState.NEW, init=False)
    failed_reason: str | None = field(default=None, init=False)
    selected: Pair | None = field(default=None, init=False)
    local_candidates: list[Candidate] = field(factory=list, init=False)
    remote_candidates: list[Candidate] = field(factory=list, init=False)
    retired: bool = field(default=False, init=False)
    liveness: Liveness | None = field(default=None, init=False)
    stale_responses: int = field(default=0, init=False)
    local_key: IntegrityKey = field(init=False)
    remote_key: IntegrityKey | None = field(default=None, init=False)
    checklist: Checklist = field(init=False)
    answers: Answers = field(init=False)
    _attempts: Attempts = field(factory=Attempts, init=False)
    _local_ended: bool = field(default=False, init=False)
    _remote_ended: bool = field(default=False, init=False)
    _sending_lost: bool = field(default=False, init=False)
    _selected_at: float = field(default=0.0, init=False)
    _remote_seen: bool = field(default=False, init=False)
    _pac_at: float | None = field(default=None, init=False)
    _ordinary_at: float | None = field(default=None, init=False)
    _nominate_at: float | None = field(default=None, init=False)
    _planned: float | None = field(default=None, init=False)
    _transmits: list[Transmit] = field(factory=list, init=False)
    _events: list[AgentEvent] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.local_key = short_term_key(self.local.pwd)
        self.checklist = Checklist(self.settings.max_pairs)
        self.answers = Answers(self)

    # Candidates and credentials

    @property
    def pairs(self) -> Sequence[Pair]:
        """All pairs, best first, failed ones too (T40)."""
        return self.checklist.pairs

    @property
    def data_pair(self) -> Pair | None:
        """Where data goes: the selected pair, else the best valid one; None without consent."""
        if self._sending_lost or self.retired or self.state is IceState.CLOSED:
            return None
        return self.selected or next(self.checklist.valid(), None)

    @property
    def consent_expires_at(self) -> float | None:
        """When sending on the selected pair ends unless an answer comes (RFC 7675)."""
        return self.liveness.consent_expires_at if self.liveness is not None else None

    def add_local_candidate(self, candidate: Candidate, now: float) -> None:
        """A gathered candidate; it must have its base."""
        if candidate in self.local_candidates or self._local_ended:
            return
        self.local_candidates.append(candidate)
        self._pair_up(now)

    def end_of_local_candidates(self, now: float) -> None:
        """Gathering is over for this generation."""
        self._local_ended = True
        self._review(now)

    def set_remote(self, remote: Credentials, now: float, *, lite: bool = False) -> None:
        """The peer's credentials: checks may begin. ValueError for others than the known (T5)."""
        if self.remote is not None:
            if self.remote != remote:
                raise ValueError("the remote credentials of a generation never change")
            return
        self.remote = remote
        self.remote_key = short_term_key(remote.pwd)
        self._pac_at = on_grid(now + self.settings.pac)
        if lite and self.role is IceRole.CONTROLLED:
            self.set_role(IceRole.CONTROLLING)
        for candidate in list(self.remote_candidates):
            if refusal(candidate, allow_loopback=self.settings.allow_loopback) is not None:
                self.remote_candidates.remove(candidate)
        self._pair_up(now)
        self.answers.replay_early(now)
        self._begin_checking(now)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> str | None:
        """A signaled candidate; the slug of a refusal, or None (RFC 8838 sections 11 and 14)."""
        reason = refusal(candidate, allow_loopback=self.settings.allow_loopback)
        if reason is None and self._remote_ended:
            reason = "ended"
        if reason is None and len(self.remote_candidates) >= MAX_REMOTE_CANDIDATES:
            reason = "too-many"
        if reason is not None:
            return reason
        known = next((c for c in self.remote_candidates if c.address == candidate.address), None)
        if known is not None:
            self._replace_reflexive(known, candidate)
            return None
        self.remote_candidates.append(candidate)
        self._pair_up(now)
        return None

    def _replace_reflexive(self, known: Candidate, signaled: Candidate) -> None:
        """The signaled candidate takes the place of the learnt one; pair and priority stay."""
        if known.type is not CandidateType.PRFLX:
            return
        self.remote_candidates[self.remote_candidates.index(known)] = signaled
        for pair in self.checklist.pairs:
            if pair.remote is known:
                pair.remote = signaled

    def end_of_remote_candidates(self, now: float) -> None:
        """The peer has no more."""
        self._remote_ended = True
        self._review(now)

    def _pair_up(self, now: float) -> None:
        if self.remote is None or self.selected is not None or self.retired:
            return
        self.checklist.pair_up(self.local_candidates, self.remote_candidates, self.role)
        self._begin_checking(now)

    def _begin_checking(self, now: float) -> None:
        if self.remote is not None and self.checklist.pairs and self.state is IceState.NEW:
            self._become(IceState.CHECKING)
        self._run_checks(now)

    # Datagrams in

    def receive(self, message: Message, base: Address, source: Address, now: float) -> None:
        """A STUN message: a request with our ufrag, or any response."""
        self.now = now
        if self.state is IceState.CLOSED:
            return
        if message.message_class is MessageClass.REQUEST:
            self.answers.request(message, base, source, now)
        elif message.message_class is MessageClass.INDICATION:
            self._heard(base, source, now)
        else:
            self._response(message, base, source, now)
        self._run_checks(now)

    def data_received(
        self, base: Address, source: Address, now: float, size: int = 0, count: int = 1
    ) -> bool:
        """Data on a 5-tuple; True when it is one of ours. Unknown sources are not believed."""
        pair = self.checklist.find(base, source)
        if pair is None or self.state is IceState.CLOSED:
            return False
        pair.counters.packets_in += count
        pair.counters.bytes_in += size
        pair.last_received = now
        self._heard(base, source, now)
        if pair is self.selected:
            self._remote_is_active(pair)
        return True

    def data_sent(self, now: float, size: int = 0, count: int = 1) -> None:
        """*count* datagrams left on :attr:`data_pair`."""
        pair = self.data_pair
        if pair is None:
            return
        pair.counters.packets_out += count
        pair.counters.bytes_out += size
        pair.last_sent = now
        if self.liveness is not None:
            self.liveness.data_sent(now)

    def _heard(self, base: Address, source: Address, now: float) -> None:
        pair, liveness = self.selected, self.liveness
        if pair is None or liveness is None:
            return
        if pair.base == base and pair.remote_address == source:
            pair.last_received = now
            liveness.heard(now)
            self._judge(now)

    def _response(self, message: Message, base: Address, source: Address, now: float) -> None:
        """RFC 8445 section 7.2.5. A response of no attempt of ours is stale (T26)."""
        attempt = self._attempts.take(message.transaction_id)
        if attempt is None:
            self.stale_responses += 1
            return
        if self.remote_key is None or not message.verify(self.remote_key):
            self._attempts.add(attempt)
            attempt.over = False
            return
        pair = attempt.pair
        pair.counters.responses_received += 1
        if message.message_class is MessageClass.ERROR:
            self._error_response(attempt, message, now)
        elif pair.base != base or pair.remote_address != source:
            self._failed(pair, now)  # not symmetric (RFC 8445 section 7.2.5.2.1)
        else:
            self._success(attempt, message, now)

    def _error_response(self, attempt: Attempt, message: Message, now: float) -> None:
        code = (message.error_code or (0, ""))[0]
        if code == 487:
            if attempt.role is self.role:  # else it is about a role we gave up already (T26)
                self.set_role(self.role.other)
            attempt.pair.nominating = False
            self.checklist.trigger(attempt.pair)
            attempt.pair.state = PairState.WAITING
        elif attempt.purpose is Purpose.CHECK:
            self._failed(attempt.pair, now)

    def set_role(self, role: IceRole) -> None:
        """Take *role*, with a new tie-breaker and new pair priorities (rule 43)."""
        self.role = role
        self.tie_breaker = self.random.getrandbits(64)
        self.checklist.reprioritize(role)
        self._events.append(RoleChanged(role))

    def _success(self, attempt: Attempt, message: Message, now: float) -> None:
        pair = attempt.pair
        if attempt.sends == 1:
            pair.sample(now - attempt.sent_at)
        pair.last_received = now
        mapped = message.xor_mapped_address
        if mapped is not None and mapped != pair.mapped:
            if pair.mapped is not None and pair is self.selected:
                self._events.append(Rebound(pair, "mapped"))
            pair.mapped = mapped
            self._learn_local_reflexive(pair, mapped)
        if pair is self.selected and self.liveness is not None:
            self.liveness.answered(now)
            self._judge(now)
            return
        pair.state = PairState.SUCCEEDED
        self.checklist.unfreeze(pair.foundation)
        if not pair.valid:
            pair.valid = True
            self._events.append(PairValid(pair))
            if self.state is IceState.CHECKING:
                self._become(IceState.CONNECTED)
        if attempt.nominating or pair.nominate_on_success:
            self._select(pair, now)
        elif self.role is IceRole.CONTROLLING:
            self._consider_nomination(now)

    def _learn_local_reflexive(self, pair: Pair, mapped: Address) -> None:
        """A mapped address that is no local candidate is a new one (RFC 8445 7.2.5.3.1)."""
        if any(local.address == mapped for local in self.local_candidates):
            return
        if len(self.local_candidates) < self.settings.max_pairs:
            self.local_candidates.append(
                Candidate(
                    type=CandidateType.PRFLX,
                    address=mapped,
                    priority=PRFLX_PRIORITY,
                    foundation=candidate_foundation(CandidateType.PRFLX, pair.base[0]),
                    base=pair.base,
                    related=pair.base,
                )
            )

    # Nomination

    def _consider_nomination(self, now: float) -> None:
        """Direct pairs at once; a relayed one when nothing better can come any more."""
        if self.selected is not None or any(pair.nominating for pair in self.checklist.pairs):
            return
        best = next(self.checklist.valid(), None)
        if best is None or self.retired:
            return
        if best.relayed:
            better = [p for p in self.checklist.pairs if p.priority > best.priority]
            if any(p.state is not PairState.FAILED for p in better):
                wait = max(self.settings.relay_wait, 3 * (best.rtt or 0.0))
                if self._nominate_at is None:
                    self._nominate_at = now + wait
                if now < self._nominate_at:
                    return
        self._nominate_at = None
        best.nominating = True
        self._send_check(best, now, nominating=True)

    def remote_nominated(self, pair: Pair, now: float) -> None:
        """A check of the controlling side came with USE-CANDIDATE (RFC 8445 7.3.1.5)."""
        pair.nominate_on_success = True
        if pair.valid:
            self._select(pair, now)
            if pair is self.selected:
                self._remote_is_active(pair)

    def _select(self, pair: Pair, now: float) -> None:
        current = self.selected
        if current is pair or self.retired:
            return
        alive = self.liveness is not None and not self.liveness.probing
        if current is not None and alive and pair.priority < current.priority:
            return  # an aggressive nominator: the best of its nominations stands
        pair.nominated = True
        self.selected, self._selected_at = pair, now
        self.liveness = Liveness(self.settings, self.random, now)
        for other in self.checklist.pairs:
            if other.state is PairState.IN_PROGRESS:
                other.state = PairState.FROZEN  # no check goes on after the nomination
        self.checklist.triggered.clear()
        self._attempts.clear()
        self._events.append(PairSelected(pair))
        if pair.nominate_on_success:
            self._remote_is_active(pair)
        self._review(now)

    def _remote_is_active(self, pair: Pair) -> None:
        if not self._remote_seen and self.role is IceRole.CONTROLLED:
            self._remote_seen = True
            self._events.append(RemoteActive(pair))

    def request_seen(self, pair: Pair, now: float) -> None:
        """An authenticated request arrived on a known pair: for liveness and draining."""
        pair.counters.requests_received += 1
        pair.last_received = now
        self._heard(pair.base, pair.remote_address, now)
        if pair is self.selected:
            self._remote_is_active(pair)

    def source_moved(self, now: float) -> None:
        """An authenticated request came from an address that no pair has."""
        if self.selected is None or self.retired:
            return
        if now - self._selected_at >= self.settings.rebind_settle:
            self._events.append(Rebound(self.selected, "source"))

    # Checks

    def _run_checks(self, now: float) -> None:
        """Send what may leave now: triggered checks first, then one ordinary check per Ta."""
        if self.remote is None or self.retired or self.state in _SETTLED:
            return
        queue = self.checklist.triggered
        while queue and self.bucket.take(now):
            pair = queue.popleft()
            if pair.state is PairState.WAITING:
                self._send_check(pair, now)
        if self.selected is not None:
            return
        if self._ordinary_at is not None and now < self._ordinary_at:
            return
        pair_or_none = self.checklist.next_ordinary()
        if pair_or_none is not None and self.bucket.take(now):
            self._send_check(pair_or_none, now)
            self._ordinary_at = now + self.settings.ta

    def _send_check(self, pair: Pair, now: float, *, nominating: bool = False) -> None:
        if not nominating:
            pair.state = PairState.IN_PROGRESS
        busy = self.checklist.active_count()
        rto = max(self.settings.rto, self.settings.ta * busy)
        schedule = RetransmissionSchedule(rto, self.settings.rc, self.settings.rm)
        self._send_request(pair, now, Purpose.CHECK, schedule, nominating)

    def _send_consent(self, pair: Pair, now: float) -> None:
        """Once, with an id of its own (RFC 7675 section 5.1)."""
        schedule = RetransmissionSchedule(self.settings.rto, 1, self.settings.rm)
        pair.counters.consent_sent += 1
        nominated = self.role is IceRole.CONTROLLING
        self._send_request(pair, now, Purpose.CONSENT, schedule, nominated)

    def _send_request(
        self,
        pair: Pair,
        now: float,
        purpose: Purpose,
        schedule: RetransmissionSchedule,
        nominating: bool,
    ) -> None:
        if pair.template is None:
            pair.template = self._template(pair)
        transaction = self.random.randbytes(12)
        data = pair.template.encode(transaction, nominating)
        attempt = Attempt(transaction, pair, self.role, purpose, nominating, now, data, schedule)
        self._attempts.add(attempt)
        self._transmit(pair, data, transaction)

    def _transmit(self, pair: Pair, data: bytes, transaction: bytes) -> None:
        pair.counters.requests_sent += 1
        self._transmits.append(Transmit(pair.base, pair.remote_address, data, transaction))

    def _template(self, pair: Pair) -> RequestTemplate:
        assert self.remote is not None
        assert self.remote_key is not None
        # As a peer-reflexive candidate the local one would have this priority (8445 7.1.1).
        preference = (pair.local.priority >> 8) & 0xFFFF
        return RequestTemplate(
            username=f"{self.remote.ufrag}:{self.local.ufrag}",
            key=self.remote_key,
            priority=candidate_priority(CandidateType.PRFLX, preference),
            controlling=self.role is IceRole.CONTROLLING,
            tie_breaker=self.tie_breaker,
        )

    def send(self, transmit: Transmit) -> None:
        """Queue an answer."""
        self._transmits.append(transmit)

    def _failed(self, pair: Pair, now: float) -> None:
        if pair is self.selected:
            return  # liveness and consent judge a selected pair
        pair.state = PairState.FAILED
        pair.valid = pair.nominating = False
        for attempt in self._attempts.of(pair):
            self._attempts.drop(attempt)
        if self.role is IceRole.CONTROLLING:
            self._consider_nomination(now)
        self._review(now)

    def send_failed(self, base: Address, remote: Address, now: float) -> None:
        """A check could not leave. Retransmission tries again, and the peer's may come (T36)."""
        pair = self.checklist.find(base, remote)
        if pair is not None:
            pair.counters.requests_sent -= 1

    def base_gone(self, base: Address, now: float) -> None:
        """The local address or its socket is gone: its pairs cannot live (T35)."""
        self._attempts_of_base(base)
        for pair in self.checklist.pairs:
            if pair.base == base and pair is not self.selected:
                pair.state, pair.valid = PairState.FAILED, False
        if self.selected is not None and self.selected.base == base:
            self._sending_lost = True
            self._fail("base-gone")
        self._review(now)

    def _attempts_of_base(self, base: Address) -> None:
        for pair in self.checklist.pairs:
            if pair.base == base:
                for attempt in self._attempts.of(pair):
                    self._attempts.drop(attempt)

    # Time

    def next_deadline(self) -> float | None:
        """The earliest moment at which something is to be done; None: never."""
        self._planned = self._plan()
        return self._planned

    def _plan(self) -> float | None:
        if self.retired or self.state is IceState.CLOSED:
            return None
        times = [self._attempts.next_deadline()]
        if self.selected is not None:
            if self.liveness is not None and not self._sending_lost:
                times.append(self.liveness.next_deadline())
        elif self.remote is not None and self.state is not IceState.FAILED:
            times += [self._nominate_at, self._pac_at]
            if self.checklist.triggered:
                times.append(self.bucket.next_at(self.now))
            elif self.checklist.next_ordinary() is not None:
                times.append(max(self._ordinary_at or 0.0, self.bucket.next_at(self.now)))
        return min((at for at in times if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self.now = now
        if self.retired or self.state is IceState.CLOSED:
            return
        late = now - self._planned if self._planned is not None else 0.0
        if late > self.settings.clock_jump and self.liveness is not None:
            self.liveness.held_up(late, now)
        self._retransmit(now)
        if self._nominate_at is not None and now >= self._nominate_at:
            self._consider_nomination(now)
        if self._pac_at is not None and now >= self._pac_at:
            self._pac_at = None
            self._review(now)
        self._keep_alive(now)
        self._run_checks(now)

    def _retransmit(self, now: float) -> None:
        while (attempt := self._attempts.pop_due(now)) is not None:
            if attempt.purpose is Purpose.CONSENT:
                self._attempts.drop(attempt)
            elif attempt.sends >= attempt.schedule.rc:
                self._attempts.drop(attempt)
                self._failed(attempt.pair, now)
            else:
                attempt.sends += 1
                self._attempts.plan(attempt)
                self._transmit(attempt.pair, attempt.data, attempt.transaction)

    def _keep_alive(self, now: float) -> None:
        liveness, pair = self.liveness, self.selected
        if liveness is None or pair is None or self._sending_lost:
            return
        if now >= liveness.consent_expires_at:
            self._sending_lost = True
            self._events.append(ConsentLost(pair))
            self._fail("consent")
            return
        if liveness.due(now):
            self._send_consent(pair, now)
            liveness.check_sent(now, pair.rtt)
        self._judge(now)

    def _judge(self, now: float) -> None:
        """Turn what liveness says into a state; ``failed`` is final for this generation."""
        liveness, pair = self.liveness, self.selected
        if liveness is None or pair is None or self.retired:
            return
        verdict = liveness.verdict(now)
        if self.state is IceState.FAILED:
            if verdict is Verdict.ALIVE and not liveness.probing and not self._sending_lost:
                if self.failed_reason == "silence":
                    self.failed_reason = "silence-ended"
                    self._events.append(Recovered(pair))
            elif verdict is Verdict.FAILED:
                self.failed_reason = "silence"
            return
        if verdict is Verdict.ALIVE:
            if self.state is IceState.DISCONNECTED:
                self._become(IceState.CONNECTED)
                self._review(now)
            return
        if self.state is not IceState.DISCONNECTED:
            self._become(IceState.DISCONNECTED)
        if verdict is Verdict.FAILED:
            self._fail("silence")

    # The end

    def retire(self, now: float) -> None:
        """Drain: answer checks with our credentials, start nothing of our own."""
        self.retired = True
        self._attempts.clear()
        self.checklist.triggered.clear()

    def close(self, now: float) -> None:
        """The end; nothing is sent or told any more."""
        self.retired = True
        self._attempts.clear()
        self.state = IceState.CLOSED

    def _review(self, now: float) -> None:
        """Is there an outcome? (RFC 8445 section 6.1.4, rules 50, 59 and 60)"""
        if self.state in _SETTLED or self.retired:
            return
        if self.selected is not None:
            done = self._local_ended and self._remote_ended
            if done and self.state in (IceState.CHECKING, IceState.CONNECTED):
                self._become(IceState.COMPLETED)
            elif self.state is IceState.CHECKING:
                self._become(IceState.CONNECTED)
            return
        over = self._local_ended and self._remote_ended and self.remote is not None
        if over and self._pac_at is None and self.checklist.exhausted():
            self._fail("no-pair")

    def _fail(self, reason: str) -> None:
        if self.state is IceState.FAILED:
            return
        self.failed_reason = reason
        self.state = IceState.FAILED
        self._events.append(StateChanged(IceState.FAILED, reason))

    def _become(self, state: IceState) -> None:
        self.state = state
        self._events.append(StateChanged(state))

    # Peer-reflexive remotes

    def learn_remote(
        self, base: Address, source: Address, priority: int, now: float
    ) -> Pair | None:
        """A check came from an address that nobody signaled (RFC 8445 section 7.3.1.3)."""
        local = next((c for c in self.local_candidates if c.base == base), None)
        if local is None:
            return None
        remote = next((c for c in self.remote_candidates if c.address == source), None)
        if remote is None:
            if len(self.remote_candidates) >= MAX_REMOTE_CANDIDATES:
                return None
            remote = Candidate(
                type=CandidateType.PRFLX,
                address=source,
                priority=priority,
                foundation=ice_string(self.random, 8),
            )
            self.remote_candidates.append(remote)
        host = evolve(local, address=base) if local.address != base else local
        pair = self.checklist.add(host, remote, self.role)
        self._begin_checking(now)
        return pair

    # Outputs

    def take_transmits(self) -> list[Transmit]:
        """What to send, in order; handed over."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def take_events(self) -> list[AgentEvent]:
        """What happened, in order; handed over."""
        events, self._events = self._events, []
        return events
