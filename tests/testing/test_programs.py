"""Local programs count what they miss."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import (
    EchoProgram,
    FakeNetwork,
    LinkSettings,
    LocalProgram,
    SeededRandom,
    VirtualReactor,
)


class ProgramTests(SynchronousTestCase):
    """A program on alice, an echo on bob."""

    def make(self, link: LinkSettings | None = None, rate: float = 10.0) -> None:
        """Both of them, running."""
        self.reactor = VirtualReactor()
        self.network = FakeNetwork(self.reactor, 1, default_link=link or LinkSettings(delay=0.02))
        alice = self.network.host("alice", ["192.0.2.1"])
        bob = self.network.host("bob", ["192.0.2.2"])
        self.echo = EchoProgram(bob, ("192.0.2.2", 0)).start()
        self.program = LocalProgram(
            alice, self.echo.local, rate=rate, address=("192.0.2.1", 0)
        ).start()

    def test_it_sends_at_its_rate_and_gets_everything_back(self) -> None:
        self.make(rate=50.0)
        self.reactor.advance(10.05)
        program = self.program
        self.assertEqual((program.sent, program.lost), (503, 2))
        self.assertEqual(self.echo.echoed, 502)
        self.assertAlmostEqual(max(program.delays()), 0.04)
        self.assertAlmostEqual(program.longest_gap(since=0.04), 0.02)

    def test_a_blackhole_shows_as_a_gap_and_as_missing_numbers(self) -> None:
        self.make()
        self.reactor.advance(1.0)
        self.network.blackhole("alice", "bob", seconds=2.0)
        self.reactor.advance(5.0)
        self.program.pause()
        self.reactor.advance(1.0)
        missing = self.program.missing()
        self.assertEqual(missing, list(range(missing[0], missing[0] + len(missing))))
        self.assertEqual(len(missing), self.program.lost)
        self.assertTrue(19 <= len(missing) <= 21, missing)
        self.assertAlmostEqual(self.program.longest_gap(), 2.1)

    def test_duplicates_and_disorder_are_seen(self) -> None:
        self.make(LinkSettings(duplicate=0.3, reorder=0.3, reorder_delay=0.25))
        self.reactor.advance(30.0)
        self.assertGreater(self.program.duplicates, 30)
        self.assertGreater(self.program.reordered, 30)
        self.assertEqual(self.program.missing(end=200), [])

    def test_stopping_leaves_nothing_behind(self) -> None:
        self.make()
        self.reactor.advance(1.0)
        for program in (self.program, self.echo):
            program.stop()
            program.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_by_hand(self) -> None:
        self.make(rate=0.0)
        self.reactor.advance(1.0)
        self.assertEqual(self.program.sent, 0)
        self.program.send(5)
        self.reactor.advance(1.0)
        self.assertEqual((self.program.received, self.program.last_arrival), (5, 1.04))
        self.echo.port.send([(b"strange", self.program.local, 0)])  # type: ignore[union-attr]
        self.reactor.advance(1.0)
        self.assertEqual(self.program.foreign, 1)


class RandomTests(SynchronousTestCase):
    """Streams by name."""

    def test_equal_seeds_are_equal_and_children_are_their_own(self) -> None:
        one, two = SeededRandom(5), SeededRandom(5)
        self.assertEqual(one.randbytes(16), two.randbytes(16))
        child = one.child("nat")
        one.random()
        self.assertEqual(child.getrandbits(64), two.child("nat").getrandbits(64))
        names = ("a", "b", "a/b", "")
        self.assertEqual(len({one.child(name).getrandbits(64) for name in names}), len(names))
