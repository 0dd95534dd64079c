"""One ICE generation (RFC 8445): checks, nomination, consent, and one outcome.

I manage a single generation: one ufrag and pwd per side. I know nothing of restarts; when I fail
or am superseded I am thrown away. Time is an argument of every call; after each, drain
:meth:`Agent.take_transmits` and :meth:`Agent.take_events` and read :meth:`Agent.next_deadline`.

I am the shell: what comes in, what goes out, and the state of it all (its table is
``states.TRANSITIONS``). The work is done by parts that hold one idea each: ``checklist`` (pairs
and the order of checks), ``checks`` (sending them, judging responses), ``answers`` (the peer's
checks), ``nomination``, and ``consent`` with ``liveness`` (keeping the pair that carries data).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from refreeze.basics import Address, Randomness, on_grid
from refreeze.ice.answers import Answers
from refreeze.ice.candidate import Candidate, CandidateType
from refreeze.ice.checklist import Checklist
from refreeze.ice.checks import Checks
from refreeze.ice.consent import Keeper
from refreeze.ice.credentials import Credentials, ice_string
from refreeze.ice.events import AgentEvent, RoleChanged, StateChanged, Transmit
from refreeze.ice.hostile import refusal
from refreeze.ice.liveness import NEVER
from refreeze.ice.nomination import Nomination
from refreeze.ice.pacing import CheckBucket
from refreeze.ice.pair import Pair, make_pair
from refreeze.ice.settings import AgentSettings
from refreeze.ice.states import IceRole, IceState, PairState
from refreeze.stun import IntegrityKey, Message, MessageClass, short_term_key

MAX_REMOTE_CANDIDATES: Final = 100
MAX_LOCAL_CANDIDATES: Final = 100
_ENDED: Final = frozenset({IceState.FAILED, IceState.CLOSED})
_UNDECIDED: Final = frozenset({IceState.NEW, IceState.CHECKING})


@define(eq=False, kw_only=True)
class Agent:
    """See the module. *tie_breaker* is 64 random bits (RFC 8445 section 16.1)."""

    local: Credentials
    role: IceRole
    tie_breaker: int
    settings: AgentSettings
    bucket: CheckBucket
    random: Randomness
    now: float
    """Seconds, monotonic: the time of the last call."""
    remote: Credentials | None = field(default=None, init=False)
    state: IceState = field(default=IceState.NEW, init=False)
    failed_reason: str | None = field(default=None, init=False)
    selected: Pair | None = field(default=None, init=False)
    local_candidates: list[Candidate] = field(factory=list, init=False)
    remote_candidates: list[Candidate] = field(factory=list, init=False)
    retired: bool = field(default=False, init=False)
    role_changes: int = field(default=0, init=False)
    local_key: IntegrityKey = field(init=False)
    remote_key: IntegrityKey | None = field(default=None, init=False)
    checklist: Checklist = field(init=False)
    checks: Checks = field(init=False)
    answers: Answers = field(init=False)
    nomination: Nomination = field(init=False)
    keeper: Keeper = field(init=False)
    _local_ended: bool = field(default=False, init=False)
    _remote_ended: bool = field(default=False, init=False)
    _pac_at: float | None = field(default=None, init=False)
    _planned: float = field(default=NEVER, init=False)
    _transmits: list[Transmit] = field(factory=list, init=False)
    _events: list[AgentEvent] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.local_key = short_term_key(self.local.pwd)
        self.checklist = Checklist(self.settings.max_pairs)
        self.checks = Checks(self)
        self.answers = Answers(self)
        self.nomination = Nomination(self)
        self.keeper = Keeper(self)

    # What can be seen

    @property
    def pairs(self) -> Sequence[Pair]:
        """All pairs, best first, failed ones too (T40)."""
        return self.checklist.pairs

    @property
    def data_pair(self) -> Pair | None:
        """Where data goes: the selected pair, else the best valid one; None without consent."""
        return self.keeper.pair

    @property
    def consent_expires_at(self) -> float | None:
        """When sending on :attr:`data_pair` ends unless an answer comes (RFC 7675)."""
        liveness = self.keeper.liveness
        return None if liveness is None else liveness.consent_expires_at

    @property
    def may_check(self) -> bool:
        """Whether checks may be begun."""
        return self.remote is not None and not self.retired and self.state not in _ENDED

    # Candidates and credentials

    def add_local_candidate(self, candidate: Candidate, now: float) -> None:
        """A gathered candidate. One that is known, or after the end, is ignored (rule 51)."""
        self._enter(now)
        base = candidate.base or candidate.address
        known = next(
            (
                c
                for c in self.local_candidates
                if c.address == candidate.address and (c.base or c.address) == base
            ),
            None,
        )
        if self._local_ended or len(self.local_candidates) >= MAX_LOCAL_CANDIDATES:
            return
        if known is not None:
            if known.type is CandidateType.PRFLX:
                self._replace_local(known, candidate)
            return
        self.local_candidates.append(candidate)
        if self._may_pair:
            # A learnt remote candidate is not paired with others (RFC 8445 section 7.3.1.3).
            signaled = [c for c in self.remote_candidates if c.type is not CandidateType.PRFLX]
            self.checklist.pair_local(candidate, signaled, self.role)
        if self.remote is not None:
            self.answers.replay_early(now)
        self.checks.run(now)

    def learn_local(self, candidate: Candidate) -> None:
        """A peer-reflexive one; it is not paired (RFC 8445 section 7.2.5.3.1)."""
        if len(self.local_candidates) < MAX_LOCAL_CANDIDATES:
            self.local_candidates.append(candidate)

    def _replace_local(self, learnt: Candidate, gathered: Candidate) -> None:
        self.local_candidates[self.local_candidates.index(learnt)] = gathered
        for pair in self.checklist.pairs:
            if pair.local is learnt:
                pair.local = gathered

    def has_base(self, base: Address) -> bool:
        """Whether a local candidate sends from *base*."""
        return any((c.base or c.address) == base for c in self.local_candidates)

    def end_of_local_candidates(self, now: float) -> None:
        """Gathering is over for this generation."""
        self._enter(now)
        self._local_ended = True
        self.review(now)

    def set_remote(self, remote: Credentials, now: float, *, lite: bool = False) -> None:
        """The peer's credentials: checks may begin, PAC runs (RFC 8863 section 4).

        The same ones again change nothing; ValueError for others: a generation has one peer
        (T4, T5). A full agent controls a lite one (RFC 8445 section 6.1.1).
        """
        self._enter(now)
        if self.remote is not None:
            if self.remote != remote:
                raise ValueError("the remote credentials of a generation never change")
            return
        self.remote = remote
        self.remote_key = short_term_key(remote.pwd)
        self._pac_at = on_grid(now + self.settings.pac)
        if lite and self.role is IceRole.CONTROLLED:
            self.set_role(IceRole.CONTROLLING, now, new_tie_breaker=False)
        for candidate in self.local_candidates:
            self.checklist.pair_local(candidate, self.remote_candidates, self.role)
        self.answers.replay_early(now)
        self._begin(now)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> str | None:
        """A signaled candidate; the slug of a refusal, or None (RFC 8838 sections 11 and 14).

        ``ended`` ``too-many``, and those of ``hostile.refusal``.
        """
        self._enter(now)
        reason = refusal(candidate, allow_loopback=self.settings.allow_loopback)
        if reason is None and self._remote_ended:
            reason = "ended"
        if reason is not None:
            return reason
        known = next((c for c in self.remote_candidates if c.address == candidate.address), None)
        if known is not None:
            if known.type is CandidateType.PRFLX:
                self._replace_remote(known, candidate)
            return None
        if len(self.remote_candidates) >= MAX_REMOTE_CANDIDATES:
            return "too-many"
        self.remote_candidates.append(candidate)
        if self._may_pair:
            self.checklist.pair_remote(self.local_candidates, candidate, self.role)
        self._begin(now)
        return None

    def _replace_remote(self, learnt: Candidate, signaled: Candidate) -> None:
        """The signaled candidate takes the learnt one's place; pairs keep their priority (52)."""
        self.remote_candidates[self.remote_candidates.index(learnt)] = signaled
        for pair in self.checklist.pairs:
            if pair.remote is learnt:
                pair.remote = signaled
        if self._may_pair:
            self.checklist.pair_remote(self.local_candidates, signaled, self.role)

    def learn_remote(
        self, base: Address, source: Address, priority: int, now: float
    ) -> Pair | None:
        """The pair of a check that came from an unknown address; None when there is no room."""
        local = next((c for c in self.local_candidates if (c.base or c.address) == base), None)
        if local is None:
            return None
        remote = next((c for c in self.remote_candidates if c.address == source), None)
        if remote is None:
            if len(self.remote_candidates) >= MAX_REMOTE_CANDIDATES:
                return None
            # A foundation of its own (RFC 8445 section 7.3.1.3).
            foundation = ice_string(self.random, 8)
            remote = Candidate(CandidateType.PRFLX, source, priority, foundation)
            self.remote_candidates.append(remote)
        pair = make_pair(local, remote, self.role)
        known = self.checklist.find(pair.base, pair.remote_address)
        if known is not None:
            return known
        added = self.checklist.add(pair, proven=True)
        self._begin(now)
        return pair if added else None

    def end_of_remote_candidates(self, now: float) -> None:
        """The peer has no more; what still comes is refused (rule 51)."""
        self._enter(now)
        self._remote_ended = True
        self.review(now)

    @property
    def _may_pair(self) -> bool:
        """Nothing is paired after the nomination: a restart pairs anew (rule 51)."""
        return self.may_check and self.selected is None

    def _begin(self, now: float) -> None:
        """``checking``: both credentials and a remote candidate are there (rule 59)."""
        if self.state is IceState.NEW and self.remote is not None and self.remote_candidates:
            self.become(IceState.CHECKING)
        self.checks.run(now)

    # Datagrams in

    def receive(self, message: Message, base: Address, source: Address, now: float) -> bool:
        """A STUN message: a request with our ufrag, or any response.

        False for a request that proved nothing: whoever sent it may be charged for it.
        """
        self._enter(now)
        if self.state is IceState.CLOSED:
            return True
        if message.message_class is MessageClass.REQUEST:
            if not self.answers.request(message, base, source, now):
                return False
        elif message.message_class is MessageClass.INDICATION:
            self.keeper.heard(base, source, now)
        else:
            self.checks.response(message, base, source, now)
        self.checks.run(now)
        return True

    def data_received(
        self, base: Address, source: Address, now: float, size: int = 0, count: int = 1
    ) -> bool:
        """Data on a 5-tuple; True when it is one of ours. Unknown sources are not believed."""
        self._enter(now)
        pair = self.checklist.find(base, source)
        if pair is None or self.state is IceState.CLOSED:
            return False
        counters = pair.counters
        counters.packets_in += count
        counters.bytes_in += size
        pair.last_received = now
        if not self.retired:
            self.keeper.heard(base, source, now)
            self.nomination.remote_active(pair)
        return True

    def data_sent(self, now: float, size: int = 0, count: int = 1) -> None:
        """*count* datagrams left on :attr:`data_pair`."""
        self._enter(now)
        pair, liveness = self.keeper.pair, self.keeper.liveness
        if pair is None or liveness is None:
            return
        counters = pair.counters
        counters.packets_out += count
        counters.bytes_out += size
        pair.last_sent = now
        liveness.data_sent(now)

    def send_failed(self, base: Address, remote: Address, now: float) -> None:
        """A check could not leave: counted. It goes on, and the peer's may come (T36)."""
        self._enter(now)
        pair = self.checklist.find(base, remote)
        if pair is not None:
            pair.counters.send_errors += 1

    def base_gone(self, base: Address, now: float) -> None:
        """The local address or its socket is gone: its pairs cannot live (T35)."""
        self._enter(now)
        self.local_candidates = [c for c in self.local_candidates if (c.base or c.address) != base]
        if self.state in _ENDED and self.selected is None:
            return
        gone = [pair for pair in self.checklist.pairs if pair.base == base]
        selected = self.selected if self.selected in gone else None
        if selected is not None:
            self.keeper.release()
            selected.valid, selected.state = False, PairState.FAILED
            self.checks.attempts.drop_all(selected)
            self.fail("base-gone")
        for pair in gone:
            if pair is not selected and pair.state is not PairState.FAILED:
                self.checks.fail(pair, now)
        self.review(now)

    # Time

    def next_deadline(self) -> float | None:
        """The earliest moment at which something is to be done; None: never."""
        self._planned = self._plan()
        return None if self._planned == NEVER else self._planned

    def _plan(self) -> float:
        if self.retired or self.state is IceState.CLOSED:
            return NEVER
        at = self.keeper.next_deadline(self.now)
        if self.selected is not None and not self.checks.busy:
            return NEVER if at is None else at
        if self.state is IceState.FAILED:
            return NEVER if at is None else at
        times = (
            at,
            self.checks.next_deadline(self.now),
            self.nomination.wait_until,
            self._pac_at if self.selected is None else None,
        )
        return min((each for each in times if each is not None), default=NEVER)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._enter(now)
        self._planned = NEVER
        if self.retired or self.state is IceState.CLOSED:
            return
        self.checks.retransmit(now)
        if self.nomination.wait_until is not None and now >= self.nomination.wait_until:
            self.nomination.consider(now)
        if self._pac_at is not None and now >= self._pac_at:
            self._pac_at = None
            self.review(now)
        self.keeper.run(now)
        self.checks.run(now)

    def _enter(self, now: float) -> None:
        """Every call begins here: the time moves on. A late one was held up (T37)."""
        self.now = now
        late = now - self._planned
        if late > self.settings.clock_jump:
            self._planned = NEVER
            self.checks.attempts.postpone(late)
            self.keeper.held_up(late, now)
            if self._pac_at is not None:
                self._pac_at = on_grid(self._pac_at + late)

    # What the parts ask for

    def send(self, transmit: Transmit) -> None:
        """Queue a STUN message."""
        self._transmits.append(transmit)

    def tell(self, event: AgentEvent) -> None:
        """Queue an event."""
        self._events.append(event)

    def set_role(self, role: IceRole, now: float, *, new_tie_breaker: bool) -> None:
        """Take *role*, with new pair priorities; after a 487 with a new tie-breaker (rule 43)."""
        self.role = role
        self.role_changes += 1
        if new_tie_breaker:
            self.tie_breaker = self.random.getrandbits(64)
        self.checklist.reprioritize(role)
        self.tell(RoleChanged(role))
        self.nomination.role_changed(now)

    def become(self, state: IceState) -> None:
        """Take a state that is not an end."""
        if state is not self.state:
            self.state = state
            self.tell(StateChanged(state))

    def fail(self, reason: str) -> None:
        """The end of this generation's hopes; *reason* is a slug (see ``StateChanged``)."""
        if self.state not in _ENDED:
            self.failed_reason = reason
            self.state = IceState.FAILED
            self.checklist.triggered.clear()
            self.checks.attempts.clear_checks()
            self.tell(StateChanged(IceState.FAILED, reason))

    def review(self, now: float) -> None:
        """Is there an outcome? (RFC 8445 section 6.1.4, rules 50, 59 and 60)"""
        if self.state in _ENDED or self.retired:
            return
        no_more = self._local_ended and self._remote_ended
        if self.selected is not None:
            if self.state is IceState.CHECKING or self.state is IceState.CONNECTED:
                self.become(IceState.COMPLETED if no_more else IceState.CONNECTED)
            return
        if self.keeper.pair is not None:
            if self.state in _UNDECIDED:
                self.become(IceState.CONNECTED)
            return
        self.become(IceState.CHECKING if self.state is IceState.CONNECTED else self.state)
        if no_more and self.remote is not None and self.checklist.exhausted():
            if not self.local_candidates:
                self.fail("no-candidates")
            elif self._pac_at is None:
                self.fail("no-pair")

    # The end

    def retire(self, now: float) -> None:
        """Drain: answer checks with our credentials, start nothing of our own."""
        self._enter(now)
        self.retired = True
        self._stop()

    def close(self, now: float) -> None:
        """The end; nothing is sent or told any more."""
        self.now = now
        self.retired = True
        self.state = IceState.CLOSED
        self._stop()
        self._transmits.clear()
        self._events.clear()

    def _stop(self) -> None:
        self._planned = NEVER
        self.checks.attempts.clear()
        self.checklist.triggered.clear()
        self.keeper.release()

    # Outputs

    def take_transmits(self) -> list[Transmit]:
        """What to send, in order; handed over."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def take_events(self) -> list[AgentEvent]:
        """What happened, in order; handed over."""
        events, self._events = self._events, []
        return events
