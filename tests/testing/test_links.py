"""What links do: exactly, and by their seed."""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import FakeNetwork, Fate, LinkSettings, VirtualClock
from tests.testing.desk import Ear, network

ALICE, BOB, CAROL = ("192.0.2.1", 5000), ("192.0.2.2", 5000), ("192.0.2.3", 5000)


class LinkTests(SynchronousTestCase):
    """From alice to bob."""

    def make(self, seed: int = 1, **link: object) -> None:
        """Two hosts with a port each."""
        self.clock: VirtualClock
        self.network: FakeNetwork
        self.clock, self.network = network(seed, **link)
        self.alice = Ear(self.network.host("alice", [ALICE[0], CAROL[0]]), ALICE)
        self.bob = Ear(self.network.host("bob", [BOB[0]]), BOB)

    def many(self, count: int, every: float = 0.001) -> None:
        """Numbered datagrams, one after the other, and time for all of them to arrive."""
        for number in range(count):
            self.alice.send(BOB, b"%d" % number)
            self.clock.advance(every)
        self.clock.advance(10.0)

    def numbers(self) -> list[int]:
        """What bob got."""
        return [int(data) for data in self.bob.data]

    def test_a_delay_is_exact(self) -> None:
        self.make(delay=0.035)
        self.clock.advance(1.0)
        self.alice.send(BOB, b"hi")
        self.clock.advance(0.0349)
        self.assertEqual(self.bob.heard, [])
        self.clock.advance(1.0)
        self.assertEqual(self.bob.heard, [(b"hi", ALICE, 1.035)])

    def test_a_batch_arrives_as_a_batch_in_order(self) -> None:
        self.make()
        self.assertEqual(self.alice.send(BOB, *(b"%d" % n for n in range(100))), 100)
        self.clock.advance(1.0)
        self.assertEqual(self.numbers(), list(range(100)))
        self.assertEqual(self.bob.batches, [100])

    def test_loss_is_at_its_rate_and_the_same_for_a_seed(self) -> None:
        got = []
        for seed in (7, 7, 8):
            self.make(seed, loss=0.1)
            self.many(5000)
            self.assertTrue(400 < 5000 - len(self.bob.heard) < 600, len(self.bob.heard))
            self.assertEqual(self.network.log.fates[Fate.LOST], 5000 - len(self.bob.heard))
            got.append(self.numbers())
        self.assertEqual(got[0], got[1])
        self.assertNotEqual(got[0], got[2])

    def test_jitter_spreads_and_keeps_the_order(self) -> None:
        self.make(delay=0.05, jitter=0.02)
        self.many(1000)
        self.assertEqual(self.numbers(), list(range(1000)))
        self.bob.heard.clear()
        began = self.clock.seconds()
        self.many(1000, every=0.03)
        delays = [at - began - number * 0.03 for number, (_, _, at) in enumerate(self.bob.heard)]
        self.assertTrue(0.05 <= min(delays) + 1e-9 < 0.051, min(delays))
        self.assertTrue(0.069 < max(delays) <= 0.07 + 1e-9, max(delays))

    def test_reordered_datagrams_are_overtaken(self) -> None:
        self.make(reorder=0.1, reorder_delay=0.0025)
        self.many(2000)
        numbers = self.numbers()
        self.assertEqual(sorted(numbers), list(range(2000)))
        overtaken = sum(b < a for a, b in pairwise(numbers))
        self.assertTrue(100 < overtaken < 300, overtaken)

    def test_duplicates_arrive_twice_and_are_counted(self) -> None:
        self.make(duplicate=0.2)
        self.many(1000)
        extra = len(self.bob.heard) - 1000
        self.assertTrue(140 < extra < 260, extra)
        self.assertEqual(self.network.log.duplicated, extra)
        self.assertEqual(self.network.log.in_flight, 0)

    def test_what_is_longer_than_the_mtu_vanishes(self) -> None:
        self.make(mtu=1200)
        self.assertEqual(self.alice.send(BOB, b"x" * 1200, b"y" * 1201), 2)
        self.clock.advance(1.0)
        self.assertEqual(self.bob.data, [b"x" * 1200])
        self.assertEqual(self.network.log.fates[Fate.TOO_BIG], 1)

    def test_the_more_special_link_wins_and_directions_differ(self) -> None:
        self.make(delay=0.01)
        carol = Ear(self.alice.host, CAROL)
        self.network.link("alice", "bob", LinkSettings(delay=0.1))
        self.network.link(CAROL[0], self.bob.host, LinkSettings(delay=0.2))
        self.network.link("bob", "alice", LinkSettings(delay=0.3), one_way=True)
        self.alice.send(BOB)
        carol.send(BOB)
        self.bob.send(ALICE)
        self.bob.send(CAROL)
        self.clock.advance(1.0)
        self.assertEqual([at for _, _, at in self.bob.heard], [0.1, 0.2])
        self.assertEqual([at for _, _, at in self.alice.heard], [0.3])
        self.assertEqual([at for _, _, at in carol.heard], [0.2])

    def test_a_link_can_change_while_it_is_used(self) -> None:
        self.make(delay=0.1)
        self.alice.send(BOB, b"a")
        self.network.default(LinkSettings(delay=0.01))
        self.alice.send(BOB, b"b")
        self.clock.advance(1.0)
        self.alice.send(BOB, b"c")
        self.network.link("alice", "bob", LinkSettings(delay=0.5))
        self.alice.send(BOB, b"d")
        self.clock.advance(1.0)
        self.assertEqual(self.bob.data, [b"a", b"b", b"c", b"d"])
        self.assertEqual([at for _, _, at in self.bob.heard], [0.1, 0.1, 1.01, 1.5])

    def test_one_links_chances_do_not_depend_on_anothers_traffic(self) -> None:
        got = []
        for noise in (False, True):
            self.make(3, loss=0.5)
            for _ in range(200):
                self.alice.send(BOB, b"1")
                if noise:
                    self.bob.send(ALICE)
            self.clock.advance(1.0)
            got.append(len(self.bob.heard))
        self.assertEqual(got[0], got[1])

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        for wrong in ({"loss": 1.1}, {"duplicate": -0.1}, {"delay": -1.0}):
            self.assertRaises(ValueError, LinkSettings, **wrong)
