"""Handshakes a second, and the memory of an association that is established.

    python benchmarks/handshakes.py [PAIRS]

Both ends in one process, over memory: what the cryptography and the state around it cost, without
sockets. Each end has sent and received one payload; until then OpenSSL keeps a buffer of the
handshake, of 16 KiB. Against bare pyOpenSSL connections with the same contexts' settings, which is
the floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from common import Figures, Row, run
from OpenSSL import SSL

from refreeze.peer import DtlsContext, RTCCertificate
from refreeze.peer.dtls import Association, AssociationState
from refreeze.peer.dtls.context import ExpectedPeer

PAYLOAD = bytes(200)

_Pair = TypeVar("_Pair")


def contexts() -> list[DtlsContext]:
    """Of two daemons."""
    return [DtlsContext(RTCCertificate.generate(datetime.now(UTC))) for _ in range(2)]


def named(context: DtlsContext) -> list[str]:
    """As the other side's description has it."""
    return [" ".join(each) for each in context.fingerprints]


async def refreeze(size: int) -> Figures:
    one, two = contexts()

    def connect() -> tuple[Association, Association]:
        pair = (
            Association(one, client=True, fingerprints=named(two)),
            Association(two, client=False, fingerprints=named(one)),
        )
        for each in pair:
            each.start(0.0)
        while not all(each.state is AssociationState.CONNECTED for each in pair):
            for here, there in (pair, pair[::-1]):
                there.receive(here.take_transmits(), 0.0)
        for here, there in (pair, pair[::-1]):
            assert there.receive(here.send([PAYLOAD]), 0.0) == [PAYLOAD]
        return pair

    return measure(size, connect)


async def pyopenssl(size: int) -> Figures:
    one, two = contexts()

    def connect() -> tuple[SSL.Connection, SSL.Connection]:
        pair = (
            one.connection(ExpectedPeer(tuple(named(two))), client=True),
            two.connection(ExpectedPeer(tuple(named(one))), client=False),
        )
        for each in pair:
            each.set_ciphertext_mtu(1200)
        done = [False, False]
        while not all(done):
            for at, (here, there) in enumerate((pair, pair[::-1])):
                done[at] = stepped(here)
                said = read(here)
                if said:
                    there.bio_write(said)
        for here, there in (pair, pair[::-1]):
            here.send(PAYLOAD)
            there.bio_write(read(here))
            assert there.recv(65536) == PAYLOAD
        return pair

    return measure(size, connect)


def stepped(connection: SSL.Connection) -> bool:
    """Whether its handshake is over."""
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def read(connection: SSL.Connection) -> bytes:
    """What it wrote."""
    try:
        said: bytes = connection.bio_read(65536)
    except SSL.WantReadError:
        return b""
    return said


def measure(size: int, connect: Callable[[], _Pair]) -> Figures:
    """CPU ms of a pair, and KiB of one of its ends; *size* pairs stay."""
    for _ in range(20):
        connect()
    before, began = resident(), time.process_time()
    kept: list[Any] = [connect() for _ in range(size)]
    cpu = time.process_time() - began
    return {
        "cpu": cpu / size * 1e3,
        "memory": (resident() - before) / len(kept) / 2,
    }


def resident() -> float:
    """KiB that this process has at this moment."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4.0


if __name__ == "__main__":
    run(
        __file__,
        {"refreeze": refreeze, "pyOpenSSL": pyopenssl},
        300,
        [
            Row("a handshake, both ends, CPU ms", "cpu"),
            Row("memory of an association, KiB", "memory", budget=60.0),
        ],
        title="DTLS handshakes over memory",
    )
