"""RTCIceTransport: the one object that lives through all generations of a session's ICE.

It ties the sans-IO :class:`~refreeze.ice.transport.Transport` to the mux, which carries its
datagrams, and to the scheduler, which wakes it. What a script can see changes only in a queued
task (webrtc-pc, RTCIceTransport Interface).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from attrs import define, field, frozen

from refreeze.basics import Address, Randomness
from refreeze.ice import (
    Agent,
    AgentSettings,
    Candidate,
    CandidateType,
    CheckBucket,
    Credentials,
    IceRole,
    IceState,
)
from refreeze.ice.generation import (
    CutOver,
    GenerationEnded,
    GenerationStaged,
    OutwardState,
    PairChanged,
    TransportEvent,
)
from refreeze.ice.pair import Pair
from refreeze.ice.transport import Transport
from refreeze.net.mux import Mux
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.peer.candidate import RTCIceCandidate, RTCIceCandidatePair
from refreeze.peer.door import (
    DatagramDoor,
    DoorCounters,
    PayloadReceiver,
    Payloads,
)
from refreeze.peer.early import EarlyDatagrams
from refreeze.peer.events import EventHandler, EventTarget
from refreeze.stun import Message

QueueTask: TypeAlias = Callable[[Callable[[], None]], None]
Watcher: TypeAlias = Callable[[TransportEvent], None]
_Gathered: TypeAlias = tuple[Candidate, Candidate]
"""As it is, and as it is signaled."""


@frozen
class RTCIceParameters:
    """W3C's dictionary; the password is not shown by accident."""

    usernameFragment: str
    password: str = field(repr=False)


@define
class Traffic:
    """Payload of all generations together."""

    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0


