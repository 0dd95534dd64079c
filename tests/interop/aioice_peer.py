"""aioice as a peer: one JSON command a line on stdin, answers and events on stdout.

``{"id": 1, "do": "open", "c": "x", "controlling": true, "hosts": ["127.0.0.1"]}`` answers with
``{"id": 1, "ufrag": ..., "pwd": ..., "candidates": [...]}``. Events carry ``event``. Every
connection is named by ``c`` and echoes the data that it gets.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import aioice
import aioice.ice

Command = dict[str, Any]

connections: dict[str, aioice.Connection] = {}
tasks: set[asyncio.Task[None]] = set()


def say(**message: Any) -> None:
    """One line; aioice's own output goes nowhere."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def spawn(work: Any) -> None:
    """Keep a task until it is over."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def open_connection(c: str, command: Command) -> Command:
    """A new connection that knows no more addresses than it is told."""
    hosts: list[str] = command["hosts"]
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: hosts
    made = connections[c] = aioice.Connection(ice_controlling=command["controlling"])
    await made.gather_candidates()
    candidates = [candidate.to_sdp() for candidate in made.local_candidates]
    return {"ufrag": made.local_username, "pwd": made.local_password, "candidates": candidates}


async def remote(c: str, command: Command) -> Command:
    """The other side's credentials, with which connecting may begin."""
    connections[c].remote_username = command["ufrag"]
    connections[c].remote_password = command["pwd"]
    return {}


async def candidate(c: str, command: Command) -> Command:
    """One remote candidate, or null for the end of them."""
    line = command["candidate"]
    parsed = None if line is None else aioice.Candidate.from_sdp(line)
    await connections[c].add_remote_candidate(parsed)
    return {}


async def connect(c: str, command: Command) -> Command:
    """Begin; an event tells how it ended."""
    spawn(run(c))
    return {}


async def run(c: str) -> None:
    """Connect, echo, and tell when it is over."""
    connection = connections[c]
    try:
        await connection.connect()
    except ConnectionError as error:
        say(event="failed", c=c, why=str(error))
        return
    say(event="connected", c=c, controlling=connection.ice_controlling)
    spawn(echo(c))
    while True:
        happened = await connection.get_event()
        if happened is None or isinstance(happened, aioice.ConnectionClosed):
            say(event="closed", c=c)
            return


async def echo(c: str) -> None:
    """Send everything back."""
    connection = connections[c]
    while True:
        try:
            data = await connection.recv()
            await connection.send(data)
        except ConnectionError:
            return


async def close(c: str, command: Command) -> Command:
    """End a connection; its sockets are closed."""
    await connections.pop(c).close()
    return {}


COMMANDS: dict[str, Callable[[str, Command], Any]] = {
    "open": open_connection,
    "remote": remote,
    "candidate": candidate,
    "connect": connect,
    "close": close,
}


async def main() -> None:
    """Serve commands until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(event="ready")
    while line := await reader.readline():
        command: Command = json.loads(line)
        try:
            result = await COMMANDS[command["do"]](command.get("c", ""), command)
            say(id=command["id"], **result)
        except Exception as error:
            say(id=command["id"], error=f"{type(error).__name__}: {error}")


asyncio.run(main())
