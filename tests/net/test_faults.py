"""Losing packets on purpose, both ways, in silence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.faults import FaultyPort, FaultyPortFactory
from refreeze.net.port import Port
from tests.net.fakes import PEER, STRANGER, FakeFactory, FakePort

HOST = "10.0.0.1"


class FaultTests(SynchronousTestCase):
    """One faulty port over a fake one."""

    def setUp(self) -> None:
        self.time = 0.0
        self.inner = FakeFactory([HOST])
        self.factory = FaultyPortFactory(self.inner, lambda: self.time)
        self.port = self.factory.open_udp(HOST, 5000)
        self.fake = self.inner.opened[0]
        self.base = self.port.local
        self.got: list[tuple[Port, bytes, Address]] = []
        self.port.on_batch(
            lambda port, batch: self.got.extend((port, data, source) for data, source, _ in batch)
        )

    def talk(self, fake: FakePort | None = None) -> tuple[int, int]:
        """One datagram to and from each of two; how many got through, out and in."""
        fake = fake or self.fake
        before, had = len(fake.sent), len(self.got)
        self.assertEqual(self.port.send([(b"a", PEER, 0), (b"b", STRANGER, 0)]), 2)
        fake.receive((b"c", PEER), (b"d", STRANGER))
        return len(fake.sent) - before, len(self.got) - had

    def test_without_faults_everything_passes_under_its_own_name(self) -> None:
        self.assertEqual(self.talk(), (2, 2))
        self.assertIs(self.got[0][0], self.port)

    def test_one_path_is_cut_both_ways_and_the_loss_is_silent(self) -> None:
        self.assertTrue(self.factory.drop(self.base, PEER, 30.0))
        self.assertEqual(self.talk(), (1, 1))
        self.assertEqual(self.fake.sent, [(b"b", STRANGER, 0)])
        self.assertEqual(self.port.counters.send_errors, 0)
        assert isinstance(self.port, FaultyPort)
        self.assertEqual((self.port.lost_out, self.port.lost_in), (1, 1))

    def test_all_paths(self) -> None:
        self.factory.drop(self.base, None, 30.0)
        self.assertEqual(self.talk(), (0, 0))

    def test_a_fault_ends_by_itself(self) -> None:
        self.factory.drop(self.base, None, 30.0)
        self.time = 29.9
        self.assertEqual(self.talk(), (0, 0))
        self.time = 30.0
        self.assertEqual(self.talk(), (2, 2))

    def test_a_fault_can_be_ended(self) -> None:
        self.factory.drop(self.base, None, 30.0)
        self.factory.clear()
        self.assertEqual(self.talk(), (2, 2))

    def test_an_unknown_base_is_told(self) -> None:
        self.assertFalse(self.factory.drop(("10.0.0.9", 1), None, 30.0))

    def test_a_port_opened_again_inherits_the_fault(self) -> None:
        """The path is dead, not the socket: a new socket must not heal it."""
        self.factory.drop(self.base, None, 30.0)
        self.port.close()
        self.assertTrue(self.fake.closed)
        self.port = self.factory.open_udp(*self.base)
        self.port.on_batch(lambda port, batch: self.got.extend((port, *i[:2]) for i in batch))
        self.assertEqual(self.talk(self.inner.opened[1]), (0, 0))

    def test_it_shows_what_the_wrapped_port_shows(self) -> None:
        self.fake.broken = "ENETDOWN"
        self.assertEqual(self.port.broken, "ENETDOWN")
        self.assertIs(self.port.counters, self.fake.counters)

    def test_the_rest_of_the_factory_passes_through(self) -> None:
        self.assertEqual(self.factory.local_hosts(), [("eth0", HOST)])
        self.assertEqual(self.factory.source_host("192.0.2.7"), HOST)
        self.assertIsNone(self.factory.source_host("2001:db8::7"))
        self.assertIs(self.factory.open_unix("/run/x"), self.inner.opened[1])
