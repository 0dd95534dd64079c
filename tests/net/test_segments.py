"""Which datagrams leave together, and what becomes of them where they cannot."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.segments import MAX_SEGMENTS, Segments
from refreeze.net.udp import Udp4Port, Udp6Port
from tests.net.sockets import FakeReactor, FakeSocket, error

PEER = ("192.0.2.7", 6000)
OTHER = ("192.0.2.8", 6000)


class SegmentsCase(SynchronousTestCase):
    """A port that may send together."""

    def setUp(self) -> None:
        self.socket = FakeSocket()
        self.port = self.open(Udp4Port, "192.0.2.1")

    def open(self, kind: type[Udp4Port] | type[Udp6Port], host: str) -> Udp4Port | Udp6Port:
        fakes: Any = (FakeReactor(), self.socket)
        segments = Segments(fakes[1])
        return kind(*fakes, (host, 5000), segments=segments)

    def send(self, *payloads: bytes, to: Address = PEER) -> list[bytes]:
        """What was given to the kernel in one piece each."""
        self.socket.sent.clear()
        self.port.send([(payload, to, 0) for payload in payloads])
        return [data for data, _target in self.socket.sent]

    def lengths(self) -> list[int]:
        """At which the kernel was told to cut."""
        return [int.from_bytes(each[2], sys.byteorder) for each in self.socket.ancillary]


class RunTests(SegmentsCase):
    """What is a run."""

    def test_datagrams_of_one_length_leave_together(self) -> None:
        self.assertEqual(self.send(b"aa", b"bb", b"cc"), [b"aabbcc"])
        self.assertEqual(self.lengths(), [2])
        self.assertEqual((self.port.counters.sent, self.port.counters.sent_bytes), (3, 6))

    def test_one_alone_leaves_as_ever(self) -> None:
        self.assertEqual(self.send(b"aa"), [b"aa"])
        self.assertEqual(self.lengths(), [])

    def test_a_shorter_one_ends_the_run_and_a_longer_one_begins_another(self) -> None:
        self.assertEqual(
            self.send(b"aa", b"b", b"c", b"dd", b"eee", b"fff"), [b"aab", b"c", b"dd", b"eeefff"]
        )
        self.assertEqual(self.lengths(), [2, 3])

    def test_an_empty_datagram_is_one_too(self) -> None:
        """The kernel would not send it at the end of a run."""
        self.assertEqual(self.send(b"aa", b"", b"", b"bb"), [b"aa", b"", b"", b"bb"])
        self.assertEqual(self.port.counters.sent, 4)

    def test_every_destination_has_its_own(self) -> None:
        self.port.send([(b"aa", PEER, 0), (b"bb", OTHER, 0), (b"cc", OTHER, 0), (b"dd", PEER, 0)])
        self.assertEqual(self.socket.sent, [(b"aa", PEER), (b"bbcc", OTHER), (b"dd", PEER)])

    def test_equal_addresses_are_the_same_destination(self) -> None:
        again = (PEER[0], int("6000"))
        self.port.send([(b"aa", PEER, 0), (b"bb", again, 0)])
        self.assertEqual(self.socket.sent, [(b"aabb", PEER)])

    def test_what_has_a_TOS_leaves_alone(self) -> None:
        self.port.send([(b"aa", PEER, 0), (b"bb", PEER, 0xB8), (b"cc", PEER, 0xB8)])
        self.assertEqual([data for data, _target in self.socket.sent], [b"aa", b"bb", b"cc"])

    def test_a_run_is_bounded_in_datagrams(self) -> None:
        pieces = self.send(*[b"x"] * (MAX_SEGMENTS + 2))
        self.assertEqual(list(map(len, pieces)), [MAX_SEGMENTS, 2])

    def test_a_run_is_no_longer_than_a_datagram_can_be(self) -> None:
        pieces = self.send(*[bytes(20_000)] * 4, bytes(65_507), bytes(65_507))
        self.assertEqual(list(map(len, pieces)), [60_000, 20_000, 65_507, 65_507])

    def test_impossible_destinations_are_errors_and_nothing_is_raised(self) -> None:
        self.assertEqual(self.send(b"a", b"b", to=("localhost", 9)), [])
        self.assertEqual(self.port.counters.send_errors, 2)


class RefusedTests(SegmentsCase):
    """Nothing is lost because it was to leave together."""

    def refused(self, number: int, *payloads: bytes) -> Sequence[bytes]:
        """What left, when sending together was refused so."""
        self.socket.sending.append(error(number))
        return self.send(*payloads)

    def test_longer_than_the_MTU_leaves_one_by_one_and_shorter_together(self) -> None:
        for number in (errno.EINVAL, errno.EMSGSIZE):
            self.setUp()
            self.assertEqual(self.refused(number, b"aaa", b"bbb"), [b"aaa", b"bbb"])
            self.assertEqual(self.send(b"aaa", b"bbb"), [b"aaa", b"bbb"])
            self.assertEqual(self.send(b"aa", b"bb"), [b"aabb"])
            self.assertEqual((self.port.counters.sent, self.port.counters.too_long), (6, 0))

    def test_where_it_cannot_be_done_it_is_not_tried_again_and_said_once(self) -> None:
        said: list[str] = []

        def hear(event: Any) -> None:
            if "one by one" in event["log_format"]:
                said.append(event["why"])

        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        self.assertEqual(self.refused(errno.EIO, b"aa", b"bb"), [b"aa", b"bb"])
        self.assertEqual(self.send(b"a", b"b"), [b"a", b"b"])
        self.assertEqual((said, self.port.counters.send_errors), (["EIO"], 0))

    def test_what_says_nothing_of_the_next_run(self) -> None:
        for number in (errno.ECONNREFUSED, errno.EAGAIN, errno.ENOBUFS, errno.EPERM):
            self.assertEqual(self.refused(number, b"aa", b"bb"), [b"aa", b"bb"])
            self.assertEqual(self.send(b"aa", b"bb"), [b"aabb"])

    def test_a_full_buffer_is_counted_for_each(self) -> None:
        self.socket.sending.extend([error(errno.EAGAIN)] * 3)
        self.assertEqual(self.send(b"aa", b"bb"), [])
        self.assertEqual((self.port.counters.sent, self.port.counters.would_block), (0, 2))

    def test_a_scope_that_is_too_large_a_number(self) -> None:
        self.port = self.open(Udp6Port, "fe80::1%lo")
        self.socket.sending.extend([OverflowError("flowinfo")] * 3)
        self.assertEqual(self.send(b"a", b"b", to=("fe80::2%99999999999", 9)), [])
        self.assertEqual(self.port.counters.send_errors, 2)

    def test_a_kernel_that_does_not_know_how(self) -> None:
        """It would take the option for nothing, and send all as one datagram."""
        fake: Any = self.socket
        self.assertIsNone(Segments.of(fake))
