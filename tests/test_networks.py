"""Any network, in virtual time: NATs of every kind, a TURN server, and what happens to both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from traceback import extract_stack

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.gathering import GatherSettings
from refreeze.net.servers import IceServer
from refreeze.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
    NatSettings,
)
from refreeze.watchdog import Cause
from tests.net.gathering import FakeRelay, FakeRelays
from tests.networks import SERVERS, TURN_HOST, Networks

KINDS: dict[str, NatSettings | None] = {
    "none": None,
    "full-cone": FULL_CONE,
    "address-restricted": ADDRESS_RESTRICTED,
    "port-restricted": PORT_RESTRICTED,
    "symmetric": SYMMETRIC,
}
RELAYED = {("port-restricted", "symmetric"), ("symmetric", "symmetric")}
"""Pairings that RFC 5780's terms give no direct path."""
TCP = {
    "pub": IceServer(
        urls=(f"turn:{TURN_HOST}", f"turn:{TURN_HOST}?transport=tcp"),
        username="user",
        credential="secret",
    )
}


_USER = {"username": "user", "credential": "secret"}


class _Case(SynchronousTestCase):
    def networks(
        self,
        nats: Sequence[NatSettings | None],
        *,
        servers: dict[str, IceServer] | None = None,
        gathering: GatherSettings | None = None,
    ) -> Networks:
        made = Networks(
            nats,
            servers=SERVERS if servers is None else servers,
            gathering=gathering or GatherSettings(),
        )
        self.addCleanup(made.stop)
        return made


class PairingTests(_Case):
    """Who reaches whom, and how."""

    def test_every_pairing_has_data_within_a_second_directly_where_that_is_possible(self) -> None:
        names = list(KINDS)
        for index, first in enumerate(names):
            for second in names[index:]:
                networks = self.networks((KINDS[first], KINDS[second]))
                seconds = networks.until_data(5.0)
                relayed = (first, second) in RELAYED
                self.assertLessEqual(seconds, 1.0, (first, second))
                networks.until_connected(5.0)
                self.assertEqual(networks.relayed, relayed, (first, second, networks.types()))
                networks.stop()
                self.assertEqual(len(networks.turn.allocations), 0, (first, second))

    def test_where_udp_is_blocked_tcp_to_the_server_is_the_way(self) -> None:
        for other in (None, PORT_RESTRICTED, SYMMETRIC, UDP_BLOCKED):
            networks = self.networks((UDP_BLOCKED, other), servers=TCP)
            self.assertLessEqual(networks.until_data(5.0), 3.0)
            self.assertTrue(networks.relayed)
            networks.stop()
            self.assertEqual(len(networks.turn.allocations), 0)

    def test_candidates_tell_a_script_which_server_they_are_of(self) -> None:
        networks = self.networks((SYMMETRIC, SYMMETRIC))
        networks.until_data(5.0)
        found = networks.session().connection.iceTransport.getLocalCandidates()
        self.assertEqual(
            {(each.type, each.url, each.relayProtocol) for each in found},
            {
                ("host", None, None),
                ("srflx", f"stun:{TURN_HOST}", None),
                ("relay", f"turn:{TURN_HOST}", "udp"),
            },
        )

    def test_a_dead_server_does_not_delay_connecting(self) -> None:
        dead = IceServer(urls=("stun:203.0.113.99", "turn:203.0.113.99"), **_USER)
        networks = self.networks(
            (PORT_RESTRICTED, PORT_RESTRICTED), servers={"dead": dead, **SERVERS}
        )
        self.assertLessEqual(networks.until_data(5.0), 1.0)
        networks.advance(1.0)
        self.assertEqual(networks.session().state, "completed")

    def test_with_the_policy_relay_nothing_else_leaves_the_host_rule_16(self) -> None:
        networks = self.networks((None, None), gathering=GatherSettings(policy="relay"))
        networks.until_data(5.0)
        self.assertEqual(networks.types(), "relay/relay")
        pairs = networks.session().connection.iceTransport.transport.tuples()
        self.assertEqual({base[0] for base, _remote in pairs}, {TURN_HOST})

    def test_why_a_server_gave_nothing_is_named(self) -> None:
        wrong = IceServer(urls=(f"turn:{TURN_HOST}",), username="user", credential="wrong")
        networks = self.networks((SYMMETRIC, SYMMETRIC), servers={"pub": wrong})
        networks.advance(5.0)
        servers = [
            each
            for each in networks.daemons["alice"].supervisor.show("s")
            if each["part"] == "server"
        ]
        self.assertEqual(
            [(each["status"], each["code"]) for each in servers], [("unauthorized", 401)]
        )
        told = networks.topics("server.failed")
        self.assertEqual(
            [(each["url"], each["code"]) for each in told][:1], [(f"turn:{TURN_HOST}", 401)]
        )


