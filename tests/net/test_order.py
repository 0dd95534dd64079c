"""The order in which addresses are offered."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.order import in_order


def _bases(*hosts: str) -> list[Address]:
    return [(host, 7000) for host in hosts]


class OrderTests(SynchronousTestCase):
    """RFC 8421 section 4."""

    def hosts(self, *hosts: str, preferred: tuple[str, ...] = ()) -> list[str]:
        return [host for host, _port in in_order(_bases(*hosts), preferred)]

    def test_one_family_keeps_its_order(self) -> None:
        self.assertEqual(self.hosts("10.0.0.2", "10.0.0.1"), ["10.0.0.2", "10.0.0.1"])
        self.assertEqual(self.hosts("2001:db8::2", "2001:db8::1"), ["2001:db8::2", "2001:db8::1"])

    def test_ipv6_has_a_head_start_and_then_the_families_take_turns(self) -> None:
        four = tuple(f"10.0.0.{n}" for n in range(2))
        six = tuple(f"2001:db8::{n}" for n in range(4))
        expected = [six[0], six[1], six[2], four[0], six[3], four[1]]
        self.assertEqual(self.hosts(*four, *six), expected)

    def test_many_ipv4_addresses_do_not_push_the_only_ipv6_one_back(self) -> None:
        four = tuple(f"10.0.0.{n}" for n in range(5))
        self.assertEqual(self.hosts(*four, "2001:db8::1")[0], "2001:db8::1")

    def test_the_kernels_choice_leads_its_family(self) -> None:
        found = self.hosts("10.0.0.1", "10.1.0.1", preferred=("10.1.0.1",))
        self.assertEqual(found, ["10.1.0.1", "10.0.0.1"])

    def test_what_reaches_one_link_only_comes_last_in_its_family(self) -> None:
        found = self.hosts("fe80::1%eth0", "169.254.0.9", "10.0.0.1", "2001:db8::1")
        self.assertEqual(found[0], "2001:db8::1")
        self.assertLess(found.index("10.0.0.1"), found.index("169.254.0.9"))

    def test_nothing_is_lost_and_nothing_added(self) -> None:
        hosts = ("10.0.0.1", "fe80::1%eth0", "2001:db8::1", "127.0.0.1", "::1")
        self.assertEqual(sorted(self.hosts(*hosts)), sorted(hosts))
        self.assertEqual(self.hosts(), [])
