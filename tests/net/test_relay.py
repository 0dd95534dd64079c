"""A relay: an allocation that is there, or comes back by itself, or says why not."""

from __future__ import annotations

from attrs import evolve

from refreeze.net.relay import Relay
from refreeze.stun import Method
from refreeze.testing.servers import Lie
from tests.net.fakes import FakePort
from tests.net.relaying import CLIENT, DELAY, NAME, PEER, SERVER, URL, RelayCase


class AllocationTests(RelayCase):
    """From a URL to ports in the mux."""

    def test_both_families_come_from_one_socket_within_three_round_trips(self) -> None:
        relay, _lease, watcher = self.relay()
        self.assertEqual((relay.state, relay.settled, list(relay.ports)), ("trying", False, []))
        took = self.until(lambda: relay.settled, 1.0)
        self.assertLess(took, 3 * 2 * DELAY)
        self.assertEqual([port.local[0] for port in relay.ports], list(SERVER))
        self.assertEqual(len(self.server.allocations), 1)
        self.assertEqual([each for _at, each in watcher.settled], [relay])
        self.assertEqual(self.site.sockets, 1)
        self.assertEqual(relay.server_address, (SERVER[0], 3478))
        assert relay.mapped is not None
        self.assertEqual(relay.mapped[0], CLIENT[0])
        self.assertAlmostEqual(relay.rtt or 0.0, 2 * DELAY)

    def test_its_ports_are_in_the_mux_and_carry_data_both_ways(self) -> None:
        relay, _lease, _watcher = self.ready()
        for port, host in zip(relay.ports, PEER, strict=True):
            self.assertIs(self.site.mux.ports[port.local], port)
            peer = self.ear(host)
            came: list[bytes] = []
            port.on_batch(lambda _port, batch, c=came: c.extend(i[0] for i in batch))  # type: ignore[misc]
            self.assertEqual(
                port.send([(b"\x80one", peer.local, 0), (b"\x80two", peer.local, 0)]), 2
            )
            self.advance(1.0)
            self.assertEqual(peer.data, [b"\x80one", b"\x80two"])
            self.assertEqual(set(peer.sources), {port.local})
            peer.send(port.local, b"\x80back")
            port.send([(b"\x80on the channel", peer.local, 0)])
            self.advance(1.0)
            self.assertEqual((came, peer.data[2:]), ([b"\x80back"], [b"\x80on the channel"]))
            self.assertEqual((port.counters.sent, port.counters.received), (3, 1))
        self.assertEqual(self.server.journal.counts["bound"], 2)

    def test_what_nobody_can_carry_is_counted_and_not_sent(self) -> None:
        relay, _lease, _watcher = self.ready()
        port = relay.ports[0]
        peer = self.ear()
        batch = [
            (bytes(port.max_payload), peer.local, 0),
            (bytes(port.max_payload + 1), peer.local, 0),
            (b"x", (PEER[1], 7000), 0),
        ]
        self.assertEqual(port.send(batch), 1)
        self.advance(1.0)
        self.assertEqual([len(data) for data in peer.data], [port.max_payload])
        self.assertEqual((port.counters.too_long, port.counters.send_errors), (1, 1))
        self.assertLess(port.max_payload, 65507 - 36)

    def test_over_tcp(self) -> None:
        self.use(f"{URL}?transport=tcp")
        relay, _lease, _watcher = self.ready()
        self.assertEqual((self.server.connections, self.site.sockets), (1, 1))
        peer = self.ear()
        relay.ports[0].send([(b"\x80hello", peer.local, 0)])
        self.advance(1.0)
        self.assertEqual(peer.data, [b"\x80hello"])
        self.close()
        self.advance(DELAY)
        self.assertEqual((self.server.allocations, self.server.connections), ([], 0))

    def test_a_server_that_knows_one_family_at_a_time_is_asked_for_each(self) -> None:
        """One of before RFC 8656 leaves the second family out without a word."""
        hosts = self.names["older.test"] = ["203.0.113.20", "2001:db8::20"]
        server = self.turn_server("older", hosts, additional=False)
        self.site.servers.clear()
        self.use("turn:older.test")
        relay, _lease, _watcher = self.relay()
        self.until(lambda: len(relay.ports) == 2, 2.0)
        self.assertEqual([port.local[0] for port in relay.ports], hosts)
        self.assertEqual((len(server.allocations), self.site.sockets), (2, 2))
        server.restart()
        relay.verify()
        self.until(lambda: not relay.ports, 5.0)
        self.until(lambda: len(relay.ports) == 2, 5.0)
        self.close()
        self.assertEqual(server.allocations, [])

    def test_one_that_learned_it_is_no_longer_asked_twice(self) -> None:
        hosts = self.names["older.test"] = ["203.0.113.20", "2001:db8::20"]
        older = self.turn_server("older", hosts, additional=False)
        self.site.servers.clear()
        self.use("turn:older.test")
        relay, _lease, watcher = self.relay()
        self.until(lambda: len(relay.ports) == 2, 2.0)
        older.kill()
        newer = type(older)(older.host, older.reactor).start()
        relay.wishes[0].verify()
        self.until(lambda: len(watcher.lost) == 2, 10.0)
        self.advance(5.0)
        self.assertEqual([port.local[0] for port in relay.ports], hosts)
        self.assertEqual((len(relay.wishes), len(newer.allocations)), (1, 1))
        self.assertEqual(set(self.site.mux.ports), {port.local for port in relay.ports})

    def test_a_server_of_one_family_is_believed(self) -> None:
        for index, addresses in enumerate(((SERVER[0],), (SERVER[1],))):
            host = addresses[0].replace("10", f"2{index}")
            server = self.turn_server(f"one family {index}", [host])
            self.names[f"one{index}.test"] = [host]
            self.site.servers.clear()
            self.use(f"turn:one{index}.test")
            lease, _watcher = self.site.lease(peer=f"peer{index}")
            relay = lease.relays[0]
            self.until(lambda r=relay: bool(r.ports), 2.0)  # type: ignore[misc]
            self.advance(10.0)
            self.assertEqual([port.local[0] for port in relay.ports], [host])
            self.assertEqual(len(server.allocations), 1)


