"""1200-byte packets through a forwarder at each end of a path: refreeze, stock Twisted, aioice.

    python benchmarks/data_path.py [PACKETS]

All in one process: a program sends to the first forwarder, that over the path to the second,
that to a program that counts; three sends and three receptions a packet. refreeze's path is an
ICE pair with liveness; stock Twisted's forwarders are a DatagramProtocol each, without any ICE;
aioice's are asyncio datagram endpoints around a Connection.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import aioice.ice
from common import LOOPBACK, Figures, Host, Row, Span, nominated, run
from connect import answered, offered, prepared

from refreeze.net.udp import UdpPortFactory
from refreeze.peer import RawProtect
from refreeze.sessions.forward import Forward, ForwardSettings

SIZE = 1200
WINDOW = 32
"""Packets under way at a time: what no socket's buffer overflows with."""


class Program:
    """Sends to one forwarder and counts what the other delivers; plain sockets."""

    def __init__(self) -> None:
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for each in (self.out, self.into):
            each.bind((LOOPBACK, 0))
            each.setblocking(False)
        self.place: tuple[str, int] = self.into.getsockname()
        self.sent = self.got = 0
        self.heard_at = time.monotonic()

    def work(self, target: tuple[str, int], total: int) -> bool:
        """Receive what there is, send what the window lets; False when all came, or is lost."""
        buffer = bytearray(2048)
        try:
            while True:
                self.into.recv_into(buffer)
                self.got += 1
                self.heard_at = time.monotonic()
        except BlockingIOError:
            pass
        while self.sent < total and self.sent - self.got < WINDOW:
            self.out.sendto(b"\x80" + bytes(SIZE - 1), target)
            self.sent += 1
        if self.got < self.sent and time.monotonic() - self.heard_at > 1.0:
            raise RuntimeError(f"{self.sent - self.got} packets were lost")
        return self.got < total


async def drive(target: tuple[str, int], program: Program, size: int, turn: Any) -> Figures:
    """Send *size* packets; microseconds of CPU a packet, and the time of a thousand."""
    span = Span()
    program.heard_at = time.monotonic()
    while program.work(target, size):
        await turn()
    wall, cpu = span.stop()
    return {"cpu": cpu / size * 1e6, "wall": wall / size * 1e6}


async def refreeze(size: int) -> Figures:
    from twisted.internet import reactor  # noqa: PLC0415

    alice, bob = Host(), Host()
    pair = alice.connection("bob"), bob.connection("alice")
    await offered(*pair)
    await answered(*pair)
    while not all(map(nominated, pair)):
        await alice.turn()
    program = Program()
    factory: Any = UdpPortFactory(reactor)  # type: ignore[arg-type]
    forwards = []
    for connection, deliver in zip(pair, (None, "{}:{}".format(*program.place)), strict=True):
        protect = RawProtect(connection.iceTransport.datagrams)
        settings = ForwardSettings(listen=f"{LOOPBACK}:0", deliver=deliver)
        forward = Forward(settings, factory, protect.send, alice.scheduler.now)
        protect.on_batch(forward.deliver_from_path)
        forward.start()
        forwards.append(forward)
    host, _, port = forwards[0].listen_address.rpartition(":")
    return await drive((host, int(port)), program, size, alice.turn)


async def twisted(size: int) -> Figures:
    from twisted.internet import reactor as installed  # noqa: PLC0415
    from twisted.internet.protocol import DatagramProtocol  # noqa: PLC0415

    reactor: Any = installed

    class Relay(DatagramProtocol):
        noisy = False

        def __init__(self, target: tuple[str, int]) -> None:
            self.target = target

        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.transport.write(datagram, self.target)  # type: ignore[union-attr]

    program = Program()
    second = reactor.listenUDP(0, Relay(program.place), interface=LOOPBACK)
    first = reactor.listenUDP(0, Relay((LOOPBACK, second.getHost().port)), interface=LOOPBACK)
    host = Host()
    return await drive((LOOPBACK, first.getHost().port), program, size, host.turn)


async def aioice_forwarders(size: int) -> Figures:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]
    pair = await prepared()
    await asyncio.gather(*(each.connect() for each in pair))
    program, loop = Program(), asyncio.get_running_loop()

    class Listen(asyncio.DatagramProtocol):
        def __init__(self, forward: Callable[[bytes], Any] | None) -> None:
            self.forward = forward

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if self.forward is not None:
                self.forward(data)

    queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def send() -> None:
        while True:
            await pair[0].send(await queue.get())

    async def deliver(out: asyncio.DatagramTransport) -> None:
        while True:
            out.sendto(await pair[1].recv(), program.place)

    listen, _ = await loop.create_datagram_endpoint(
        lambda: Listen(queue.put_nowait), local_addr=(LOOPBACK, 0)
    )
    out, _ = await loop.create_datagram_endpoint(lambda: Listen(None), local_addr=(LOOPBACK, 0))
    tasks = [asyncio.create_task(send()), asyncio.create_task(deliver(out))]
    target = listen.get_extra_info("sockname")
    figures = await drive(target, program, size, lambda: asyncio.sleep(0))
    for task in tasks:
        task.cancel()
    for each in pair:
        await each.close()
    return figures


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze, "twisted": twisted, "aioice": aioice_forwarders},
        50_000,
        [Row("CPU us a packet", "cpu"), Row("wall us a packet", "wall")],
        title="1200-byte packets, both forwarders and the programs in one process",
    )
