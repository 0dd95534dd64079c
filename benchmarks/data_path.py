"""1200-byte packets through a forwarder at each end of a path: refreeze, stock Twisted, aioice.

    python benchmarks/data_path.py [PACKETS]

All in one process: a program sends to the first forwarder, that over the path to the second,
that to a program that counts; three sends and three receptions a packet. refreeze's path is an
ICE pair with liveness; stock Twisted's forwarders are a DatagramProtocol each, without any ICE;
aioice's are asyncio datagram endpoints around a Connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aioice.ice
from common import LOOPBACK, Figures, Host, Row, run
from connect import prepared
from forwarders import forwarded
from traffic import Program, drive

SIZE = 1200


async def refreeze(size: int) -> Figures:
    return await forwarded(size, SIZE)


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

    program = Program(SIZE)
    second = reactor.listenUDP(0, Relay(program.place), interface=LOOPBACK)
    first = reactor.listenUDP(0, Relay((LOOPBACK, second.getHost().port)), interface=LOOPBACK)
    host = Host()
    return await drive((LOOPBACK, first.getHost().port), program, size, host.turn)


async def aioice_forwarders(size: int) -> Figures:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]
    pair = await prepared()
    await asyncio.gather(*(each.connect() for each in pair))
    program, loop = Program(SIZE), asyncio.get_running_loop()

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
