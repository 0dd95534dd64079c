"""Answering checks (RFC 8445 section 7.3): errors, roles, early checks, triggered checks.

What a request finds, by the state of the agent:

==================== ========================================================================
agent                what becomes of an authenticated request
==================== ========================================================================
no answer yet        answered with our credentials; its triggered check waits, bounded
base of no candidate kept for when there is one, bounded; not answered: whoever finds us where
                     we do not want to be found hears nothing (rule 16)
checking             answered; triggered check at once; an unknown source is a prflx candidate
selected             answered; liveness; an unknown source may be a rebinding
failed               answered; may be a sign of life of the selected pair
retired (draining)   answered, and that is all (T21, T24)
any, after the       not answered when its USERNAME names another ufrag of the peer's than that
answer               of this generation
closed               silence
==================== ========================================================================

Whoever cannot sign is told so only in an answer no larger than the question, and not often;
nothing that is not authenticated changes any state (T28).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from attrs import define, field

from refreeze.basics import Address, format_address
from refreeze.ice.events import Rebound, Transmit
from refreeze.ice.hostile import refused_address
from refreeze.ice.pacing import CheckBucket
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, IceState
from refreeze.stun import IntegrityKey, Message, Method, encode_error, encode_success

if TYPE_CHECKING:
    from refreeze.ice.agent import Agent


@define
class AnswerCounters:
    """Requests that got no success response, or did not do what they asked for."""

    bad_request: int = 0
    unauthenticated: int = 0
    unknown_attribute: int = 0
    role_conflict: int = 0
    early: int = 0
    early_dropped: int = 0
    foreign: int = 0
    """Signed with our pwd, but from another ufrag than the one we talk to."""
    refused_source: int = 0
    suppressed: int = 0
    """Error answers not sent: larger than the request, or over the rate."""


class _Early(NamedTuple):
    priority: int
    nominated: bool
    remote_ufrag: str


def _remote_ufrag(message: Message) -> str:
    return (message.username or "").partition(":")[2]


def _early(message: Message, priority: int) -> _Early:
    return _Early(priority, message.use_candidate, _remote_ufrag(message))


@define(eq=False)
class Answers:
    """I answer the peer's checks for one agent, before and after its answer arrived."""

    agent: Agent
    counters: AnswerCounters = field(factory=AnswerCounters)
    _early: dict[tuple[Address, Address], _Early] = field(factory=dict)
    _errors: CheckBucket | None = None
    _rebound: tuple[Address, Address] | None = None

    def request(self, message: Message, base: Address, source: Address, now: float) -> bool:
        """A request whose USERNAME begins with our ufrag; False when it is not the peer's."""
        agent = self.agent
        key = agent.local_key
        if message.method != Method.BINDING:
            return False
        if not (message.has_integrity or message.has_integrity_sha256):
            self.counters.bad_request += 1
            self._refuse(message, base, source, now, 400)
            return False
        if not message.verify(key):
            self.counters.unauthenticated += 1
            self._refuse(message, base, source, now, 401)
            return False
        if self._is_foreign(_remote_ufrag(message)):
            return True
        if message.unknown_required:
            self.counters.unknown_attribute += 1
            self._refuse(message, base, source, now, 420, key)
        elif message.priority is None:
            self.counters.bad_request += 1
            self._refuse(message, base, source, now, 400, key)
        elif not agent.retired and not agent.has_base(base):
            self._keep_early(_early(message, message.priority), base, source)
        elif agent.retired or self._roles_agree(message, base, source, now):
            data = encode_success(message.transaction_id, source, key)
            agent.send(Transmit(base, source, data, None))
            self._accepted(message, message.priority, base, source, now)
        return True

    def _is_foreign(self, remote_ufrag: str) -> bool:
        """Whether it comes of another ufrag than our peer's: then nobody answers, and it counts.

        A peer that restarts may check from its new sockets with our old credentials until it has
        our answer. Answered, that would be a pair for the peer and none for us. Browsers select
        it, and leave it for no candidate with the same address, which ours of a restart are.
        """
        remote = self.agent.remote
        if remote is None or remote.ufrag == remote_ufrag:
            return False
        self.counters.foreign += 1
        return True

    def _refuse(
        self,
        message: Message,
        base: Address,
        source: Address,
        now: float,
        code: int,
        key: IntegrityKey | None = None,
    ) -> None:
        """Without a key: never larger than the request, so of no use as an amplifier."""
        rate = self.agent.settings.max_error_answers
        if self._errors is None and rate:
            self._errors = CheckBucket(rate=rate, burst=rate)
        unknown = message.unknown_required if code == 420 else ()
        data = encode_error(message.transaction_id, code, "", key=key, unknown=unknown)
        too_large = key is None and len(data) > len(message.raw)
        if too_large or self._errors is None or not self._errors.take(now):
            self.counters.suppressed += 1
        else:
            self.agent.send(Transmit(base, source, data, None))

    def _roles_agree(self, message: Message, base: Address, source: Address, now: float) -> bool:
        """RFC 8445 section 7.3.1.1; False: answered with 487."""
        agent = self.agent
        if agent.role is IceRole.CONTROLLING:
            theirs = message.ice_controlling
            if theirs is None:
                return True
            keep = agent.tie_breaker >= theirs
        else:
            theirs = message.ice_controlled
            if theirs is None:
                return True
            keep = agent.tie_breaker < theirs
        self.counters.role_conflict += 1
        if not keep:
            agent.set_role(agent.role.other, now, new_tie_breaker=False)
            return True
        data = encode_error(message.transaction_id, 487, "Role Conflict", key=agent.local_key)
        agent.send(Transmit(base, source, data, None))
        return False

    def _accepted(
        self, message: Message, priority: int, base: Address, source: Address, now: float
    ) -> None:
        """What an answered request is good for."""
        agent = self.agent
        pair = agent.checklist.find(base, source)
        if pair is not None:
            pair.counters.requests_received += 1
            pair.counters.responses_sent += 1
            pair.last_received = now
            pair.peer_priority = priority
            agent.keeper.heard(base, source, now)
            self._act(pair, message.use_candidate, now)
        elif not agent.retired:
            self._unknown_source(_early(message, priority), base, source, now)

    def _act(self, pair: Pair, nominated: bool, now: float) -> None:
        """RFC 8445 sections 7.3.1.4 and 7.3.1.5."""
        agent = self.agent
        if agent.retired:
            return
        if agent.selected is None and agent.may_check:
            agent.checks.peer_checked(pair, now)
        if agent.role is IceRole.CONTROLLED and agent.state is not IceState.FAILED:
            if nominated:
                agent.nomination.remote_nominated(pair, now)
            else:
                agent.nomination.remote_active(pair)

    def _unknown_source(self, check: _Early, base: Address, source: Address, now: float) -> None:
        """Too early, or from an address that nobody signaled (RFC 8445 section 7.3.1.3)."""
        agent = self.agent
        if agent.remote is None or not agent.has_base(base):
            self._keep_early(check, base, source)
            return
        if refused_address(source, agent.settings.allow_loopback) is not None:
            self.counters.refused_source += 1
            return
        self._source_moved(check.priority, base, source, now)
        pair = agent.learn_remote(base, source, check.priority, now)
        if pair is not None:
            pair.counters.requests_received += 1
            pair.counters.responses_sent += 1
            pair.last_received = now
            pair.peer_priority = check.priority
            self._act(pair, check.nominated, now)

    def _keep_early(self, check: _Early, base: Address, source: Address) -> None:
        key = (base, source)
        known = self._early.get(key)
        if known is None and len(self._early) >= self.agent.settings.max_early_checks:
            self.counters.early_dropped += 1
            return
        if known is not None and known.nominated and known.remote_ufrag == check.remote_ufrag:
            check = check._replace(nominated=True)
        self._early[key] = check
        self.counters.early += 1

    def is_early(self, base: Address, source: Address) -> bool:
        """Whether a check from there was answered before the peer's own answer is here."""
        return self.agent.remote is None and (base, source) in self._early

    def replay_early(self, now: float) -> None:
        """The answer is here, or a base is: do what the early checks asked for."""
        early, self._early = self._early, {}
        for (base, source), check in early.items():
            if self._is_foreign(check.remote_ufrag):
                continue
            pair = self.agent.checklist.find(base, source)
            if pair is None:
                self._unknown_source(check, base, source, now)
            else:
                pair.peer_priority = check.priority
                self._act(pair, check.nominated, now)

    def _source_moved(self, priority: int, base: Address, source: Address, now: float) -> None:
        """A NAT rebinding, if it is the peer's end of the selected pair that moved.

        A peer that goes on checking from another socket is none: its PRIORITY differs. Soon after
        the nomination the last ordinary checks may come in from anywhere. Told once per address.
        """
        agent = self.agent
        pair = agent.selected
        if pair is None or pair.base != base or self._rebound == (base, source):
            return
        if now - agent.nomination.selected_at < agent.settings.rebind_settle:
            return
        if pair.peer_priority is None or pair.peer_priority == priority:
            self._rebound = (base, source)
            agent.tell(Rebound(pair, "source", format_address(source)))
