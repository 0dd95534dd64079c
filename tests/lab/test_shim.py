"""The shim delays, loses and limits as it is told, each way of each wire by itself."""

from __future__ import annotations

import socket
import statistics
import struct
import time

from tests.lab.case import LabCase
from tests.lab.segment import Segment

_STAMP = struct.Struct("!Id")


class ShimTests(LabCase):
    """Two machines on one segment, each with its wire."""

    def setUp(self) -> None:
        super().setUp()
        self.segment = Segment(self.lab, shimmed=True)
        one, two = self.segment.public("one", 21), self.segment.public("two", 22)
        self.near, self.far = one.udp("203.0.113.21"), two.udp("203.0.113.22")
        for each in (self.near, self.far):
            self.addCleanup(each.close)
        self.delays(1)  # the addresses are resolved after this

    def delays(
        self, count: int, *, gap: float = 0.002, size: int = 100, back: bool = False
    ) -> list[float]:
        """One-way times of the packets that arrived, in their order."""
        sender, receiver = (self.far, self.near) if back else (self.near, self.far)
        seen: list[float] = []
        for number in range(count):
            packet = _STAMP.pack(number, time.monotonic()).ljust(size, b"\0")
            sender.sendto(packet, receiver.getsockname())
            self.drain(receiver, seen, gap)
        self.drain(receiver, seen, 0.5, enough=count)
        return seen

    def drain(
        self, receiver: socket.socket, seen: list[float], seconds: float, enough: int = 0
    ) -> None:
        """Take what arrives within *seconds*, or until there are *enough*."""
        end = time.monotonic() + seconds
        while len(seen) < enough or not enough:
            left = end - time.monotonic()
            if left <= 0:
                return
            receiver.settimeout(left)
            try:
                data = receiver.recv(2000)
            except TimeoutError:
                return
            seen.append(time.monotonic() - _STAMP.unpack_from(data)[1])

    def test_a_delay_of_20_ms_is_one(self) -> None:
        self.segment.wires.change_all(delay=0.010)
        seen = self.delays(200)
        self.assertEqual(len(seen), 200)
        self.assertGreaterEqual(min(seen), 0.020)
        self.assertLess(statistics.median(seen), 0.022)

    def test_each_way_has_its_own_delay_and_jitter_only_adds(self) -> None:
        self.segment.wires.change("one", way="out", delay=0.050, jitter=0.020)
        self.assertLess(statistics.median(self.delays(20, back=True)), 0.010)
        seen = self.delays(50)
        self.assertGreaterEqual(min(seen), 0.050)
        self.assertTrue(0.052 < statistics.mean(seen) < 0.075, seen)

    def test_loss_is_a_share(self) -> None:
        self.segment.wires.change("two", way="in", loss=0.25)
        self.assertTrue(280 < len(self.delays(400, gap=0.001)) < 320)

    def test_a_wire_that_is_down_passes_nothing_and_then_everything(self) -> None:
        self.segment.wires.change("two", up=False)
        self.assertEqual(self.delays(5), [])
        self.segment.wires.change("two", up=True)
        self.assertEqual(len(self.delays(5)), 5)

    def test_a_rate_spreads_a_burst(self) -> None:
        """50 frames of 1042 bytes in all at 1 Mbit/s take 0.417 s."""
        self.segment.wires.change("one", way="out", rate=1e6)
        seen = self.delays(50, gap=0.0, size=1000)
        self.assertEqual(len(seen), 50)
        self.assertTrue(0.38 < max(seen) < 0.5, max(seen))
