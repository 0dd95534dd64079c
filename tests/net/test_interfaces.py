"""Which addresses are offered."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.interfaces import (
    AddressSettings,
    check_pattern,
    choose_hosts,
    has_link,
    present_hosts,
    six_flags,
    system_hosts,
    usable_first,
)

FOUND = [
    ("lo", "127.0.0.1"),
    ("lo", "::1"),
    ("eth0", "10.1.0.2"),
    ("eth0", "2001:db8::2"),
    ("eth0", "fe80::2%eth0"),
    ("wlan0", "192.168.7.2"),
    ("docker0", "172.17.0.1"),
    ("wg0", "10.9.0.1"),
]


class ChooseTests(SynchronousTestCase):
    """Include, exclude, and what is never offered."""

    def choose(self, **settings: object) -> list[str]:
        return list(choose_hosts(AddressSettings(**settings), FOUND))  # type: ignore[arg-type]

    def test_by_default_everything_that_can_be_reached(self) -> None:
        self.assertEqual(
            self.choose(),
            ["10.1.0.2", "2001:db8::2", "192.168.7.2", "172.17.0.1", "10.9.0.1"],
        )

    def test_interfaces_by_glob(self) -> None:
        self.assertEqual(self.choose(include=("w*",)), ["192.168.7.2", "10.9.0.1"])
        self.assertEqual(
            self.choose(exclude=("docker*", "wg0")), ["10.1.0.2", "2001:db8::2", "192.168.7.2"]
        )

    def test_networks_and_addresses(self) -> None:
        self.assertEqual(self.choose(include=("10.0.0.0/8",)), ["10.1.0.2", "10.9.0.1"])
        self.assertEqual(self.choose(include=("2001:db8::/32",)), ["2001:db8::2"])
        self.assertEqual(self.choose(include=("eth0",), exclude=("10.1.0.2",)), ["2001:db8::2"])

    def test_loopback_and_link_local_only_when_asked_for(self) -> None:
        self.assertIn("127.0.0.1", self.choose(loopback=True))
        self.assertIn("fe80::2%eth0", self.choose(link_local=True))

    def test_addresses_given_by_hand_win_in_canonical_form_once(self) -> None:
        given = ("127.0.0.2", "2001:DB8:0::1", "127.0.0.2")
        self.assertEqual(self.choose(addresses=given), ["127.0.0.2", "2001:db8::1"])

    def test_rule_of_rfc_8445_5_1_1_1_what_is_never_a_host_candidate(self) -> None:
        never = ["::ffff:10.0.0.1", "::10.0.0.1", "fec0::1", "0.0.0.0", "::", "224.0.0.1"]
        chosen = choose_hosts(AddressSettings(), [("eth0", host) for host in never])
        self.assertEqual(list(chosen), [])

    def test_bad_settings_are_one_line(self) -> None:
        for settings in (
            {"addresses": ("localhost",)},
            {"include": ("10.0.0.0/33",)},
            {"exclude": ("",)},
        ):
            error = self.assertRaises(ValueError, self.choose, **settings)
            self.assertNotIn("\n", str(error))

    def test_good_patterns(self) -> None:
        for pattern in ("eth*", "10.0.0.0/8", "2001:db8::1", "wg[0-9]"):
            check_pattern(pattern)


class LinkTests(SynchronousTestCase):
    """An interface that lost its link keeps its addresses; they are not offered."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def interface(self, flags: str, state: str) -> bool:
        (self.root / "eth0").mkdir()
        (self.root / "eth0" / "flags").write_text(flags + "\n")
        (self.root / "eth0" / "operstate").write_text(state + "\n")
        return has_link("eth0:1", self.root)

    def test_up_with_a_carrier(self) -> None:
        self.assertTrue(self.interface("0x1003", "up"))

    def test_up_like_loopback_and_tunnels(self) -> None:
        self.assertTrue(self.interface("0x9", "unknown"))

    def test_without_a_carrier(self) -> None:
        self.assertFalse(self.interface("0x1003", "lowerlayerdown"))

    def test_taken_down(self) -> None:
        self.assertFalse(self.interface("0x1002", "down"))

    def test_where_the_kernel_does_not_say(self) -> None:
        self.assertTrue(has_link("eth0", self.root))


class SixFlagTests(SynchronousTestCase):
    """What the kernel says of an IPv6 address beside the address."""

    LINES = """\
20010db8000000000000000000000001 02 40 00 80     eth0
20010db8000000000000000000000002 02 40 00 20     eth0
20010db8000000000000000000000003 02 40 00 c0     eth0
20010db8000000000000000000000004 02 40 00 44     eth0
20010db8000000000000000000000005 02 40 00 88     eth0
fe800000000000000000000000000006 02 40 20 e0    eth0
not a line
zzzz0db8000000000000000000000007 02 40 00 80     eth0
"""

    def flags(self, text: str) -> Mapping[tuple[str, str], int]:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = Path(directory.name) / "if_inet6"
        path.write_text(text)
        return six_flags(path)

    def test_deprecated_last_and_no_tentative_or_duplicate_ones(self) -> None:
        """An optimistic one may be used while it is tentative."""
        hosts = ["2001:db8::2", *(f"2001:db8::{each}" for each in (1, 3, 4, 5)), "fe80::6%eth0"]
        found = [("eth0", host) for host in (*hosts, "192.0.2.1")]
        kept = usable_first(found, self.flags(self.LINES))
        self.assertEqual(
            [host for _, host in kept],
            ["2001:db8::1", "2001:db8::4", "192.0.2.1", "2001:db8::2"],
        )

    def test_flags_are_of_one_interface(self) -> None:
        self.assertEqual(
            usable_first([("wlan0", "2001:db8::3")], self.flags(self.LINES)),
            [("wlan0", "2001:db8::3")],
        )

    def test_where_nobody_tells_all_are_usable(self) -> None:
        self.assertEqual(six_flags(Path("/nowhere/at/all")), {})
        self.assertEqual(self.flags(""), {})

    def test_the_real_file_knows_no_less_than_what_is_found(self) -> None:
        if not six_flags():
            self.skipTest("this kernel has no IPv6 addresses, or does not tell")
        known = {address for _interface, address in six_flags()}
        found = {host.partition("%")[0] for _, host in system_hosts() if ":" in host}
        self.assertLessEqual(found, known)


class PresentTests(SynchronousTestCase):
    """Addresses given by hand may be away."""

    def test_what_no_interface_has_is_away_but_loopback_never_is(self) -> None:
        wanted = ["10.1.0.2", "10.1.0.99", "127.0.0.9", "fe80::2%eth0", "fe80::2%wlan0"]
        self.assertEqual(present_hosts(wanted, FOUND), ["10.1.0.2", "127.0.0.9", "fe80::2%eth0"])
