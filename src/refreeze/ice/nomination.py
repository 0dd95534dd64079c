"""Which pair is selected: regular nomination by the controlling side (RFC 8445 section 8).

Controlling: a direct pair is nominated as soon as it is valid; a relayed one only when every pair
of higher priority failed, or it has been valid for max(1 s, 3 RTT, RTO + 2 RTT) (DESIGN, Pacing
and nomination): the first check through a NAT that filters is often lost, and opens the way for the
second. Controlled: USE-CANDIDATE on a valid pair selects it; on another one it is remembered
until our own check succeeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from refreeze.ice.attempts import Attempt
from refreeze.ice.events import PairSelected, RemoteActive
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, IceState, PairState

if TYPE_CHECKING:
    from refreeze.ice.agent import Agent


@define(eq=False)
class Nomination:
    """I choose for one agent, or accept the other side's choice."""

    agent: Agent
    selected_at: float = 0.0
    wait_until: float | None = None
    """When a valid relayed pair is nominated although something better may still come."""
    _current: Pair | None = None
    """The pair whose nominating check is out."""
    _remote_seen: bool = False

    # Controlling

    def consider(self, now: float) -> None:
        """Nominate, if there is something to nominate by now."""
        agent = self.agent
        if agent.role is not IceRole.CONTROLLING or agent.selected is not None:
            return
        if self._current is not None and self._current.nominating:
            return
        best = next(agent.checklist.valid(), None)
        if best is None or not agent.may_check:
            self.wait_until = None
            return
        if best.relayed and now < self._relay_time(best):
            self.wait_until = self._relay_time(best)
            return
        self.wait_until = None
        self._current = best
        agent.checks.nominate(best, now)

    def _relay_time(self, pair: Pair) -> float:
        better = (p for p in self.agent.checklist.pairs if p.priority > pair.priority)
        if all(p.state is PairState.FAILED for p in better):
            return pair.valid_since
        rtt = pair.rtt or 0.0
        again = self.agent.checks.rto + 2 * rtt
        return pair.valid_since + max(self.agent.settings.relay_wait, 3 * rtt, again)

    # Both

    def succeeded(self, attempt: Attempt, now: float) -> None:
        """Our check on a pair succeeded."""
        agent, pair = self.agent, attempt.pair
        named = attempt.use_candidate and attempt.role is IceRole.CONTROLLING
        if named:
            pair.nominating = False
        if agent.role is IceRole.CONTROLLED:
            if pair.nominate_on_success:
                self._select(pair, now)
                self.remote_active(pair)
        elif named:
            self._select(pair, now)
        else:
            self.consider(now)

    def role_changed(self, now: float) -> None:
        """What the old role began is void."""
        self.wait_until = None
        self._current = None
        for pair in self.agent.checklist.pairs:
            pair.nominating = pair.nominate_on_success = False
        self.consider(now)

    def _select(self, pair: Pair, now: float) -> None:
        agent, current = self.agent, self.agent.selected
        if current is pair or agent.retired:
            return
        if current is not None:
            if agent.keeper.healthy and pair.priority < current.priority:
                return  # an aggressive nominator: the best of its nominations stands
            current.nominated = False
        pair.nominated = True
        agent.selected, self.selected_at = pair, now
        agent.checks.stop(pair)
        agent.keeper.watch(pair, now)
        agent.tell(PairSelected(pair))
        if agent.state is IceState.DISCONNECTED:
            agent.become(IceState.CONNECTED)
        agent.review(now)

    # Controlled

    def remote_nominated(self, pair: Pair, now: float) -> None:
        """A check of the controlling side came with USE-CANDIDATE (RFC 8445 7.3.1.5)."""
        agent = self.agent
        pair.nominate_on_success = True
        if pair.valid:
            self._select(pair, now)
        elif agent.selected is not None:
            agent.checks.peer_checked(pair, now)  # the peer moves: it deserves our check
        if pair is agent.selected:
            self.remote_active(pair)

    def remote_active(self, pair: Pair) -> None:
        """The controlling side uses the selected pair; told once."""
        agent = self.agent
        if not self._remote_seen and pair is agent.selected and agent.role is IceRole.CONTROLLED:
            self._remote_seen = True
            agent.tell(RemoteActive(pair))
