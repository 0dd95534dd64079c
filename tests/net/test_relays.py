"""Leases: who shares an allocation, who must not, and when it ends."""

from __future__ import annotations

from attrs import evolve

from refreeze.net.relaysettings import RelaySettings
from tests.net.relaying import URL, RelayCase


class SharingTests(RelayCase):
    """One allocation of a server serves many sessions, never two to one peer."""

    def test_the_first_sessions_to_all_peers_share(self) -> None:
        leases = [self.site.lease(peer=f"peer{n}", session=f"s{n}")[0] for n in range(20)]
        self.advance(1.0)
        self.assertEqual(len(self.server.allocations), 1)
        self.assertEqual(len({id(lease.relays[0]) for lease in leases}), 1)
        for lease in leases[:-1]:
            lease.release()
        self.advance(1.0)
        self.assertEqual(len(self.server.allocations), 1)
        leases[-1].release()
        leases[-1].release()
        self.advance(1.0)
        self.assertEqual((self.server.allocations, self.site.sockets), ([], 0))
        self.assertEqual(self.site.pool.relays, [])

    def test_two_sessions_to_one_peer_never_share(self) -> None:
        """Data carries no name: the pair of relayed and remote address has one owner."""
        first, _ = self.site.lease(peer="bob", session="voice")
        second, _ = self.site.lease(peer="bob", session="video")
        other, _ = self.site.lease(peer="carol", session="voice to carol")
        another, _ = self.site.lease(peer="carol", session="video to carol")
        self.advance(1.0)
        self.assertIsNot(first.relays[0], second.relays[0])
        self.assertEqual((first.relays, second.relays), (other.relays, another.relays))
        self.assertEqual(len(self.server.allocations), 2)
        bases = {port.local for lease in (first, second) for port in lease.relays[0].ports}
        self.assertEqual(len(bases), 4)

    def test_a_place_that_was_given_back_is_the_next_sessions(self) -> None:
        first, _ = self.site.lease(peer="bob", session="one")
        _second, _ = self.site.lease(peer="bob", session="two")
        slot = first.slot
        first.release()
        third, _ = self.site.lease(peer="bob", session="three")
        self.assertEqual(third.slot, slot)

    def test_two_who_share_are_told_the_same(self) -> None:
        _one, first = self.site.lease(peer="bob", session="one")
        self.advance(1.0)
        late, second = self.site.lease(peer="carol", session="two")
        self.assertTrue(late.relays[0].ports)
        self.assertEqual((len(first.settled), second.settled), (1, []))
        self.server.restart()
        late.relays[0].verify()
        self.until(lambda: len(second.settled) == 1, 6.0)
        self.assertEqual([len(each.lost) for each in (first, second)], [1, 1])
        self.assertEqual(len(first.settled), 2)

    def test_a_listener_that_fails_stops_nobody(self) -> None:
        _one, first = self.site.lease(peer="bob", session="one")
        _two, second = self.site.lease(peer="carol", session="two")
        first.settled = None  # type: ignore[assignment]
        self.until(lambda: bool(second.settled), 1.0)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class AloneTests(RelayCase):
    """``share_allocations = false``."""

    settings = RelaySettings(share_allocations=False)

    def test_every_session_has_its_own(self) -> None:
        leases = [self.site.lease(peer=f"peer{n}", session=f"s{n}")[0] for n in range(3)]
        self.advance(1.0)
        self.assertEqual(len(self.server.allocations), 3)
        leases[0].release()
        self.advance(1.0)
        self.assertEqual(len(self.server.allocations), 2)


class ServersTests(RelayCase):
    """The configuration, and what becomes of leases when it changes."""

    def test_every_turn_url_is_a_relay_in_its_order_and_stun_is_none(self) -> None:
        self.use(URL, f"{URL}?transport=tcp", "stun:stun.test")
        lease, _watcher = self.site.lease()
        self.assertEqual([str(r.url) for r in lease.relays], [URL, f"{URL}?transport=tcp"])
        self.until(lambda: all(relay.ports for relay in lease.relays), 1.0)
        self.assertEqual(len(self.server.allocations), 2)

    def test_a_server_that_comes_and_goes_does_so_at_the_next_restart(self) -> None:
        lease, watcher = self.site.lease()
        self.advance(1.0)
        first = lease.relays[0]
        self.site.servers.clear()
        self.use(f"{URL}?transport=tcp", name="there")
        self.advance(1.0)
        self.assertTrue(first.ports)
        lease.refresh()
        self.assertEqual([str(relay.url) for relay in lease.relays], [f"{URL}?transport=tcp"])
        self.assertEqual(list(first.ports), [])
        self.advance(1.0)
        self.assertEqual((len(self.server.allocations), self.server.connections), (1, 1))
        self.assertEqual(watcher.settled[-1][1], lease.relays[0])

    def test_two_servers_of_one_url_are_two(self) -> None:
        self.use(URL, name="again")
        lease, _watcher = self.site.lease()
        self.advance(1.0)
        self.assertEqual(len(lease.relays), 2)
        self.assertEqual(len(self.server.allocations), 2)

    def test_without_servers_there_is_nothing(self) -> None:
        self.site.servers.clear()
        lease, watcher = self.site.lease()
        self.advance(10.0)
        self.assertEqual((lease.relays, watcher.settled, self.site.sockets), ([], [], 0))
        lease.release()

    def test_after_close_a_lease_is_empty_and_a_refresh_does_nothing(self) -> None:
        lease, _watcher = self.site.lease()
        self.advance(1.0)
        self.close()
        lease.refresh()
        late, _other = self.site.lease(peer="late", session="late")
        self.assertEqual((lease.relays, late.relays), ([], []))
        self.assertEqual(self.server.allocations, [])

    def test_a_thousand_restarts_cost_nothing_and_keep_the_allocation(self) -> None:
        lease, watcher = self.site.lease()
        self.advance(1.0)
        bases = [port.local for port in lease.relays[0].ports]
        for _ in range(1000):
            lease.refresh()
            self.advance(0.1)
        self.assertEqual([port.local for port in lease.relays[0].ports], bases)
        self.assertEqual((lease.relays[0].attempts, len(watcher.settled)), (1, 1))
        self.assertEqual(self.site.sockets, 1)


class PatienceTests(RelayCase):
    """Settings are the caller's to choose."""

    settings = evolve(RelaySettings(), families=(4,), fresh_seconds=1.0)

    def test_one_family_is_one_port(self) -> None:
        relay, _lease, _watcher = self.ready()
        self.advance(2.0)
        self.assertEqual(len(relay.ports), 1)
        self.assertEqual(len(self.server.allocations), 1)

    def test_a_dead_server_is_asked_as_often_as_that(self) -> None:
        self.server.kill()
        relay, _lease, _watcher = self.relay()
        self.advance(20.0)
        self.assertGreaterEqual(relay.attempts, 14)