@define(eq=False, repr=False)
class RTCIceTransport(EventTarget):
    """W3C's RTCIceTransport over one :class:`Transport`, and the door for its data."""

    mux: Mux
    scheduler: Scheduler
    random: Randomness
    settings: AgentSettings
    bucket: CheckBucket
    queue_task: QueueTask
    watcher: Watcher
    """Told of every transport event at once, before any task: what the session acts on."""

    component: str = field(default="rtp", init=False)
    state: str = field(default="new", init=False)
    gatheringState: str = field(default="new", init=False)
    transport: Transport = field(init=False)
    datagrams: DatagramDoor = field(init=False)
    traffic: Traffic = field(factory=Traffic, init=False)
    pair_changes: int = field(default=0, init=False)
    """How often the selected pair became another, or none."""
    derive: Callable[[], Callable[[], None]] = field(default=lambda: _nothing, init=False)
    """What depends on our state changes with it, before any event; what it returns fires its own
    events, after ours (rule 64)."""
    place_of: Callable[[str], tuple[str | None, int]] = field(
        default=lambda ufrag: (None, 0), init=False
    )
    """mid and index of the section that has the ICE lines of that generation."""
    route_watcher: Callable[[], None] = field(default=lambda: None, init=False)
    """Told when data takes another pair, and when a pair was nominated."""
    _early: EarlyDatagrams = field(factory=EarlyDatagrams, init=False)
    _early_due: bool = field(default=False, init=False)
    """A generation has its answer, or is gone: what came early is somebody's now, or nobody's."""
    _handle: Handle = field(init=False)
    _closed: bool = field(default=False, init=False)
    _together: int = field(default=0, init=False)
    _shown_pair: Pair | None = field(default=None, init=False)
    _selected: RTCIceCandidatePair | None = field(default=None, init=False)
    """As it was last asked for."""
    _signaled: dict[str, list[_Gathered]] = field(factory=dict, init=False)
    """By local ufrag, in the order of the events that told of them."""

    onstatechange = EventHandler("statechange")
    ongatheringstatechange = EventHandler("gatheringstatechange")
    onselectedcandidatepairchange = EventHandler("selectedcandidatepairchange")

    def __attrs_post_init__(self) -> None:
        self.transport = Transport(self.settings, self.bucket, self.random)
        self.datagrams = _SelectedPairDoor(self)
        self._handle = self.scheduler.add(self.transport_timer())

    def transport_timer(self) -> _TransportTimer:
        """What the scheduler wakes."""
        return _TransportTimer(self)

    # W3C

    @property
    def role(self) -> str:
        """``controlling``, ``controlled`` or ``unknown`` before the first exchange."""
        return self.transport.role.value if self.transport.role is not None else "unknown"

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """Those of the latest gathering that ``icecandidate`` has told of."""
        return [
            self.local_shown(agent, candidate)
            for agent in self._agents()[:1]
            for candidate in self.told_candidates(agent)
        ]

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """Those signaled for the latest generation; peer-reflexive ones are not shown."""
        return [
            self.remote_shown(agent, candidate)
            for agent in self._agents()[:1]
            for candidate in agent.remote_candidates
            if candidate.type is not CandidateType.PRFLX
        ]

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The one that carries data, as of the last event: during a restart the old one (44).

        It is the same object while it is the same; a learnt end becomes the signaled one that
        turns out to be it.
        """
        route = self.shown_route
        if self._shown_pair is None:
            self._selected = None
        elif route is not None:
            agent, pair = route
            local = self.local_shown(agent, pair.local)
            shown = RTCIceCandidatePair(local, self.remote_shown(agent, pair.remote))
            self._selected = self._selected if self._selected == shown else shown
        return self._selected

    @property
    def shown_route(self) -> tuple[Agent, Pair] | None:
        """The pair that scripts know as the selected one, and whose it is."""
        pair = self._shown_pair
        if pair is not None:
            for generation in self.transport.generations():
                if pair in generation.agent.pairs:
                    return generation.agent, pair
        return None

    def told_candidates(self, agent: Agent) -> list[Candidate]:
        """Those of that generation of which ``icecandidate`` has told."""
        return [candidate for candidate, _ in self._signaled.get(agent.local.ufrag, ())]

    def local_shown(self, agent: Agent, candidate: Candidate) -> RTCIceCandidate:
        """*candidate* of that generation as the peer knows it."""
        ufrag = agent.local.ufrag
        known = self._signaled.get(ufrag, ())
        signaled = next((found for each, found in known if each is candidate), candidate)
        return RTCIceCandidate.of(signaled, ufrag, self.place_of(ufrag))

    def remote_shown(self, agent: Agent, candidate: Candidate) -> RTCIceCandidate:
        """*candidate* of the peer's as scripts may see it."""
        ufrag = "" if agent.remote is None else agent.remote.ufrag
        return RTCIceCandidate.of(candidate, ufrag, self.place_of(agent.local.ufrag))

    def getLocalParameters(self) -> RTCIceParameters | None:
        """Those of the latest local description that was applied."""
        return _parameters(agent.local for agent in self._agents())

    def getRemoteParameters(self) -> RTCIceParameters | None:
        """Those of the latest remote description that an answer settled."""
        return _parameters(agent.remote for agent in self._agents())

    def _agents(self) -> list[Agent]:
        """The pending generations' before the active one's."""
        transport = self.transport
        latest = (transport.pending, transport.before, transport.active)
        return [generation.agent for generation in latest if generation is not None]

    # What the connection asks for

    def stage(self, local: Credentials, role: IceRole) -> None:
        """A new generation, pending."""
        self.transport.stage(local, self.scheduler.now(), role=role)
        self.flush()

    def start(self, local_ufrag: str, remote: Credentials, *, lite: bool) -> None:
        """Begin the checks of the pending generation."""
        self.transport.start(local_ufrag, remote, self.scheduler.now(), lite=lite)
        self._early_due = True
        self.flush()

    def rollback(self, local_ufrag: str) -> None:
        """Drop the pending generation that was never answered."""
        self.transport.rollback(local_ufrag, self.scheduler.now())
        self.flush()

    def abandon(self, local_ufrag: str) -> bool:
        """Drop the pending generation although it was answered; the old one goes on."""
        dropped = self.transport.abandon(local_ufrag, self.scheduler.now())
        self.flush()
        return dropped

    def add_local_candidate(self, local_ufrag: str, candidate: Candidate) -> None:
        """A gathered candidate of one generation."""
        self.transport.add_local_candidate(local_ufrag, candidate, self.scheduler.now())
        self.flush()

    def show_local_candidate(
        self, local_ufrag: str, candidate: Candidate, signaled: Candidate
    ) -> None:
        """From now on scripts may see it, as *signaled*."""
        if self.transport.find(local_ufrag) is not None:
            self._signaled.setdefault(local_ufrag, []).append((candidate, signaled))

    def end_of_local_candidates(self, local_ufrag: str) -> None:
        """That generation's gathering is over."""
        self.transport.end_of_local_candidates(local_ufrag, self.scheduler.now())
        self.flush()

    def add_remote_candidate(self, remote_ufrag: str, candidate: Candidate | None) -> None:
        """A signaled candidate, or None for the end of them."""
        now = self.scheduler.now()
        if candidate is None:
            self.transport.end_of_remote_candidates(remote_ufrag, now)
        else:
            self.transport.add_remote_candidate(remote_ufrag, candidate, now)
        self.flush()

    def has_remote(self, remote_ufrag: str) -> bool:
        """Whether a generation with that ufrag of the peer's is there."""
        remotes = [each.agent.remote for each in self.transport.generations()]
        return any(each is not None and each.ufrag == remote_ufrag for each in remotes)

    def forget_remote(self, remote_ufrag: str) -> None:
        """A remote offer was rolled back."""
        self.transport.forget_remote(remote_ufrag)

    def base_gone(self, base: Address) -> None:
        """A local address or its socket is gone."""
        self.transport.base_gone(base, self.scheduler.now())
        self.flush()

    def close(self) -> None:
        """End all generations at once, without events."""
        if self._closed:
            return
        self._closed = True
        self.transport.close(self.scheduler.now())
        self.flush()
        self._handle.remove()
        self.mux.release_owner(self)
        self.state = self.gatheringState = "closed"

    # mux.Owner

    def stun_received(
        self, message: Message, port_base: Address, source: Address, now: float
    ) -> None:
        """A STUN message for one of the generations."""
        if not self.transport.receive(message, port_base, source, now):
            self.mux.unauthenticated(source, now)
        self.flush()

    def data_received(
        self, port_base: Address, source: Address, payloads: list[bytes], now: float
    ) -> None:
        """Data on a 5-tuple that is ours; only a pair that a generation knows is believed."""
        size = sum(map(len, payloads))
        known = self.transport.data_received(port_base, source, now, size, len(payloads))
        assert isinstance(self.datagrams, _SelectedPairDoor)
        if known:
            self.traffic.packets_in += len(payloads)
            self.traffic.bytes_in += size
            self.datagrams.receive(payloads)
        elif self.transport.is_early(port_base, source):
            self.datagrams.pass_over(self._early.keep(port_base, source, payloads))
        else:
            self.datagrams.pass_over(len(payloads))
        self.flush()

    # Inside

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is asked for inside is carried out at the end, at once: a description's effects."""
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            self.flush()

    def flush(self) -> None:
        """Carry out what the transport wants: send, register, tell, and be woken again."""
        if self._together:
            return
        while transmits := self.transport.take_transmits():
            for failed in self.mux.transmit(self, transmits):
                self.transport.send_failed(failed.base, failed.remote, self.scheduler.now())
        events = self.transport.take_events()
        for event in events:
            self._apply(event)
            self.watcher(event)
        self._show_soon(events)
        if self._early_due:
            self._judge_early()
        if not self._closed:
            self._handle.update()

    def _apply(self, event: TransportEvent) -> None:
        if isinstance(event, GenerationStaged):
            self.mux.register(event.generation.ufrag, self)
        elif isinstance(event, GenerationEnded):
            self.mux.retire(event.generation.ufrag)
            self._signaled.pop(event.generation.ufrag, None)
            self._early_due = True
            living = self.transport.tuples()
            for base, remote in list(self.mux.claims_of(self)):
                if (base, remote) not in living:
                    self.mux.release(base, remote, self)
        elif isinstance(event, PairChanged | CutOver):
            self.route_watcher()

    def _show_soon(self, events: Sequence[TransportEvent]) -> None:
        """A state and the pair that came with it show in one task (rule 64)."""
        states: list[IceState | None] = [e.state for e in events if isinstance(e, OutwardState)]
        pair = any(isinstance(event, PairChanged | CutOver) for event in events)
        if pair and not states:
            states = [None]
        for state in states:
            self.queue_task(partial(self._show, state))

    def _judge_early(self) -> None:
        self._early_due = False
        for base, source, payloads in self._early.take():
            self.data_received(base, source, payloads, self.scheduler.now())

    def _show(self, state: IceState | None) -> None:
        if self._closed:
            return
        fired = []
        pair = self.transport.route
        if pair is not self._shown_pair:
            self._shown_pair = pair
            self.pair_changes += 1
            fired.append("selectedcandidatepairchange")
        if state is not None and self.state != state.value:
            self.state = state.value
            fired.append("statechange")
        fire_derived = self.derive()
        for kind in fired:
            self.dispatch(kind)
        fire_derived()