class AddressTests(RelayCase):
    """A server's addresses race; no dead one is waited for."""

    def test_a_dead_family_costs_a_quarter_of_a_second(self) -> None:
        self.names[NAME] = (SERVER[1], SERVER[0])
        self.network.blackhole(CLIENT[1], None)
        relay, _lease, _watcher = self.relay()
        took = self.until(lambda: relay.settled, 2.0)
        self.assertLess(took, 0.25 + 6 * DELAY + 0.01)
        self.assertEqual(relay.server_address, (SERVER[0], 3478))

    def test_who_loses_the_race_keeps_nothing(self) -> None:
        self.network.default(self.world.link.__class__(delay=0.1))
        _relay, _lease, _watcher = self.ready()
        self.advance(3.0)
        self.assertEqual((len(self.server.allocations), self.site.sockets), (1, 1))

    def test_without_an_address_of_that_family_the_other_is_taken_at_once(self) -> None:
        self.names[NAME] = (SERVER[1], SERVER[0])
        self.site.host.remove_address(CLIENT[1])
        relay, _lease, _watcher = self.relay()
        self.assertLess(self.until(lambda: relay.settled, 1.0), 6 * DELAY + 0.01)
        self.assertTrue(relay.ports)

    def test_a_name_that_is_none_is_a_problem_with_a_name(self) -> None:
        del self.names[NAME]
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("unresolved", 701))
        self.names[NAME] = SERVER
        self.until(lambda: bool(relay.ports), 4.5)
        self.assertIsNone(relay.problem)

    def test_a_bug_of_ours_is_logged_and_ends_the_attempt_only(self) -> None:
        resolver = self.site.pool.tools.resolver
        broken = self.patch(type(resolver), "resolve", lambda _self, _host: 1 / 0)
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "internal")
        broken.restore()
        self.until(lambda: bool(relay.ports), 5.0)

    def test_names_are_resolved_again_by_every_attempt(self) -> None:
        self.server.kill()
        relay, _lease, _watcher = self.relay()
        self.advance(1.0)
        self.turn_server("successor", ["203.0.113.30"])
        self.names[NAME] = ["203.0.113.30"]
        self.until(lambda: bool(relay.ports), 6.0)


