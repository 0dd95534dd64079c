"""A daemon's names on its links, as the settings have them at the time."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.gathering import GatherSettings
from refreeze.net.mdnsgroup import Link
from refreeze.net.resolve import ResolveError
from refreeze.service.names import MulticastNames
from refreeze.testing import SeededRandom
from tests.net.links import A, FakeLinks, address_record, answer, question, somebody

LAN = Link("eth0", 4)
ONE, TWO = "192.0.2.1", "192.0.2.2"


class NamesTests(SynchronousTestCase):
    """One link, two addresses."""

    def setUp(self) -> None:
        self.clock, self.links, self.settings = Clock(), FakeLinks(), GatherSettings()
        self.names = MulticastNames(
            opener=self.links,
            hosts=lambda: [("eth0", ONE), ("eth0", TWO)],
            clock=self.clock,
            random=SeededRandom("names"),
            settings=lambda: self.settings,
        )

    def test_without_names_nothing_is_opened_and_nothing_is_left(self) -> None:
        self.names.stop()
        self.names.close()
        self.assertEqual((self.links.opened, self.clock.getDelayedCalls()), ([], []))

    def test_a_peers_name_is_asked_for(self) -> None:
        asked = self.names.resolve("a.local")
        self.links.port(LAN).receive((answer(address_record("a.local", TWO)), somebody()))
        self.clock.advance(1.0)
        self.assertEqual(self.successResultOf(asked), (TWO,))

    def test_under_policy_relay_the_link_is_not_asked_rule_55(self) -> None:
        """Rule 55k, also when the policy came by a reload."""
        self.settings = GatherSettings(policy="relay")
        self.failureResultOf(self.names.resolve("a.local"), ResolveError)
        self.settings = GatherSettings(resolve_mdns=False)
        self.failureResultOf(self.names.resolve("a.local"), ResolveError)
        self.assertEqual(self.links.opened, [])
        self.settings = evolve(self.settings, resolve_mdns=True)
        self.assertNoResult(self.names.resolve("a.local"))

    def test_a_host_keeps_its_name_until_it_is_gone(self) -> None:
        name = self.names.name_of(ONE)
        self.assertEqual(self.names.name_of(ONE), name)
        self.assertNotEqual(self.names.name_of(TWO), name)
        self.names.forget(ONE)
        self.names.forget(ONE)
        self.assertNotEqual(self.names.name_of(ONE), name)

    def test_a_name_that_had_to_make_room_is_replaced(self) -> None:
        name = self.names.name_of(ONE)
        self.names.responder.withdraw(name)
        self.assertNotEqual(self.names.name_of(ONE), name)

    def test_at_the_end_every_name_is_taken_back_and_every_socket_closed(self) -> None:
        name = self.names.name_of(ONE)
        asked = self.names.resolve("a.local")
        port = self.links.port(LAN)
        port.receive((question(name), somebody()))
        self.links.sent(LAN)
        self.names.stop()
        self.failureResultOf(asked, ResolveError)
        (goodbye,) = self.links.sent(LAN)
        self.assertEqual([(each.type, each.ttl) for each in goodbye.answers], [(A, 0)])
        self.names.close()
        self.assertTrue(port.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
