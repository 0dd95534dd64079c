"""A program that holds cables: what comes in at one end goes out at the other, later or never.

It works on whole Ethernet frames between pairs of interfaces, with delay, jitter, loss and rate
for each way of each wire. ``python shim.py SOCKET`` takes one JSON object a datagram there:

    {"add": NAME, "ends": [INTERFACE, INTERFACE]}
    {"wire": NAME, "way": "out" | "in" | "both", "delay": S, "jitter": S, "loss": 0..1,
     "rate": BITS_A_SECOND | null, "up": true | false}

and answers with the counters of the wire, or with ``{"error": WORDS}``. "Out" is from the first
end to the second. A way keeps the order of its frames, so jitter only delays more.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Any

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_IGNORE_OUTGOING = 23
_MR_PROMISC = 1
_SO_RCVBUFFORCE = 33
_BUFFER = 4 << 20
_MAX_FRAME = 65536
_MAX_READS = 64
"""Frames taken from one end before the others have their turn."""
_MAX_QUEUED = 5000
"""Frames under way on one way of a wire; more are lost, as in a router's queue."""


class Way:
    """One way of a wire."""

    def __init__(self, out: socket.socket, seed: int) -> None:
        self.delay = 0.0
        self.jitter = 0.0
        self.loss = 0.0
        self.rate: float | None = None
        self.up = True
        self.taken = 0
        self.passed = 0
        self.lost = 0
        self._out = out
        self._random = random.Random(seed)
        self._last = 0.0
        self._free = 0.0

    def due(self, length: int, now: float) -> float | None:
        """When a frame that came *now* leaves; None: never."""
        self.taken += 1
        queued = self.taken - self.passed - self.lost
        if not self.up or queued > _MAX_QUEUED or self._random.random() < self.loss:
            self.lost += 1
            return None
        start = now
        if self.rate is not None:
            start = self._free = max(now, self._free) + length * 8 / self.rate
        self._last = max(self._last, start + self.delay + self.jitter * self._random.random())
        return self._last

    def pass_on(self, frame: bytes) -> None:
        """Out of the other end."""
        try:
            self._out.send(frame)
            self.passed += 1
        except OSError:  # the other end is down, or away
            self.lost += 1

    def change(self, settings: dict[str, Any]) -> None:
        """Every setting that is named; frames under way keep their times."""
        for key in ("delay", "jitter", "loss", "rate", "up"):
            if key in settings:
                setattr(self, key, settings[key])

    def counters(self) -> dict[str, int]:
        """Frames so far."""
        return {"taken": self.taken, "passed": self.passed, "lost": self.lost}


class Shim:
    """All wires of one namespace."""

    def __init__(self, path: str) -> None:
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._control.bind(path)
        self._wires: dict[str, dict[str, Way]] = {}
        self._ends: dict[socket.socket, Way] = {}
        self._under_way: list[tuple[float, int, Way, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Until the end of the process."""
        while True:
            wait = max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None
            ready, _, _ = select.select([self._control, *self._ends], [], [], wait)
            self._deliver()
            for each in ready:
                if each is self._control:
                    self._answer()
                else:
                    self._take(each)

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, way, frame = heapq.heappop(self._under_way)
            way.pass_on(frame)

    def _take(self, end: socket.socket) -> None:
        way = self._ends[end]
        for _ in range(_MAX_READS):
            try:
                frame = end.recv(_MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:  # told once when an interface goes down
                continue
            due = way.due(len(frame), time.monotonic())
            if due is not None:
                self._count += 1
                heapq.heappush(self._under_way, (due, self._count, way, frame))

    def _answer(self) -> None:
        data, sender = self._control.recvfrom(4096)
        try:
            answer: dict[str, Any] = self._do(json.loads(data))
        except (OSError, KeyError, ValueError) as error:
            answer = {"error": repr(error)}
        with suppress(OSError):
            self._control.sendto(json.dumps(answer).encode(), sender)

    def _do(self, wish: dict[str, Any]) -> dict[str, Any]:
        if "add" in wish:
            wire = self._wires[wish["add"]] = self._add(*wish["ends"])
        else:
            wire = self._wires[wish["wire"]]
            chosen = wish.get("way", "both")
            for way in wire.values() if chosen == "both" else [wire[chosen]]:
                way.change(wish)
        return {name: way.counters() for name, way in wire.items()}

    def _add(self, one: str, other: str) -> dict[str, Way]:
        ends = _end(one), _end(other)
        seed = len(self._ends)
        outward, inward = Way(ends[1], seed), Way(ends[0], seed + 1)
        self._ends |= {ends[0]: outward, ends[1]: inward}
        return {"out": outward, "in": inward}


def _end(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    end.bind((interface, _ETH_P_ALL))
    number = socket.if_nametoindex(interface)
    request = number.to_bytes(4, sys.byteorder) + _MR_PROMISC.to_bytes(2, sys.byteorder) + bytes(10)
    end.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    end.setblocking(False)
    return end


def main() -> None:
    """Before all others, when the machine permits: a late shim is a slower network."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    Shim(sys.argv[1]).run()


if __name__ == "__main__":
    main()