class FaultTests(_Case):
    """What goes wrong with a session that carries data."""

    def relayed(self) -> Networks:
        networks = self.networks((SYMMETRIC, SYMMETRIC))
        networks.until_data(5.0)
        networks.until_connected(5.0)
        networks.advance(5.0)
        self.assertTrue(networks.relayed)
        return networks

    def test_a_nat_that_rebinds_is_survived_within_ten_seconds(self) -> None:
        for kind in (PORT_RESTRICTED, SYMMETRIC):
            networks = self.networks((kind, None))
            networks.until_data(5.0)
            networks.advance(5.0)
            networks.nat["alice"].rebind()
            self.assertLessEqual(networks.until_data(15.0), 10.0)
            networks.until_connected(15.0)

    def test_a_server_that_is_killed_and_comes_back_is_used_within_ten_seconds_T33(self) -> None:
        for away in (3.0, 15.0, 60.0, 300.0):
            networks = self.relayed()
            networks.turn.kill()
            networks.advance(away)
            networks.turn.restart()
            self.assertLessEqual(networks.until_data(15.0), 10.0, away)
            networks.until_connected(30.0)

    def test_a_suspend_that_outlives_allocation_and_mapping_is_survived_T37(self) -> None:
        networks = self.relayed()
        networks.world.suspend(networks.hosts["alice"], 3600.0)
        networks.advance(3600.0)
        self.assertLessEqual(networks.until_data(15.0), 10.0)

    def test_an_allocation_that_the_server_forgot_is_made_again_T33(self) -> None:
        networks = self.relayed()
        for allocation in list(networks.turn.allocations):
            networks.turn.forget(allocation)
        self.assertLessEqual(networks.until_data(20.0), 15.0)

    def test_where_the_default_way_is_another_the_allocation_is_asked_for_at_once(self) -> None:
        """Nobody waits for silence to find that it did not survive the change."""
        networks = self.relayed()
        for allocation in list(networks.turn.allocations):
            networks.turn.forget(allocation)
        for name in ("alice", "bob"):
            (used,) = networks.hosts[name].interfaces
            networks.hosts[name].change_next_hop(used, "another")
        self.assertLessEqual(networks.until_data(20.0), 2.0)

    def test_a_restart_over_an_allocation_that_is_gone_finds_that_out_T33(self) -> None:
        networks = self.relayed()
        for allocation in list(networks.turn.allocations):
            networks.turn.forget(allocation)
        networks.daemons["alice"].supervisor.restart("s", reason="", force=False)
        self.assertLessEqual(networks.until_data(20.0), 10.0)

    def test_rotated_credentials_are_taken_without_losing_the_path_T30(self) -> None:
        networks = self.relayed()
        networks.turn.rotate_credentials({"user": "other"})
        wanted = {"pub": evolve(SERVERS["pub"], credential="other")}
        networks.configure("alice", "bob", servers=wanted)
        networks.advance(30.0)
        for name in ("alice", "bob"):
            networks.session(name).policy.operator_restart(
                networks.world.reactor.seconds(), force=True
            )
            networks.session(name).settle()
            networks.advance(10.0)
        networks.advance(1200.0)
        self.assertTrue(networks.flows())
        self.assertTrue(networks.connected)

    def test_a_successor_that_came_during_a_round_is_moved_to_after_it_T30(self) -> None:
        """Nobody was told of it while there was no path yet: the end of the round is the time."""
        networks = self.networks((None, None), gathering=GatherSettings(policy="relay"))
        networks.until_data(5.0)
        networks.until_connected(5.0)
        networks.advance(5.0)
        session = networks.session()
        gatherer, real = session.gatherer, session.gatherer.relays
        assert real is not None
        old = FakeRelay(real.relays[0].url, list(real.relays[0].ports), settled=True)
        old.leaving = [port.local for port in old.ports]
        gatherer.relays = FakeRelays([old])
        session.policy.operator_restart(networks.world.reactor.seconds())
        session.settle()
        networks.world.reactor.run_until(lambda: len(session.book.ended) == 2, 5.0)
        gatherer.relays = real
        networks.advance(2.0)
        self.assertEqual(session.book.ended[-1].cause, Cause.NETWORK)

    def test_the_scrape_counts_datagrams_answers_and_relays(self) -> None:
        networks = self.relayed()
        text = networks.daemons["alice"].supervisor.metrics()
        self.assertIn('refreeze_relays{state="ready"} 1.0', text)
        self.assertIn('refreeze_relay_attempts_total{result="allocated"} 1.0', text)
        self.assertIn('refreeze_stun_requests_total{result="answered"} 1.0', text)
        self.assertRegex(text, r'refreeze_datagrams_total\{result="data"\} [1-9]')
        counted = re.findall(r'refreeze_datagrams_total\{result="\w+"\} (.+)', text)
        received = networks.daemons["alice"].ground.mux.counters.received
        self.assertEqual(sum(map(float, counted)), received)

    def test_what_never_connected_tries_its_relays_alone_in_the_end(self) -> None:
        networks = self.networks((None, None))
        networks.world.network.blackhole(networks.hosts["bob"], streams=False)
        offered: dict[tuple[str, ...], None] = {}
        for _ in range(200):
            networks.advance(0.5)
            found = networks.session().connection.iceTransport.getLocalCandidates()
            offered[tuple(sorted({str(each.type) for each in found}))] = None
        self.assertEqual(list(offered), [("host", "relay"), (), ("relay",)])
        self.assertEqual(len(networks.topics("round.start")), 3)

    def test_nothing_stays_allocated_after_close_T29(self) -> None:
        networks = self.relayed()
        for daemon in (networks.daemons["alice"], networks.daemons["bob"]):
            daemon.supervisor.close("s", "test")
        networks.advance(3.0)
        self.assertEqual(len(networks.turn.allocations), 0)

    def test_the_end_comes_in_a_turn_of_its_own(self) -> None:
        """The reactor closes every socket then: none may be in the middle of being read."""
        networks = self.networks((UDP_BLOCKED, None), servers=TCP)
        networks.until_data(5.0)
        stacks: list[list[str]] = []
        done = networks.daemons["alice"].stopService()
        done.addCallback(lambda _: stacks.append([each.name for each in extract_stack()]))
        networks.advance(3.0)
        self.assertEqual(len(stacks), 1)
        self.assertNotIn("dataReceived", stacks[0])

    def test_a_thousand_restarts_leave_no_socket_behind(self) -> None:
        networks = self.networks((PORT_RESTRICTED, SYMMETRIC))
        networks.until_data(5.0)
        networks.until_connected(5.0)
        before = {name: len(networks.hosts[name].bound) for name in ("alice", "bob", "turn")}
        for _ in range(1000):
            session = networks.session()
            session.policy.operator_restart(networks.world.reactor.seconds(), force=True)
            session.settle()
            networks.advance(1.0)
        networks.advance(10.0)
        after = {name: len(networks.hosts[name].bound) for name in before}
        self.assertEqual(after, before)
        self.assertTrue(networks.flows())
