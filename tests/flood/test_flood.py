"""20,000 bad packets a second beside 100 sessions: none of them goes to ``disconnected``."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import TestCase

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.net.gathering import HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.net.udp import UdpPortFactory
from refreeze.peer import PeerEnvironment, RTCCertificate, RTCPeerConnection
from refreeze.stun import RequestTemplate, short_term_key
from tests.peer.pair import GOOD

SESSIONS = 100
RATE = 20_000
SECONDS = 8.0
"""Longer than the longest time between two checks of a session (6 s)."""
SENDER = Path(__file__).with_name("sender.py")
LOOK = 0.05

reactor: Any = installed


@define(eq=False, repr=False)
class Half:
    """One end of all sessions. With *shared* they are to as many peers, and share one socket."""

    address: str
    shared: bool
    states: list[str] = field(factory=list)
    """Every state that any of them said."""
    received: int = 0
    connections: list[RTCPeerConnection] = field(factory=list)
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    scheduler: Scheduler = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(reactor)
        self.mux = Mux(self.scheduler.now)
        self.pool = SocketPool(UdpPortFactory(reactor), self.mux, [self.address])
        bucket, certificate = CheckBucket(), RTCCertificate.generate(datetime.now(UTC))
        for number in range(SESSIONS):
            lease = self.pool.lease(f"peer-{number}" if self.shared else "peer")
            environment = PeerEnvironment(
                mux=self.mux,
                scheduler=self.scheduler,
                random=random.SystemRandom(),
                bucket=bucket,
                as_service=True,
                queue_task=TaskQueue(reactor),
                settings=AgentSettings(allow_loopback=True),
                certificate=certificate,
                gatherer=HostGatherer(lambda lease=lease: lease.bases),  # type: ignore[misc]
            )
            made = RTCPeerConnection(environment)
            made.createDataChannel("datagrams")
            made.addEventListener("iceconnectionstatechange", self._state)
            made.iceTransport.datagrams.on_batch(self._data)
            self.connections.append(made)

    def _state(self, event: Any) -> None:
        self.states.append(event.target.iceConnectionState)

    def _data(self, payloads: Sequence[bytes]) -> None:
        self.received += len(payloads)

    def good(self) -> bool:
        """Whether all of them are connected by a nominated pair."""
        return all(
            each.iceConnectionState in GOOD and each.iceTransport.getSelectedCandidatePair()
            for each in self.connections
        )

    def send(self) -> int:
        """A packet on every session."""
        return sum(each.iceTransport.datagrams.send([b"\x80x"]) for each in self.connections)

    def close(self) -> None:
        """Everything of it is gone."""
        for connection in self.connections:
            connection.close()
        self.pool.close()
        self.scheduler.stop()


class FloodTests(TestCase):
    """The sender is a process of its own, on an address of its own or on the peers'."""

    timeout = 60

    def setUp(self) -> None:
        self.ours = Half("127.0.0.1", shared=True)
        self.theirs = Half("127.0.0.2", shared=False)
        for half in (self.ours, self.theirs):
            self.addCleanup(half.close)

    def until(self, predicate: Callable[[], object]) -> Deferred[None]:
        """Fires when that is true."""
        waiter: Deferred[None] = Deferred()

        def look() -> None:
            if predicate():
                waiter.callback(None)
            else:
                reactor.callLater(LOOK, look)

        look()
        return waiter

    async def connect(self) -> None:
        """All sessions, each by one exchange."""
        for one, other in zip(self.ours.connections, self.theirs.connections, strict=True):
            await one.setLocalDescription()
            await other.setRemoteDescription(one.localDescription)
            await other.setLocalDescription()
            await one.setRemoteDescription(other.localDescription)
        await self.until(lambda: self.ours.good() and self.theirs.good())

    def templates(self) -> list[str]:
        """A ufrag that nobody has, one that somebody has with a wrong password, and rubbish."""
        transport = self.ours.connections[0].iceTransport.transport
        assert transport.active is not None
        assert transport.active.agent.remote is not None
        known = f"{transport.active.ufrag}:{transport.active.agent.remote.ufrag}"
        made = []
        for username in ("nobody:knows", known):
            template = RequestTemplate(
                username=username,
                key=short_term_key("w" * 24),
                priority=1 << 30,
                controlling=False,
                tie_breaker=1 << 40,
            )
            made.append(template.encode(bytes(12)))
        made.append(made[0][:22] + b"\xff\xff" + made[0][24:])
        return [each.hex() for each in made]

    async def flood(self, source: str) -> int:
        """Play it to the end; how many packets were sent."""
        host, port = next(iter(self.ours.mux.ports))
        arguments = [str(SENDER), str(SECONDS), str(RATE), host, str(port), source]
        output = await getProcessOutput(sys.executable, [*arguments, *self.templates()])
        return int(output.split()[0])

    async def story(self, source: str) -> None:
        await self.connect()
        for half in (self.ours, self.theirs):
            half.states.clear()
        before = self.ours.mux.counters.received
        checks = [self.answered(each) for each in self.ours.connections]
        sent = await self.flood(source)
        self.assertEqual(sent, RATE * SECONDS)
        counters = self.ours.mux.counters
        self.assertGreater(counters.received - before, sent / 4)
        self.assertGreater(counters.unknown_ufrag + counters.malformed, 0)
        self.assertGreater(counters.unauthenticated, 0)
        self.assertGreater(counters.flooded, sent / 8)
        self.assertEqual((self.ours.states, self.theirs.states), ([], []))
        for connection, check in zip(self.ours.connections, checks, strict=True):
            self.assertGreater(self.answered(connection), check)
        self.assertEqual(self.theirs.send(), SESSIONS)
        await self.until(lambda: self.ours.received == SESSIONS)

    def answered(self, connection: RTCPeerConnection) -> int:
        """Checks of the selected pair that were answered."""
        pair = connection.iceTransport.transport.route
        assert pair is not None
        return pair.counters.responses_received

    def test_from_one_stranger_it_starves_no_session(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.story("127.0.0.3"))

    def test_from_the_peers_own_address_it_starves_none_either(self) -> Deferred[None]:
        """Who owns a 5-tuple is read although others of its address misbehave."""
        return Deferred.fromCoroutine(self.story("127.0.0.2"))
