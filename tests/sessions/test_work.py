"""A session does one thing after the other."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.work import MAX_WAITING, SerialWork


class WorkTests(SynchronousTestCase):
    """Coroutines that take some turns each."""

    def setUp(self) -> None:
        self.broken: list[Failure] = []
        self.done: list[str] = []
        self.gates: list[Deferred[None]] = []
        self.work = SerialWork(self.broken.append)

    async def step(self, name: str) -> None:
        """Done when its gate opens."""
        gate: Deferred[None] = Deferred()
        self.gates.append(gate)
        await gate
        self.done.append(name)

    async def quick(self, name: str) -> None:
        self.done.append(name)

    async def wrong(self) -> None:
        raise ValueError("wrong")

    def test_in_order_and_one_at_a_time(self) -> None:
        for work in (self.step("a"), self.quick("b"), self.step("c"), self.quick("d")):
            self.assertTrue(self.work.do(work))
        self.assertEqual((self.done, len(self.gates)), ([], 1))
        self.gates[0].callback(None)
        self.assertEqual((self.done, len(self.gates)), (["a", "b"], 2))
        self.gates[1].callback(None)
        self.assertEqual(self.done, ["a", "b", "c", "d"])

    def test_what_fails_is_told_and_stops_nobody(self) -> None:
        self.work.do(self.wrong())
        self.work.do(self.quick("after"))
        self.assertEqual([type(each.value) for each in self.broken], [ValueError])
        self.assertEqual(self.done, ["after"])

    def test_too_much_is_refused(self) -> None:
        self.work.do(self.step("first"))
        taken = [self.work.do(self.quick(str(n))) for n in range(MAX_WAITING + 1)]
        self.assertEqual((taken.count(True), taken[-1]), (MAX_WAITING, False))
        self.gates[0].callback(None)
        self.assertEqual(len(self.done), MAX_WAITING + 1)

    def test_what_runs_is_cancelled_and_what_waits_dropped_when_all_ends(self) -> None:
        self.work.do(self.step("a"))
        self.work.do(self.quick("b"))
        self.work.stop()
        self.assertFalse(self.work.do(self.quick("c")))
        self.assertEqual((self.done, self.broken), ([], []))
