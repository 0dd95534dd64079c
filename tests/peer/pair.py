"""Two peer connections over the fake network in virtual time, as a library user composes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.ice.generation import TransportEvent
from refreeze.jsep import Description, DescriptionType
from refreeze.net.gathering import Gatherer, HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.peer import (
    DatagramDoor,
    DtlsContext,
    Event,
    PeerEnvironment,
    RTCCertificate,
    RTCPeerConnection,
)
from refreeze.peer.named import ResolveName
from refreeze.testing import FakeHost, FakeNetwork, SeededRandom, VirtualReactor

GOOD = ("connected", "completed")
ROLLBACK = Description(DescriptionType.ROLLBACK)


@define(eq=False, repr=False)
class Side:
    """One host with one connection; everything it fires is written down."""

    reactor: VirtualReactor
    host: FakeHost
    seed: int
    received: list[bytes] = field(factory=list)
    fired: list[str] = field(factory=list)
    told: list[TransportEvent] = field(factory=list)
    resolve_mdns: ResolveName | None = None
    gatherer: Gatherer | None = None
    protect: bool = False
    as_service: bool = True
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    scheduler: Scheduler = field(init=False)
    connection: RTCPeerConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        scheduler = self.scheduler = Scheduler(self.reactor)
        self.mux = Mux(scheduler.now)
        self.pool = SocketPool(self.host.factory, self.mux, list(self.host.interfaces))
        lease = self.pool.lease("peer")
        certificate = RTCCertificate.generate(datetime(2026, 1, 1, tzinfo=UTC))
        context = DtlsContext(certificate) if self.protect else None
        environment = PeerEnvironment(
            mux=self.mux,
            scheduler=scheduler,
            random=SeededRandom(f"{self.seed}/{self.host.name}"),
            bucket=CheckBucket(),
            queue_task=self.queue_task,
            settings=AgentSettings(),
            certificate=certificate,
            gatherer=self.gatherer or HostGatherer(lambda: lease.bases),
            resolve_mdns=self.resolve_mdns,
            dtls=None if context is None else lambda: context,
            as_service=self.as_service,
        )
        self.connection = RTCPeerConnection(environment, self.told.append)
        self.connection.createDataChannel("data")
        self.door.on_batch(self._data)
        for kind in (
            "negotiationneeded",
            "signalingstatechange",
            "iceconnectionstatechange",
            "icegatheringstatechange",
        ):
            self.connection.addEventListener(kind, self._fired)

    def queue_task(self, task: Any) -> None:
        """In a turn of its own."""
        self.reactor.callLater(0, task)

    def _data(self, payloads: Sequence[bytes]) -> None:
        self.received += payloads

    def _fired(self, event: Event) -> None:
        self.fired.append(event.type)

    @property
    def state(self) -> str:
        """iceConnectionState."""
        return self.connection.iceConnectionState

    @property
    def transport(self) -> Any:
        """The generations."""
        return self.connection.iceTransport.transport

    @property
    def door(self) -> DatagramDoor:
        """Where data leaves and enters."""
        return self.connection.dtlsTransport or self.connection.iceTransport.datagrams

    def send(self, *payloads: bytes) -> int:
        """Over the selected pair."""
        return self.door.send(payloads)


@define(eq=False, repr=False)
class Two:
    """Alice and bob, and what they say to each other."""

    seed: int = 1
    resolve_mdns: ResolveName | None = None
    gatherer: Gatherer | None = None
    """Alice's; None: of her host candidates alone."""
    protect: bool = False
    """Whether payload goes through DTLS."""
    as_service: bool = True
    reactor: VirtualReactor = field(factory=VirtualReactor)
    network: FakeNetwork = field(init=False)
    alice: Side = field(init=False)
    bob: Side = field(init=False)

    def __attrs_post_init__(self) -> None:
        network = self.network = FakeNetwork(self.reactor, self.seed)
        hosts = [
            network.host("alice", ["192.0.2.1", "198.51.100.1"]),
            network.host("bob", ["192.0.2.2", "198.51.100.2"]),
        ]
        self.alice, self.bob = (
            Side(
                self.reactor,
                host,
                self.seed,
                resolve_mdns=self.resolve_mdns,
                gatherer=self.gatherer if host.name == "alice" else None,
                protect=self.protect,
                as_service=self.as_service,
            )
            for host in hosts
        )

    def now(self, deferred: Any) -> Any:
        """What it comes to in the tasks that are due; its error is raised."""
        self.reactor.advance(0)
        return now(deferred)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.reactor.advance(seconds)

    def offer(self, one: Side, *, restart: bool = False) -> Description:
        """Create and apply an offer."""
        offer = self.now(one.connection.createOffer(iceRestart=restart))
        self.now(one.connection.setLocalDescription(offer))
        assert one.connection.localDescription is not None
        return one.connection.localDescription

    def answer(self, other: Side, offer: Description) -> Description:
        """Apply an offer, and answer it."""
        self.now(other.connection.setRemoteDescription(offer))
        self.now(other.connection.setLocalDescription())
        assert other.connection.localDescription is not None
        return other.connection.localDescription

    def exchange(self, one: Side, other: Side, *, restart: bool = False) -> None:
        """A whole round, and the time to connect."""
        answer = self.answer(other, self.offer(one, restart=restart))
        self.now(one.connection.setRemoteDescription(answer))
        self.advance(2.0)

    def close(self) -> None:
        """Everything ends; nothing may be left behind."""
        for side in (self.alice, self.bob):
            side.connection.close()
            side.pool.close()
            side.scheduler.stop()


def now(deferred: Any) -> Any:
    """The result of what has to be there at once; its error is raised."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result
