"""Our side as a user of the library would build it: real sockets, one peer connection."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

from attrs import define, field, frozen
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.ice.generation import TransportEvent
from refreeze.jsep import Description, DescriptionType
from refreeze.net.faults import FaultyPortFactory
from refreeze.net.gathering import HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.net.udp import UdpPortFactory
from refreeze.peer import (
    DatagramDoor,
    DtlsContext,
    DtlsEvent,
    Event,
    PeerEnvironment,
    RTCCertificate,
    RTCIceCandidate,
    RTCPeerConnection,
)
from tests.virtualtime import true_openssl_time

GOOD = ("connected", "completed")
LOOK = 0.05
"""Seconds between two looks at what makes no event (a counter)."""

reactor: Any = installed

_FINGERPRINT = ":".join(["5A"] * 32)


@frozen
class Credentials:
    """What an ICE agent without SDP has to say of one generation."""

    ufrag: str
    pwd: str
    candidates: Sequence[str] = ()
    complete: bool = True

    def sdp(self, setup: str) -> str:
        """As a description that a peer connection takes."""
        lines = [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.pwd}",
            "a=ice-options:trickle",
            f"a=fingerprint:sha-256 {_FINGERPRINT}",
            f"a=setup:{setup}",
            "a=sctp-port:5000",
            *(f"a=candidate:{line}" for line in self.candidates),
        ]
        if self.complete:
            lines.append("a=end-of-candidates")
        return "\r\n".join(lines) + "\r\n"


@define(eq=False, repr=False)
class Ours:
    """One RTCPeerConnection on real sockets; everything that happens can be waited for."""

    hosts: Sequence[str] = ("127.0.0.1",)
    protect: bool = False
    """Whether payload goes through DTLS."""
    takes_media: bool = False
    """As the library has it for a program; else it is as a daemon has it."""
    told: list[DtlsEvent] = field(factory=list, init=False)
    faults: FaultyPortFactory = field(init=False)
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    connection: RTCPeerConnection = field(init=False)
    received: list[bytes] = field(factory=list)
    candidates: list[RTCIceCandidate] = field(factory=list)
    states: list[str] = field(factory=list)
    happened: list[TransportEvent] = field(factory=list)
    _waiting: list[tuple[Callable[[], object], Deferred[None]]] = field(factory=list)
    _looking: Any = None
    _scheduler: Scheduler = field(init=False)

    def __attrs_post_init__(self) -> None:
        true_openssl_time()
        scheduler = self._scheduler = Scheduler(reactor)
        self.faults = FaultyPortFactory(UdpPortFactory(reactor), scheduler.now)
        self.mux = Mux(scheduler.now)
        self.pool = SocketPool(self.faults, self.mux, self.hosts)
        lease = self.pool.lease("peer")
        context = DtlsContext(RTCCertificate.generate(datetime.now(UTC)))
        environment = PeerEnvironment(
            mux=self.mux,
            scheduler=scheduler,
            random=random.SystemRandom(),
            bucket=CheckBucket(),
            as_service=not self.takes_media,
            queue_task=TaskQueue(reactor),
            settings=AgentSettings(allow_loopback=True),
            certificate=context.certificate,
            gatherer=HostGatherer(lambda: lease.bases),
            dtls=(lambda: context) if self.protect else None,
        )
        self.connection = RTCPeerConnection(environment, self._event)
        self.connection.createDataChannel("datagrams")
        self.door.on_batch(self._data)
        self.connection.dtls_watcher = self._dtls_event
        self.connection.addEventListener("icecandidate", self._candidate)
        self.connection.addEventListener("iceconnectionstatechange", self._state)

    def close(self) -> None:
        """Everything of it is gone."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self.connection.close()
        self.pool.close()
        self._scheduler.stop()

    @property
    def door(self) -> DatagramDoor:
        """Where data leaves and enters."""
        return self.connection.dtlsTransport or self.connection.iceTransport.datagrams

    # Waiting

    def until(self, predicate: Callable[[], object]) -> Deferred[None]:
        """Fires when that is true; it is asked after every event, and now and then."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((predicate, waiter))
        self._ask()
        self._look_later()
        return waiter

    def _look(self) -> None:
        self._looking = None
        self._ask()
        self._look_later()

    def _look_later(self) -> None:
        if self._waiting and self._looking is None:
            self._looking = reactor.callLater(LOOK, self._look)

    def connected(self) -> Deferred[None]:
        """Until the state is good and no generation is pending."""
        transport = self.connection.iceTransport.transport
        return self.until(lambda: self.state in GOOD and transport.pending is None)

    @property
    def state(self) -> str:
        """iceConnectionState."""
        return self.connection.iceConnectionState

    @property
    def route(self) -> Any:
        """The pair that carries data."""
        return self.connection.iceTransport.transport.route

    def _ask(self) -> None:
        for item in list(self._waiting):
            predicate, waiter = item
            if predicate():
                self._waiting.remove(item)
                waiter.callback(None)

    def _event(self, event: TransportEvent) -> None:
        self.happened.append(event)
        reactor.callLater(0, self._ask)

    def _dtls_event(self, event: DtlsEvent) -> None:
        self.told.append(event)
        reactor.callLater(0, self._ask)

    def _data(self, payloads: Sequence[bytes]) -> None:
        self.received += payloads
        self._ask()

    def _candidate(self, event: Event) -> None:
        if isinstance(event.candidate, RTCIceCandidate):
            self.candidates.append(event.candidate)
        self._ask()

    def _state(self, _event: Event) -> None:
        self.states.append(self.state)
        self._ask()

    # Faults

    def cut(self) -> None:
        """Drop everything that comes and goes, until :meth:`mend`."""
        for base in self.mux.ports:
            assert self.faults.drop(base, None, inf)

    def mend(self) -> None:
        """Everything gets through again."""
        self.faults.clear()

    # Data

    async def echo(self, data: bytes) -> None:
        """Send, and wait until the peer sent it back."""
        self.received.clear()
        assert self.door.send([data]) == 1
        await self.until(lambda: data in self.received)

    # Descriptions

    async def offer(self, *, restart: bool = False) -> str:
        """Create and apply an offer; its SDP has all candidates."""
        connection = self.connection
        offer = await connection.createOffer(iceRestart=restart)
        await connection.setLocalDescription(offer)
        return await self._described()

    async def answered(self, sdp: str) -> None:
        """Apply the peer's answer."""
        await self.connection.setRemoteDescription(Description(DescriptionType.ANSWER, sdp))

    async def answer(self, sdp: str) -> str:
        """Apply the peer's offer, and answer it."""
        connection = self.connection
        await connection.setRemoteDescription(Description(DescriptionType.OFFER, sdp))
        await connection.setLocalDescription()
        return await self._described()

    async def _described(self) -> str:
        """Our description, when all its candidates are in it."""

        def text() -> str:
            description = self.connection.localDescription
            return "" if description is None else description.sdp

        await self.until(lambda: "a=end-of-candidates" in text())
        return text()


def local(sdp: str) -> Credentials:
    """What our own description says of ICE."""
    found: dict[str, str] = {}
    candidates = []
    for line in sdp.splitlines():
        name, _, value = line.removeprefix("a=").partition(":")
        if name == "candidate":
            candidates.append(value)
        else:
            found[name] = value
    return Credentials(found["ice-ufrag"], found["ice-pwd"], candidates)
