"""RTCPeerConnection: W3C's interface over the signaling machine and its transports (webrtc-pc 4.4).

What :class:`~refreeze.jsep.Negotiator` answers are effects, which :class:`.transports.Transports`
carries out. Calls are chained, and settle in queued tasks; what a script can see changes there, or
inside its own call, and in W3C's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed

from refreeze.ice.generation import TransportEvent
from refreeze.jsep import (
    Description,
    DescriptionType,
    DtlsAgreed,
    Effect,
    InvalidAccessError,
    InvalidStateError,
    Negotiator,
    OperationError,
    SectionSpec,
    SignalingState,
)
from refreeze.peer.candidate import RTCIceCandidate, read_members
from refreeze.peer.certificate import KeygenAlgorithm, RTCCertificate
from refreeze.peer.configuration import RTCConfiguration
from refreeze.peer.datachannel import RTCDataChannel, RTCSctpTransport, message_size
from refreeze.peer.dtls import DtlsEvent, RTCDtlsTransport
from refreeze.peer.environment import PeerEnvironment
from refreeze.peer.events import Event, EventHandler, EventTarget
from refreeze.peer.icetransport import RTCIceTransport
from refreeze.peer.operations import OperationsChain
from refreeze.peer.records import RTCStatsReport
from refreeze.peer.states import connection_state
from refreeze.peer.stats import StatsCollector
from refreeze.peer.transceiver import RTCRtpTransceiver, read_direction
from refreeze.peer.transports import Transports

RTCSessionDescription = Description

_ROLLBACK = Description(DescriptionType.ROLLBACK)
_NO_ROLLBACK = frozenset(
    {
        SignalingState.STABLE,
        SignalingState.HAVE_LOCAL_PRANSWER,
        SignalingState.HAVE_REMOTE_PRANSWER,
    }
)


def _data_section(protect: str) -> SectionSpec:
    """It says that datagrams, and not SCTP, are the payload, and how protected."""
    section = SectionSpec()
    return evolve(section, attributes=(*section.attributes, f"refreeze:{protect}"))


@define(eq=False, repr=False)
class RTCPeerConnection(EventTarget):
    """W3C's object, as far as ICE and offer/answer go: every method returns what W3C's does, with
    Deferreds for promises, and raises or fails with errors whose ``name`` is W3C's."""

    environment: PeerEnvironment
    watcher: Callable[[TransportEvent], None] = lambda event: None
    """Told of every transport event at once, before any task."""
    dtls_watcher: Callable[[DtlsEvent], None] = lambda event: None
    """Told of every association that connects, fails or is closed, likewise."""
    configuration: RTCConfiguration = field(factory=RTCConfiguration, kw_only=True)
    """In force; see :meth:`setConfiguration`."""

    connectionState: str = field(default="new", init=False)
    iceConnectionState: str = field(default="new", init=False)
    negotiator: Negotiator = field(init=False)
    _sctp: RTCSctpTransport | None = field(default=None, init=False)
    _channels: list[RTCDataChannel] = field(factory=list, init=False)
    _transceivers: dict[object, RTCRtpTransceiver] = field(factory=dict, init=False)
    _transports: Transports = field(init=False)
    _operations: OperationsChain = field(init=False)
    _stats: StatsCollector | None = field(default=None, init=False)
    """Once somebody has asked for them."""

    onnegotiationneeded = EventHandler("negotiationneeded")
    onsignalingstatechange = EventHandler("signalingstatechange")
    oniceconnectionstatechange = EventHandler("iceconnectionstatechange")
    onicegatheringstatechange = EventHandler("icegatheringstatechange")
    onconnectionstatechange = EventHandler("connectionstatechange")
    onicecandidate = EventHandler("icecandidate")
    onicecandidateerror = EventHandler("icecandidateerror")

    def __attrs_post_init__(self) -> None:
        env = self.environment
        transports = self._transports = Transports(
            environment=env,
            watcher=self._transport_event,
            dtls_watcher=self._dtls_event,
            fire=self._fire,
            show=self._show_states,
        )
        negotiator = self.negotiator = transports.negotiator = Negotiator(
            random=env.random,
            queue_task=env.queue_task,
            fingerprints=transports.fingerprints,
            data_section=_data_section("none" if env.dtls is None else "dtls"),
            accepts_media=not env.as_service,
            hold_early=env.as_service,
            follows_peers=env.as_service,
        )
        negotiator.on_fire = self._fire
        needs = negotiator.needs
        self._operations = OperationsChain(
            env.queue_task, needs.operation_began, needs.operation_ended
        )

    def _transport_event(self, event: TransportEvent) -> None:
        self.watcher(event)

    def _dtls_event(self, event: DtlsEvent) -> None:
        self.dtls_watcher(event)

    # Transports

    @property
    def iceTransport(self) -> RTCIceTransport:
        """The one that everything uses, and the door for its datagrams."""
        return self._transports.ice

    @property
    def dtlsTransport(self) -> RTCDtlsTransport | None:
        """None: payload crosses the network as it is."""
        return self._transports.dtls

    @property
    def dtlsAgreed(self) -> DtlsAgreed | None:
        """What the latest answer that began an association said of it."""
        return self._transports.agreed

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """There while an answer with a data section is in force."""
        return self._sctp

    @property
    def iceGatheringState(self) -> str:
        """``new``, ``gathering`` or ``complete``."""
        return self._transports.gathering_state

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
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """Since the last completed exchange."""
        return self.negotiator.current_local

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """While an exchange is under way."""
        return self.negotiator.pending_local

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """Pending if there is one, else current."""
        return self.negotiator.remote_description

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """Since the last completed exchange."""
        return self.negotiator.current_remote

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """While an exchange is under way."""
        return self.negotiator.pending_remote

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the peer takes candidates beside descriptions; None before its first one."""
        return self.negotiator.can_trickle

    def createOffer(self, *, iceRestart: bool = False) -> Deferred[RTCSessionDescription]:
        """An offer; with *iceRestart*, one whose credentials are all new (rule 6)."""
        return self._create(
            DescriptionType.OFFER, lambda: self.negotiator.create_offer(ice_restart=iceRestart)
        )

    def createAnswer(self) -> Deferred[RTCSessionDescription]:
        """An answer to the pending remote offer."""
        return self._create(DescriptionType.ANSWER, self.negotiator.create_answer)

    def _create(
        self, kind: DescriptionType, create: Callable[[], Description]
    ) -> Deferred[RTCSessionDescription]:
        def begin() -> Deferred[RTCSessionDescription]:
            self.negotiator.check_creating(kind)
            return self._operations.in_task(create)

        return self._operations.chain(begin)

    def setLocalDescription(
        self, description: RTCSessionDescription | Mapping[str, Any] | None = None
    ) -> Deferred[None]:
        """Apply; without one, or without a type, what the state calls for is created (rule 12)."""
        try:
            given = _implicit(description)
        except TypeError:
            return fail()
        return self._operations.chain(lambda: self._set_local(given))

    def setRemoteDescription(
        self, description: RTCSessionDescription | Mapping[str, Any]
    ) -> Deferred[None]:
        """Apply the peer's description; an offer in have-local-offer rolls ours back (28)."""
        try:
            given = description_of(description)
        except TypeError:
            return fail()
        return self._operations.chain(lambda: self._set_remote(given))

    def _set_local(self, description: Description | None) -> Deferred[None]:
        if description is not None and description.type is DescriptionType.ROLLBACK:
            return self._roll_back(SignalingState.HAVE_LOCAL_OFFER)
        return self._apply(lambda: self.negotiator.set_local(description))

    def _set_remote(self, description: Description) -> Deferred[None]:
        if description.type is DescriptionType.ROLLBACK:
            return self._roll_back(SignalingState.HAVE_REMOTE_OFFER)
        state = self.negotiator.signaling_state
        if description.type is DescriptionType.OFFER and state is SignalingState.HAVE_LOCAL_OFFER:
            # A rollback of its own comes first, and stays even if the offer is refused then.
            rolled_back = self._roll_back(state)
            return rolled_back.addCallback(lambda _: self._apply_remote(description))
        return self._apply_remote(description)

    def _apply_remote(self, description: Description) -> Deferred[None]:
        return self._apply(lambda: self.negotiator.set_remote(description))

    def _roll_back(self, wanted: SignalingState) -> Deferred[None]:
        """Only an offer can be taken back (webrtc-pc 4.4.1.5), and only by the call that set it.

        RFC 9429 takes provisional answers back as well.
        """
        state = self.negotiator.signaling_state
        refusal = InvalidStateError(f"no such rollback in the state {state}")
        if state in _NO_ROLLBACK:
            raise refusal

        def work() -> list[Effect]:
            if state is not wanted:
                raise refusal
            return self.negotiator.set_local(_ROLLBACK)

        return self._apply(work)

    def _apply(self, work: Callable[[], Any]) -> Deferred[None]:
        def apply() -> None:
            effects = work()
            self._follow_data()
            self._transports.carry_out(effects)

        return self._operations.in_task(apply)

    def _follow_data(self) -> None:
        """The SCTP transport lives as long as an answer with a data section is in force."""
        part = self.negotiator.media.data
        index = None if part is None else part.index
        section = None if index is None else self.negotiator.remote_section(index)
        if section is not None:
            self._sctp = self._sctp or RTCSctpTransport(self.dtlsTransport)
            self._sctp.maxMessageSize = message_size(section.first("max-message-size"))
        elif self.negotiator.signaling_state is SignalingState.STABLE:
            self._sctp = None

    def addIceCandidate(
        self, candidate: RTCIceCandidate | Mapping[str, Any] | None = None
    ) -> Deferred[None]:
        """A trickled candidate; an empty line ends its generation's, None all (rule 55)."""
        try:
            line, mid, index, ufrag = _candidate_init(candidate)
        except TypeError:
            return fail()

        def begin() -> Deferred[None]:
            if not self.negotiator.wants_candidate(mid, index, ufrag):
                return succeed(None)
            return self._apply(
                lambda: self.negotiator.add_remote_candidate(line, mid, index, ufrag)
            )

        return self._operations.chain(begin)

    def restartIce(self) -> None:
        """Ask for new credentials in the next offer; never throws (rule 1)."""
        self.negotiator.restart_ice()

    # The configuration

    def getConfiguration(self) -> RTCConfiguration:
        """As it was set."""
        return self.configuration

    def setConfiguration(
        self, configuration: RTCConfiguration | Mapping[str, Any] | None = None
    ) -> None:
        """Servers and policy are in force from the next gathering, and the next offer restarts if
        there was one already; nothing is announced (rules 14 to 17). Raises W3C's errors.
        """
        self._check_open()
        old, new = self.configuration, RTCConfiguration.of(configuration)
        if self.environment.wall is not None:
            new.check_dates(self.environment.wall())
        old.check_change(new, described=self.localDescription is not None)
        self.configuration = evolve(new, certificates=old.certificates)
        if not old.gathers_as(new):
            if self.environment.configure is not None:
                self.environment.configure(new)
            self.negotiator.configuration_changed()

    def getStats(self, selector: object = None) -> Deferred[RTCStatsReport]:
        """What is known of transport, pairs, candidates and certificates, after close() too.

        InvalidAccessError for a *selector*: it would be a track of media, which is not ours.
        """
        if selector is not None:
            return fail(InvalidAccessError("a track that is none of this connection's"))
        settled: Deferred[RTCStatsReport] = Deferred()
        env = self.environment
        self._stats = self._stats or StatsCollector(self.iceTransport, self.dtlsTransport)
        wall = env.scheduler.now() if env.wall is None else env.wall().timestamp()
        report = self._stats.report(wall * 1000)
        env.queue_task(lambda: settled.callback(report))
        return settled

    # Makers of sections

    def addTransceiver(self, kind: str, *, direction: str = "sendrecv") -> RTCRtpTransceiver:
        """An audio or video section in the next offer; no media goes through it."""
        part = self.negotiator.add_transceiver(kind, read_direction(direction))
        return self._transceiver(part)

    def getTransceivers(self) -> list[RTCRtpTransceiver]:
        """In the order in which they were made; stopped ones are gone once that was agreed."""
        parts = self.negotiator.media.transceivers
        self._transceivers = {p: t for p, t in self._transceivers.items() if p in parts}
        return [self._transceiver(part) for part in parts]

    def _transceiver(self, part: Any) -> RTCRtpTransceiver:
        found = self._transceivers.get(part)
        if found is None:
            found = RTCRtpTransceiver(self.negotiator, part, self.dtlsTransport)
            self._transceivers[part] = found
        return found

    def createDataChannel(self, label: str, **attributes: Any) -> RTCDataChannel:
        """The first one makes a data section; see :mod:`refreeze.peer.datachannel`.

        OperationError when its id is another's.
        """
        self._check_open()
        channel = RTCDataChannel(label=label, **attributes)
        taken = {each.id for each in self._channels if each.readyState != "closed"}
        if channel.id is not None and channel.id in taken:
            raise OperationError(f"id: {channel.id} is another channel's")
        self.negotiator.want_data()
        self._channels.append(channel)
        return channel

    def _check_open(self) -> None:
        if self._operations.closed:
            raise InvalidStateError("the connection is closed")

    # The identity in DTLS

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
        """End everything at once; no event follows, and no call settles any more (rule 65)."""
        if self._operations.closed:
            return
        self._operations.close()
        self.negotiator.close()
        for part in self.negotiator.media.transceivers:
            part.stop()
        for channel in self._channels:
            channel.close()
        self._transports.close()
        if self._sctp is not None:
            self._sctp.state = "closed"
        self.iceConnectionState = self.connectionState = "closed"
        self.environment.closed()

    # What shows

    def _show_states(self) -> Callable[[], None]:
        """States follow those of the transports; their events come after the transports' (64)."""
        dtls = None if self.dtlsTransport is None else self.dtlsTransport.state
        ice = self.iceTransport.state
        before = self.iceConnectionState, self.connectionState
        self.iceConnectionState, self.connectionState = ice, connection_state(ice, dtls)
        after = self.iceConnectionState, self.connectionState

        def fire() -> None:
            if before[0] != after[0]:
                self._fire("iceconnectionstatechange")
            if before[1] != after[1]:
                self._fire("connectionstatechange")

        return fire

    def _fire(self, event: Event | str) -> None:
        if self._operations.closed:
            return
        if isinstance(event, str):
            self.dispatch(event)
        else:
            self.dispatchEvent(evolve(event, target=self))