class AwayTests(RelayCase):
    """T33: what a server does to us does not need anybody's help."""

    def test_T33_a_dead_server_is_asked_anew_every_four_seconds_and_found_when_it_is_back(
        self,
    ) -> None:
        self.server.kill()
        relay, _lease, watcher = self.relay()
        self.assertLess(self.until(lambda: relay.settled, 10.0), 4.6)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("unreachable", 701))
        before = relay.attempts
        self.advance(60.0)
        self.assertGreaterEqual(relay.attempts - before, 14)
        self.assertLessEqual(relay.attempts - before, 25)
        self.assertEqual(len(watcher.settled), 1)
        self.server.start()
        self.assertLess(self.until(lambda: bool(relay.ports), 10.0), 4.5)
        self.assertEqual([each.problem for _at, each in watcher.settled], [None, None])

    def test_T33_a_server_that_was_restarted_is_noticed_by_who_suspects_it(self) -> None:
        relay, _lease, watcher = self.ready()
        self.server.restart()
        bases = [port.local for port in relay.ports]
        relay.verify()
        self.until(lambda: bool(watcher.lost), 5.0)
        self.assertEqual(watcher.lost[0][1], bases)
        self.assertLess(self.until(lambda: bool(relay.ports), 5.0), 4.5)

    def test_T33_a_server_that_dies_for_good_is_lost_in_four_seconds_when_suspected(self) -> None:
        relay, _lease, watcher = self.ready()
        self.server.kill()
        relay.verify()
        self.assertLess(self.until(lambda: bool(watcher.lost), 10.0), 4.0)
        self.assertEqual((list(relay.ports), dict(self.site.mux.ports)), ([], {}))
        self.assertFalse(relay.settled)

    def test_T33_an_allocation_that_the_server_forgot_is_made_again_at_its_next_refresh(
        self,
    ) -> None:
        relay, _lease, watcher = self.ready()
        self.server.forget()
        self.until(lambda: bool(watcher.lost), 600.0)
        self.until(lambda: bool(relay.ports), 5.0)

    def test_T33_a_connection_that_closes_is_an_allocation_that_is_made_again(self) -> None:
        self.use(f"{URL}?transport=tcp")
        relay, _lease, watcher = self.ready()
        self.advance(10.0)
        self.server.hang_up()
        self.assertLess(self.until(lambda: bool(watcher.lost), 1.0), 0.1)
        self.assertLess(self.until(lambda: bool(relay.ports), 5.0), 0.5)

    def test_a_server_that_hangs_up_again_and_again_is_not_asked_in_a_tight_loop(self) -> None:
        self.use(f"{URL}?transport=tcp")
        relay, _lease, _watcher = self.ready()
        before = relay.attempts
        for _ in range(600):
            self.server.hang_up()
            self.advance(0.1)
        self.assertLessEqual(relay.attempts - before, 20)
        self.assertGreaterEqual(relay.attempts - before, 14)

    def test_a_refused_connection_is_tried_again_within_four_seconds(self) -> None:
        self.use(f"{URL}?transport=tcp")
        self.server.kill()
        relay, _lease, _watcher = self.relay()
        self.assertLess(self.until(lambda: relay.settled, 1.0), 0.5)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("refused", 701))
        self.advance(7.3)
        self.server.start()
        self.assertLess(self.until(lambda: bool(relay.ports), 10.0), 4.5)

    def test_an_address_of_ours_that_goes_takes_the_allocation_along(self) -> None:
        relay, _lease, watcher = self.ready()
        self.site.host.add_address("203.0.113.6")
        self.site.host.remove_address(CLIENT[0])
        self.site.pool.look()
        self.assertEqual(watcher.lost[0][2], "our address is gone")
        self.until(lambda: bool(relay.ports), 5.0)
        assert relay.mapped is not None
        self.assertEqual(relay.mapped[0], "203.0.113.6")

    def test_a_socket_that_broke_is_noticed_by_its_next_send(self) -> None:
        relay, _lease, watcher = self.ready()
        peer = self.ear()
        self.site.host.add_address("203.0.113.6")
        self.site.host.remove_address(CLIENT[0])
        relay.ports[0].send([(b"\x80x", peer.local, 0)])
        self.assertEqual(watcher.lost, [])
        self.assertLess(self.until(lambda: bool(watcher.lost), 1.0), 0.01)
        self.until(lambda: bool(relay.ports), 5.0)


