"""The operations chain (webrtc-pc 4.4.1.2)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import InvalidStateError, OperationError
from refreeze.peer.operations import OperationsChain


class ChainTests(SynchronousTestCase):
    """One after the other, each to its end."""

    def setUp(self) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.log: list[str] = []
        self.chain = OperationsChain(
            self.tasks.append, lambda: self.log.append("began"), lambda: self.log.append("ended")
        )

    def test_the_next_begins_when_the_one_before_has_settled_and_was_told(self) -> None:
        first: Deferred[str] = Deferred()
        one = self.chain.chain(lambda: first)
        two = self.chain.chain(lambda: succeed(self.log.append("two")))
        one.addCallback(self.log.append)
        self.assertEqual(self.log, ["began", "began"])
        first.callback("one")
        self.assertEqual(self.log, ["began", "began", "ended", "one", "two", "ended"])
        self.successResultOf(two)

    def test_whoever_is_told_finds_an_empty_chain(self) -> None:
        """What is chained then, and refused before any task, is refused at once."""
        gate: Deferred[None] = Deferred()
        told: list[Deferred[None]] = []

        def chain_another(_: object) -> None:
            told.append(self.chain.chain(lambda: fail(OperationError("no"))))
            self.failureResultOf(told[-1], OperationError)

        self.chain.chain(lambda: gate).addCallback(chain_another)
        gate.callback(None)
        self.assertEqual(len(told), 1)

    def test_what_is_chained_by_whoever_was_told_comes_behind_what_waits(self) -> None:
        order: list[str] = []

        def work(name: str) -> Callable[[], Deferred[None]]:
            return lambda: self.chain.in_task(lambda: order.append(name))

        self.chain.chain(work("a")).addCallback(lambda _: self.chain.chain(work("c")) and None)
        self.chain.chain(work("b"))
        while self.tasks:
            self.tasks.pop(0)()
        self.assertEqual(order, ["a", "b", "c"])

    def test_thousands_that_are_refused_at_once_are_no_recursion(self) -> None:
        gate: Deferred[None] = Deferred()
        self.chain.chain(lambda: gate)
        refused = [self.chain.chain(lambda: fail(OperationError("no"))) for _ in range(5000)]
        gate.callback(None)
        for each in refused:
            self.failureResultOf(each, OperationError)
        self.assertEqual((self.log.count("began"), self.log.count("ended")), (5001, 5001))

    def test_nothing_settles_once_it_is_closed_rule_55(self) -> None:
        first: Deferred[None] = Deferred()
        pending = [self.chain.chain(lambda: first), self.chain.chain(lambda: succeed(None))]
        self.chain.close()
        first.callback(None)
        for each in pending:
            self.assertNoResult(each)
        self.failureResultOf(self.chain.chain(lambda: succeed(None)), InvalidStateError)
