"""aiortc behind one UNIX socket: run by the Python of a venv that has it, with the path."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiortc
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp


async def serve(path: str) -> None:
    """One client, to its end."""
    ended = asyncio.Event()
    connection = RTCPeerConnection()

    async def described(description: RTCSessionDescription) -> dict[str, Any]:
        await connection.setLocalDescription(description)
        return {"sdp": connection.localDescription.sdp}

    async def do(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal connection
        sdp = request.get("sdp", "")
        match request["do"]:
            case "offer":
                if connection.sctp is None:
                    connection.createDataChannel("lab")
                return await described(await connection.createOffer())
            case "answer":
                await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                return await described(await connection.createAnswer())
            case "answered":
                await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            case "candidate":
                line = request["candidate"].removeprefix("candidate:")
                candidate = candidate_from_sdp(line) if line else None
                if candidate is not None:
                    candidate.sdpMid = request["mid"]
                await connection.addIceCandidate(candidate)
            case "media":
                connection.addTransceiver("audio")
                connection.addTransceiver("video")
            case "again":
                await connection.close()
                connection = RTCPeerConnection()
            case "version":
                return {"version": aiortc.__version__}
            case "state":
                return {"state": connection.connectionState}
            case "close":
                await connection.close()
        return {}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = await do(json.loads(line))
            except Exception as error:
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        ended.set()

    server = await asyncio.start_unix_server(client, path, limit=1 << 20)
    await ended.wait()
    server.close()


asyncio.run(serve(sys.argv[1]))
