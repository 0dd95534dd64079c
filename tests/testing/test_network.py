"""Hosts, ports, blackholes, and the log that loses sight of nothing."""

from __future__ import annotations

import errno
import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.testing import SYMMETRIC, DatagramLog, FakeNetwork, Fate, LinkSettings, VirtualClock
from tests.testing.desk import Ear, network

ALICE: Address = ("192.0.2.1", 5000)
BOB: Address = ("192.0.2.2", 5000)


class Case(SynchronousTestCase):
    """Alice and bob, in public."""

    def setUp(self) -> None:
        self.clock, self.network = network(delay=0.01)
        self.hosts = {
            "alice": self.network.host("alice", [ALICE[0], "2001:db8::1"]),
            "bob": self.network.host("bob", [BOB[0]]),
        }
        self.alice, self.bob = Ear(self.hosts["alice"], ALICE), Ear(self.hosts["bob"], BOB)

    def fates(self) -> list[Fate]:
        """Of all that is logged."""
        return [entry.fate for entry in self.network.log]


class PortTests(Case):
    """As the port of a kernel."""

    def refused(self, host: str, port: int) -> int | None:
        """The errno."""
        return self.assertRaises(OSError, self.hosts["alice"].factory.open_udp, host, port).errno

    def test_an_address_is_bound_once_and_free_after_closing(self) -> None:
        self.assertEqual(self.refused(*ALICE), errno.EADDRINUSE)
        self.assertEqual(self.refused(BOB[0], 1), errno.EADDRNOTAVAIL)
        self.alice.port.close()
        self.alice.port.close()
        Ear(self.hosts["alice"], ALICE)

    def test_chosen_ports_differ(self) -> None:
        ports = {Ear(self.hosts["alice"], (ALICE[0], 0)).local[1] for _ in range(50)}
        self.assertEqual(len(ports), 50)

    def test_counters_are_those_of_a_socket(self) -> None:
        self.alice.send(BOB, b"12", b"345")
        self.clock.advance(1.0)
        sent, received = self.alice.port.counters, self.bob.port.counters
        self.assertEqual((sent.sent, sent.sent_bytes), (2, 5))
        self.assertEqual((received.received, received.received_bytes), (2, 5))

    def test_what_no_kernel_would_send_is_not_taken(self) -> None:
        six = Ear(self.hosts["alice"], ("2001:db8::1", 1))
        counters = self.alice.port.counters
        self.assertEqual(self.alice.send((BOB[0], 0)), 0)
        self.assertEqual(self.alice.send(six.local), 0)
        self.assertEqual(self.alice.send(("127.0.0.1", 9)), 0)
        self.assertEqual(counters.send_errors, 3)
        self.assertEqual(self.alice.send(BOB, b"x" * 65508, b"y"), 1)
        self.assertEqual(counters.too_long, 1)

    def test_a_closed_port_takes_and_gives_nothing(self) -> None:
        self.bob.send(ALICE)
        self.alice.port.close()
        self.clock.advance(1.0)
        self.assertEqual(self.alice.heard, [])
        self.assertEqual(self.alice.send(BOB), 0)
        self.assertEqual(self.fates(), [Fate.NO_SUCH_PORT])

    def test_a_host_can_refuse_to_send(self) -> None:
        """T36: a firewall of its own."""
        self.hosts["alice"].send_error = errno.EPERM
        self.assertEqual(self.alice.send(BOB, b"a", b"b"), 0)
        self.assertEqual(self.alice.port.counters.send_errors, 2)
        self.hosts["alice"].send_error = None
        self.assertEqual(self.alice.send(BOB), 1)

    def test_a_suspended_host_neither_sends_nor_receives(self) -> None:
        self.hosts["alice"].suspend(5.0)
        self.assertEqual(self.alice.send(BOB), 0)
        self.bob.send(ALICE)
        self.clock.advance(5.0)
        self.assertEqual(self.alice.heard, [])
        self.assertEqual(self.network.log.of(host="bob")[0].detail, "asleep")
        self.bob.send(ALICE)
        self.clock.advance(1.0)
        self.assertEqual(len(self.alice.heard), 1)

    def test_what_arrives_before_there_is_a_receiver_waits(self) -> None:
        port = self.hosts["bob"].factory.open_udp(BOB[0], 6000)
        self.alice.send((BOB[0], 6000), b"a")
        self.clock.advance(1.0)
        got: list[bytes] = []
        port.on_batch(lambda _port, batch: got.extend(item[0] for item in batch))
        self.assertEqual(got, [])
        self.clock.advance(0)
        self.assertEqual(got, [b"a"])

    def test_a_receiver_that_raises_does_not_stop_the_world(self) -> None:
        self.bob.port.on_batch(lambda _port, _batch: 1 / 0)
        self.alice.send(BOB)
        self.clock.advance(1.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_port_on_every_address_is_heard_from_one(self) -> None:
        everywhere = Ear(self.hosts["bob"], ("0.0.0.0", 7000))
        inside = Ear(self.hosts["bob"], ("127.0.0.1", 1))
        self.alice.send((BOB[0], 7000))
        inside.send(("127.0.0.1", 7000))
        self.clock.advance(1.0)
        self.assertEqual(sorted(everywhere.sources), sorted([ALICE, inside.local]))
        everywhere.send(ALICE)
        everywhere.send(inside.local)
        self.clock.advance(1.0)
        self.assertEqual(self.alice.sources, [(BOB[0], 7000)])
        self.assertEqual(inside.sources, [("127.0.0.1", 7000)])


class LocalTests(Case):
    """Inside one host."""

    def test_loopback_is_the_hosts_own_and_instant(self) -> None:
        here = Ear(self.hosts["alice"], ("127.0.0.1", 7001))
        there = Ear(self.hosts["bob"], ("127.0.0.1", 7001))
        program = Ear(self.hosts["alice"], ("127.0.0.2", 0))
        program.send(here.local, b"x")
        self.assertEqual(here.heard, [])
        self.clock.advance(0)
        self.assertEqual(here.heard, [(b"x", program.local, 0.0)])
        self.assertEqual(there.heard, [])
        self.assertEqual(here.send(BOB), 0)

    def test_two_addresses_of_one_host_reach_each_other_at_once(self) -> None:
        self.hosts["alice"].add_address("192.0.2.77")
        other = Ear(self.hosts["alice"], ("192.0.2.77", 1))
        self.alice.send(other.local)
        self.clock.advance(0)
        self.assertEqual(other.sources, [ALICE])

    def test_unix_datagrams(self) -> None:
        one, two = (Ear(self.hosts["alice"], (f"/run/{name}", 0)) for name in ("one", "two"))
        self.assertEqual(one.send(two.local, b"x"), 1)
        self.assertEqual(one.send(("/run/nobody", 0)), 0)
        self.clock.advance(0)
        self.assertEqual(two.heard, [(b"x", ("/run/one", 0), 0.0)])
        self.assertRaises(OSError, Ear, self.hosts["alice"], ("/run/one", 0))

    def test_the_factory_lists_the_addresses(self) -> None:
        self.hosts["alice"].add_address("198.51.100.1", interface="wlan0")
        listed = self.hosts["alice"].factory.local_hosts()
        self.assertIn(("lo", "127.0.0.1"), listed)
        self.assertIn(("eth0", "2001:db8::1"), listed)
        self.assertIn(("wlan0", "198.51.100.1"), listed)

    def test_the_factory_knows_the_source_towards_a_remote(self) -> None:
        """Its own address, the one beside the remote, else the first; by family and scope."""
        alice = self.hosts["alice"]
        alice.add_address("fe80::1%wlan0", interface="wlan0")
        home = self.network.nat("home", "203.0.113.1")
        alice.add_address("10.0.0.2", nat=home, interface="wlan0")
        self.network.host("printer", ["10.0.0.3"], nat=home)
        source = alice.factory.source_host
        self.assertEqual(source(BOB[0]), ALICE[0])
        self.assertEqual(source("10.0.0.2"), "10.0.0.2")
        self.assertEqual(source("10.0.0.3"), "10.0.0.2")
        self.assertEqual(source("198.51.100.77"), ALICE[0])
        self.assertEqual(source("2001:DB8::77"), "2001:db8::1")
        self.assertEqual(source("fe80::2%wlan0"), "fe80::1%wlan0")
        self.assertEqual((source("127.0.0.5"), source("::1")), ("127.0.0.1", "::1"))
        self.assertIsNone(self.hosts["bob"].factory.source_host("2001:db8::77"))
        self.assertIsNone(source("stun.example"))


class AddressTests(Case):
    """Local addresses come and go."""

    def test_a_removed_address_breaks_its_ports_and_is_nobody(self) -> None:
        self.bob.send(ALICE)
        self.hosts["alice"].remove_address(ALICE[0])
        self.assertEqual(self.alice.port.broken, "EADDRNOTAVAIL")
        self.assertEqual(self.alice.send(BOB), 0)
        self.clock.advance(1.0)
        self.assertEqual(self.alice.heard, [])
        self.assertEqual(self.fates(), [Fate.NO_SUCH_HOST])
        self.assertRaises(OSError, Ear, self.hosts["alice"], ALICE)

    def test_it_may_come_back_but_its_old_ports_stay_broken(self) -> None:
        self.hosts["alice"].remove_address(ALICE[0])
        self.hosts["alice"].add_address(ALICE[0])
        again = Ear(self.hosts["alice"], ALICE)
        self.bob.send(ALICE)
        self.clock.advance(1.0)
        self.assertEqual((len(again.heard), len(self.alice.heard)), (1, 0))
        self.alice.port.close()
        self.bob.send(ALICE)
        self.clock.advance(1.0)
        self.assertEqual(len(again.heard), 2)

    def test_other_addresses_of_the_host_go_on(self) -> None:
        self.hosts["alice"].add_address("192.0.2.77")
        other = Ear(self.hosts["alice"], ("192.0.2.77", 1))
        self.hosts["alice"].remove_address(ALICE[0])
        self.assertEqual(other.send(BOB), 1)

    def test_an_address_is_taken_once(self) -> None:
        self.assertRaises(ValueError, self.hosts["bob"].add_address, ALICE[0])
        self.assertRaises(ValueError, self.hosts["bob"].add_address, "127.0.0.1")
        self.assertRaises(ValueError, self.network.host, "alice")
        self.network.nat("nat", "203.0.113.1")
        self.assertRaises(ValueError, self.network.nat, "nat", "203.0.113.2")

    def test_a_second_interface_may_be_behind_a_nat(self) -> None:
        mobile = self.network.nat("mobile", "203.0.113.1")
        self.hosts["alice"].add_address("10.0.0.2", nat=mobile, interface="wwan0")
        phone = Ear(self.hosts["alice"], ("10.0.0.2", 1111))
        phone.send(BOB)
        self.alice.send(BOB)
        self.clock.advance(1.0)
        self.assertEqual(sorted(self.bob.sources), sorted([("203.0.113.1", 1111), ALICE]))


class BlackholeTests(Case):
    """What gets through, both ways."""

    def through(self) -> tuple[int, int]:
        """How many of one datagram each way arrive: alice to bob, bob to alice."""
        before = len(self.bob.heard), len(self.alice.heard)
        self.alice.send(BOB)
        self.bob.send(ALICE)
        self.clock.advance(0.1)
        return len(self.bob.heard) - before[0], len(self.alice.heard) - before[1]

    def test_by_hosts_by_address_and_by_5_tuple(self) -> None:
        for a, b in (
            ("alice", "bob"), (self.hosts["bob"], "alice"), ("alice", None), (BOB[0], None),
            (ALICE, BOB), (ALICE[0], BOB), ("alice", BOB[0]),
        ):  # fmt: skip
            hole = self.network.blackhole(a, b)
            self.assertEqual(self.through(), (0, 0), (a, b))
            hole.end()
            self.assertEqual(self.through(), (1, 1), (a, b))
            self.assertEqual(hole.swallowed, 2)

    def test_others_get_through(self) -> None:
        for a, b in (("alice", "carol"), (ALICE, (BOB[0], 1)), ((ALICE[0], 1), None)):
            self.network.blackhole(a, b)
        self.assertEqual(self.through(), (1, 1))

    def test_one_way(self) -> None:
        self.network.blackhole("alice", "bob", one_way=True)
        self.assertEqual(self.through(), (0, 1))
        self.network.heal()
        self.assertEqual(self.through(), (1, 1))

    def test_it_ends_by_itself(self) -> None:
        self.network.blackhole("alice", seconds=5.0)
        self.assertEqual(self.through(), (0, 0))
        self.clock.advance(5.0)
        self.assertEqual(self.through(), (1, 1))

    def test_a_5_tuple_behind_a_nat_is_what_its_owner_sees(self) -> None:
        nat = self.network.nat("nat", "203.0.113.1", SYMMETRIC)
        eve = Ear(self.network.host("eve", ["10.0.0.2"], nat=nat), ("10.0.0.2", 5000))
        eve.send(BOB)
        self.clock.advance(0.1)
        external = self.bob.sources[-1]
        for a, b in ((eve.local, BOB), (BOB, external)):
            hole = self.network.blackhole(a, b)
            self.bob.send(external)
            eve.send(BOB)
            self.clock.advance(0.1)
            self.assertEqual(hole.swallowed, 2)
            hole.end()
        self.assertEqual(len(eve.heard), 0)


class LogTests(Case):
    """Every datagram has one fate."""

    def test_an_entry_says_everything(self) -> None:
        self.clock.advance(1.0)
        self.alice.send(BOB, b"h" * 100)
        self.clock.advance(1.0)
        (entry,) = self.network.log
        self.assertEqual(
            entry,
            (1.0, 1.01, "alice", ALICE, ALICE, BOB, BOB, 100, Fate.DELIVERED, "", b"h" * 64, False),
        )
        text = str(entry)
        for part in ("1.000000", "alice 192.0.2.1:5000 -> 192.0.2.2:5000 100 B delivered"):
            self.assertIn(part, text)

    def test_it_can_be_asked(self) -> None:
        self.alice.send(("192.0.2.99", 1))
        self.bob.send((ALICE[0], 1))
        self.clock.advance(1.0)
        self.alice.send(BOB)
        self.clock.advance(1.0)
        log = self.network.log
        self.assertEqual(len(log.of(Fate.NO_SUCH_HOST)), 1)
        self.assertEqual(len(log.of(host="alice")), 2)
        self.assertEqual([each.fate for each in log.of(since=1.0)], [Fate.DELIVERED])
        self.assertEqual(log.of(host="bob")[0].fate, Fate.NO_SUCH_PORT)

    def test_it_is_bounded_or_off_and_counts_all_the_same(self) -> None:
        for limit in (0, 3):
            clock = VirtualClock()
            made = FakeNetwork(clock, 1, log=DatagramLog(limit))
            alice = Ear(made.host("alice", [ALICE[0]]), ALICE)
            Ear(made.host("bob", [BOB[0]]), BOB)
            alice.send(BOB, *(b"%d" % number for number in range(10)))
            self.assertEqual(made.log.in_flight, 10)
            clock.advance(1.0)
            self.assertEqual(len(made.log), limit)
            self.assertEqual(made.log.fates, {Fate.DELIVERED: 10})
            self.assertEqual(made.log.in_flight, 0)

    def _storm(self, seed: int) -> FakeNetwork:
        """Random traffic through everything that there is."""
        dice = random.Random(seed)
        clock = VirtualClock()
        link = LinkSettings(loss=0.1, jitter=0.02, reorder=0.1, duplicate=0.1, mtu=1000)
        made = FakeNetwork(clock, seed, default_link=link, log=DatagramLog(None))
        nat = made.nat("nat", "203.0.113.1", SYMMETRIC)
        hosts = [
            made.host("alice", ["10.0.0.2", "10.0.0.3"], nat=nat),
            made.host("bob", ["192.0.2.1"]),
            made.host("carol", ["192.0.2.2", "2001:db8::1"]),
        ]
        ears = [
            Ear(host, (address, 1000 + number))
            for host in hosts
            for address in ("127.0.0.1", *host.interfaces)
            for number in range(2)
        ]
        taken = 0
        for _ in range(300):
            ear = dice.choice(ears)
            known = [each.local for each in ears] + ear.sources
            to = dice.choice([*known, (nat.address, dice.randrange(1, 65536)), ("192.0.2.9", 9)])
            taken += ear.send(to, *(b"x" * dice.choice([0, 10, 1001]) for _ in range(3)))
            if dice.random() < 0.05:
                made.blackhole(dice.choice(hosts), dice.choice(ears).local, seconds=0.1)
            if dice.random() < 0.02:
                nat.rebind()
            clock.advance(dice.random() * 0.02)
        clock.advance(10.0)
        self.assertEqual(made.log.sent, taken)
        received = sum(each.port.counters.received for each in ears)
        self.assertEqual(received, made.log.fates[Fate.DELIVERED])
        return made

    def test_every_datagram_ends_once_and_equal_seeds_have_equal_logs(self) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        first, second = self._storm(seed), self._storm(seed)
        self.assertEqual(first.log.in_flight, 0)
        self.assertEqual(len(first.log), first.log.sent + first.log.duplicated)
        self.assertEqual(list(first.log), list(second.log))
        self.assertTrue(set(first.log.fates) >= {Fate.DELIVERED, Fate.LOST, Fate.NAT_DROPPED})
