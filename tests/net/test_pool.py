"""Few sockets, shared, and kept."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.mux import Mux
from refreeze.net.pool import ANY_PORT, PoolError, PortRange, SocketPool, parse_port_range
from tests.net.fakes import FakeFactory, FakeOwner, FakePort

ONE, TWO = "10.0.0.1", "10.0.0.2"
PEER = ("192.0.2.7", 6000)


class PoolCase(SynchronousTestCase):
    """A pool over two local addresses."""

    ports: PortRange = ANY_PORT

    def setUp(self) -> None:
        self.factory = FakeFactory([ONE, TWO])
        self.mux = Mux(lambda: 0.0)
        self.pool = SocketPool(self.factory, self.mux, [ONE, TWO], self.ports)

    def port(self, base: tuple[str, int]) -> FakePort:
        port = self.mux.ports[base]
        assert isinstance(port, FakePort)
        return port


class LeaseTests(PoolCase):
    """Who shares a socket with whom."""

    def test_nothing_is_opened_before_it_is_needed(self) -> None:
        self.assertEqual(self.factory.opened, [])

    def test_a_session_has_a_socket_of_every_address(self) -> None:
        lease = self.pool.lease("berlin")
        self.assertEqual([host for host, _ in lease.bases], [ONE, TWO])
        self.assertEqual(set(self.mux.ports), set(lease.bases))

    def test_sessions_to_different_peers_share(self) -> None:
        self.assertEqual(self.pool.lease("berlin").bases, self.pool.lease("oslo").bases)

    def test_two_sessions_to_one_peer_never_share(self) -> None:
        first, second = self.pool.lease("berlin"), self.pool.lease("berlin")
        self.assertEqual(set(first.bases) & set(second.bases), set())

    def test_a_released_place_is_taken_by_the_next_session(self) -> None:
        first, _second = self.pool.lease("berlin"), self.pool.lease("berlin")
        bases = list(first.bases)
        self.pool.release(first)
        self.pool.release(first)
        self.assertEqual(self.pool.lease("berlin").bases, bases)
        self.assertEqual(len(self.factory.opened), 4)

    def test_releasing_late_does_not_release_the_successor(self) -> None:
        first = self.pool.lease("berlin")
        self.pool.release(first)
        second = self.pool.lease("berlin")
        self.pool.release(first)
        third = self.pool.lease("berlin")
        self.assertEqual(set(second.bases) & set(third.bases), set())

    def test_an_address_that_cannot_be_bound_is_named_and_the_others_used(self) -> None:
        self.factory.hosts.remove(ONE)
        lease = self.pool.lease("berlin")
        self.assertEqual([host for host, _ in lease.bases], [TWO])
        self.assertEqual(self.pool.errors, {ONE: "10.0.0.1:0: Cannot assign requested address"})

    def test_no_address_that_can_be_bound_is_an_error_of_one_line(self) -> None:
        for host in (ONE, TWO):
            self.factory.refused[host, 0] = errno.EMFILE
        error = self.assertRaises(PoolError, self.pool.lease, "berlin")
        self.assertIn("10.0.0.1:0", str(error))
        self.assertIn("10.0.0.2:0", str(error))
        self.assertNotIn("\n", str(error))
        self.factory.refused.clear()
        self.assertEqual(self.pool.lease("berlin").index, 0)

    def test_addresses_that_are_not_there_yet_are_waited_for(self) -> None:
        """A daemon that starts before its network gets its sockets when that is up."""
        self.factory.hosts.clear()
        lease = self.pool.lease("berlin")
        self.assertEqual(lease.bases, [])
        self.factory.hosts.append(ONE)
        self.assertEqual(self.pool.refresh_all(), [])
        self.assertEqual([host for host, _ in lease.bases], [ONE])

    def test_no_address_at_all_is_waited_for_too(self) -> None:
        pool = SocketPool(self.factory, self.mux, [])
        lease = pool.lease("berlin")
        self.assertEqual(lease.bases, [])
        pool.set_hosts([TWO])
        pool.refresh_all()
        self.assertEqual([host for host, _ in lease.bases], [TWO])

    def test_what_all_leases_lost_is_said_once(self) -> None:
        lease, other = self.pool.lease("berlin"), self.pool.lease("oslo")
        base = lease.bases[0]
        self.assertIn(base, other.bases)
        self.port(base).broken = "EBADF"
        self.factory.refused[base] = errno.EADDRINUSE
        self.assertEqual(self.pool.refresh_all(), [base])

    def test_close_closes_everything(self) -> None:
        self.pool.lease("berlin")
        self.pool.close()
        self.assertTrue(all(port.closed for port in self.factory.opened))
        self.assertEqual(self.mux.ports, {})


class ReplaceTests(PoolCase):
    """Broken sockets and addresses that come and go."""

    def test_T35_a_broken_socket_is_opened_again_at_its_own_port(self) -> None:
        """Candidates and claims stay true: the peer need not know."""
        lease = self.pool.lease("berlin")
        base = lease.bases[0]
        broken, owner = self.port(base), FakeOwner()
        self.mux.claim(base, PEER, owner)
        broken.broken = "ENETDOWN"
        self.assertEqual(self.pool.replace(base), base)
        self.assertTrue(broken.closed)
        self.assertIsNot(self.port(base), broken)
        self.port(base).receive((b"x", PEER))
        self.assertEqual(owner.payloads(), [b"x"])

    def test_T35_a_restart_does_not_go_over_a_dead_socket(self) -> None:
        """What gathering asks for is what works: refresh replaces before it answers."""
        lease = self.pool.lease("berlin")
        broken = self.port(lease.bases[0])
        broken.broken = "EBADF"
        self.assertEqual(self.pool.refresh(lease), [])
        self.assertIsNone(self.port(lease.bases[0]).broken)

    def test_T35_when_its_port_is_taken_another_is_used_and_the_old_base_is_lost(self) -> None:
        lease, other = self.pool.lease("berlin"), self.pool.lease("oslo")
        base = lease.bases[0]
        self.port(base).broken = "EBADF"
        self.factory.refused[base] = errno.EADDRINUSE
        self.assertEqual(self.pool.refresh(lease), [base])
        self.assertNotIn(base, lease.bases)
        self.assertEqual(lease.bases, other.bases)
        self.assertEqual(set(self.mux.ports), set(lease.bases))

    def test_T35_a_socket_whose_address_went_is_lost_until_it_comes_back(self) -> None:
        lease = self.pool.lease("berlin")
        base = lease.bases[0]
        self.port(base).broken = "ENODEV"
        self.factory.hosts.remove(ONE)
        self.assertIsNone(self.pool.replace(base))
        self.assertEqual([host for host, _ in lease.bases], [TWO])
        self.factory.hosts.append(ONE)
        self.pool.refresh(lease)
        self.assertEqual([host for host, _ in lease.bases], [ONE, TWO])

    def test_replacing_what_is_not_ours_does_nothing(self) -> None:
        self.assertIsNone(self.pool.replace(("10.0.0.9", 1)))

    def test_addresses_that_went_are_closed_and_those_that_stay_are_kept(self) -> None:
        lease = self.pool.lease("berlin")
        first, second = lease.bases
        self.assertEqual(self.pool.set_hosts([TWO, "10.0.0.3"]), [first])
        self.assertEqual(lease.bases, [second])
        self.factory.hosts.append("10.0.0.3")
        self.pool.refresh(lease)
        self.assertEqual([host for host, _ in lease.bases], [TWO, "10.0.0.3"])
        self.assertEqual(lease.bases[0], second)

    def test_a_released_lease_gets_nothing_new(self) -> None:
        lease = self.pool.lease("berlin")
        self.pool.release(lease)
        self.port(lease.bases[0]).broken = "EBADF"
        self.pool.refresh(lease)
        self.assertEqual(len(self.factory.opened), 2)


class RangeTests(PoolCase):
    """A port or a range of ports."""

    ports = (5000, 5002)

    def test_the_first_free_of_the_range(self) -> None:
        self.factory.refused[ONE, 5000] = errno.EADDRINUSE
        self.assertEqual(self.pool.lease("berlin").bases, [(ONE, 5001), (TWO, 5000)])

    def test_an_exhausted_range_is_named(self) -> None:
        for _ in range(3):
            self.pool.lease("berlin")
        error = self.assertRaises(PoolError, self.pool.lease, "berlin")
        self.assertIn("10.0.0.1:5000-5002: every port of the range", str(error))

    def test_ranges_as_written_in_a_config(self) -> None:
        self.assertEqual(parse_port_range(0), (0, 0))
        self.assertEqual(parse_port_range(5000), (5000, 5000))
        self.assertEqual(parse_port_range("5000-5010"), (5000, 5010))
        for bad in ("", "x", "5010-5000", 65536, -1, "0-10", "1-2-3", "5000-70000"):
            self.assertRaises(ValueError, parse_port_range, bad)
