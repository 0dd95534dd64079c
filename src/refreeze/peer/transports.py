"""The transports of a peer connection: what descriptions ask of them, and what they show of it.

There is one ICE transport and at most one DTLS transport (BUNDLE, DESIGN rule 8). What a script can
see of them changes in queued tasks, in W3C's order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from attrs import define, field

from refreeze.ice import IceRole
from refreeze.ice.generation import CutOver, GenerationEnded, TransportEvent
from refreeze.jsep import (
    AbandonGeneration,
    AddRemoteCandidate,
    DtlsAgreed,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    ForgetRemote,
    IceDropped,
    Negotiator,
    RemoteCredentialsPending,
    StageGeneration,
    StartGeneration,
)
from refreeze.peer.dtls import DtlsContext, DtlsEvent, RTCDtlsTransport
from refreeze.peer.environment import PeerEnvironment
from refreeze.peer.events import Event
from refreeze.peer.gathering import GenerationGathering
from refreeze.peer.icetransport import RTCIceTransport
from refreeze.peer.named import NamedCandidates


def _role_in(effects: Sequence[Effect]) -> IceRole:
    """Our role in a generation that these effects stage, unless roles are known (rule 42).

    An answer stages and starts at once, and the exchange decides; an offer is only staged, and
    who offers first controls.
    """
    for effect in effects:
        if isinstance(effect, StartGeneration) and effect.controlling is not None:
            return IceRole.CONTROLLING if effect.controlling else IceRole.CONTROLLED
    return IceRole.CONTROLLING


@define(eq=False, repr=False, kw_only=True)
class Transports:
    """I carry out effects on the transports, and gather for every generation."""

    environment: PeerEnvironment
    watcher: Callable[[TransportEvent], None]
    """Told of every transport event at once, before any task."""
    dtls_watcher: Callable[[DtlsEvent], None]
    fire: Callable[[Event | str], None]
    """An event of the connection; nothing is fired once it is closed."""
    show: Callable[[], Callable[[], None]]
    """The connection's states follow; what is returned fires its events."""

    ice: RTCIceTransport = field(init=False)
    dtls: RTCDtlsTransport | None = field(default=None, init=False)
    agreed: DtlsAgreed | None = field(default=None, init=False)
    gathering_state: str = field(default="new", init=False)
    negotiator: Negotiator = field(init=False)
    """Whose descriptions show what is gathered; set by the connection."""
    closed: bool = field(default=False, init=False)
    _remote: NamedCandidates = field(init=False)
    _gathering: GenerationGathering | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        env = self.environment
        self.ice = RTCIceTransport(
            mux=env.mux,
            scheduler=env.scheduler,
            random=env.random,
            settings=env.settings,
            bucket=env.bucket,
            queue_task=env.queue_task,
            watcher=self._transport_event,
        )
        self.ice.derive = self.show
        self.ice.place_of = self._place_of
        self._remote = NamedCandidates(self.ice, env.resolve_mdns)
        if env.dtls is not None:
            self.dtls = self._make_dtls(env.dtls())

    def _place_of(self, ufrag: str) -> tuple[str | None, int]:
        return self.negotiator.place_of(ufrag)

    def _make_dtls(self, context: DtlsContext) -> RTCDtlsTransport:
        transport = RTCDtlsTransport(
            iceTransport=self.ice,
            context=context,
            scheduler=self.environment.scheduler,
            queue_task=self.environment.queue_task,
            watcher=self._dtls_event,
        )
        transport.derive = self.show
        return transport

    def _dtls_event(self, event: DtlsEvent) -> None:
        self.dtls_watcher(event)

    @property
    def fingerprints(self) -> Sequence[tuple[str, str]]:
        """Of our certificate, for descriptions."""
        if self.dtls is not None:
            return self.dtls.context.fingerprints
        return self.environment.certificate.fingerprints

    def close(self) -> None:
        """Everything ends at once, and shows nothing (rule 65)."""
        self.closed = True
        self._remote.close()
        if self._gathering is not None:
            self._gathering.cancel()
        if self.dtls is not None:
            self.dtls.stop()
        self.ice.close()

    # Effects

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """All of them, and then what the transport makes of them."""
        role = _role_in(effects)
        with self.ice.together():
            for effect in effects:
                self._carry_out(effect, role)

    def _carry_out(self, effect: Effect, role: IceRole) -> None:
        ice = self.ice
        match effect:
            case StageGeneration():
                ice.stage(effect.local, role)
                self._gather(effect.local.ufrag)
            case StartGeneration():
                ice.start(effect.local_ufrag, effect.remote, lite=effect.remote_lite)
            case AbandonGeneration():
                self._abandon_gathering(effect.local_ufrag)
                ice.rollback(effect.local_ufrag)
            case AddRemoteCandidate():
                self._remote.add(effect.remote_ufrag, effect.candidate)
            case EndOfRemoteCandidates():
                self._remote.end(effect.remote_ufrag)
            case ForgetRemote():
                ice.forget_remote(effect.remote_ufrag)
            case RemoteCredentialsPending():
                pass  # Our answer's effects start the generation; candidates until then wait.
            case IceDropped():
                pass  # What is in force goes on; the negotiator's next offer restarts (rule 37).
            case DtlsAgreed():
                self.agreed = effect
                if self.dtls is not None:
                    self.dtls.agreed(effect)
            case Fire():
                self.fire(effect.event)
            case _:
                assert_never(effect)

    # Gathering

    def _gather(self, ufrag: str) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
        gathering = self._gathering = GenerationGathering(
            ufrag=ufrag,
            descriptions=self.negotiator,
            generations=self.ice,
            queue_task=self.environment.queue_task,
            show_at_once=self.environment.as_service,
            fire=self.fire,
            ended=lambda: self._show_gathering("complete", over=True),
        )
        self.environment.queue_task(lambda: self._show_gathering("gathering"))
        if self.environment.as_service:
            gathering.start(self.environment.gatherer)
        else:
            self.environment.queue_task(lambda: gathering.start(self.environment.gatherer))

    def _abandon_gathering(self, ufrag: str) -> None:
        """A rolled back generation's; what is shown is the one's before it (rule 62).

        If another generation takes its place, that one's is shown.
        """
        abandoned = self._gathering
        if abandoned is not None and abandoned.ufrag == ufrag:
            abandoned.cancel()

            def show() -> None:
                if self._gathering is abandoned:
                    left = any(self.ice.transport.generations())
                    self._show_gathering("complete" if left else "new")

            self.environment.queue_task(show)

    def _show_gathering(self, state: str, *, over: bool = False) -> None:
        """The transport's state, the connection's, then the events of both, and the end (53)."""
        if self.closed or self.gathering_state == state:
            return
        self.gathering_state = self.ice.gatheringState = state
        self.ice.dispatch("gatheringstatechange")
        self.fire("icegatheringstatechange")
        if over:
            self.fire("icecandidate")

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
