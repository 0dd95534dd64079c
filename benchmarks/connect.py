"""Connecting over one host candidate a side: refreeze against aioice.

    python benchmarks/connect.py [PAIRS]

One pair: from the moment at which both sides hold the other's credentials and candidates (for
refreeze: the answer, still to be parsed and applied) until both have a nominated pair; the best
of many. All pairs at once: wall and CPU time of both ends together, with the making and the
applying of the answers, and the memory that a side came to. Default: 500 pairs.
"""

from __future__ import annotations

import asyncio

import aioice
import aioice.ice
from common import LOOPBACK, Figures, Host, Row, Span, nominated, resident, run

from refreeze.peer import RTCPeerConnection, RTCSessionDescription

ALONE = 100
"""Pairs that connect one after the other; the best is the figure."""


async def refreeze(size: int) -> Figures:
    alice, bob = Host(), Host()
    figures: Figures = {}
    alone = []
    for number in range(ALONE):
        pair = alice.connection(f"bob-{number}"), bob.connection("alice")
        await offered(*pair)
        answer = await answer_of(pair[1])
        span = Span()
        await pair[0].setRemoteDescription(answer)
        while not all(map(nominated, pair)):
            await alice.turn()
        alone.append(span.stop()[0] * 1000)
    figures["alone"] = min(alone)
    before = resident()
    pairs = [(alice.connection(f"peer-{n}"), bob.connection("alice")) for n in range(size)]
    for pair in pairs:
        await offered(*pair)
    span = Span()
    for pair in pairs:
        await answered(*pair)
    waiting = [each for pair in pairs for each in pair]
    while waiting := [each for each in waiting if not nominated(each)]:
        await alice.turn(0.001)
    wall, cpu = span.stop()
    figures |= {"wall": wall, "cpu": cpu * 1000 / size}
    figures["memory"] = (resident() - before) / size / 2
    return figures


async def offered(one: RTCPeerConnection, other: RTCPeerConnection) -> None:
    """The offer is on the other side."""
    await one.setLocalDescription()
    assert one.localDescription is not None
    await other.setRemoteDescription(one.localDescription)


async def answered(one: RTCPeerConnection, other: RTCPeerConnection) -> None:
    """And the answer is back."""
    await one.setRemoteDescription(await answer_of(other))


async def answer_of(other: RTCPeerConnection) -> RTCSessionDescription:
    """The answer, applied where it was made."""
    await other.setLocalDescription()
    assert other.localDescription is not None
    return other.localDescription


async def aioice_pairs(size: int) -> Figures:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]
    figures: Figures = {}
    alone = []
    for _ in range(ALONE):
        pair = await prepared()
        span = Span()
        await asyncio.gather(*(each.connect() for each in pair))
        alone.append(span.stop()[0] * 1000)
        for each in pair:
            await each.close()
    figures["alone"] = min(alone)
    before = resident()
    pairs = [await prepared() for _ in range(size)]
    span = Span()
    await asyncio.gather(*(each.connect() for pair in pairs for each in pair))
    wall, cpu = span.stop()
    figures |= {"wall": wall, "cpu": cpu * 1000 / size}
    figures["memory"] = (resident() - before) / size / 2
    for pair in pairs:
        for each in pair:
            await each.close()
    return figures


async def prepared() -> tuple[aioice.Connection, aioice.Connection]:
    """Two that know each other and have not begun."""
    pair = aioice.Connection(ice_controlling=True), aioice.Connection(ice_controlling=False)
    for each in pair:
        await each.gather_candidates()
    for one, other in (pair, pair[::-1]):
        one.remote_username, one.remote_password = other.local_username, other.local_password
        for candidate in other.local_candidates:
            await one.add_remote_candidate(candidate)
        await one.add_remote_candidate(None)
    return pair


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze, "aioice": aioice_pairs},
        500,
        [
            Row("one pair, ms", "alone", 1.0),
            Row("all pairs at once, wall s", "wall"),
            Row("all pairs at once, CPU ms a pair", "cpu", 0.25),
            Row("memory of one side of a pair, KiB", "memory", 20.0),
        ],
        title="connecting, both ends in one process, host candidates on loopback",
    )
