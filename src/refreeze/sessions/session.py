"""One session: a peer connection, its signaling, its forward and its watchdog, tied together.

Facts go from the transport and the signaling to the policy at once; what the policy wants is
done in a task of its own, so that nothing happens inside somebody else's call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Randomness, format_address
from refreeze.ice.events import ConsentLost, Rebound, Recovered
from refreeze.ice.generation import (
    CutOver,
    GenerationFailed,
    OutwardState,
    PairChanged,
    TransportEvent,
)
from refreeze.jsep import Description, DescriptionType, JsepError, NotRestarted
from refreeze.net.gatherer import SessionGatherer
from refreeze.net.scheduler import Handle
from refreeze.peer import PeerEnvironment, Protect, RTCPeerConnection
from refreeze.sessions.forward import Forward
from refreeze.sessions.identity import Budget, SessionIdentity
from refreeze.sessions.paths import Paths
from refreeze.sessions.rounds import RoundBook, RoundRecord
from refreeze.sessions.securing import GOOD, Securing
from refreeze.sessions.trickling import Trickling
from refreeze.sessions.work import SerialWork
from refreeze.signaling import (
    Apply,
    Carrier,
    Conversation,
    Dropped,
    Envelope,
    EnvelopeKind,
    Reply,
    Resend,
    Signaling,
)
from refreeze.watchdog import (
    AbandonRound,
    Action,
    Cause,
    GatherMore,
    Note,
    Policy,
    RequestGrant,
    ResendOffer,
    RoundOutcome,
    SendRestartPlease,
    StartRound,
    WithdrawGrant,
)

_ROLLBACK = Description(DescriptionType.ROLLBACK)
_IN_DOUBT = ("disconnected", "failed")


@define(eq=False, repr=False, kw_only=True)
class Session:
    """I keep one path to one peer."""

    identity: SessionIdentity
    environment: PeerEnvironment
    signaling: Signaling
    policy: Policy
    forward: Forward
    gatherer: SessionGatherer
    budget: Budget
    emit: Callable[[str, dict[str, Any]], None]
    wall: Callable[[], float]
    random: Randomness
    book: RoundBook = field(init=False)
    conversation: Conversation = field(init=False)
    connection: RTCPeerConnection = field(init=False)
    securing: Securing = field(init=False)
    state: str = field(default="new", init=False)
    """iceConnectionState, but ``checking`` until the path is protected (sessions.securing)."""
    counters: Counter[str] = field(factory=Counter, init=False)
    peer_online: bool | None = field(default=None, init=False)
    signaling_up: bool = field(default=False, init=False)
    failed_at: float | None = field(default=None, init=False)
    _ice: str = field(default="new", init=False)
    _carrier: Carrier | None = field(default=None, init=False)
    _handle: Handle = field(init=False)
    _acting: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)
    _trickling: Trickling = field(init=False)
    _paths: Paths = field(init=False)
    _work: SerialWork = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        identity = self.identity
        self.book = RoundBook(self._round_over)
        self.conversation = Conversation(
            me=identity.me,
            peer=identity.peer,
            session=identity.name,
            epoch=identity.epoch,
            offerer=identity.offerer,
            new_id=lambda: f"{self.random.getrandbits(96):024x}",
        )
        self._work = SerialWork(self._broke)
        self.connection = RTCPeerConnection(self.environment, self._transport_event)
        self.connection.createDataChannel("datagrams")
        self._trickling = Trickling(self.conversation, self._send)
        self.connection.addEventListener("icecandidate", self._trickling.gathered)
        self.securing = Securing(
            connection=self.connection,
            policy=self.policy,
            now=self._now,
            tell=self._tell,
            changed=self._security_changed,
        )
        self.securing.protect.on_batch(self.forward.deliver_from_path)
        self.forward.path_send = self.securing.protect.send
        self._paths = self.gatherer.watcher = Paths(
            connection=self.connection,
            policy=self.policy,
            now=self._now,
            has_path=lambda: self.state in GOOD,
            settle=self.settle,
            tell=self._tell,
        )
        self._handle = self.environment.scheduler.add(self)

    @property
    def protect(self) -> Protect:
        """The stage between ICE and the forward."""
        return self.securing.protect

    def _now(self) -> float:
        return self.environment.scheduler.now()

    # Life

    def start(self) -> None:
        """Bind the forward and join the signaling; ForwardError when the former fails."""
        self.forward.start()
        self._carrier = self.signaling.attach(self.identity.name, self.identity.peer, self)
        self.policy.opened(self._now())
        self.settle()

    def close(self, reason: str, *, tell: bool = True) -> None:
        """Say bye, and end everything."""
        if self._closed:
            return
        if tell:
            self._send(self.conversation.make_bye(reason))
        self._closed = True
        self.policy.close(self._now())
        self.budget.withdraw(self)
        self._end_round(RoundOutcome.ABANDONED, "closed")
        self._handle.remove()
        if self._carrier is not None:
            self._carrier.detach()
        self.connection.close()
        self.forward.stop()
        self._work.stop()
        self.gatherer.close()

    # The watchdog's time

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        return self.policy.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        self.policy.handle_timeout(now)
        self.settle()

    def granted(self, ticket: int) -> bool:
        """The storm budget lets us go; False when we no longer want to."""
        wanted = self.policy.granted(ticket, self._now())
        self.settle()
        return wanted

    def settle(self) -> None:
        """Do what the policy wants in a task of its own: after every call to it, from anywhere."""
        if not self._acting and not self._closed:
            self._acting = True
            self.environment.queue_task(self._act)

    def _act(self) -> None:
        self._acting = False
        while not self._closed and (actions := self.policy.take_actions()):
            for action in actions:
                self._do(action)
        if not self._closed:
            self._handle.update()

    def _do(self, action: Action) -> None:
        if isinstance(action, Note):
            self.emit(action.topic, {"id": self.identity.name, **action.fields})
        elif isinstance(action, RequestGrant):
            self.budget.request(self, action.ticket, action.cause)
        elif isinstance(action, WithdrawGrant):
            self.budget.withdraw(self)
        elif isinstance(action, StartRound):
            self._spawn(self._start_round(action))
        elif isinstance(action, SendRestartPlease):
            self._send(self.conversation.make_restart_please(action.cause.value))
        elif isinstance(action, ResendOffer):
            for envelope in self.conversation.resend():
                self._send(envelope)
        elif isinstance(action, AbandonRound):
            self._spawn(self._abandon(action))
        elif isinstance(action, GatherMore):
            self.gatherer.look()
        else:
            self.budget.look_at_network()

    def _tell(self, topic: str, **fields: Any) -> None:
        self.emit(topic, {"id": self.identity.name, **fields})

    def _spawn(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        if not self._work.do(work):
            self.counters["work-refused"] += 1

    def _broke(self, failure: Failure) -> None:
        self.counters["internal-errors"] += 1
        self._log.failure("session {session} failed", failure, session=self.identity.name)

    # Rounds

    async def _start_round(self, action: StartRound) -> None:
        """Offer a restart: new credentials, beside the path that is there (rule 7)."""
        connection = self.connection
        if connection.signalingState == "have-local-offer":
            await connection.setLocalDescription(_ROLLBACK)
            self.conversation.withdraw_offer()
        self._end_round(RoundOutcome.SUPERSEDED, "newer-round")
        self.securing.before_exchange()
        self.gatherer.relay_only = action.relay_only
        try:
            await connection.setLocalDescription(await connection.createOffer(iceRestart=True))
        except JsepError as error:
            self._refused("own-offer", error)
        self._begin_round(action.cause, ours=True)
        if connection.signalingState == "have-local-offer":
            self._send(self.conversation.make_offer(self._local_sdp()))
        else:
            self._end_round(RoundOutcome.FAILED, "no-offer")
        self.settle()

    def _local_sdp(self) -> str:
        description = self.connection.localDescription
        assert description is not None
        self._trickling.sent(description.sdp)
        return description.sdp

    def _begin_round(self, cause: Cause, *, ours: bool) -> RoundRecord:
        pending = self.connection.iceTransport.transport.pending
        ufrag = pending.ufrag if pending is not None else None
        record = self.book.begin(cause, ours=ours, ufrag=ufrag, now=self._now(), wall=self.wall())
        by = {} if ours else {"by": "peer"}
        self._tell("round.start", round=record.id, cause=cause.value, **by)
        self.policy.round_started(record.id, cause=cause, ours=ours, now=self._now())
        return record

    def _end_round(self, outcome: RoundOutcome, detail: str) -> None:
        record = self.book.end(outcome, detail, self._now())
        if record is not None and not self._closed:
            self.policy.round_ended(record.id, outcome, detail, self._now())
            self.settle()

    def _round_over(self, record: RoundRecord) -> None:
        self._tell("round.done", **record.told())
        self.budget.round_ended(self, record)

    async def _abandon(self, action: AbandonRound) -> None:
        """Before the answer a rollback, after it a transport event; the old path goes on."""
        record = self.book.current
        if record is None or record.id != action.round_id:
            self.policy.round_ended(action.round_id, action.outcome, action.reason, self._now())
            self.settle()
            return
        if record.ours and self.connection.signalingState == "have-local-offer":
            await self.connection.setLocalDescription(_ROLLBACK)
        elif record.ufrag is not None:
            self.connection.iceTransport.abandon(record.ufrag)
        self.conversation.withdraw_offer()
        self._end_round(action.outcome, action.reason)

    # The transport

    def _transport_event(self, event: TransportEvent) -> None:
        if self._closed:
            return
        now, policy = self._now(), self.policy
        if isinstance(event, OutwardState):
            self._state_changed(event, now)
        elif isinstance(event, CutOver):
            self._cut_over(event)
        elif isinstance(event, GenerationFailed):
            record = self.book.current
            if record is not None and record.ufrag == event.generation.ufrag:
                self._end_round(RoundOutcome.FAILED, "ice-failed")
        elif isinstance(event, ConsentLost):
            policy.consent_lost(now)
        elif isinstance(event, Recovered):
            policy.recovered(now)
        elif isinstance(event, Rebound):
            self._tell("session.rebind", what=event.what)
            policy.rebound(now)
        elif isinstance(event, PairChanged) and event.pair is None:
            self._tell("session.pair", pair="none")
        self.settle()

    def _state_changed(self, event: OutwardState, now: float) -> None:
        self._ice = state = event.state.value
        self._show_state(event.reason)
        if not (state in GOOD and self.securing.gave_up):
            self.policy.ice_state(state, now, event.reason or None)
        if state in _IN_DOUBT:
            self.gatherer.warm()
        if state == "failed":
            self.failed_at = now
            self.budget.failed(self)

    def _security_changed(self, reason: str) -> None:
        if not self._closed:
            self._show_state(reason)
            self.settle()

    def _show_state(self, reason: str) -> None:
        """Tell when the outward state is another now; *reason* may be empty."""
        before, self.state = self.state, self.securing.outward(self._ice)
        if self.state == before:
            return
        fields: dict[str, Any] = {"from": before, "to": self.state}
        record = self.book.current
        if self.securing.problem:
            fields["cause"] = self.securing.problem
        elif record is not None:
            fields |= {"round": record.id, "cause": record.cause.value}
        elif reason:
            fields["cause"] = reason
        self._tell("session.state", **fields)

    def _cut_over(self, event: CutOver) -> None:
        pair = event.pair
        self.failed_at = None
        self._tell(
            "session.pair",
            local=format_address(pair.base),
            remote=format_address(pair.remote_address),
            types=f"{pair.local.type.value}/{pair.remote.type.value}",
            generation=event.generation.number,
        )
        record = self.book.current
        if record is not None and record.ufrag == event.generation.ufrag:
            self.policy.round_connected(record.id, self._now())
            self._end_round(RoundOutcome.SUCCEEDED, "connected")
        self.securing.path_came()
        # The successor of a relay may have come while this round was under way.
        self._paths.bases_leaving(self.gatherer.leaving)

    # The signaling

    def signaling_state(self, up: bool) -> None:
        """See :class:`~refreeze.signaling.CarrierReceiver`."""
        self.signaling_up = up
        why = {} if up or not self.signaling_problem else {"why": self.signaling_problem}
        self._tell("signal.up" if up else "signal.down", **why)
        self.policy.signaling(up, self._now())
        self.settle()

    @property
    def signaling_problem(self) -> str:
        """Why there is no signaling; empty while there is."""
        return "" if self._carrier is None else self._carrier.problem

    def peer_presence(self, peer: str, online: bool) -> None:
        """See :class:`~refreeze.signaling.CarrierReceiver`."""
        self.peer_online = online
        self.policy.peer_online(online, self._now())
        self.settle()

    def envelope_received(self, envelope: Envelope) -> None:
        """See :class:`~refreeze.signaling.CarrierReceiver`."""
        if self._closed:
            return
        for outcome in self.conversation.receive(envelope):
            if isinstance(outcome, Apply):
                self._apply(outcome.envelope)
            elif isinstance(outcome, Reply):
                self._send(outcome.envelope)
            elif isinstance(outcome, Resend):
                self.budget.epoch_raised(self, self.conversation.epoch)
                for again in self.conversation.resend():
                    self._send(again)
            elif isinstance(outcome, Dropped) and envelope.kind is EnvelopeKind.OFFER:
                self.policy.offer_dropped("stale")
        self.settle()

    def _apply(self, envelope: Envelope) -> None:
        now = self._now()
        match envelope.kind:
            case EnvelopeKind.OFFER:
                self._spawn(self._take_offer(envelope))
            case EnvelopeKind.ANSWER:
                self._spawn(self._take_answer(envelope))
            case EnvelopeKind.CANDIDATE | EnvelopeKind.END_OF_CANDIDATES:
                self._spawn(self._take_candidate(envelope))
            case EnvelopeKind.RESTART_PLEASE:
                self.policy.restart_please_received(now)
            case EnvelopeKind.BYE:
                self.policy.peer_closed(now, envelope.reason or "")
            case EnvelopeKind.UNDELIVERABLE:
                self.policy.undeliverable(now, envelope.reason or "")
            case _:
                pass

    async def _take_offer(self, envelope: Envelope) -> None:
        """Answer; in glare the configured offerer's offer stands (T11)."""
        conversation = self.conversation
        if conversation.in_glare():
            if conversation.glare_winner() == self.identity.me:
                conversation.ignore(envelope)
                self.policy.offer_dropped("glare")
                return
            self._end_round(RoundOutcome.SUPERSEDED, "glare")
        else:
            self._end_round(RoundOutcome.SUPERSEDED, "peer-offer")
        self.policy.offer_received(self._now())
        try:
            offer = Description(DescriptionType.OFFER, envelope.sdp or "")
            self.securing.before_exchange()
            await self.connection.setRemoteDescription(offer)
            await self.connection.setLocalDescription()
        except JsepError as error:
            self._refused("offer", error)
            return
        self.securing.exchanged()
        record = self._begin_round(Cause.PEER, ours=False)
        answer = conversation.make_answer(self._local_sdp(), envelope.id)
        if answer is not None:
            self._send(answer)
        if record.ufrag is None:
            # The offer repeats what is in force: there is nothing to check.
            self._end_round(RoundOutcome.ABANDONED, "no-restart")

    async def _take_answer(self, envelope: Envelope) -> None:
        record = self.book.current
        try:
            answer = Description(DescriptionType.ANSWER, envelope.sdp or "")
            await self.connection.setRemoteDescription(answer)
        except JsepError as error:
            self._refused("answer", error)
            await self._give_up(record, error)
            return
        self.securing.exchanged()
        if record is None or not record.ours or self.book.current is not record:
            return
        transport = self.connection.iceTransport.transport
        if record.ufrag is not None and transport.find(record.ufrag) is None:
            self._end_round(RoundOutcome.FAILED, "no-ice")  # rule 37: the next offer restarts
            return
        self._tell("round.answer", round=record.id)
        self.policy.round_answered(record.id, self._now())
        self.settle()

    async def _give_up(self, record: RoundRecord | None, error: JsepError) -> None:
        """No other answer comes to our offer: a rollback, and the old path goes on."""
        if record is None or not record.ours or self.book.current is not record:
            return
        if self.connection.signalingState == "have-local-offer":
            await self.connection.setLocalDescription(_ROLLBACK)
        why = "peer-cannot-restart" if isinstance(error, NotRestarted) else "bad-answer"
        self._end_round(RoundOutcome.FAILED, why)

    async def _take_candidate(self, envelope: Envelope) -> None:
        init = envelope.candidate
        if init is None:
            return
        try:
            await self.connection.addIceCandidate(init.w3c())
        except (JsepError, TypeError):
            self.counters["late-candidates"] += 1

    def _refused(self, what: str, error: JsepError) -> None:
        self.counters[f"refused-{what}s"] += 1
        self._tell("signal.refused", what=what, why=str(error))

    def _send(self, envelope: Envelope) -> None:
        if self._carrier is not None and not self._carrier.send(envelope):
            self.counters["unsent-envelopes"] += 1
