"""A program that sends through one forwarder and counts what the other delivers; plain sockets."""

from __future__ import annotations

import socket
import time
from typing import Any

HERE = "127.0.0.1"
WINDOW = 32
"""Packets under way at a time: what no socket's buffer overflows with."""


class Program:
    """*length*: bytes of a packet."""

    def __init__(self, length: int) -> None:
        self.packet = b"\x80" + bytes(length - 1)
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for each in (self.out, self.into):
            each.bind((HERE, 0))
            each.setblocking(False)
        self.place: tuple[str, int] = self.into.getsockname()
        self.sent = self.got = 0
        self.heard_at = time.monotonic()

    def work(self, target: tuple[str, int], total: int) -> bool:
        """Receive what there is, send what the window lets; False when all came, or is lost."""
        buffer = bytearray(2048)
        try:
            while True:
                self.into.recv_into(buffer)
                self.got += 1
                self.heard_at = time.monotonic()
        except BlockingIOError:
            pass
        while self.sent < total and self.sent - self.got < WINDOW:
            self.out.sendto(self.packet, target)
            self.sent += 1
        if self.got < self.sent and time.monotonic() - self.heard_at > 1.0:
            raise RuntimeError(f"{self.sent - self.got} packets were lost")
        return self.got < total


async def drive(
    target: tuple[str, int], program: Program, total: int, turn: Any
) -> dict[str, float]:
    """Send *total* packets: microseconds a packet, of this process's CPU and of the wall clock."""
    program.heard_at = time.monotonic()
    wall, cpu = time.perf_counter(), time.process_time()
    while program.work(target, total):
        await turn()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"cpu": cpu / total * 1e6, "wall": wall / total * 1e6}
