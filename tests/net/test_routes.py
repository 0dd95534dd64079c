"""Which way the kernel would send, and which of its words about routes are news."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.netlink import matters
from refreeze.net.routes import HEADER, ROUTE, parse_route, route_via

NEWROUTE, NEWADDR, ERROR = 24, 20, 2
OIF, GATEWAY, VIA = 4, 5, 18


def message(
    *attributes: tuple[int, bytes], kind: int = NEWROUTE, prefix: int = 32, route_type: int = 1
) -> bytes:
    """One rtnetlink message about an IPv4 route."""
    body = ROUTE.pack(socket.AF_INET, prefix, 0, 0, 254, 0, 0, route_type, 0)
    for number, value in attributes:
        body += struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)
    return HEADER.pack(HEADER.size + len(body), kind, 0, 1, 0) + body


def interface(number: int) -> tuple[int, bytes]:
    return OIF, struct.pack("=I", number)


class AnswerTests(SynchronousTestCase):
    """What is compared."""

    def test_interface_and_next_hop(self) -> None:
        hop = (GATEWAY, socket.inet_aton("192.0.2.254"))
        self.assertEqual(parse_route(message(interface(3), hop)), "3 c00002fe")
        self.assertEqual(parse_route(message(interface(3))), "3 ")
        by_six = (VIA, b"\x0a\0" + bytes(16))
        self.assertNotEqual(parse_route(message(interface(3), by_six)), "3 ")

    def test_what_goes_nowhere(self) -> None:
        for answer in (
            message(interface(3), kind=ERROR),
            message(interface(3), route_type=7),
            message(),
            b"",
            message(interface(3))[:20],
        ):
            self.assertIsNone(parse_route(answer))

    def test_damaged_answers_never_raise(self) -> None:
        seed = 20261126
        draw = random.Random(seed)
        good = message(interface(3), (GATEWAY, bytes(4)))
        for _ in range(2000):
            bad = bytearray(good)
            for _ in range(draw.randrange(1, 6)):
                bad[draw.randrange(len(bad))] = draw.randrange(256)
            found = parse_route(bytes(bad[: draw.randrange(len(bad) + 1)]))
            self.assertIsInstance(found, str | None, f"seed {seed}")

    def test_a_real_kernel_knows_the_way_to_itself(self) -> None:
        if not hasattr(socket, "AF_NETLINK"):
            self.skipTest("there is no rtnetlink")
        way = route_via("127.0.0.1", "127.0.0.1")
        self.assertIsNotNone(way)
        self.assertEqual(route_via("127.0.0.1", "127.0.0.2"), way)

    def test_what_cannot_be_asked_has_no_way(self) -> None:
        for source, remote in (
            ("127.0.0.1", "::1"),
            ("192.0.2.77", "127.0.0.1"),
            ("nowhere", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.one"),
        ):
            self.assertIsNone(route_via(source, remote), (source, remote))

    def test_without_rtnetlink_nobody_knows(self) -> None:
        without: Any = type("Socket", (), {})
        self.patch(__import__("refreeze.net.routes", fromlist=["x"]), "socket", without)
        self.assertIsNone(route_via("127.0.0.1", "127.0.0.1"))


class NewsTests(SynchronousTestCase):
    """A router's kernel talks of routes all day: only those to most of the world are news."""

    def test_a_default_route_and_its_halves_are_news(self) -> None:
        for prefix in (0, 1, 3):
            self.assertTrue(matters(message(prefix=prefix)))
            self.assertTrue(matters(message(prefix=prefix, kind=25)))

    def test_a_route_to_one_network_or_host_is_none(self) -> None:
        for prefix in (9, 16, 24, 32):
            self.assertFalse(matters(message(prefix=prefix)))
        self.assertFalse(matters(message(prefix=24) * 50))

    def test_one_piece_of_news_among_many(self) -> None:
        self.assertTrue(matters(message(prefix=24) * 50 + message(prefix=0)))

    def test_addresses_and_links_always_are(self) -> None:
        self.assertTrue(matters(message(kind=NEWADDR)))

    def test_what_cannot_be_read_is_news_to_be_safe(self) -> None:
        whole = message(prefix=24)
        for data in (b"", b"x", whole[:-1], whole[:18], whole + b"x", bytes(16)):
            self.assertTrue(matters(data), data)