class NatTests(RelayCase):
    """A NAT between us and the server, which forgets."""

    def setUp(self) -> None:
        super().setUp()
        self.nat = self.network.nat("home", "198.51.100.1")
        self.site.host.remove_address(CLIENT[0])
        self.site.host.add_address("10.0.0.5", nat=self.nat)
        self.names[NAME] = [SERVER[0]]

    def forgotten(self, url: str) -> None:
        self.use(url)
        relay, _lease, watcher = self.ready()
        assert relay.mapped is not None
        self.assertEqual(relay.mapped[0], self.nat.address)
        self.advance(30.0)
        self.nat.rebind()
        relay.verify()
        self.assertLess(self.until(lambda: bool(watcher.lost), 6.0), 4.0)
        self.assertLess(self.until(lambda: bool(relay.ports), 6.0), 4.5)
        peer = self.ear()
        relay.ports[0].send([(b"\x80again", peer.local, 0)])
        self.advance(1.0)
        self.assertEqual(peer.data, [b"\x80again"])

    def test_T33_another_mapping_is_another_allocation_over_udp(self) -> None:
        self.forgotten(URL)

    def test_T33_another_mapping_is_another_allocation_over_tcp(self) -> None:
        self.forgotten(f"{URL}?transport=tcp")

    def test_an_idle_allocation_keeps_its_mapping(self) -> None:
        """A NAT forgets UDP after two minutes; a Refresh comes after nine."""
        relay, _lease, watcher = self.ready()
        self.advance(3600.0)
        self.assertEqual(watcher.lost, [])
        self.assertTrue(relay.ports)

    def test_where_udp_is_blocked_tcp_gets_through(self) -> None:
        self.nat.settings = evolve(self.nat.settings, udp_blocked=True)
        self.use(URL, f"{URL}?transport=tcp")
        lease, _watcher = self.site.lease()
        udp, tcp = lease.relays
        self.assertLess(self.until(lambda: bool(tcp.ports), 2.0), 10 * DELAY)
        self.until(lambda: udp.settled, 5.0)
        assert udp.problem is not None
        self.assertEqual(udp.problem.reason, "unreachable")


