"""aiortc, which has no restart and gathers before it describes: by the Python of a venv with it."""

from __future__ import annotations

import asyncio
import json
import sys

from aiortc import RTCPeerConnection

told: dict[str, str] = {}


async def exchange(offerer: RTCPeerConnection, answerer: RTCPeerConnection, name: str) -> str:
    """The answer."""
    await offerer.setLocalDescription(await offerer.createOffer())
    told[name] = offerer.localDescription.sdp
    await answerer.setRemoteDescription(offerer.localDescription)
    await answerer.setLocalDescription(await answerer.createAnswer())
    await offerer.setRemoteDescription(answerer.localDescription)
    return str(answerer.localDescription.sdp)


async def main() -> None:
    """All of them."""
    pairs = [(RTCPeerConnection(), RTCPeerConnection()) for _ in range(3)]
    one, other = pairs[0]
    one.createDataChannel("lab")
    told["answer"] = await exchange(one, other, "data")

    one, other = pairs[1]
    one.addTransceiver("audio")
    video = one.addTransceiver("video")
    one.createDataChannel("lab")
    told["media_answer"] = await exchange(one, other, "media")
    video.direction = "inactive"
    await exchange(one, other, "inactive")

    one, _ = pairs[2]
    one.addTransceiver("audio", direction="recvonly")
    one.addTransceiver("video", direction="recvonly")
    await one.setLocalDescription(await one.createOffer())
    told["recvonly"] = one.localDescription.sdp
    for pair in pairs:
        for each in pair:
            await each.close()


asyncio.run(main())
json.dump(told, sys.stdout)
