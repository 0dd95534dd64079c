"""What all benchmarks share: each contender in a process of its own, and one table of ratios.

A contender is an async function that gets its size and returns figures by name. Those of
refreeze run on Twisted's reactor, aioice's on asyncio. Every one runs in a fresh child of this
run, several times in turns, and the best figure counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from refreeze.ice import AgentSettings, CheckBucket
from refreeze.net.gathering import HostGatherer
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.net.udp import UdpPortFactory
from refreeze.peer import DtlsContext, PeerEnvironment, RTCCertificate, RTCPeerConnection

LOOPBACK = "127.0.0.1"

Figures = dict[str, float]
Contender = Callable[[int], Awaitable[Figures]]


@frozen
class Row:
    """One line of the table; *key* names the figure. *budget*: not more than that."""

    what: str
    key: str
    budget: float | None = None


def run(
    script: str,
    contenders: dict[str, Contender],
    size: int,
    rows: Sequence[Row],
    *,
    title: str,
    repeats: int = 3,
) -> None:
    """The main program of every benchmark; as a child it plays one contender and prints JSON."""
    if len(sys.argv) > 2 and sys.argv[1] == "--child":
        name, size = sys.argv[2], int(sys.argv[3])
        play = _on_asyncio if name == "aioice" else _on_twisted
        play(contenders[name], size)
        return
    if len(sys.argv) > 1:
        size = int(sys.argv[1])
        repeats = 1 if len(sys.argv) > 2 else repeats
    best: dict[str, Figures] = {name: {} for name in contenders}
    for _ in range(repeats):
        for name, found in best.items():
            for key, value in _child(script, name, size).items():
                found[key] = min(value, found.get(key, value))
    _show(title, rows, best)


def _child(script: str, name: str, size: int) -> Figures:
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here.parent / "src"), str(here), os.environ.get("PYTHONPATH", "")])
    output = subprocess.run(
        [sys.executable, script, "--child", name, str(size)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    ).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


def _show(title: str, rows: Sequence[Row], best: dict[str, Figures]) -> None:
    names = list(best)
    print(title)
    head = "".join(f"{name:>12}" for name in names)
    print(f"{'':<44}{head}{'ratio':>9}{'budget':>9}")
    for row in rows:
        line = f"{row.what:<44}"
        line += "".join(_cell(best[name].get(row.key)) for name in names)
        ours, theirs = best[names[0]].get(row.key), best[names[-1]].get(row.key)
        comparable = ours and theirs and len(names) > 1
        line += f"{theirs / ours:>8.1f}x" if comparable and ours and theirs else " " * 9
        if row.budget is not None and ours is not None:
            line += f"{row.budget:>9g}  {'met' if ours <= row.budget else 'MISSED'}"
        print(line.rstrip())


def _cell(value: float | None) -> str:
    return (
        f"{'-':>12}" if value is None else f"{value:>12.3g}" if value < 100 else f"{value:>12.0f}"
    )


def _on_asyncio(contender: Contender, size: int) -> None:
    print(json.dumps(asyncio.run(_awaited(contender, size))))


def _on_twisted(contender: Contender, size: int) -> None:
    from twisted.internet import reactor as installed  # noqa: PLC0415  # only in this kind of child
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    reactor: Any = installed
    reactor.seconds = time.monotonic

    def done(result: Any) -> None:
        if isinstance(result, dict):
            print(json.dumps(result))
        else:
            result.printTraceback(sys.stderr)
        reactor.stop()

    def begin() -> None:
        Deferred.fromCoroutine(_awaited(contender, size)).addBoth(done)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)


async def _awaited(contender: Contender, size: int) -> Figures:
    return await contender(size)


# Measuring


@define
class Span:
    """Wall and CPU seconds since it was made."""

    wall: float = field(factory=time.perf_counter)
    cpu: float = field(factory=time.process_time)

    def stop(self) -> tuple[float, float]:
        """Seconds of the wall clock, and of this process's CPU."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def resident() -> float:
    """KiB of memory that this process has ever used at once."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


# refreeze, as a user of the library composes it


@define(eq=False, repr=False)
class Host:
    """Everything of one machine: a mux, a pool of sockets, a scheduler, and connections."""

    address: str = LOOPBACK
    dtls: bool = False
    """Whether payload goes through DTLS."""
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    scheduler: Scheduler = field(init=False)
    _bucket: CheckBucket = field(factory=CheckBucket, init=False)
    _context: DtlsContext = field(init=False)
    _reactor: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415  # not in children of asyncio

        self._reactor = reactor
        self.scheduler = Scheduler(self._reactor)
        self.mux = Mux(self.scheduler.now)
        self.pool = SocketPool(UdpPortFactory(self._reactor), self.mux, [self.address])
        self._context = DtlsContext(RTCCertificate.generate(datetime.now(UTC)))

    def connection(self, peer: str) -> RTCPeerConnection:
        """One more; the k-th to a peer has the k-th socket."""
        lease = self.pool.lease(peer)
        environment = PeerEnvironment(
            mux=self.mux,
            scheduler=self.scheduler,
            random=random.SystemRandom(),
            bucket=self._bucket,
            as_service=True,
            queue_task=TaskQueue(self._reactor),
            settings=AgentSettings(allow_loopback=True),
            certificate=self._context.certificate,
            gatherer=HostGatherer(lambda: lease.bases),
            dtls=(lambda: self._context) if self.dtls else None,
        )
        made = RTCPeerConnection(environment)
        made.createDataChannel("datagrams")
        return made

    def turn(self, seconds: float = 0.0) -> Any:
        """Let the reactor work."""
        from twisted.internet.task import deferLater  # noqa: PLC0415

        return deferLater(self._reactor, seconds)


def nominated(connection: RTCPeerConnection) -> bool:
    """Whether a nominated pair carries its data, and no other generation is on its way."""
    transport = connection.iceTransport.transport
    active = transport.active
    return transport.pending is None and active is not None and active.agent.selected is not None