def description_of(init: Description | Mapping[str, Any]) -> Description:
    """From W3C's dictionary; TypeError for a type that is none."""
    if isinstance(init, Description):
        return init
    if not isinstance(init, Mapping):
        raise TypeError("a description: a type and its sdp")
    try:
        kind = DescriptionType(str(init.get("type")))
    except ValueError:
        raise TypeError(f"type: not {init.get('type')!r}") from None
    sdp = init.get("sdp", "")
    if not isinstance(sdp, str):
        raise TypeError("sdp: text")
    return Description(kind, sdp)


def _implicit(init: Description | Mapping[str, Any] | None) -> Description | None:
    if init is None or (isinstance(init, Mapping) and init.get("type") is None):
        return None
    return description_of(init)


def _candidate_init(
    init: RTCIceCandidate | Mapping[str, Any] | None,
) -> tuple[str, str | None, int | None, str | None]:
    if init is None:
        return "", None, None, None
    if not isinstance(init, RTCIceCandidate | Mapping):
        raise TypeError("a candidate is a dictionary")
    members = init.toJSON() if isinstance(init, RTCIceCandidate) else init
    line, mid, index, ufrag = read_members(members)
    if line and mid is None and index is None:
        raise TypeError("a candidate needs sdpMid or sdpMLineIndex")
    return line, mid, index, ufrag
