"""A path that dies without a word, by default timers: who says what, when, and is back.

    python benchmarks/silent_loss.py [SEEDS]

refreeze: whole daemons in the fake network, in virtual time, 40 ms of round trip, over so many
seeds; the worst is the figure. aioice: two connections on loopback, in real time, of which one
is silenced; it says nothing before its consent is over (about half a minute), and does not
restart.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aioice.ice
from common import LOOPBACK, Figures, Row, run
from connect import prepared
from virtual import Pair


async def refreeze(size: int) -> Figures:
    worst: Figures = {}
    for seed in range(size):
        for kind, rate in (("busy", 50.0), ("idle", 0.0)):
            for key, value in lost_path(seed, kind, rate).items():
                worst[key] = max(value, worst.get(key, 0.0))
    return worst


def lost_path(seed: int, kind: str, rate: float) -> Figures:
    """One story: connect, be busy or idle, lose the selected 5-tuple."""
    states: dict[str, list[float]] = {}

    def note(topic: str, fields: dict[str, Any]) -> None:
        if topic == "session.state":
            states.setdefault(fields["to"], []).append(pair.now)

    pair = Pair(seed, note)
    program = pair.program(rate)
    pair.advance(20.0 + seed * 0.37)
    states.clear()
    began, route = pair.now, pair.route()
    pair.world.network.blackhole(route.base, route.remote_address)
    pair.advance(20.0)
    figures = {f"{kind} {state}": states[state][0] - began for state in ("disconnected", "failed")}
    if rate:
        figures["flowing"] = program.longest_gap(began)
    pair.world.stop()
    return figures


async def aioice_pair(_size: int) -> Figures:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]
    pair = await prepared()
    await asyncio.gather(*(each.connect() for each in pair))
    await asyncio.sleep(1.0)
    began = time.monotonic()
    await pair[1].close()
    await pair[0].get_event()
    failed = time.monotonic() - began
    await pair[0].close()
    return {"busy failed": failed, "idle failed": failed}


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze, "aioice": aioice_pair},
        20,
        [
            Row("under traffic: disconnected, s", "busy disconnected", 3.0),
            Row("under traffic: failed, s", "busy failed", 7.5),
            Row("under traffic: data on another path, s", "flowing", 10.0),
            Row("idle: disconnected, s", "idle disconnected", 7.0),
            Row("idle: failed, s", "idle failed", 9.5),
        ],
        title="silent loss of the selected 5-tuple, the worst of all seeds",
        repeats=1,
    )
