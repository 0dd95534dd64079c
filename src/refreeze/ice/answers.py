"""Answering checks (RFC 8445 section 7.3): errors, roles, early checks, triggered checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.events import Transmit
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, PairState
from refreeze.stun import Message, Method, encode_error, encode_success

if TYPE_CHECKING:
    from refreeze.ice.agent import Agent


@define
class AnswerCounters:
    """Requests that got no success response."""

    bad_request: int = 0
    unauthenticated: int = 0
    unknown_attribute: int = 0
    role_conflict: int = 0
    early: int = 0
    early_dropped: int = 0
    suppressed: int = 0
    """Error answers not sent: larger than the request, or over the rate."""


@define(eq=False, repr=False)
class Answers:
    """I answer the peer's checks for one agent, before and after its answer arrived."""

    agent: Agent
    counters: AnswerCounters = field(factory=AnswerCounters)
    _early: dict[tuple[Address, Address], tuple[int, bool]] = field(factory=dict)
    _errors_since: float = 0.0
    _errors: int = 0

    def request(self, message: Message, base: Address, source: Address, now: float) -> None:
        """A Binding request whose USERNAME begins with our ufrag."""
        agent = self.agent
        if message.method != Method.BINDING:
            return
        if not message.has_integrity or message.priority is None:
            self.counters.bad_request += 1
            self._refuse(message, base, source, now, 400, "Bad Request")
            return
        if not message.verify(agent.local_key):
            self.counters.unauthenticated += 1
            self._refuse(message, base, source, now, 401, "Unauthorized")
            return
        if message.unknown_required:
            self.counters.unknown_attribute += 1
            data = encode_error(
                message.transaction_id,
                420,
                "Unknown Attribute",
                key=agent.local_key,
                unknown=message.unknown_required,
            )
            agent.send(Transmit(base, source, data, None))
            return
        if not self._settle_roles(message, base, source):
            return
        data = encode_success(message.transaction_id, source, agent.local_key)
        agent.send(Transmit(base, source, data, None))
        if not agent.retired:
            self._trigger(message.priority, message.use_candidate, base, source, now)

    def _refuse(
        self, message: Message, base: Address, source: Address, now: float, code: int, why: str
    ) -> None:
        """Never larger than the request, never often: no use as an amplifier."""
        if now - self._errors_since >= 1.0:
            self._errors_since, self._errors = now, 0
        data = encode_error(message.transaction_id, code, why)
        if len(data) > len(message.raw) or self._errors >= self.agent.settings.max_error_answers:
            self.counters.suppressed += 1
            return
        self._errors += 1
        self.agent.send(Transmit(base, source, data, None))

    def _settle_roles(self, message: Message, base: Address, source: Address) -> bool:
        """RFC 8445 section 7.3.1.1; only authenticated requests get here (T28)."""
        agent = self.agent
        if agent.role is IceRole.CONTROLLING:
            theirs = message.ice_controlling
            conflict = theirs is not None
            keep = conflict and agent.tie_breaker >= (theirs or 0)
        else:
            theirs = message.ice_controlled
            conflict = theirs is not None
            keep = conflict and agent.tie_breaker < (theirs or 0)
        if not conflict:
            return True
        self.counters.role_conflict += 1
        if not keep:
            agent.set_role(agent.role.other)
            return True
        data = encode_error(message.transaction_id, 487, "Role Conflict", key=agent.local_key)
        agent.send(Transmit(base, source, data, None))
        return False

    def _trigger(
        self, priority: int, nominated: bool, base: Address, source: Address, now: float
    ) -> None:
        """RFC 8445 sections 7.3.1.3 to 7.3.1.5; before the answer it waits, bounded."""
        agent = self.agent
        if agent.remote is None:
            key = (base, source)
            if key in self._early or len(self._early) < agent.settings.max_early_checks:
                known = self._early.get(key, (priority, False))
                self._early[key] = (priority, nominated or known[1])
                self.counters.early += 1
            else:
                self.counters.early_dropped += 1
            return
        pair = agent.checklist.find(base, source)
        if pair is None:
            agent.source_moved(now)
            pair = agent.learn_remote(base, source, priority, now)
            if pair is None:
                return
        agent.request_seen(pair, now)
        if agent.selected is None and not self._known_good(pair):
            agent.checklist.trigger(pair)
        if nominated and agent.role is IceRole.CONTROLLED:
            if agent.selected is not None and not pair.valid:
                pair.state = PairState.FAILED
                agent.checklist.trigger(pair)
            agent.remote_nominated(pair, now)

    @staticmethod
    def _known_good(pair: Pair) -> bool:
        return pair.state in (PairState.SUCCEEDED, PairState.IN_PROGRESS)

    def replay_early(self, now: float) -> None:
        """The answer is here: do what the early checks asked for."""
        early, self._early = self._early, {}
        for (base, source), (priority, nominated) in early.items():
            self._trigger(priority, nominated, base, source, now)