class SleepTests(RelayCase):
    """T37: the server's clock went on while ours stood still."""

    def wake(self, seconds: float) -> None:
        self.site.suspend(seconds)
        self.advance(seconds)

    def test_T37_after_a_long_sleep_the_allocation_is_gone_and_made_again_in_a_second(self) -> None:
        relay, _lease, watcher = self.ready()
        self.wake(3600.0)
        self.assertEqual(self.server.allocations, [])
        self.advance(20.0)
        self.assertEqual(len(watcher.lost), 1)
        self.assertTrue(relay.ports)
        self.assertEqual(len(self.server.allocations), 1)

    def test_T37_after_six_minutes_permissions_and_channels_are_there_again(self) -> None:
        relay, _lease, watcher = self.ready()
        peer = self.ear()
        for _ in range(3):
            relay.ports[0].send([(b"\x80before", peer.local, 0)])
            self.advance(1.0)
        self.advance(120.0)
        self.wake(360.0)
        self.advance(16.0)
        before = len(peer.data)
        relay.ports[0].send([(b"\x80after", peer.local, 0)])
        self.advance(1.0)
        self.assertEqual(peer.data[before:], [b"\x80after"])
        self.assertEqual(watcher.lost, [])

    def test_a_short_sleep_disturbs_nothing(self) -> None:
        relay, _lease, watcher = self.ready()
        bases = [port.local for port in relay.ports]
        for _ in range(20):
            self.wake(5.0)
            self.advance(20.0)
        self.assertEqual([port.local for port in relay.ports], bases)
        self.assertEqual(watcher.lost, [])


class ReleaseTests(RelayCase):
    """What was allocated is given back."""

    def test_T29_release_is_on_the_old_five_tuple_before_its_socket_goes(self) -> None:
        relay, lease, _watcher = self.ready()
        client = self.server.allocations[0].flow.remote
        lease.release()
        self.assertEqual((list(relay.ports), dict(self.site.mux.ports)), ([], {}))
        self.assertEqual(self.site.sockets, 1)
        self.advance(2 * DELAY)
        self.assertEqual([entry.client for entry in self.server.journal.of("released")], [client])
        self.advance(0.1)
        self.assertEqual((self.server.allocations, self.site.sockets), ([], 0))

    def test_T29_a_server_that_does_not_answer_keeps_the_socket_two_seconds(self) -> None:
        _relay, lease, _watcher = self.ready()
        self.server.kill()
        lease.release()
        self.advance(1.9)
        self.assertEqual(self.site.sockets, 1)
        self.advance(0.2)
        self.assertEqual(self.site.sockets, 0)

    def test_T34_cancelled_at_any_moment_nothing_stays_open_nor_allocated(self) -> None:
        for url in (URL, f"{URL}?transport=tcp"):
            self.use(url)
            for step in range(26):
                _relay, lease, watcher = self.relay()
                self.advance(step * DELAY / 3)
                lease.release()
                told = len(watcher.settled)
                self.advance(3.0)
                self.assertEqual((self.site.sockets, self.server.allocations), (0, []), step)
                self.assertEqual(len(watcher.settled), told)

    def test_T34_close_frees_everything_within_two_seconds_whatever_is_under_way(self) -> None:
        dead = self.turn_server("dead", ["203.0.113.40"])
        dead.kill()
        self.use("turn:203.0.113.40", "turn:203.0.113.40?transport=tcp", name="dead")
        self.ready()
        self.site.lease(peer="carol", session="t")
        self.advance(DELAY)
        self.server.kill()
        self.close()
        self.assertEqual(self.site.pool.relays, [])


def code_of(relay: Relay) -> int | None:
    """Of its problem."""
    return None if relay.problem is None else relay.problem.code


