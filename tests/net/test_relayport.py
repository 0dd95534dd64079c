"""A relayed address as a port, by itself."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.net.relayport import RelayPort
from tests.net.fakes import PEER, STRANGER

LOCAL: Address = ("203.0.113.10", 40000)


@define(eq=False)
class FakeRelaying:
    """An allocation that takes as many as it is told."""

    max_payload: int = 100
    takes: int = 1000
    sent: list[tuple[bytes, Address]] = field(factory=list)

    def relay(self, items: Sequence[tuple[bytes, Address]]) -> int:
        taken = list(items)[: self.takes]
        self.sent += taken
        return len(taken)


class RelayPortTests(SynchronousTestCase):
    """It counts as every port does, and nothing is raised out of it."""

    def setUp(self) -> None:
        self.relaying = FakeRelaying()
        self.port = RelayPort(LOCAL, self.relaying)

    def test_everything_is_sent_or_counted_with_its_reason(self) -> None:
        self.relaying.takes = 1
        batch = [
            (b"one", PEER, 0),
            (b"two", STRANGER, 0),
            (bytes(101), PEER, 0),
            (b"six", ("2001:db8::7", 7000), 0),
        ]
        self.assertEqual(self.port.send(batch), 1)
        self.assertEqual(self.relaying.sent, [(b"one", PEER)])
        counters = self.port.counters
        self.assertEqual((counters.sent, counters.sent_bytes), (1, 3))
        self.assertEqual((counters.would_block, counters.too_long, counters.send_errors), (1, 1, 1))

    def test_a_lost_one_says_why_and_takes_nothing(self) -> None:
        self.port.lost("unanswered")
        self.assertEqual(self.port.broken, "unanswered")
        self.assertEqual(self.port.send([(b"x", PEER, 0)]), 0)
        self.assertEqual(self.port.counters.send_errors, 1)
        self.assertEqual(self.relaying.sent, [])

    def test_what_comes_goes_to_the_receiver_and_after_close_to_nobody(self) -> None:
        came: list[tuple[Port, Batch]] = []
        self.port.received([(b"before there is one", PEER, 0)])
        self.port.on_batch(lambda port, batch: came.append((port, batch)))
        self.port.received([(b"hello", PEER, 0)])
        self.port.close()
        self.port.close()
        self.port.received([(b"late", PEER, 0)])
        self.assertEqual(came, [(self.port, [(b"hello", PEER, 0)])])
        self.assertEqual(self.port.counters.received, 1)
        self.assertEqual(self.port.send([(b"x", PEER, 0)]), 0)

    def test_a_receiver_that_fails_is_logged_and_not_for_every_packet(self) -> None:
        self.port.on_batch(lambda _port, _batch: 1 / 0)  # type: ignore[arg-type,return-value]
        for _ in range(100):
            self.port.received([(b"x", PEER, 0)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)
