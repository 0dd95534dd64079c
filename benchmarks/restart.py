"""A restart of a live pair that carries a packet every millisecond; aioice has no restart.

    python benchmarks/restart.py [RESTARTS]

On loopback: from the answer to the nominated pair of the new generation, and what was lost of
the packets sent meanwhile. At 40 ms of round trip in the fake network, in virtual time, with
whole daemons: the same, counted from the operator's command.
"""

from __future__ import annotations

from typing import Any

from common import Figures, Host, Row, Span, nominated, run
from connect import answered, offered
from virtual import Pair

from refreeze.peer import RTCPeerConnection, RTCSessionDescription

MILLISECOND = 0.001


async def refreeze(size: int) -> Figures:
    return await on_loopback(size) | in_virtual_time()


async def on_loopback(size: int) -> Figures:
    """Sockets, and the time it really takes."""
    alice, bob = Host(), Host()
    pair = alice.connection("bob"), bob.connection("alice")
    got: list[bytes] = []
    pair[1].iceTransport.datagrams.on_batch(got.extend)
    await offered(*pair)
    await answered(*pair)
    while not all(map(nominated, pair)):
        await alice.turn()
    took, sent = [], 0

    def send() -> None:
        nonlocal sent
        sent += pair[0].iceTransport.datagrams.send([b"\x80" + bytes(99)])

    for _ in range(size):
        offer = await pair[0].createOffer(iceRestart=True)
        await pair[0].setLocalDescription(offer)
        send()
        await pair[1].setRemoteDescription(offered_by(pair[0]))
        send()
        span = Span()
        await answered(*pair)
        due = span.wall + MILLISECOND
        while not all(map(nominated, pair)):
            await alice.turn()
            if span.wall + span.stop()[0] >= due:
                send()
                due += MILLISECOND
        took.append(span.stop()[0] * 1000)
        for _ in range(20):
            send()
            await alice.turn(MILLISECOND)
    await alice.turn(0.1)
    return {"loopback": sorted(took)[len(took) // 2], "lost": float(sent - len(got))}


def offered_by(connection: RTCPeerConnection) -> RTCSessionDescription:
    """Its pending offer, with candidates."""
    assert connection.localDescription is not None
    return connection.localDescription


def in_virtual_time() -> Figures:
    """Daemons, a hub, 20 ms each way; the offer and the answer take no time."""
    selected: list[float] = []

    def note(topic: str, _fields: dict[str, Any]) -> None:
        if topic == "session.pair":
            selected.append(pair.now)

    pair = Pair(1, note)
    pair.advance(5.0)
    program = pair.program(1000.0)
    pair.advance(1.0)
    selected.clear()
    began = pair.now
    pair.daemons["alice"].supervisor.restart("demo", reason="", force=False)
    pair.advance(2.0)
    program.pause()
    pair.advance(2.0)
    pair.world.stop()
    return {"virtual": (max(selected) - began) * 1000, "virtual lost": float(program.lost)}


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze},
        50,
        [
            Row("loopback: answer to nominated pair, ms", "loopback", 5.0),
            Row("loopback: packets lost in all restarts", "lost", 0.0),
            Row("40 ms RTT: answer to nominated pair, ms", "virtual", 85.0),
            Row("40 ms RTT: packets lost", "virtual lost", 0.0),
        ],
        title="a restart under one packet a millisecond (aioice 0.13 cannot restart)",
        repeats=1,
    )
