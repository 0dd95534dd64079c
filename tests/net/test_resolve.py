"""Names of servers: checked, looked up once for all who ask, and never for ever."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from refreeze.net.resolve import MAX_ADDRESSES, MAX_LOOKUPS, ResolveError, Resolver

FOUR = IPv4Address("UDP", "192.0.2.7", 0)
SIX = IPv6Address("UDP", "2001:DB8:0:0::7", 0)


@implementer(IHostResolution)
class FakeResolution:
    """Twisted's own cannot be cancelled either."""

    name = "any"

    def cancel(self) -> None:
        raise NotImplementedError


@implementer(IHostnameResolver)
@define(eq=False)
class FakeNames:
    """Answers when a test says so; *at_once* answers within the question."""

    asked: list[tuple[str, IResolutionReceiver]] = field(factory=list)
    at_once: tuple[Any, ...] | None = None
    error: Exception | None = None

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        if self.error is not None:
            raise self.error
        self.asked.append((hostName, resolutionReceiver))
        resolutionReceiver.resolutionBegan(FakeResolution())
        if self.at_once is not None:
            self.answer(-1, *self.at_once)
        return FakeResolution()

    def answer(self, which: int, *addresses: Any) -> None:
        """The look-up of that number is complete."""
        _name, receiver = self.asked[which]
        for address in addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class ResolverTests(SynchronousTestCase):
    """What becomes of a question."""

    def setUp(self) -> None:
        self.clock, self.names = Clock(), FakeNames()
        self.resolver = Resolver(names=self.names, clock=self.clock)

    def reason(self, asked: Deferred[tuple[str, ...]]) -> str:
        """Why it failed; the text is one line."""
        error = self.failureResultOf(asked, ResolveError).value
        assert isinstance(error, ResolveError)
        self.assertNotIn("\n", str(error))
        return error.reason

    def test_a_numeric_address_is_its_own_at_once(self) -> None:
        for host, wanted in (
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ):
            self.assertEqual(self.successResultOf(self.resolver.resolve(host)), (wanted,))
        self.assertEqual(self.names.asked, [])

    def test_both_families_in_the_order_of_the_system_each_once(self) -> None:
        asked = self.resolver.resolve("Stun.Example.ORG.")
        self.assertNoResult(asked)
        self.assertEqual(self.names.asked[0][0], "stun.example.org")
        self.names.answer(0, SIX, FOUR, SIX, UNIXAddress("/x"))
        self.assertEqual(self.successResultOf(asked), ("2001:db8::7", "192.0.2.7"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.resolver.pending, [])

    def test_an_answer_within_the_question(self) -> None:
        self.names.at_once = (FOUR,)
        asked = self.resolver.resolve("stun.example.org")
        self.assertEqual(self.successResultOf(asked), ("192.0.2.7",))
        self.assertEqual(self.resolver.pending, [])

    def test_a_name_without_an_address(self) -> None:
        asked = self.resolver.resolve("stun.example.org")
        self.names.answer(0)
        self.assertEqual(self.reason(asked), "unresolved")

    def test_all_who_ask_share_one_look_up(self) -> None:
        asked = [self.resolver.resolve(name) for name in ("a.example", "A.example", "a.example.")]
        self.assertEqual(len(self.names.asked), 1)
        self.names.answer(0, FOUR)
        for each in asked:
            self.assertEqual(self.successResultOf(each), ("192.0.2.7",))

    def test_nothing_is_kept(self) -> None:
        for _ in range(2):
            asked = self.resolver.resolve("a.example")
            self.names.answer(-1, FOUR)
            self.successResultOf(asked)
        self.assertEqual(len(self.names.asked), 2)

    def test_who_cancels_takes_nothing_from_the_others(self) -> None:
        first, second = self.resolver.resolve("a.example"), self.resolver.resolve("a.example")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.names.answer(0, FOUR)
        self.assertEqual(self.successResultOf(second), ("192.0.2.7",))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_waits_longer_than_the_limit_from_his_own_question(self) -> None:
        first = self.resolver.resolve("a.example")
        self.clock.advance(4.0)
        second = self.resolver.resolve("a.example")
        self.clock.advance(1.0)
        self.assertEqual(self.reason(first), "unresolved")
        self.assertNoResult(second)
        self.clock.advance(4.0)
        self.assertEqual(self.reason(second), "unresolved")

    def test_a_look_up_that_takes_long_takes_one_thread_only(self) -> None:
        """It cannot be called back; who asks again waits for the same one."""
        for _ in range(10):
            asked = self.resolver.resolve("a.example")
            self.clock.advance(5.0)
            self.assertEqual(self.reason(asked), "unresolved")
        self.assertEqual(len(self.names.asked), 1)
        late = self.resolver.resolve("a.example")
        self.names.answer(0, FOUR)
        self.assertEqual(self.successResultOf(late), ("192.0.2.7",))

    def test_not_more_addresses_of_one_name_than_are_of_use(self) -> None:
        asked = self.resolver.resolve("a.example")
        self.names.answer(0, *[IPv4Address("UDP", f"192.0.2.{each}", 0) for each in range(200)])
        self.assertEqual(len(self.successResultOf(asked)), MAX_ADDRESSES)

    def test_not_more_names_at_a_time_than_the_limit(self) -> None:
        asked = [self.resolver.resolve(f"a{each}.example") for each in range(MAX_LOOKUPS)]
        self.assertEqual(self.reason(self.resolver.resolve("b.example")), "too-many")
        self.names.answer(0, FOUR)
        self.assertNoResult(self.resolver.resolve("b.example"))
        self.successResultOf(asked[0])

    def test_names_are_checked_before_anybody_is_asked(self) -> None:
        long = ".".join(["a" * 63] * 4)
        for bad in (
            *("", ".", "a..b", "-a.example", "a-.example", "a_b.example", "a b", "a/b", "a\n"),
            *("bücher.example", "a%eth0", "[::1]", "a:1", "x" * 64, long),
            *("127.1", "2130706433", "0x7f.1", "0x7f000001", "1.2.3.4.5", "999.999.999.999"),
        ):
            self.assertEqual(self.reason(self.resolver.resolve(bad)), "bad-name", bad)
        self.assertEqual(self.names.asked, [])

    def test_local_names_never_go_to_unicast_dns(self) -> None:
        for name in ("printer.local", "PRINTER.Local.", "a.b.local"):
            self.assertEqual(self.reason(self.resolver.resolve(name)), "mdns")
        self.assertEqual(self.names.asked, [])

    def test_a_resolver_that_fails_is_logged_and_the_name_has_no_address(self) -> None:
        self.names.error = RuntimeError("a plug-in's bug")
        self.assertEqual(self.reason(self.resolver.resolve("a.example")), "unresolved")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.resolver.pending, [])
