"""RTCPeerConnection: offers and answers applied to one ICE transport (webrtc-pc section 4.4).

The signaling machine is :class:`~refreeze.jsep.Negotiator`; what it answers are effects, and here
they are carried out. Deferreds fire at once, because nothing below has to wait; what a script can
see changes in queued tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar, assert_never

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred

from refreeze.basics import Randomness
from refreeze.ice import AgentSettings, CheckBucket, IceRole
from refreeze.ice.generation import CutOver, GenerationEnded, TransportEvent
from refreeze.jsep import (
    AbandonGeneration,
    AddRemoteCandidate,
    Description,
    DtlsAgreed,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    ForgetRemote,
    IceDropped,
    Negotiator,
    RemoteCredentialsPending,
    SectionSpec,
    StageGeneration,
    StartGeneration,
)
from refreeze.net.gathering import Gatherer
from refreeze.net.mux import Mux
from refreeze.net.scheduler import Scheduler
from refreeze.peer.certificate import KeygenAlgorithm, RTCCertificate
from refreeze.peer.dtls import DtlsContext, DtlsEvent, RTCDtlsTransport
from refreeze.peer.events import EventTarget
from refreeze.peer.gathering import GenerationGathering
from refreeze.peer.icetransport import QueueTask, RTCIceTransport
from refreeze.peer.named import NamedCandidates, ResolveName
from refreeze.peer.states import connection_state

RTCSessionDescription: TypeAlias = Description
_Result = TypeVar("_Result")


@frozen
class PeerEnvironment:
    """What a peer connection is given by whoever composes it."""

    mux: Mux
    scheduler: Scheduler
    random: Randomness
    bucket: CheckBucket
    queue_task: QueueTask
    settings: AgentSettings
    certificate: RTCCertificate
    """Whose fingerprints descriptions name where there is no DTLS; WebRTC's need some."""
    gatherer: Gatherer
    """Where candidates come from; :class:`~refreeze.net.HostGatherer` needs no servers."""
    resolve_mdns: ResolveName | None = None
    """Resolves the ``.local`` names of remote candidates; None: they are as if unreachable."""
    dtls: Callable[[], DtlsContext] | None = None
    """The identity for the next association; None: payload crosses the network as it is."""


def _role_in(effects: Sequence[Effect]) -> IceRole:
    """Our role in a generation that these effects stage, unless roles are known (rule 42).

    An answer stages and starts at once, and the exchange decides; an offer is only staged, and
    who offers first controls.
    """
    for effect in effects:
        if isinstance(effect, StartGeneration) and effect.controlling is not None:
            return IceRole.CONTROLLING if effect.controlling else IceRole.CONTROLLED
    return IceRole.CONTROLLING


def _datagrams(protect: str) -> SectionSpec:
    """Our section: it says that datagrams, and not SCTP, are the payload, and how protected."""
    section = SectionSpec()
    return evolve(section, attributes=(*section.attributes, f"refreeze:{protect}"))


