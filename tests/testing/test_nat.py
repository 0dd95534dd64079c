"""NATs by the terms of RFC 4787: mapping (section 4.1) and filtering (section 5)."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
    Behavior,
    Fate,
    NatSettings,
)
from tests.testing.desk import Ear, network

EXTERNAL = "203.0.113.1"
ONE: Address = ("192.0.2.1", 1000)
ONE_OTHER_PORT: Address = ("192.0.2.1", 1001)
TWO: Address = ("192.0.2.2", 1000)
ALL = (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC)


class NatCase(SynchronousTestCase):
    """One host inside, three endpoints on two hosts outside."""

    def make(self, settings: NatSettings, inside: tuple[str, ...] = ("10.0.0.2",)) -> None:
        """The network."""
        self.clock, self.network = network(delay=0.01)
        self.nat = self.network.nat("nat", EXTERNAL, settings)
        self.host = self.network.host("alice", inside, nat=self.nat)
        self.alice = Ear(self.host, (inside[0], 5000))
        first = self.network.host("first", [ONE[0]])
        second = self.network.host("second", [TWO[0]])
        self.one, self.other, self.two = (
            Ear(first, ONE),
            Ear(first, ONE_OTHER_PORT),
            Ear(second, TWO),
        )

    def settle(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def seen(self, ear: Ear) -> Address:
        """As whom *ear* saw the last datagram."""
        return ear.sources[-1]

    def open(self) -> Address:
        """Alice sends to ONE; returns her external address."""
        self.alice.send(ONE)
        self.settle()
        return self.seen(self.one)

    def gets_in(self, ear: Ear, to: Address) -> bool:
        """Whether a datagram of *ear* reaches alice."""
        before = len(self.alice.heard)
        ear.send(to)
        self.settle()
        return len(self.alice.heard) > before


class MappingTests(NatCase):
    """RFC 4787 section 4.1."""

    def ports(self, settings: NatSettings) -> list[int]:
        """External ports towards ONE, another port of the same host, and TWO."""
        self.make(settings)
        for remote in (ONE, ONE_OTHER_PORT, TWO):
            self.alice.send(remote)
        self.settle()
        ears = (self.one, self.other, self.two)
        self.assertEqual({self.seen(ear)[0] for ear in ears}, {EXTERNAL})
        return [self.seen(ear)[1] for ear in ears]

    def test_endpoint_independent_has_one_port_for_all(self) -> None:
        for settings in (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED):
            self.assertEqual(self.ports(settings), [5000, 5000, 5000])

    def test_address_dependent_has_one_port_per_host(self) -> None:
        settings = NatSettings(mapping=Behavior.ADDRESS_DEPENDENT)
        same, also, another = self.ports(settings)
        self.assertEqual(same, also)
        self.assertNotEqual(same, another)

    def test_symmetric_has_one_port_per_endpoint(self) -> None:
        self.assertEqual(len(set(self.ports(SYMMETRIC))), 3)
        self.assertNotIn(5000, self.ports(SYMMETRIC))

    def test_two_hosts_with_one_port_get_two(self) -> None:
        self.make(FULL_CONE)
        eve = Ear(self.network.host("eve", ["10.0.0.3"], nat=self.nat), ("10.0.0.3", 5000))
        for ear in (self.alice, eve):
            ear.send(ONE)
        self.settle()
        self.assertEqual(len(set(self.one.sources)), 2)

    def test_an_idle_mapping_ends_and_traffic_out_keeps_it(self) -> None:
        """REQ-5 and REQ-6."""
        self.make(evolve(FULL_CONE, timeout=30.0))
        external = self.open()
        for _ in range(3):
            self.settle(25.0)
            self.alice.send(TWO)
        self.settle(25.0)
        self.assertTrue(self.gets_in(self.one, external))
        self.settle(10.0)
        self.assertFalse(self.gets_in(self.one, external))
        self.assertEqual(self.nat.mappings(self.clock.seconds()), [])

    def test_traffic_in_keeps_a_mapping_only_where_it_is_set(self) -> None:
        """REQ-6 leaves the inbound refresh open."""
        for inbound in (False, True):
            self.make(evolve(FULL_CONE, timeout=30.0, refresh_inbound=inbound))
            external = self.open()
            for _ in range(3):
                self.settle(20.0)
                self.one.send(external)
            self.settle(1.0)
            self.assertEqual(self.gets_in(self.one, external), inbound)

    def test_an_expired_mapping_of_a_symmetric_nat_comes_back_elsewhere(self) -> None:
        self.make(evolve(SYMMETRIC, timeout=30.0))
        before = self.open()
        self.settle(60.0)
        self.assertNotEqual(self.open(), before)


class FilteringTests(NatCase):
    """RFC 4787 section 5; alice has sent to ONE only."""

    def who_gets_in(self, settings: NatSettings) -> list[bool]:
        """ONE, another port of its host, another host."""
        self.make(settings)
        external = self.open()
        return [self.gets_in(ear, external) for ear in (self.one, self.other, self.two)]

    def test_endpoint_independent_lets_anybody_in(self) -> None:
        self.assertEqual(self.who_gets_in(FULL_CONE), [True, True, True])

    def test_address_dependent_lets_hosts_in_that_were_sent_to(self) -> None:
        self.assertEqual(self.who_gets_in(ADDRESS_RESTRICTED), [True, True, False])

    def test_address_and_port_dependent_lets_endpoints_in_that_were_sent_to(self) -> None:
        self.assertEqual(self.who_gets_in(PORT_RESTRICTED), [True, False, False])
        self.assertEqual(self.who_gets_in(SYMMETRIC), [True, False, False])
        dropped = self.network.log.of(Fate.NAT_DROPPED)
        self.assertEqual([entry.detail for entry in dropped], ["filtered", "filtered"])

    def test_nothing_gets_in_without_a_mapping(self) -> None:
        for settings in ALL:
            self.make(settings)
            self.assertFalse(self.gets_in(self.one, (EXTERNAL, 5000)))
            self.assertEqual(self.network.log.of(Fate.NAT_DROPPED)[0].detail, "no mapping")

    def test_a_filter_forgets_an_endpoint_that_is_not_sent_to(self) -> None:
        self.make(evolve(PORT_RESTRICTED, timeout=30.0))
        external = self.open()
        for _ in range(3):
            self.settle(20.0)
            self.alice.send(TWO)
        self.settle()
        self.assertFalse(self.gets_in(self.one, external))
        self.assertTrue(self.gets_in(self.two, external))

    def test_what_arrives_before_the_hole_is_punched_is_lost_and_after_it_is_not(self) -> None:
        """The filter is asked when a datagram arrives, not when it leaves."""
        self.make(PORT_RESTRICTED)
        self.two.send((EXTERNAL, 5000), b"too early")
        self.settle(0.011)
        self.two.send((EXTERNAL, 5000), b"in time")
        self.settle(0.005)
        self.alice.send(TWO)
        self.settle()
        self.assertEqual(self.alice.data, [b"in time"])


class RebindingTests(NatCase):
    """What happens to a session when its NAT forgets it."""

    def test_rebinding_gives_another_port_and_closes_the_old_one(self) -> None:
        for settings in ALL:
            self.make(settings)
            before = self.open()
            self.nat.rebind()
            self.assertFalse(self.gets_in(self.one, before))
            after = self.open()
            self.assertNotEqual(after[1], before[1])
            self.assertTrue(self.gets_in(self.one, after))
            self.assertFalse(self.gets_in(self.one, before))

    def test_rebinding_to_another_address(self) -> None:
        self.make(PORT_RESTRICTED)
        before = self.open()
        self.nat.rebind("203.0.113.99")
        self.assertFalse(self.gets_in(self.one, before))
        self.assertEqual(self.open(), ("203.0.113.99", 5000))
        self.assertRaises(ValueError, self.nat.rebind, "2001:db8::1")

    def test_a_rebinding_is_half_open_until_the_inside_sends(self) -> None:
        """Only who is sent to from the new port can notice; what goes to the old one is lost."""
        self.make(SYMMETRIC)
        before = self.open()
        self.nat.rebind()
        self.assertFalse(self.gets_in(self.one, before))
        self.assertEqual(self.network.log.of(Fate.NAT_DROPPED)[-1].detail, "no mapping")
        after = self.open()
        self.assertEqual(self.one.sources, [before, after])

    def test_a_power_cut_gives_a_preserved_port_back(self) -> None:
        self.make(PORT_RESTRICTED)
        before = self.open()
        self.nat.forget()
        self.assertFalse(self.gets_in(self.one, before))
        self.assertEqual(self.open(), before)


class BlockedTests(NatCase):
    """A firewall that lets no UDP through."""

    def test_nothing_goes_out_or_in_and_nobody_is_told(self) -> None:
        self.make(UDP_BLOCKED)
        self.assertEqual(self.alice.send(ONE), 1)
        self.settle()
        self.assertEqual(self.one.heard, [])
        self.assertFalse(self.gets_in(self.one, (EXTERNAL, 5000)))
        dropped = self.network.log.of(Fate.NAT_DROPPED)
        self.assertEqual([entry.detail for entry in dropped], ["UDP blocked", "UDP blocked"])

    def test_it_can_begin_and_end_at_any_time(self) -> None:
        self.make(FULL_CONE)
        external = self.open()
        self.nat.settings = UDP_BLOCKED
        self.assertFalse(self.gets_in(self.one, external))
        self.nat.settings = FULL_CONE
        self.assertTrue(self.gets_in(self.one, external))

    def test_hosts_behind_it_still_reach_each_other(self) -> None:
        self.make(UDP_BLOCKED)
        eve = Ear(self.network.host("eve", ["10.0.0.3"], nat=self.nat), ("10.0.0.3", 5000))
        self.alice.send(eve.local)
        self.settle()
        self.assertEqual(eve.sources, [self.alice.local])


class TopologyTests(NatCase):
    """Hosts behind one NAT, behind two, and beside them."""

    def test_hosts_behind_one_nat_reach_each_other_directly(self) -> None:
        self.make(SYMMETRIC)
        eve = Ear(self.network.host("eve", ["10.0.0.3"], nat=self.nat), ("10.0.0.3", 5000))
        self.alice.send(eve.local)
        self.settle()
        self.assertEqual(eve.sources, [self.alice.local])

    def test_an_inside_address_is_nobody_outside(self) -> None:
        self.make(FULL_CONE)
        self.one.send(self.alice.local)
        self.settle()
        self.assertEqual(self.network.log.fates[Fate.NO_SUCH_HOST], 1)

    def test_two_nats_may_have_the_same_addresses_inside(self) -> None:
        self.make(FULL_CONE)
        other = self.network.nat("other", "203.0.113.2", FULL_CONE)
        eve = Ear(self.network.host("eve", ["10.0.0.2"], nat=other), ("10.0.0.2", 5000))
        external = self.open()
        eve.send(external, b"hello")
        self.settle()
        self.assertEqual(self.alice.heard[-1][:2], (b"hello", ("203.0.113.2", 5000)))

    def test_hairpinning_works_only_where_it_is_set_and_shows_the_external_source(self) -> None:
        """REQ-9."""
        for hairpin in (False, True):
            self.make(evolve(FULL_CONE, hairpin=hairpin))
            eve = Ear(self.network.host("eve", ["10.0.0.3"], nat=self.nat), ("10.0.0.3", 6000))
            external = self.open()
            self.assertEqual(self.gets_in(eve, external), hairpin)
            if hairpin:
                self.assertEqual(self.alice.sources, [(EXTERNAL, 6000)])

    def test_a_nat_behind_a_nat_translates_twice(self) -> None:
        self.make(PORT_RESTRICTED)
        home = self.network.nat("home", "10.0.0.9", PORT_RESTRICTED, behind=self.nat)
        eve = Ear(self.network.host("eve", ["192.168.0.2"], nat=home), ("192.168.0.2", 7000))
        eve.send(ONE)
        self.settle()
        self.assertEqual(self.seen(self.one), (EXTERNAL, 7000))
        self.one.send((EXTERNAL, 7000), b"back")
        self.settle()
        self.assertEqual(eve.data, [b"back"])
        entry = self.network.log.of(Fate.DELIVERED)[-1]
        self.assertEqual((entry.sent_to, entry.arrived), ((EXTERNAL, 7000), eve.local))

    def test_the_other_family_passes_by(self) -> None:
        self.make(SYMMETRIC, ("10.0.0.2", "2001:db8::2"))
        six = Ear(self.host, ("2001:db8::2", 5000))
        out = Ear(self.network.host("six", ["2001:db8::1"]), ("2001:db8::1", 1))
        six.send(out.local)
        self.settle()
        self.assertEqual(out.sources, [six.local])

    def test_equal_seeds_choose_equal_ports(self) -> None:
        seen = []
        for _ in range(2):
            self.make(SYMMETRIC)
            seen.append([self.open(), self.seen(self.one)])
        self.assertEqual(seen[0], seen[1])
