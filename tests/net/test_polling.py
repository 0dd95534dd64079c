"""Where no kernel tells of changes, somebody looks."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.polling import INTERVAL, AddressPoll, NetworkMonitor


class PollTests(SynchronousTestCase):
    """What there is, compared every few seconds."""

    def setUp(self) -> None:
        self.clock, self.there, self.told = Clock(), ["a"], list[str]()
        self.fails = False
        self.poll = AddressPoll(look=self.look, clock=self.clock)
        self.poll.on_change(lambda: self.told.append("changed"))
        self.addCleanup(self.poll.stop)

    def look(self) -> Hashable:
        if self.fails:
            raise OSError("no permission")
        return tuple(self.there)

    def test_what_there_is_at_the_start_is_no_change(self) -> None:
        self.poll.start()
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual(self.told, [])

    def test_each_change_is_told_once(self) -> None:
        self.poll.start()
        self.there.append("b")
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.told, ["changed"])
        self.there.remove("a")
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.told, ["changed"] * 2)

    def test_one_that_fails_does_not_stop_the_others_nor_the_looking(self) -> None:
        self.poll._callbacks.insert(0, lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        self.poll.start()
        for name in "bc":
            self.there.append(name)
            self.clock.advance(INTERVAL)
        self.assertEqual(self.told, ["changed"] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_a_look_that_fails_is_no_change_and_not_the_last(self) -> None:
        self.poll.start()
        self.fails = True
        self.clock.advance(INTERVAL)
        self.fails = False
        self.there.append("b")
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told, ["changed"])

    def test_after_stop_nobody_looks(self) -> None:
        self.poll.start()
        self.poll.stop()
        self.poll.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


@define(eq=False)
class FakeNetlink:
    """A kernel that tells, or does not."""

    tells: bool
    callbacks: list[Any] = field(factory=list)
    stopped: bool = False

    def on_change(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def start(self) -> bool:
        return self.tells

    def stop(self) -> None:
        self.stopped = True


class MonitorTests(SynchronousTestCase):
    """The kernel's word first."""

    def monitor(self, *, tells: bool) -> tuple[NetworkMonitor, Any, Clock]:
        clock, netlink = Clock(), FakeNetlink(tells)
        fake: Any = netlink
        monitor = NetworkMonitor(fake, AddressPoll(look=clock.seconds, clock=clock))
        return monitor, netlink, clock

    def test_where_the_kernel_tells_nobody_looks(self) -> None:
        monitor, netlink, clock = self.monitor(tells=True)
        told = list[int]()
        monitor.on_change(lambda: told.append(1))
        monitor.start()
        self.assertEqual(clock.getDelayedCalls(), [])
        netlink.callbacks[0]()
        self.assertEqual(told, [1])

    def test_elsewhere_somebody_looks(self) -> None:
        monitor, netlink, clock = self.monitor(tells=False)
        told = list[int]()
        monitor.on_change(lambda: told.append(1))
        monitor.start()
        clock.advance(INTERVAL)
        self.assertEqual(told, [1])
        monitor.stop()
        self.assertEqual((clock.getDelayedCalls(), netlink.stopped), ([], True))
