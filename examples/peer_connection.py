"""Two peer connections on loopback: an exchange, protected data, a restart; for library users."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.jsep import JsepError
from refreeze.net.gathering import HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.net.udp import UdpPortFactory
from refreeze.peer import (
    DtlsContext,
    Event,
    PeerEnvironment,
    RTCCertificate,
    RTCIceCandidate,
    RTCPeerConnection,
)


def connection(reactor: Any, scheduler: Scheduler) -> RTCPeerConnection:
    """One end: a mux over a pool of sockets, and the connection on top."""
    mux = Mux(scheduler.now)
    pool = SocketPool(UdpPortFactory(reactor), mux, ["127.0.0.1"])
    lease = pool.lease("peer")
    identity = DtlsContext(RTCCertificate.generate(datetime.now(UTC)))
    environment = PeerEnvironment(
        mux=mux,
        scheduler=scheduler,
        random=random.SystemRandom(),
        bucket=CheckBucket(),
        queue_task=TaskQueue(reactor),
        settings=AgentSettings(allow_loopback=True),
        certificate=identity.certificate,
        gatherer=HostGatherer(lambda: lease.bases),
        dtls=lambda: identity,
    )
    made = RTCPeerConnection(environment)
    made.createDataChannel("datagrams")
    return made


def trickle(other: RTCPeerConnection, event: Event) -> None:
    """A candidate travels to the other side; in real life, over your signaling."""
    assert isinstance(event.candidate, RTCIceCandidate | None)
    other.addIceCandidate(event.candidate).addErrback(lambda failure: failure.trap(JsepError))


async def exchange(one: RTCPeerConnection, other: RTCPeerConnection, *, restart: bool) -> None:
    """Offer and answer; in real life they travel over your signaling."""
    await one.setLocalDescription(await one.createOffer(iceRestart=restart))
    assert one.localDescription is not None
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription()
    assert other.localDescription is not None
    await one.setRemoteDescription(other.localDescription)


async def main(reactor: Any) -> None:
    """Connect, talk, restart, talk."""
    reactor.seconds = time.monotonic
    scheduler = Scheduler(reactor)
    alice, bob = connection(reactor, scheduler), connection(reactor, scheduler)
    for one, other in ((alice, bob), (bob, alice)):
        one.onicecandidate = partial(trickle, other)
    heard: list[bytes] = []

    def hear(payloads: Sequence[bytes]) -> None:
        heard.extend(payloads)

    assert alice.dtlsTransport is not None
    assert bob.dtlsTransport is not None
    bob.dtlsTransport.on_batch(hear)
    for restart in (False, True):
        await exchange(alice, bob, restart=restart)
        while alice.iceTransport.transport.pending or alice.connectionState != "connected":
            await task.deferLater(reactor, 0.01)
        pair = alice.iceTransport.getSelectedCandidatePair()
        assert pair is not None
        alice.dtlsTransport.send([b"hello over " + str(pair.remote.address).encode()])
        while len(heard) <= restart:
            await task.deferLater(reactor, 0.01)
        print(alice.connectionState, heard[-1].decode())
    alice.close()
    bob.close()
    scheduler.stop()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
