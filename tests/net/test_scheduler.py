"""The one timer: exact, shared, fair, and never in somebody's call."""

from __future__ import annotations

import random

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import on_grid
from refreeze.net.scheduler import (
    MAX_AT_ONCE,
    MAX_PER_TURN,
    MIN_STALE,
    SAME_TARGET_SECONDS,
    Scheduler,
)
from tests.net.fakes import FakeTimed


@define(eq=False)
class TurnClock:
    """A reactor's clock, turn by turn: what is called later runs in a later turn."""

    clock: Clock = field(factory=Clock)
    calls_made: int = 0

    def seconds(self) -> float:
        return float(self.clock.seconds())

    def callLater(self, delay: float, f: object, *args: object) -> IDelayedCall:
        self.calls_made += 1
        return self.clock.callLater(delay, f, *args)  # type: ignore[no-any-return, no-untyped-call]

    def turn(self, to: float) -> None:
        """Move to that time and run what is due, but nothing that this adds."""
        self.clock.rightNow = to
        for call in list(self.clock.getDelayedCalls()):
            if call.getTime() <= to:
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class SchedulerCase(SynchronousTestCase):
    """A scheduler on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)

    def pending(self) -> list[float]:
        """When the reactor would call us."""
        return [call.getTime() for call in self.clock.getDelayedCalls()]


class DeadlineTests(SchedulerCase):
    """When a target is served."""

    def test_served_at_its_exact_deadline_and_not_before(self) -> None:
        target = FakeTimed(0.5)
        self.scheduler.add(target)
        self.clock.advance(0.499)
        self.assertEqual(target.served, [])
        self.clock.advance(0.001)
        self.assertEqual(target.served, [0.5])

    def test_no_deadline_no_timer(self) -> None:
        self.scheduler.add(FakeTimed(None))
        self.assertEqual(self.pending(), [])

    def test_one_delayed_call_for_any_number_of_targets(self) -> None:
        for number in range(100):
            self.scheduler.add(FakeTimed(1.0 + number))
        self.assertEqual(self.pending(), [1.0])

    def test_a_thousand_timers_are_served_in_order(self) -> None:
        seed = 20261123
        print(f"seed {seed}")
        draw = random.Random(seed)
        order: list[float] = []
        deadlines = [draw.uniform(0.0, 30.0) for _ in range(1000)]
        for deadline in deadlines:
            self.scheduler.add(FakeTimed(deadline, lambda _now, d=deadline: order.append(d)))
        for _ in range(31):
            self.clock.advance(1.0)
        self.assertEqual(order, sorted(deadlines))

    def test_deadlines_on_one_grid_tick_cost_one_wakeup(self) -> None:
        targets = [FakeTimed(on_grid(1.0 + 0.0001 * number)) for number in range(1, 200)]
        for target in targets:
            self.scheduler.add(target)
        self.clock.advance(1.05)
        self.assertTrue(all(len(target.served) == 1 for target in targets))
        self.assertEqual(self.scheduler.wakeups, 1)

    def test_a_deadline_in_the_past_is_served_in_the_next_turn(self) -> None:
        self.clock.advance(10.0)
        target = FakeTimed(3.0)
        self.scheduler.add(target)
        self.assertEqual(target.served, [])
        self.clock.advance(0.0)
        self.assertEqual(target.served, [10.0])

    def test_a_target_that_wants_to_be_served_again_is(self) -> None:
        target = FakeTimed(1.0)
        target.then = lambda now: setattr(target, "deadline", now + 1.0)
        self.scheduler.add(target)
        for _ in range(3):
            self.clock.advance(1.0)
        self.assertEqual(target.served, [1.0, 2.0, 3.0])

    def test_a_target_whose_deadline_never_moves_does_not_spin(self) -> None:
        target = FakeTimed(1.0)
        target.then = lambda _now: setattr(target, "deadline", 1.0)
        self.scheduler.add(target)
        self.clock.advance(1.0)
        self.assertEqual(len(target.served), 1 + MAX_AT_ONCE)
        self.assertEqual(self.pending(), [1.0 + SAME_TARGET_SECONDS])

    def test_a_target_with_several_past_deadlines_catches_up(self) -> None:
        deadlines = [1.0, 2.0, 3.0, 50.0]
        target = FakeTimed(deadlines.pop(0))
        target.then = lambda _now: setattr(target, "deadline", deadlines.pop(0))
        self.scheduler.add(target)
        self.clock.advance(10.0)
        self.assertEqual(target.served, [10.0, 10.0, 10.0])
        self.assertEqual(self.pending(), [50.0])

    def test_call_at_calls_once(self) -> None:
        called: list[float] = []
        self.scheduler.call_at(2.0, lambda: called.append(self.clock.seconds()))
        self.clock.advance(2.0)
        self.clock.advance(5.0)
        self.assertEqual(called, [2.0])

    def test_a_removed_call_is_not_called(self) -> None:
        called: list[int] = []
        self.scheduler.call_at(2.0, lambda: called.append(1)).remove()
        self.clock.advance(3.0)
        self.assertEqual(called, [])


class UpdateTests(SchedulerCase):
    """What a moved deadline costs and does."""

    def test_update_never_serves_synchronously(self) -> None:
        target = FakeTimed(5.0)
        handle = self.scheduler.add(target)
        target.deadline = -1.0
        handle.update()
        self.assertEqual(target.served, [])

    def test_an_earlier_deadline_rearms_the_one_call(self) -> None:
        target = FakeTimed(5.0)
        handle = self.scheduler.add(target)
        target.deadline = 2.0
        handle.update()
        self.assertEqual(self.pending(), [2.0])
        self.clock.advance(2.0)
        self.assertEqual(target.served, [2.0])

    def test_a_postponed_head_costs_no_wakeup(self) -> None:
        target = FakeTimed(1.0)
        handle = self.scheduler.add(target)
        target.deadline = 4.0
        handle.update()
        self.assertEqual(self.pending(), [4.0])
        self.clock.advance(4.0)
        self.assertEqual((target.served, self.scheduler.wakeups), ([4.0], 1))

    def test_a_cancelled_only_deadline_leaves_no_timer(self) -> None:
        target = FakeTimed(1.0)
        handle = self.scheduler.add(target)
        target.deadline = None
        handle.update()
        self.assertEqual(self.pending(), [])

    def test_postponing_again_and_again_does_not_grow_the_heap(self) -> None:
        target = FakeTimed(1.0)
        handle = self.scheduler.add(target)
        for number in range(10_000):
            target.deadline = 1.0 + number
            handle.update()
        self.assertLess(len(self.scheduler._heap), 3)

    def test_zigzag_does_not_grow_the_heap(self) -> None:
        """An earlier deadline leaves garbage behind, but only so much of it."""
        target = FakeTimed(1000.0)
        handle = self.scheduler.add(target)
        for number in range(20_000):
            target.deadline = 900.0 - number / 100.0
            handle.update()
        self.assertLess(len(self.scheduler._heap), 2 * MIN_STALE + 10)

    def test_removed_handles_do_not_stay_until_their_deadlines(self) -> None:
        handles = [self.scheduler.add(FakeTimed(3600.0)) for _ in range(5000)]
        for handle in handles:
            handle.remove()
        self.assertLess(len(self.scheduler._heap), 2 * MIN_STALE + 10)

    def test_random_moves_are_served_like_a_plain_list_would(self) -> None:
        """Against a model: each target is served at the first tick its deadline allows."""
        seed = 4711
        print(f"seed {seed}")
        draw = random.Random(seed)
        targets = [FakeTimed(None) for _ in range(20)]
        handles = [self.scheduler.add(target) for target in targets]
        for _ in range(2000):
            index = draw.randrange(20)
            now = self.clock.seconds()
            targets[index].deadline = draw.choice([None, now + draw.random()])
            handles[index].update()
            due = [t for t in targets if t.deadline is not None and t.deadline <= now + 0.05]
            before = [len(t.served) for t in targets]
            self.clock.advance(0.05)
            for target, count in zip(targets, before, strict=True):
                self.assertEqual(len(target.served) - count, 1 if target in due else 0)


class FiringTests(SchedulerCase):
    """What targets may do to each other while they are served."""

    def test_a_target_removed_by_an_earlier_one_is_not_served(self) -> None:
        second = FakeTimed(1.0)
        first = FakeTimed(1.0, lambda _now: handle.remove())
        self.scheduler.add(first)
        handle = self.scheduler.add(second)
        self.clock.advance(1.0)
        self.assertEqual(second.served, [])

    def test_a_target_may_remove_itself(self) -> None:
        target = FakeTimed(1.0)
        handle = self.scheduler.add(target)
        target.then = lambda now: (setattr(target, "deadline", now + 1), handle.remove())[0]
        self.clock.advance(1.0)
        self.clock.advance(5.0)
        self.assertEqual(target.served, [1.0])

    def test_a_target_postponed_by_an_earlier_one_waits(self) -> None:
        second = FakeTimed(1.0)

        def postpone(_now: float) -> None:
            second.deadline = 3.0
            handle.update()

        self.scheduler.add(FakeTimed(1.0, postpone))
        handle = self.scheduler.add(second)
        self.clock.advance(1.0)
        self.assertEqual(second.served, [])
        self.clock.advance(2.0)
        self.assertEqual(second.served, [3.0])

    def test_a_target_may_add_another(self) -> None:
        added = FakeTimed(1.5)
        self.scheduler.add(FakeTimed(1.0, lambda _now: self.scheduler.add(added) and None))
        self.clock.advance(1.0)
        self.clock.advance(0.5)
        self.assertEqual(added.served, [1.5])

    def test_a_target_that_fails_does_not_stop_others_nor_fill_the_log(self) -> None:
        def fail(now: float) -> None:
            bad.deadline = now
            raise RuntimeError("a target's bug")

        bad = FakeTimed(1.0, fail)
        good = FakeTimed(1.0)
        self.scheduler.add(bad)
        self.scheduler.add(good)
        self.clock.pump([1.0] + [0.05] * 100)
        self.assertEqual(good.served, [1.0])
        self.assertGreater(self.scheduler.errors, 50)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 5)

    def test_stop_wakes_nobody(self) -> None:
        target = FakeTimed(1.0)
        handle = self.scheduler.add(target)
        self.scheduler.stop()
        handle.update()
        self.scheduler.add(FakeTimed(1.0))
        self.assertEqual(self.pending(), [])
        self.clock.advance(2.0)
        self.assertEqual(target.served, [])


class FairnessTests(SynchronousTestCase):
    """Sockets get their turns."""

    def test_thousands_that_are_due_at_once_are_served_in_bounded_turns(self) -> None:
        reactor = TurnClock()
        scheduler = Scheduler(reactor)  # type: ignore[arg-type]
        targets = [FakeTimed(1.0) for _ in range(2 * MAX_PER_TURN + 10)]
        for target in targets:
            scheduler.add(target)
        served = []
        for _ in range(3):
            reactor.turn(1.0)
            served.append(scheduler.served)
        self.assertEqual(served, [MAX_PER_TURN, 2 * MAX_PER_TURN, 2 * MAX_PER_TURN + 10])

    def test_T37_after_a_stall_sockets_are_read_before_silence_is_judged(self) -> None:
        """A stopped process wakes up: its deadlines passed, but so did packets it did not read."""
        reactor = TurnClock()
        scheduler = Scheduler(reactor)  # type: ignore[arg-type]
        silent = FakeTimed(7.0)
        handle = scheduler.add(silent)
        reactor.turn(60.0)
        self.assertEqual((silent.served, scheduler.stalls), ([], 1))
        silent.deadline = 67.0
        handle.update()
        reactor.turn(60.0)
        self.assertEqual(silent.served, [])
        reactor.turn(67.0)
        self.assertEqual(silent.served, [67.0])

    def test_what_stays_silent_after_a_stall_is_served_in_the_next_turn(self) -> None:
        reactor = TurnClock()
        scheduler = Scheduler(reactor)  # type: ignore[arg-type]
        silent = FakeTimed(7.0)
        scheduler.add(silent)
        reactor.turn(60.0)
        reactor.turn(60.0)
        self.assertEqual(silent.served, [60.0])

    def test_an_unmoved_head_is_not_armed_again(self) -> None:
        reactor = TurnClock()
        scheduler = Scheduler(reactor)  # type: ignore[arg-type]
        scheduler.add(FakeTimed(1.0))
        later = FakeTimed(5.0)
        handle = scheduler.add(later)
        for number in range(100):
            later.deadline = 5.0 + number
            handle.update()
        self.assertEqual(reactor.calls_made, 1)


class ClockJumpTests(SynchronousTestCase):
    """Suspends."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asleep = 100.0
        self.scheduler = Scheduler(self.clock, boottime=lambda: self.clock.seconds() + self.asleep)
        self.gaps: list[float] = []
        self.scheduler.on_clock_jump(self.gaps.append)

    def test_T37_a_suspend_is_told_before_the_deadlines_are_served(self) -> None:
        order: list[str] = []
        self.scheduler.on_clock_jump(lambda _gap: order.append("jump"))
        self.scheduler.add(FakeTimed(1.0, lambda _now: order.append("served")))
        self.asleep += 3600.0
        self.clock.advance(1.0)
        self.assertEqual(self.gaps, [3600.0])
        self.assertEqual(order, ["jump", "served"])

    def test_a_small_gap_is_drift(self) -> None:
        self.scheduler.add(FakeTimed(1.0))
        self.asleep += 1.9
        self.clock.advance(1.0)
        self.assertEqual(self.gaps, [])

    def test_a_suspend_is_told_once(self) -> None:
        for at in (1.0, 2.0, 3.0):
            self.scheduler.add(FakeTimed(at))
        self.asleep += 10.0
        for _ in range(3):
            self.clock.advance(1.0)
        self.assertEqual(self.gaps, [10.0])

    def later(self, _gap: float) -> None:
        """Somebody has a deadline soon."""
        self.scheduler.add(FakeTimed(100.0))

    def test_T37_what_a_callback_moves_leaves_one_timer(self) -> None:
        """Also when there is more to serve than fits into one turn, or sockets come first."""
        for late in (0.0, 30.0):
            self.setUp()
            busy = [FakeTimed(1.0) for _ in range(MAX_PER_TURN + 1)]
            for each in busy:
                self.scheduler.add(each)
            self.scheduler.on_clock_jump(self.later)
            self.asleep += 10.0
            self.clock.rightNow += late
            self.clock.advance(1.0)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1, late)
            self.scheduler.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_callback_that_fails_stops_neither_others_nor_the_timers(self) -> None:
        def fail(_gap: float) -> None:
            raise RuntimeError("a callback's bug")

        self.scheduler.on_clock_jump(fail)
        later: list[float] = []
        self.scheduler.on_clock_jump(later.append)
        target = FakeTimed(1.0)
        self.scheduler.add(target)
        self.asleep += 10.0
        self.clock.advance(1.0)
        self.assertEqual((later, target.served), ([10.0], [1.0]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