def _nothing() -> None:
    """Nothing depends on us."""


def _parameters(found: Iterable[Credentials | None]) -> RTCIceParameters | None:
    known = next((each for each in found if each is not None), None)
    return None if known is None else RTCIceParameters(known.ufrag, known.pwd)


@define(eq=False, repr=False)
class _TransportTimer:
    """Wakes a transport for the scheduler and carries out what came of it."""

    owner: RTCIceTransport

    def next_deadline(self) -> float | None:
        return self.owner.transport.next_deadline()

    def handle_timeout(self, now: float) -> None:
        self.owner.transport.handle_timeout(now)
        self.owner.flush()


@define(eq=False, repr=False)
class _SelectedPairDoor:
    """Sends over whatever pair the transport routes to at this moment."""

    owner: RTCIceTransport
    counters: DoorCounters = field(factory=DoorCounters)
    _receiver: PayloadReceiver | None = None

    @property
    def max_payload(self) -> int | None:
        """UDP's own limit, less what a relay's framing takes."""
        owner, route = self.owner, self.owner.transport.route
        return None if route is None else owner.mux.max_payload(route.base)

    def on_batch(self, receiver: PayloadReceiver) -> None:
        self._receiver = receiver

    def send(self, payloads: Payloads) -> int:
        counters, count = self.counters, len(payloads)
        counters.offered += count
        owner = self.owner
        route = owner.transport.route
        if route is None:
            counters.dropped["no-path"] += count
            return 0
        handed = owner.mux.send_data(owner, route.base, route.remote_address, payloads)
        counters.handed += handed
        if handed:
            size = sum(map(len, payloads if handed == count else payloads[:handed]))
            owner.traffic.packets_out += handed
            owner.traffic.bytes_out += size
            owner.transport.data_sent(owner.scheduler.now(), size, handed)
            owner.flush()
        if handed < count:
            counters.dropped["send-error"] += count - handed
        return handed

    def receive(self, payloads: list[bytes]) -> None:
        """Hand up what arrived over a known pair."""
        if self._receiver is None:
            self.counters.received_dropped["no-receiver"] += len(payloads)
            return
        self.counters.received += len(payloads)
        self._receiver(payloads)

    def pass_over(self, count: int) -> None:
        """So many datagrams came over no known pair."""
        if count:
            self.counters.received_dropped["unknown-pair"] += count
