"""Generations side by side: staged, cut over, drained, abandoned (RFC 8445 sections 9, 12).

I own the succession of :class:`~refreeze.ice.agent.Agent` objects, each of which is one
generation and knows nothing of restarts. At any time there is at most one *active* generation,
whose selected pair carries the data, at most one *pending* one, which checks beside it, and a
few *draining* ones, which still answer checks and deliver what arrives late. A pending one that
checks already goes on, as the one *before*, until the peer answers to its successor (rule 25).

What a message finds, by the phase of the generation it names:

========== ======================= ========================= ==========================
message    staged or pending       active                    draining
========== ======================= ========================= ==========================
request    answered (too early     answered                  answered, never nominates
           without the answer)                               (too late, T21, T24)
response   advances its checks     consent, liveness         ignored (too late, T26)
data       delivered (too early:   delivered, liveness       delivered, never reselects
           see ``is_early``)
candidate  held until the answer,  added until the end of    ignored (stale, T1)
           then added (T2)         candidates (rule 51)
========== ======================= ========================= ==========================

A message that names a generation which is gone never gets here: the mux drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from attrs import define, field

from refreeze.basics import Address, Randomness, on_grid
from refreeze.ice.agent import Agent
from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials
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
from refreeze.ice.generation import (
    CutOver,
    Ending,
    Generation,
    GenerationEnded,
    GenerationFailed,
    GenerationStaged,
    OutwardState,
    PairChanged,
    Phase,
    TransportEvent,
)
from refreeze.ice.outward import outward_state
from refreeze.ice.pacing import CheckBucket
from refreeze.ice.pair import Pair
from refreeze.ice.settings import AgentSettings
from refreeze.ice.states import IceRole, IceState
from refreeze.stun import Message, MessageClass

DRAIN_SECONDS: Final = 3.0
"""How long an old generation is served after the cut-over (RFC 8445 section 8.3.1)."""

DRAIN_LIMIT_SECONDS: Final = 30.0
"""How long a controlled side waits for a sign of the other on the new pair before it drains."""

MAX_DRAINING: Final = 2
MAX_HELD_UFRAGS: Final = 4
MAX_HELD_CANDIDATES: Final = 100


@define(eq=False, repr=False)
class Transport:
    """One kept ICE transport. Sans-IO: feed me, then drain transmits and events."""

    settings: AgentSettings
    bucket: CheckBucket
    random: Randomness
    role: IceRole | None = None
    active: Generation | None = None
    pending: Generation | None = None
    before: Generation | None = None
    draining: list[Generation] = field(factory=list)
    state: IceState = IceState.NEW
    _count: int = 0
    _begun: bool = False
    _closed: bool = False
    _route: Pair | None = None
    _held: dict[str, list[Candidate | None]] = field(factory=dict)
    _transmits: list[Transmit] = field(factory=list)
    _events: list[TransportEvent] = field(factory=list)

    # The succession

    def stage(self, local: Credentials, now: float, *, role: IceRole) -> Generation:
        """A new pending generation under *local*; touches nothing of the active one (rule 7).

        *role* counts only until roles are known: they survive restarts (rule 42). An unfinished
        round is superseded: at once, or when the new one starts if the peer agreed to it (T12).
        """
        if self.pending is not None and self.pending.phase is Phase.PENDING:
            self.before = self.pending
        elif self.pending is not None:
            self._end(self.pending, Ending.SUPERSEDED, now)
        self._count += 1
        agent = Agent(
            local=local,
            role=self.role or role,
            tie_breaker=self.random.getrandbits(64),
            settings=self.settings,
            bucket=self.bucket,
            random=self.random,
            now=now,
        )
        self.pending = Generation(self._count, agent)
        self._events.append(GenerationStaged(self.pending))
        self._settle(now)
        return self.pending

    def start(
        self,
        local_ufrag: str,
        remote: Credentials,
        now: float,
        *,
        lite: bool = False,
    ) -> bool:
        """Both sides of the pending generation are known: check. False for a stale ufrag (T12).

        A second call is a no-op: credentials never overwrite a running round (T4, T5).
        """
        generation = self.pending
        if generation is None or generation.ufrag != local_ufrag:
            return False
        if generation.phase is not Phase.STAGED:
            return False
        if self.before is not None:
            self._end(self.before, Ending.SUPERSEDED, now)
        generation.phase = Phase.PENDING
        self._begun = True
        generation.agent.set_remote(remote, now, lite=lite)
        self.role = generation.agent.role
        for held in self._held.pop(remote.ufrag, ()):
            self._give(generation, held, now)
        self._settle(now)
        return True

    def rollback(self, local_ufrag: str, now: float) -> bool:
        """The offer that staged this generation was rolled back: the old one goes on (26)."""
        return self._drop_pending(local_ufrag, Ending.ROLLED_BACK, now)

    def abandon(self, local_ufrag: str, now: float) -> bool:
        """Give the pending round up; harmless for the active generation (T18)."""
        return self._drop_pending(local_ufrag, Ending.ABANDONED, now)

    def _drop_pending(self, local_ufrag: str, ending: Ending, now: float) -> bool:
        if self.pending is None or self.pending.ufrag != local_ufrag:
            return False
        self._end(self.pending, ending, now)
        self.pending, self.before = self.before, None
        self._settle(now)
        return True

    def close(self, now: float) -> None:
        """End every generation; no event of state follows (rule 65)."""
        self._closed = True
        for generation in list(self.generations()):
            self._end(generation, Ending.CLOSED, now)
        self._held.clear()
        self._route = None
        self.state = IceState.CLOSED

    def generations(self) -> Iterator[Generation]:
        """Pending first: it is what messages of an overlap are most likely about."""
        for generation in (self.pending, self.before, self.active, *self.draining):
            if generation is not None:
                yield generation

    def find(self, local_ufrag: str) -> Generation | None:
        """The living generation under that local ufrag."""
        return next((g for g in self.generations() if g.ufrag == local_ufrag), None)

    # Candidates

    def add_local_candidate(self, local_ufrag: str, candidate: Candidate, now: float) -> None:
        """A gathered candidate of that generation; ignored when the generation is gone."""
        generation = self.find(local_ufrag)
        if generation is not None:
            generation.agent.add_local_candidate(candidate, now)
            self._settle(now)

    def end_of_local_candidates(self, local_ufrag: str, now: float) -> None:
        """Gathering for that generation is over (T13: for that one only)."""
        generation = self.find(local_ufrag)
        if generation is not None:
            generation.agent.end_of_local_candidates(now)
            self._settle(now)

    def add_remote_candidate(self, remote_ufrag: str, candidate: Candidate, now: float) -> None:
        """A signaled candidate; held (bounded) while its generation has not started (T2)."""
        self._offer_candidate(remote_ufrag, candidate, now)

    def end_of_remote_candidates(self, remote_ufrag: str, now: float) -> None:
        """The peer signals no further candidate for that generation."""
        self._offer_candidate(remote_ufrag, None, now)

    def forget_remote(self, remote_ufrag: str) -> None:
        """A remote offer was rolled back: what was held for it goes."""
        self._held.pop(remote_ufrag, None)

    def _offer_candidate(self, remote_ufrag: str, item: Candidate | None, now: float) -> None:
        for generation in self.generations():
            remote = generation.agent.remote
            if remote is not None and remote.ufrag == remote_ufrag:
                if generation.phase is not Phase.DRAINING:
                    self._give(generation, item, now)
                    self._settle(now)
                return
        held = self._held.get(remote_ufrag)
        if held is None:
            while len(self._held) >= MAX_HELD_UFRAGS:
                del self._held[next(iter(self._held))]
            held = self._held[remote_ufrag] = []
        if len(held) < MAX_HELD_CANDIDATES:
            held.append(item)

    @staticmethod
    def _give(generation: Generation, item: Candidate | None, now: float) -> None:
        if item is None:
            generation.agent.end_of_remote_candidates(now)
        else:
            generation.agent.add_remote_candidate(item, now)

    # Datagrams

    def receive(self, message: Message, base: Address, source: Address, now: float) -> bool:
        """A STUN message that the mux routed here: by ufrag, or by transaction.

        False for a request that proved nothing: nothing came of it, and the mux may charge it.
        """
        if message.message_class is MessageClass.REQUEST:
            username = message.username or ""
            generation = self.find(username.partition(":")[0])
            if generation is not None and not generation.agent.receive(message, base, source, now):
                return False
        else:
            for generation in self.generations():
                generation.agent.receive(message, base, source, now)
        self._settle(now)
        return True

    def data_received(
        self, base: Address, source: Address, now: float, size: int, count: int
    ) -> bool:
        """Liveness of every generation with that 5-tuple; False when none knows it."""
        known = False
        for generation in self.generations():
            if generation.agent.data_received(base, source, now, size, count):
                known = True
        self._settle(now)
        return known

    def is_early(self, base: Address, source: Address) -> bool:
        """Whether the peer may send there although we do not know its answer yet."""
        pending = self.pending
        return pending is not None and pending.agent.answers.is_early(base, source)

    def data_sent(self, now: float, size: int, count: int) -> None:
        """*count* datagrams left on :attr:`route`."""
        generation = self._route_generation()
        if generation is not None:
            generation.agent.data_sent(now, size, count)
            self._settle(now)

    def send_failed(self, base: Address, remote: Address, now: float) -> None:
        """A check could not be handed to the network."""
        for generation in self.generations():
            generation.agent.send_failed(base, remote, now)
        self._settle(now)

    def base_gone(self, base: Address, now: float) -> None:
        """A local address or socket went away."""
        for generation in self.generations():
            generation.agent.base_gone(base, now)
        self._settle(now)

    @property
    def route(self) -> Pair | None:
        """The pair for outgoing data: the active generation's while it may send.

        A pending generation's valid pair serves while there is no active pair, or when the
        active generation has failed: data may flow before the nomination (RFC 8445 12.1).
        """
        return self._route

    def _route_generation(self) -> Generation | None:
        active, checking = self.active, (self.pending, self.before)
        beside = next((g for g in checking if g is not None and g.agent.data_pair), None)
        if active is None or active.agent.data_pair is None:
            return beside
        if active.agent.state is IceState.FAILED and beside is not None:
            return beside
        return active

    def tuples(self) -> set[tuple[Address, Address]]:
        """The 5-tuples (base, remote) that some living generation uses."""
        return {
            (pair.base, pair.remote_address)
            for generation in self.generations()
            for pair in generation.agent.pairs
        }

    # Time and outputs

    def next_deadline(self) -> float | None:
        """The earliest moment at which :meth:`handle_timeout` has something to do."""
        if self._closed:
            return None
        deadlines = [g.agent.next_deadline() for g in self.generations()]
        deadlines += [g.drain_at for g in self.draining]
        return min((at for at in deadlines if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for generation in list(self.generations()):
            generation.agent.handle_timeout(now)
            if generation.drain_at is not None and generation.drain_at <= now:
                self._end(generation, Ending.DRAINED, now)
        self._settle(now)

    def take_transmits(self) -> list[Transmit]:
        """Everything to send, oldest first; the list is handed over."""
        transmits, self._transmits = self._transmits, []
        return transmits

    def take_events(self) -> list[TransportEvent]:
        """Everything that happened, oldest first; the list is handed over."""
        events, self._events = self._events, []
        return events

    # Inside

    def _settle(self, now: float) -> None:
        """Collect the agents' outputs until they are quiet, then derive route and state."""
        if self._closed:
            return
        busy = True
        while busy:
            busy = False
            for generation in list(self.generations()):
                if transmits := generation.agent.take_transmits():
                    self._transmits += transmits
                for event in generation.agent.take_events():
                    busy = True
                    self._agent_event(generation, event, now)
        self._derive()

    def _agent_event(self, generation: Generation, event: AgentEvent, now: float) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, generation, event, now)

    def _on_selected(self, generation: Generation, event: PairSelected, now: float) -> None:
        if generation is self.active:
            return
        if generation is self.pending:
            self.pending = None
        elif generation is self.before:
            self.before = None
        else:
            return  # a draining generation never comes back (T24)
        previous, self.active = self.active, generation
        generation.phase = Phase.ACTIVE
        if previous is not None:
            self._drain(previous, now)
        self._events.append(CutOver(generation, previous, event.pair))
        if generation.remote_active or generation.agent.role is IceRole.CONTROLLING:
            self._start_draining(now)

    def _on_remote_active(self, generation: Generation, _: RemoteActive, now: float) -> None:
        generation.remote_active = True
        if generation is self.active:
            self._start_draining(now)

    def _on_state(self, generation: Generation, event: StateChanged, _now: float) -> None:
        if generation is self.pending and event.state is IceState.FAILED:
            self._events.append(GenerationFailed(generation, event.reason))

    def _on_role(self, generation: Generation, event: RoleChanged, _now: float) -> None:
        if generation.phase is not Phase.DRAINING:
            self.role = event.role
            self._events.append(event)

    def _forward(self, generation: Generation, event: AgentEvent, _now: float) -> None:
        if generation is self.active and isinstance(event, Rebound | ConsentLost | Recovered):
            self._events.append(event)

    def _drain(self, generation: Generation, now: float) -> None:
        """Serve *generation* until the other side was seen on the new pair, plus 3 s."""
        generation.phase = Phase.DRAINING
        generation.drain_at = on_grid(now + DRAIN_LIMIT_SECONDS)
        generation.agent.retire(now)
        self.draining.append(generation)
        while len(self.draining) > MAX_DRAINING:
            self._end(self.draining[0], Ending.DRAINED, now)

    def _start_draining(self, now: float) -> None:
        end = on_grid(now + DRAIN_SECONDS)
        for generation in self.draining:
            if generation.drain_at is None or generation.drain_at > end:
                generation.drain_at = end

    def _end(self, generation: Generation, ending: Ending, now: float) -> None:
        if generation is self.pending:
            self.pending = None
        elif generation is self.before:
            self.before = None
        elif generation is self.active:
            self.active = None
        else:
            self.draining.remove(generation)
        generation.phase = Phase.ENDED
        generation.agent.close(now)
        self._transmits += generation.agent.take_transmits()
        self._events.append(GenerationEnded(generation, ending))

    def _derive(self) -> None:
        source = self._route_generation()
        route = source.agent.data_pair if source is not None else None
        if route is not self._route:
            self._route = route
            self._events.append(PairChanged(route))
        active = self.active.agent.state if self.active is not None else None
        pending = None
        checking = self.pending if self.before is None else self.before
        if checking is not None and checking.phase is Phase.PENDING:
            pending = checking.agent.state
        elif self.pending is not None and self.active is None and not self._begun:
            pending = IceState.NEW
        state = outward_state(active, pending, begun=self._begun)
        if state is not self.state:
            self.state = state
            self._events.append(OutwardState(state, self._reason()))

    def _reason(self) -> str:
        for generation in (self.active, self.before, self.pending):
            if generation is not None and generation.agent.failed_reason is not None:
                return generation.agent.failed_reason
        return ""


_Handler: TypeAlias = Callable[[Transport, Generation, AgentEvent, float], None]


def _handlers() -> dict[type, _Handler]:
    table: dict[type, object] = {
        PairSelected: Transport._on_selected,
        RemoteActive: Transport._on_remote_active,
        StateChanged: Transport._on_state,
        RoleChanged: Transport._on_role,
        PairValid: Transport._forward,
        Rebound: Transport._forward,
        ConsentLost: Transport._forward,
        Recovered: Transport._forward,
    }
    return table  # type: ignore[return-value]  # each handler takes the event of its own key


_HANDLERS: Final = _handlers()