class RefusalTests(RelayCase):
    """Every refusal has a name, and its own time to the next attempt."""

    def test_wrong_credentials_are_named_and_tried_again_slowly(self) -> None:
        self.use(URL, password="wrong")
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("unauthorized", 401))
        self.assertNotIn("wrong", relay.problem.text)
        before = relay.attempts
        self.advance(40.0)
        self.assertEqual(relay.attempts, before)
        self.advance(30.0)
        self.assertEqual(relay.attempts, before + 1)

    def test_right_credentials_are_tried_at_the_next_restart(self) -> None:
        self.use(URL, password="wrong")
        relay, lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        self.advance(2.0)
        self.use(URL)
        lease.refresh()
        self.until(lambda: bool(relay.ports), 1.0)

    def test_T30_437_gets_a_new_socket_at_once_and_that_not_for_ever(self) -> None:
        self.server.refuse(Method.ALLOCATE, 437, 2)
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        self.assertTrue(relay.ports)
        clients = {entry.client for entry in self.server.journal.of("refused")}
        self.assertGreaterEqual(len(clients), 2)
        self.server.refuse(Method.ALLOCATE, 437, None)
        lease, _other = self.site.lease(peer="bob", session="second")
        second = lease.relays[0]
        self.until(lambda: second.settled, 1.0)
        self.assertEqual(code_of(second), 437)

    def test_a_quota_is_respected_for_a_minute_whoever_asks(self) -> None:
        self.server.limit(quota=0)
        relay, lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("quota", 486))
        before = relay.attempts
        self.advance(30.0)
        lease.refresh()
        relay.verify()
        self.advance(29.9)
        self.assertEqual(relay.attempts, before)
        self.server.limit()
        self.until(lambda: bool(relay.ports), 1.0)

    def test_a_server_that_is_no_turn_server(self) -> None:
        self.turn_server("stun only", ["203.0.113.50"], relays=False)
        self.use("turn:203.0.113.50")
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 2.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("bad-request", 400))

    def test_one_server_that_fails_leaves_the_others_alone(self) -> None:
        self.use("turn:203.0.113.99", name="nobody")
        self.use(URL, name="wrong", password="nonsense")
        lease, _watcher = self.site.lease()
        self.until(lambda: all(relay.settled for relay in lease.relays), 5.0)
        self.assertEqual([code_of(relay) for relay in lease.relays], [None, 701, 401])
        self.assertEqual([len(relay.ports) for relay in lease.relays], [2, 0, 0])


class RedirectionTests(RelayCase):
    """RFC 8489 section 10: followed, but not in circles."""

    def chain(self, *last: str) -> list[str]:
        hosts = [f"203.0.113.{number}" for number in range(60, 60 + 6)]
        for number, host in enumerate(hosts):
            server = self.turn_server(f"link {number}", [host])
            onward = hosts[number + 1] if number + 1 < len(hosts) else None
            server.redirect(None if host in last or onward is None else (onward, 3478))
        return hosts

    def test_an_alternate_server_is_followed(self) -> None:
        hosts = self.chain("203.0.113.63")
        self.server.redirect((hosts[1], 3478))
        self.names[NAME] = [SERVER[0]]
        relay, _lease, _watcher = self.ready()
        self.assertEqual(relay.server_address, ("203.0.113.63", 3478))
        self.assertEqual(self.site.sockets, 1)

    def test_three_times_at_most(self) -> None:
        hosts = self.chain("203.0.113.64")
        self.server.redirect((hosts[0], 3478))
        self.names[NAME] = [SERVER[0]]
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 2.0)
        assert relay.problem is not None
        self.assertEqual((relay.problem.reason, relay.problem.code), ("redirections", 300))

    def test_a_circle_ends(self) -> None:
        other = self.turn_server("other", ["203.0.113.60"])
        other.redirect((SERVER[0], 3478))
        self.server.redirect(("203.0.113.60", 3478))
        self.names[NAME] = [SERVER[0]]
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 2.0)
        self.assertEqual(code_of(relay), 300)
        self.advance(20.0)
        self.assertLess(len(self.server.journal), 60)

    def test_into_this_machine_or_its_network_is_refused(self) -> None:
        self.names[NAME] = [SERVER[0]]
        for host in ("127.0.0.1", *self.site.host.interfaces, "10.77.0.1"):
            self.server.redirect((host, 3478))
            relay, lease, _watcher = self.relay()
            self.until(lambda r=relay: r.settled, 2.0)  # type: ignore[misc]
            assert relay.problem is not None
            self.assertEqual((relay.problem.reason, relay.problem.code), ("bad-alternate", 300))
            lease.release()