@define(eq=False, repr=False)
class RTCPeerConnection(EventTarget):
    """W3C's object, as far as ICE and offer/answer go."""

    environment: PeerEnvironment
    watcher: Callable[[TransportEvent], None]
    """Told of every transport event at once, before any task."""
    dtls_watcher: Callable[[DtlsEvent], None] = lambda event: None
    """Told of every association that connects, fails or is closed, likewise."""

    connectionState: str = field(default="new", init=False)
    iceConnectionState: str = field(default="new", init=False)
    iceGatheringState: str = field(default="new", init=False)
    iceTransport: RTCIceTransport = field(init=False)
    dtlsTransport: RTCDtlsTransport | None = field(default=None, init=False)
    """None: payload crosses the network as it is."""
    dtlsAgreed: DtlsAgreed | None = field(default=None, init=False)
    """What the latest answer that began an association said of it."""
    negotiator: Negotiator = field(init=False)
    _remote: NamedCandidates = field(init=False)
    _gathering: GenerationGathering | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        env = self.environment
        self.iceTransport = RTCIceTransport(
            mux=env.mux,
            scheduler=env.scheduler,
            random=env.random,
            settings=env.settings,
            bucket=env.bucket,
            queue_task=env.queue_task,
            watcher=self._transport_event,
        )
        self.iceTransport.addEventListener("statechange", lambda _: self._show_state())
        self._remote = NamedCandidates(self.iceTransport, env.resolve_mdns)
        fingerprints: Sequence[tuple[str, str]] = env.certificate.getFingerprints()
        if env.dtls is not None:
            self.dtlsTransport = self._make_dtls(env.dtls())
            fingerprints = self.dtlsTransport.context.fingerprints
        self.negotiator = Negotiator(
            random=env.random,
            queue_task=env.queue_task,
            fingerprints=fingerprints,
            sections=(_datagrams("none" if env.dtls is None else "dtls"),),
        )
        self.negotiator.on_fire = self._fire

    def _make_dtls(self, context: DtlsContext) -> RTCDtlsTransport:
        transport = RTCDtlsTransport(
            iceTransport=self.iceTransport,
            context=context,
            scheduler=self.environment.scheduler,
            queue_task=self.environment.queue_task,
            watcher=self._dtls_event,
        )
        transport.addEventListener("statechange", lambda _: self._show_connection())
        return transport

    def _dtls_event(self, event: DtlsEvent) -> None:
        self.dtls_watcher(event)

    @staticmethod
    def generateCertificate(
        keygenAlgorithm: KeygenAlgorithm, *, now: datetime
    ) -> Deferred[RTCCertificate]:
        """A certificate for a :class:`DtlsContext`; see :meth:`RTCCertificate.generate_for`."""
        return maybeDeferred(RTCCertificate.generate_for, keygenAlgorithm, now)

    # Descriptions

    @property
    def signalingState(self) -> str:
        """W3C's name of the state."""
        return str(self.negotiator.signaling_state)

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """Pending if there is one, else current; with the candidates gathered so far."""
        return self.negotiator.local_description

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """Pending if there is one, else current."""
        return self.negotiator.remote_description

    def createOffer(self, *, iceRestart: bool = False) -> Deferred[RTCSessionDescription]:
        """An offer; with *iceRestart*, one whose credentials are all new (rule 6)."""
        return self._operation(lambda: self.negotiator.create_offer(ice_restart=iceRestart))

    def createAnswer(self) -> Deferred[RTCSessionDescription]:
        """An answer to the pending remote offer."""
        return self._operation(self.negotiator.create_answer)

    def setLocalDescription(
        self, description: RTCSessionDescription | None = None
    ) -> Deferred[None]:
        """Apply; None creates the offer or answer that the state calls for (rule 12)."""
        return self._operation(lambda: self._carry_out(self.negotiator.set_local(description)))

    def setRemoteDescription(self, description: RTCSessionDescription) -> Deferred[None]:
        """Apply the peer's description; an offer in have-local-offer rolls ours back (28)."""
        return self._operation(lambda: self._carry_out(self.negotiator.set_remote(description)))

    def addIceCandidate(
        self,
        candidate: str = "",
        *,
        sdpMid: str | None = None,
        sdpMLineIndex: int | None = None,
        usernameFragment: str | None = None,
    ) -> Deferred[None]:
        """A trickled candidate; the empty string ends its generation's (rule 55)."""
        return self._operation(
            lambda: self._carry_out(
                self.negotiator.add_remote_candidate(
                    candidate, sdpMid, sdpMLineIndex, usernameFragment
                )
            )
        )

    def restartIce(self) -> None:
        """Ask for new credentials in the next offer; never throws (rule 1)."""
        self._carry_out(self.negotiator.restart_ice())

    @property
    def dtls_outdated(self) -> bool:
        """Whether our identity in DTLS is another by now than our descriptions name."""
        dtls, identity = self.dtlsTransport, self.environment.dtls
        return dtls is not None and identity is not None and identity() is not dtls.context

    def renewDtls(self) -> None:
        """The next offer, or the next answer to a restart, begins a new DTLS association.

        It is the current identity's (:attr:`PeerEnvironment.dtls`), and the old association goes
        on until the new one is there. An offer so made restarts ICE (RFC 8842 section 4).
        """
        if self.dtlsTransport is not None and self.environment.dtls is not None:
            context = self.dtlsTransport.context = self.environment.dtls()
            self.negotiator.renew_dtls(context.fingerprints)

    def close(self) -> None:
        """End everything at once; no event follows (rule 65)."""
        if self._closed:
            return
        self._closed = True
        self.negotiator.close()
        self._remote.close()
        if self._gathering is not None:
            self._gathering.cancel()
        if self.dtlsTransport is not None:
            self.dtlsTransport.stop()
        self.iceTransport.close()
        self.iceConnectionState = self.connectionState = "closed"

    # Effects

    def _operation(self, work: Callable[[], _Result]) -> Deferred[_Result]:
        """One link of the operations chain (webrtc-pc 4.4.1.2); none has to wait for another.

        The negotiation-needed flag is looked at when it is over, in a task (rules 3 and 5).
        """
        needs = self.negotiator.needs
        needs.operation_began()
        try:
            return maybeDeferred(work)
        finally:
            needs.operation_ended()

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        role = _role_in(effects)
        with self.iceTransport.together():
            for effect in effects:
                self._carry_out_one(effect, role)

    def _carry_out_one(self, effect: Effect, role: IceRole) -> None:
        transport = self.iceTransport
        match effect:
            case StageGeneration():
                transport.stage(effect.local, role)
                self._gather(effect.local.ufrag)
            case StartGeneration():
                transport.start(effect.local_ufrag, effect.remote, lite=effect.remote_lite)
            case AbandonGeneration():
                self._abandon_gathering(effect.local_ufrag)
                transport.rollback(effect.local_ufrag)
            case AddRemoteCandidate():
                self._remote.add(effect.remote_ufrag, effect.candidate)
            case EndOfRemoteCandidates():
                self._remote.end(effect.remote_ufrag)
            case ForgetRemote():
                transport.forget_remote(effect.remote_ufrag)
            case RemoteCredentialsPending():
                pass  # Our answer's effects start the generation; candidates until then wait.
            case IceDropped():
                pass  # What is in force goes on; the negotiator's next offer restarts (rule 37).
            case DtlsAgreed():
                self.dtlsAgreed = effect
                if self.dtlsTransport is not None:
                    self.dtlsTransport.agreed(effect)
            case Fire():
                self._fire(effect.event)
            case _:
                assert_never(effect)

    def _gather(self, ufrag: str) -> None:
        """What is known at once is in the description before it is sent; the rest is trickled."""
        if self._gathering is not None:
            self._gathering.cancel()
        self._gathering = GenerationGathering(
            ufrag=ufrag,
            descriptions=self.negotiator,
            generations=self.iceTransport,
            announce=lambda candidate: self._fire_soon("icecandidate", candidate=candidate),
            complain=lambda error: self._fire_soon("icecandidateerror", error=error),
            ended=lambda: self.environment.queue_task(lambda: self._show_gathering("complete")),
        )
        self.environment.queue_task(lambda: self._show_gathering("gathering"))
        self._gathering.start(self.environment.gatherer)

    def _abandon_gathering(self, ufrag: str) -> None:
        """A rolled back generation's; what is shown is the one's before it (rule 62)."""
        if self._gathering is not None and self._gathering.ufrag == ufrag:
            self._gathering.cancel()
            shown = "new" if self.iceTransport.transport.active is None else "complete"
            self.environment.queue_task(lambda: self._show_gathering(shown))

    def _transport_event(self, event: TransportEvent) -> None:
        """After the nomination no candidate counts, so gathering is over (rule 51), and that of
        a generation which is gone is nobody's (T13).
        """
        gathering = self._gathering
        if (
            isinstance(event, CutOver | GenerationEnded)
            and gathering is not None
            and gathering.ufrag == event.generation.ufrag
        ):
            end = gathering.finish if isinstance(event, CutOver) else gathering.cancel
            self.environment.queue_task(end)
        self.watcher(event)

    def _fire_soon(self, kind: str, *, candidate: object = None, error: object = None) -> None:
        self.environment.queue_task(
            lambda: None if self._closed else self.dispatch(kind, candidate, error)
        )

    def _show_gathering(self, state: str) -> None:
        if not self._closed and self.iceGatheringState != state:
            self.iceGatheringState = self.iceTransport.gatheringState = state
            self.iceTransport.dispatch("gatheringstatechange")
            self.dispatch("icegatheringstatechange")

    def _show_state(self) -> None:
        state = self.iceTransport.state
        if not self._closed and self.iceConnectionState != state:
            self.iceConnectionState = state
            self.dispatch("iceconnectionstatechange")
            self._show_connection()

    def _show_connection(self) -> None:
        dtls = None if self.dtlsTransport is None else self.dtlsTransport.state
        state = connection_state(self.iceTransport.state, dtls)
        if not self._closed and self.connectionState != state:
            self.connectionState = state
            self.dispatch("connectionstatechange")

    def _fire(self, event: str) -> None:
        if not self._closed:
            self.dispatch(event)
