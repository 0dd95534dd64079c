"""Peer connections for programs that are no daemon: composed here, so that nobody else has to."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from refreeze.config import DaemonSettings
from refreeze.ice import AgentSettings
from refreeze.net.gatherer import SessionGatherer
from refreeze.net.gathering import Gathering, GatherReceiver, GatherSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.net.udp import UdpPortFactory
from refreeze.peer import (
    DtlsContext,
    KeygenAlgorithm,
    PeerEnvironment,
    RTCCertificate,
    RTCConfiguration,
    RTCPeerConnection,
)
from refreeze.service.ground import Ground
from refreeze.service.process import Process


@define(eq=False, repr=False)
class PeerHost:
    """I make peer connections, each with sockets of its own; all of them share one timer.

    *hosts*: the local addresses to use; None: all but loopback. *process*: a fake network's, in
    tests. The reactor's clock should be monotonic: ``reactor.seconds = time.monotonic`` before it
    runs.
    """

    reactor: Any
    hosts: Sequence[str] | None = None
    process: Process | None = None
    _process: Process = field(init=False)
    _made: list[_Made] = field(factory=list, init=False)
    _identity: RTCCertificate | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._process = self.process or Process(
            reactor=self.reactor,
            random=random.SystemRandom(),
            ports=UdpPortFactory(self.reactor),
            wall=time.time,
        )

    def RTCPeerConnection(
        self, configuration: RTCConfiguration | Mapping[str, Any] | None = None
    ) -> RTCPeerConnection:
        """As W3C's constructor; its errors are raised. PoolError without any address."""
        wanted = RTCConfiguration.of(configuration)
        wanted.check_dates(self._now())
        certificate = next(iter(wanted.certificates), None) or self._certificate()
        made = _Made(self._process, self.hosts, wanted, self._made)
        context = DtlsContext(certificate)
        environment = PeerEnvironment(
            mux=made.ground.mux,
            scheduler=self._process.scheduler,
            random=self._process.random,
            bucket=made.ground.bucket,
            queue_task=self._process.queue_task,
            settings=made.settings.ice,
            certificate=certificate,
            gatherer=made,
            resolve_mdns=made.ground.resolve_mdns,
            dtls=lambda: context,
            wall=self._now,
            configure=made.configure,
            closed=made.close,
        )
        made.connection = RTCPeerConnection(environment, configuration=wanted)
        return made.connection

    def generateCertificate(self, keygenAlgorithm: KeygenAlgorithm) -> Deferred[RTCCertificate]:
        """For :attr:`RTCConfiguration.certificates`; valid from now on."""
        return RTCPeerConnection.generateCertificate(keygenAlgorithm, now=self._now())

    def close(self) -> Deferred[None]:
        """Every connection and socket; fires when servers were told, or after two seconds."""
        closing = gatherResults([each.close() for each in list(self._made)], consumeErrors=True)
        return closing.addCallback(self._closed)

    def _closed(self, _: object) -> None:
        self._process.scheduler.stop()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._process.wall(), UTC)

    def _certificate(self) -> RTCCertificate:
        """One for all that bring none: they are of one program."""
        now = self._now()
        if self._identity is None or self._identity.expires <= now:
            self._identity = RTCCertificate.generate(now)
        return self._identity


@define(eq=False, repr=False)
class _Made:
    """One connection's network floor."""

    process: Process
    hosts: Sequence[str] | None
    configuration: RTCConfiguration
    living: list[_Made]
    """Of the host: I am among them until my sockets are closed."""
    connection: RTCPeerConnection | None = field(default=None, init=False)
    settings: DaemonSettings = field(init=False)
    ground: Ground = field(init=False)
    gatherer: SessionGatherer = field(init=False)
    _closing: bool = field(default=False, init=False)
    _gone: Deferred[None] = field(factory=Deferred, init=False)

    def __attrs_post_init__(self) -> None:
        given = () if self.hosts is None else tuple(self.hosts)
        self.settings = DaemonSettings(
            name="peer",
            addresses=AddressSettings(addresses=given),
            ice=AgentSettings(allow_loopback=self.hosts is not None),
        )
        self.settings = self._following(self.configuration)
        self.ground = Ground(process=self.process, settings=lambda: self.settings)
        self.gatherer = self.ground.gatherer("peer", "peer")
        self.living.append(self)

    def _following(self, configuration: RTCConfiguration) -> DaemonSettings:
        servers = [s for each in configuration.iceServers for s in each.for_gathering()]
        return evolve(
            self.settings,
            servers={f"server-{number}": server for number, server in enumerate(servers)},
            gathering=GatherSettings(policy=configuration.iceTransportPolicy.value),
        )

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """Of the addresses that the machine has by now: what a restart is often there for."""
        ground, connection = self.ground, self.connection
        for base in ground.pool.set_hosts(ground.hosts()) + ground.pool.refresh_all():
            ground.base_gone(base)
            if connection is not None:
                connection.iceTransport.base_gone(base)
        ground.looked()
        return self.gatherer.gather(ufrag, receiver)

    def configure(self, configuration: RTCConfiguration) -> None:
        """In force from the next gathering (rule 14)."""
        self.settings = self._following(configuration)
        self.ground.reconfigure([self.gatherer])

    def close(self) -> Deferred[None]:
        """Connection, relays, and in a turn of their own the sockets: one may be being read."""
        if not self._closing:
            self._closing = True
            if self.connection is not None:
                self.connection.close()
            self.gatherer.close()
            stopped = self.ground.stop()
            stopped.addBoth(lambda _: deferLater(self.process.reactor, 0.0, self._release))
            stopped.chainDeferred(self._gone)
        waiting: Deferred[None] = Deferred()
        self._gone.addBoth(_pass_on, waiting)
        return waiting

    def _release(self) -> None:
        self.ground.close()
        self.living.remove(self)


def _pass_on(result: None, waiting: Deferred[None]) -> None:
    waiting.callback(result)
