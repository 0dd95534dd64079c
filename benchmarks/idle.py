"""What idle pairs cost: CPU of both ends, refreeze against aioice.

    python benchmarks/idle.py [PAIRS]

The pairs connect and are left alone; after ten seconds, in which they spread, the CPU time of
the next thirty is taken twice. Both ends are in one process.
"""

from __future__ import annotations

import asyncio

import aioice.ice
from common import LOOPBACK, Figures, Host, Row, Span, nominated, run
from connect import answered, offered, prepared

SPREAD = 10.0
MEASURED = 30.0
SCALE = 60.0 / MEASURED


async def refreeze(size: int) -> Figures:
    alice, bob = Host(), Host()
    pairs = [(alice.connection(f"peer-{n}"), bob.connection("alice")) for n in range(size)]
    for pair in pairs:
        await offered(*pair)
        await answered(*pair)
    while not all(nominated(each) for pair in pairs for each in pair):
        await alice.turn(0.01)
    await alice.turn(SPREAD)
    span = Span()
    await alice.turn(MEASURED)
    _, cpu = span.stop()
    assert all(nominated(each) for pair in pairs for each in pair)
    return {"cpu": cpu * SCALE}


async def aioice_pairs(size: int) -> Figures:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [LOOPBACK]
    pairs = [await prepared() for _ in range(size)]
    await asyncio.gather(*(each.connect() for pair in pairs for each in pair))
    await asyncio.sleep(SPREAD)
    span = Span()
    await asyncio.sleep(MEASURED)
    _, cpu = span.stop()
    return {"cpu": cpu * SCALE}


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze, "aioice": aioice_pairs},
        500,
        [Row("CPU s in 60 s", "cpu", 1.0)],
        title="idle pairs, both ends in one process",
        repeats=1,
    )
