"""Virtual time: order, exactness, cancelling, and what is left behind."""

from __future__ import annotations

import random

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from refreeze.testing import NeverHappened, VirtualClock, clock


class ClockTests(SynchronousTestCase):
    """IReactorTime without waiting."""

    def setUp(self) -> None:
        self.clock = VirtualClock()
        self.seen: list[tuple[object, float]] = []

    def note(self, what: object) -> None:
        """A call that remembers when it was made."""
        self.seen.append((what, self.clock.seconds()))

    def test_it_is_the_time_of_a_reactor(self) -> None:
        verifyObject(IReactorTime, self.clock)
        verifyObject(IDelayedCall, self.clock.callLater(1, int))

    def test_calls_are_made_at_their_own_time_and_in_the_order_asked_for(self) -> None:
        for name, delay in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
            self.clock.callLater(delay, self.note, name)
        self.clock.run_at(1.0, self.note, "posted")
        self.clock.advance(5.0)
        self.assertEqual(self.seen, [("a", 1.0), ("b", 1.0), ("posted", 1.0), ("c", 2.0)])
        self.assertEqual(self.clock.seconds(), 5.0)

    def test_what_a_call_asks_for_at_once_is_made_in_the_same_instant_but_later(self) -> None:
        self.clock.callLater(1.0, lambda: (self.clock.callLater(0, self.note, "b"), self.note("a")))
        self.clock.callLater(1.0, self.note, "between")
        self.clock.advance(1.0)
        self.assertEqual(self.seen, [("a", 1.0), ("between", 1.0), ("b", 1.0)])

    def test_a_call_can_be_cancelled_moved_later_and_moved_sooner(self) -> None:
        cancelled, later, sooner = (self.clock.callLater(2.0, self.note, n) for n in "cls")
        cancelled.cancel()
        later.delay(1.0)
        later.reset(4.0)
        sooner.reset(0.5)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [0.5, 4.0])
        self.clock.advance(10.0)
        self.assertEqual(self.seen, [("s", 0.5), ("l", 4.0)])
        self.assertRaises(AlreadyCancelled, cancelled.cancel)
        self.assertRaises(AlreadyCalled, later.reset, 1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_error_is_logged_and_the_next_call_is_made(self) -> None:
        self.clock.callLater(1.0, lambda: 1 / 0)
        self.clock.callLater(1.0, self.note, "next")
        self.clock.advance(1.0)
        self.assertEqual(self.seen, [("next", 1.0)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_the_world_does_is_not_a_delayed_call(self) -> None:
        self.clock.run_at(1.0, self.note, "arrival")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_run_until_stops_at_the_instant_and_says_how_long_it_took(self) -> None:
        self.clock.callLater(1.5, self.note, "x")
        self.clock.callLater(1.6, self.note, "y")
        self.assertEqual(self.clock.run_until(lambda: self.seen, 10.0), 1.5)
        self.assertEqual(self.clock.seconds(), 1.5)

    def test_run_until_gives_up_at_its_limit(self) -> None:
        self.assertRaises(NeverHappened, self.clock.run_until, lambda: False, 3.0)
        self.assertEqual(self.clock.seconds(), 3.0)

    def test_a_delay_too_short_for_a_float_still_lets_time_pass(self) -> None:
        clock, times = VirtualClock(1000.0), []
        clock.callLater(1e-17, lambda: times.append(clock.seconds()))
        clock.advance(1.0)
        self.assertGreater(times[0], 1000.0)
        self.assertLess(times[0], 1000.001)

    def test_time_that_stands_still_is_an_error_and_not_a_hang(self) -> None:
        self.patch(clock, "MAX_AT_ONE_INSTANT", 100)

        def again() -> None:
            self.clock.callLater(0, again)

        again()
        self.assertRaises(RuntimeError, self.clock.advance, 1.0)

    def test_time_cannot_pass_inside_a_call(self) -> None:
        self.clock.callLater(1.0, self.clock.advance, 1.0)
        self.clock.advance(1.0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_looping_call_runs_on_it(self) -> None:
        loop = LoopingCall(self.note, "tick")
        loop.clock = self.clock
        loop.start(0.25)
        self.clock.advance(1.0)
        loop.stop()
        self.assertEqual([at for _, at in self.seen], [0.0, 0.25, 0.5, 0.75, 1.0])

    def test_any_history_of_calls_is_made_in_order_and_once(self) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        self.patch(clock, "MIN_STALE", 8)
        calls = {n: self.clock.callLater(dice.uniform(0, 50), self.note, n) for n in range(300)}
        wanted = set(calls)
        for _ in range(600):
            number = dice.choice(sorted(wanted))
            call = calls[number]
            if call.active():
                action = dice.randrange(4)
                if action == 0:
                    call.cancel()
                    wanted.discard(number)
                elif action == 1:
                    call.reset(dice.uniform(0, 50))
                else:
                    call.delay(dice.uniform(0, 5))
            self.clock.advance(dice.uniform(0, 0.05))
        expected = sorted(number for number in wanted)
        self.clock.advance(5000)
        self.assertEqual(sorted(number for number, _ in self.seen), expected)
        times = [at for _, at in self.seen]
        self.assertEqual(times, sorted(times))
        for number, at in self.seen:
            assert isinstance(number, int)
            self.assertEqual(at, calls[number].getTime())
