"""Packets through forwarders around two of aiortc's DTLS transports; run by a Python that has it.

    python aiortc_path.py PACKETS LENGTH

Its RTCDtlsTransport has no door for data: what carries its data channels is used as they use it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aioice.ice
from aiortc import RTCPeerConnection
from traffic import HERE, Program, drive


class Listen(asyncio.DatagramProtocol):
    """Takes what the program sends."""

    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self.queue = queue

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.queue.put_nowait(data)


class Deliver:
    """Stands where aiortc's SCTP transport stands."""

    def __init__(self, transport: asyncio.DatagramTransport, place: tuple[str, int]) -> None:
        self.transport, self.place = transport, place

    async def _handle_data(self, data: bytes) -> None:
        self.transport.sendto(data, self.place)


async def main(total: int, length: int) -> dict[str, float]:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [HERE]
    one, two = RTCPeerConnection(), RTCPeerConnection()
    one.createDataChannel("lab")
    await one.setLocalDescription(await one.createOffer())
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription(await two.createAnswer())
    await one.setRemoteDescription(two.localDescription)
    while "connected" not in one.connectionState or "connected" not in two.connectionState:
        await asyncio.sleep(0.01)
    program, loop = Program(length), asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    listen, _ = await loop.create_datagram_endpoint(lambda: Listen(queue), local_addr=(HERE, 0))
    out, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HERE, 0))
    sending, receiving = one.sctp.transport, two.sctp.transport
    receiving._data_receiver = Deliver(out, program.place)

    async def send() -> None:
        while True:
            await sending._send_data(await queue.get())

    task = asyncio.create_task(send())
    target = listen.get_extra_info("sockname")
    figures = await drive(target, program, total, lambda: asyncio.sleep(0))
    task.cancel()
    return figures


print(json.dumps(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))))