class HostileTests(RelayCase):
    """A server that lies costs a bounded number of attempts, and nobody else anything."""

    def test_answers_that_cannot_be_believed_are_not_called_silence(self) -> None:
        for lie, reason in (
            (Lie.WRONG_TRANSACTION, "stray-response"),
            (Lie.WRONG_SIGNATURE, "integrity"),
            (Lie.HUGE_NONCE, "malformed"),
            (Lie.SILENCE, "unreachable"),
        ):
            self.server.lies.add(lie)
            relay, lease, _watcher = self.relay()
            self.until(lambda r=relay: r.settled, 15.0)  # type: ignore[misc]
            assert relay.problem is not None
            self.assertEqual((relay.problem.reason, relay.problem.code), (reason, 701))
            self.server.lies.clear()
            lease.release()
            self.advance(3.0)

    def test_every_lie_ends_in_a_named_reason_or_in_none_and_is_bounded(self) -> None:
        self.turn_server("honest", ["203.0.113.70"])
        self.use("turn:203.0.113.70", name="honest")
        for url in (URL, f"{URL}?transport=tcp"):
            for lie in Lie:
                self.use(url)
                self.server.lies.add(lie)
                lease, _watcher = self.site.lease()
                liar, honest = (
                    lease.relays if lease.relays[0].url.host == NAME else lease.relays[::-1]
                )
                self.until(lambda h=honest: h.settled and bool(h.ports), 1.0)  # type: ignore[misc]
                self.until(lambda r=liar: r.settled, 15.0)  # type: ignore[misc]
                self.assertEqual(liar.problem is None, bool(liar.ports), (url, lie))
                before = liar.attempts
                self.advance(30.0)
                self.assertLessEqual(liar.attempts - before, 10, (url, lie))
                self.assertTrue(honest.ports)
                self.assertLessEqual(self.site.sockets, 8)
                lease.release()
                self.server.lies.clear()
                self.advance(3.0)
                self.assertEqual(self.site.sockets, 0, (url, lie))

    def test_a_flood_from_the_server_or_from_anybody_is_survived(self) -> None:
        relay, _lease, watcher = self.ready()
        client = self.server.allocations[0].flow.remote
        self.server.flood(500)
        mallory = self.ear("203.0.113.66")
        mallory.send(client, *[b"\x01\x03junk"] * 500)
        self.advance(1.0)
        self.assertEqual((watcher.lost, len(relay.ports)), ([], 2))

    def test_a_frame_with_a_bad_length_closes_the_connection_and_allocates_again(self) -> None:
        self.use(f"{URL}?transport=tcp")
        relay, _lease, watcher = self.ready()
        self.advance(5.0)
        self.server.say(b"\x50\x00\xff\xffwhatever this is")
        self.until(lambda: bool(watcher.lost), 1.0)
        self.assertEqual(watcher.lost[0][2], "frame-type")
        self.until(lambda: bool(relay.ports), 2.0)
        self.assertEqual(self.site.sockets, 1)

    def test_a_relayed_address_that_is_a_socket_of_ours_does_not_get_its_place(self) -> None:
        """A server that lies must not take a port out of the mux."""
        ours = FakePort((SERVER[0], 40000))
        self.site.mux.add_port(ours)
        relay, lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "bad-address")
        self.advance(1.0)
        lease.release()
        self.assertEqual(self.site.mux.ports, {ours.local: ours})
        self.assertEqual(self.server.allocations, [])

    def test_loopback_is_no_relayed_address_of_a_server_elsewhere(self) -> None:
        self.server.lies.add(Lie.FOREIGN_RELAY)
        relay, _lease, _watcher = self.relay()
        self.until(lambda: relay.settled, 1.0)
        assert relay.problem is not None
        self.assertEqual(relay.problem.reason, "bad-address")
        self.assertEqual(dict(self.site.mux.ports), {})
