"""The names of a virtual world."""

from __future__ import annotations

from twisted.internet.error import DNSLookupError
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.resolve import ResolveError, Resolver
from refreeze.testing import VirtualReactor


class NameTests(SynchronousTestCase):
    """Asked as production asks."""

    def setUp(self) -> None:
        self.reactor = VirtualReactor()
        self.names = self.reactor.nameResolver
        self.names.table["turn.example"] = ["203.0.113.10", "2001:db8::10"]
        self.resolver = Resolver(names=self.names, clock=self.reactor)

    def test_a_name_has_the_addresses_of_the_table(self) -> None:
        asked = self.resolver.resolve("turn.example")
        self.reactor.advance(0)
        self.assertEqual(self.successResultOf(asked), ("203.0.113.10", "2001:db8::10"))

    def test_one_that_is_not_there_has_none(self) -> None:
        asked = self.resolver.resolve("nobody.example")
        self.reactor.advance(0)
        self.failureResultOf(asked, ResolveError, DNSLookupError)

    def test_where_no_server_answers_it_is_given_up_and_may_be_asked_again(self) -> None:
        self.names.silent.add("turn.example")
        asked = self.resolver.resolve("turn.example")
        self.reactor.advance(self.names.patience + 1.0)
        self.failureResultOf(asked, ResolveError)
        self.names.silent.clear()
        asked = self.resolver.resolve("turn.example")
        self.reactor.advance(0)
        self.successResultOf(asked)

    def test_a_host_hears_nothing_while_it_sleeps_and_nothing_more_when_it_is_killed(self) -> None:
        alice, bob = self.reactor.on("alice"), self.reactor.on("bob")
        asked = {
            each.name: Resolver(names=each.nameResolver, clock=each).resolve("turn.example")
            for each in (alice, bob)
        }
        alice.suspend(3.0)
        bob.kill()
        self.reactor.advance(2.0)
        self.assertNoResult(asked["alice"])
        self.reactor.advance(2.0)
        self.assertEqual(len(self.successResultOf(asked["alice"])), 2)
        self.assertNoResult(asked["bob"])
