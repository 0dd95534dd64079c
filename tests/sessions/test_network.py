"""Addresses come and go under whole daemons, in virtual time."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import NatSettings
from tests.simulation.scene import Scene, SceneEvent, Shape

ACTED_WITHIN = 0.2
"""A change is acted on within this (seconds)."""


class LocalNetworkTests(SynchronousTestCase):
    """What a change of the machine's addresses does to its sessions."""

    def scene(self, **shape: object) -> Scene:
        made = Scene(7, Shape(**shape))  # type: ignore[arg-type]
        self.addCleanup(made.end)
        return made

    def first(self, scene: Scene, topic: str, since: float) -> SceneEvent:
        found = scene.of("alice", topic, since)
        self.assertTrue(found, list(scene.events))
        return found[0]

    def own_rounds(self, scene: Scene, since: float) -> list[SceneEvent]:
        """What alice began herself; an offer of bob's is answered, whatever there is."""
        rounds = scene.of("alice", "round.start", since)
        return [each for each in rounds if each.fields["cause"] != "peer"]

    def test_an_address_that_goes_restarts_its_sessions_within_a_fifth_of_a_second(self) -> None:
        scene = self.scene()
        scene.flow(10.0)
        began, gone = scene.now, scene.route("alice").base[0]
        scene.hosts["alice"].remove_address(gone)
        scene.flow(2.0)
        start = self.first(scene, "round.start", began)
        self.assertEqual(start.fields["cause"], "network")
        self.assertLess(start.at - began, ACTED_WITHIN + 0.001)
        self.assertNotEqual(scene.route("alice").base[0], gone)

    def test_an_address_of_no_importance_restarts_nothing(self) -> None:
        scene = self.scene()
        scene.flow(10.0)
        began, used = scene.now, scene.route("alice").base[0]
        other = next(each for each in scene.hosts["alice"].interfaces if each != used)
        scene.hosts["alice"].remove_address(other)
        scene.advance(5.0)
        scene.hosts["alice"].add_address("203.0.113.7")
        scene.advance(20.0)
        self.assertEqual(scene.of("alice", "round.start", began), [])
        self.assertEqual(len(scene.of("alice", "net.change", began)), 2)

    def test_a_new_address_is_part_of_the_next_round(self) -> None:
        scene = self.scene()
        scene.flow(10.0)
        scene.hosts["alice"].add_address("203.0.113.7")
        scene.advance(1.0)
        daemon = scene.running["alice"]
        daemon.supervisor.restart("demo", reason="", force=False)
        scene.advance(2.0)
        session = scene.session("alice")
        assert session is not None
        description = session.connection.localDescription
        assert description is not None
        self.assertIn("203.0.113.7", description.sdp)

    def test_a_session_without_a_path_restarts_when_an_address_comes(self) -> None:
        """Nothing in common at first: the new address is the first chance there is."""
        scene = self.scene(alice=["192.0.2.1"], bob=["2001:db8::2"])
        scene.advance(200.0)
        self.assertFalse(scene.connected())
        scene.hosts["alice"].add_address("2001:db8::1")
        self.assertLess(scene.flow(10.0), 1.5)

    def test_a_daemon_may_start_before_its_network(self) -> None:
        scene = self.scene(alice=[])
        scene.advance(60.0)
        self.assertEqual(self.own_rounds(scene, 0.0), [])
        scene.hosts["alice"].add_address("192.0.2.1")
        self.assertLess(scene.flow(10.0), 2.0)
        self.assertEqual(len(scene.of("alice", "net.up")), 1)

    def test_without_any_address_nothing_is_tried_until_one_comes(self) -> None:
        scene = self.scene(alice=["192.0.2.1"])
        scene.flow(10.0)
        began = scene.now
        scene.hosts["alice"].remove_address("192.0.2.1")
        scene.advance(120.0)
        self.assertEqual(self.own_rounds(scene, began), [])
        self.assertEqual(len(scene.of("alice", "net.down", began)), 1)
        scene.hosts["alice"].add_address("192.0.2.9")
        self.assertLess(scene.flow(10.0), 2.0)

    # Routes

    def test_another_default_way_restarts_the_sessions_that_leave_by_it(self) -> None:
        """The next hop of the address changed; what is sent from there leaves by another NAT."""
        scene = self.scene(alice=["10.0.0.1", "10.0.1.1"], nat=NatSettings())
        scene.flow(10.0)
        began, used = scene.now, scene.route("alice").base[0]
        scene.hosts["alice"].change_next_hop(used, "another")
        scene.flow(2.0)
        start = self.first(scene, "round.start", began)
        self.assertEqual(start.fields["cause"], "network")
        self.assertLess(start.at - began, ACTED_WITHIN + 0.001)
        change = self.first(scene, "net.change", began)
        self.assertEqual((change.fields["why"], change.fields["moved"]), ("routes", used))

    def test_the_path_that_leaves_the_other_way_is_left_alone(self) -> None:
        scene = self.scene(alice=["10.0.0.1", "10.0.1.1"], nat=NatSettings())
        scene.flow(10.0)
        began, used = scene.now, scene.route("alice").base[0]
        other = next(each for each in scene.hosts["alice"].interfaces if each != used)
        scene.hosts["alice"].change_next_hop(other, "another")
        scene.flow(5.0)
        self.assertEqual(self.own_rounds(scene, began), [])
        self.assertEqual(len(scene.of("alice", "net.change", began)), 1)

    def test_a_path_on_a_link_of_its_own_is_left_alone(self) -> None:
        """Both are on one LAN: no router is in it."""
        scene = self.scene(alice=["198.51.100.1"], bob=["198.51.100.2"])
        scene.flow(10.0)
        began, used = scene.now, scene.route("alice").base[0]
        scene.hosts["alice"].change_next_hop(used, "another")
        scene.flow(5.0)
        self.assertEqual(self.own_rounds(scene, began), [])
        self.assertEqual(len(scene.of("alice", "net.change", began)), 1)

    def test_a_default_way_that_comes_back_the_same_is_no_change(self) -> None:
        scene = self.scene(alice=["10.0.0.1"], nat=NatSettings())
        scene.flow(10.0)
        began = scene.now
        scene.hosts["alice"].change_next_hop("10.0.0.1", None)
        scene.advance(0.5)
        scene.hosts["alice"].change_next_hop("10.0.0.1", "router")
        scene.flow(5.0)
        self.assertEqual(self.own_rounds(scene, began), [])

    def test_a_default_way_that_comes_back_finds_sessions_without_a_path(self) -> None:
        scene = self.scene(alice=["10.0.0.1"], nat=NatSettings())
        scene.flow(10.0)
        alice = scene.hosts["alice"]
        alice.change_next_hop("10.0.0.1", None)
        alice.send_error = errno.ENETUNREACH
        scene.advance(300.0)
        self.assertFalse(scene.connected())
        began = scene.now
        alice.send_error = None
        alice.change_next_hop("10.0.0.1", "router")
        scene.flow(2.0)
        start = self.first(scene, "round.start", began)
        self.assertLess(start.at - began, ACTED_WITHIN + 0.001)

    # Sockets

    def test_T36_a_firewall_that_refuses_everything_for_a_while_costs_no_socket(self) -> None:
        """T36: all our sends fail at once with EPERM, and what comes in still comes in."""
        scene = self.scene()
        scene.flow(10.0)
        daemon, alice = scene.running["alice"], scene.hosts["alice"]
        ports = dict(daemon.ground.mux.ports)
        alice.send_error = errno.EPERM
        scene.advance(4.0)
        self.assertEqual(dict(daemon.ground.mux.ports), ports)
        alice.send_error = None
        self.assertLess(scene.flow(10.0), 5.0)
        self.assertEqual(dict(daemon.ground.mux.ports), ports)

    def test_T35_a_storm_of_refusals_opens_the_socket_again_once_a_minute(self) -> None:
        """T35, and no spinning: 5 packets a second are refused for a minute and a half."""
        scene = self.scene(alice=["192.0.2.1"])
        scene.flow(10.0)
        began, alice = scene.now, scene.hosts["alice"]
        base = scene.route("alice").base
        before = scene.running["alice"].ground.mux.ports[base]
        alice.send_error = errno.EPERM
        scene.advance(30.0)
        after = scene.running["alice"].ground.mux.ports[base]
        self.assertIsNot(after, before)
        changes = scene.of("alice", "net.change", began)
        self.assertEqual([each.fields["why"] for each in changes], ["refused"])
        scene.advance(60.0)
        self.assertLessEqual(len(scene.of("alice", "net.change", began)), 2)
        alice.send_error = None
        self.assertLess(scene.flow(120.0), 100.0)

    def test_T36_refused_at_the_start_it_connects_when_it_may(self) -> None:
        """T36: nothing of the first checks left; the round goes on."""
        scene = self.scene()
        scene.hosts["alice"].send_error = errno.EPERM
        scene.advance(3.0)
        self.assertFalse(scene.connected())
        scene.hosts["alice"].send_error = None
        self.assertLess(scene.flow(20.0), 15.0)

    def test_send_errors_make_it_look_at_the_network(self) -> None:
        """The kernel did not tell, but sending shows that something is wrong."""
        scene = self.scene()
        scene.flow(10.0)
        began, alice = scene.now, scene.hosts["alice"]
        alice.forget_watchers()
        alice.add_address("203.0.113.7")
        scene.advance(5.0)
        self.assertEqual(scene.of("alice", "net.change", began), [])
        alice.send_error = errno.ENETUNREACH
        scene.advance(6.1)  # the next check of an idle pair: 5 s, give or take a fifth
        self.assertEqual(self.first(scene, "net.change", began).fields["came"], "203.0.113.7")

    # Addresses that cannot be used yet

    def test_a_tentative_address_is_used_when_it_can_be(self) -> None:
        """Nobody tells that duplicate address detection is over; it is tried again."""
        scene = self.scene(alice=["192.0.2.1"], bob=["2001:db8::2", "192.0.2.2"])
        scene.flow(10.0)
        alice, daemon = scene.hosts["alice"], scene.running["alice"]
        alice.tentative.add("2001:db8::1")
        alice.add_address("2001:db8::1")
        scene.advance(0.9)
        self.assertEqual({host for host, _ in daemon.ground.mux.ports}, {"192.0.2.1"})
        began = scene.now
        alice.tentative.clear()
        scene.advance(2.0)
        self.assertIn("2001:db8::1", {host for host, _ in daemon.ground.mux.ports})
        came = self.first(scene, "net.change", began)
        self.assertEqual(came.fields["came"], "2001:db8::1")

    def test_an_address_that_never_becomes_usable_is_tried_more_and_more_rarely(self) -> None:
        scene = self.scene(alice=["192.0.2.1"], bob=["2001:db8::2", "192.0.2.2"])
        scene.flow(10.0)
        alice = scene.hosts["alice"]
        alice.tentative.add("2001:db8::1")
        alice.add_address("2001:db8::1")
        tried, network = list[float](), scene.running["alice"].network
        look = network.hosts
        network.hosts = lambda: (tried.append(scene.now), look())[1]  # type: ignore[func-returns-value]
        scene.advance(600.0)
        self.assertLess(len(tried), 20)

    def test_hints_without_end_and_without_meaning_cost_little(self) -> None:
        """A flood of the kernel's messages: looked at rarely, and a true one is still seen."""
        scene = self.scene()
        scene.flow(10.0)
        network = scene.running["alice"].network
        looks, hosts = list[float](), network.hosts
        network.hosts = lambda: (looks.append(scene.now), hosts())[1]  # type: ignore[func-returns-value]
        for _ in range(1000):
            network.hint()
            scene.advance(0.01)
        self.assertLess(len(looks), 25)
        began, used = scene.now, scene.route("alice").base[0]
        scene.hosts["alice"].remove_address(used)
        scene.flow(2.0)
        self.assertLess(self.first(scene, "net.change", began).at - began, 0.81)

    def test_closed_sessions_give_their_sockets_back(self) -> None:
        """The next session to the same peer takes the same place in the pool."""
        scene = self.scene()
        scene.flow(10.0)
        daemon = scene.running["alice"]
        opened = len(daemon.ground.mux.ports)
        for _ in range(5):
            daemon.supervisor.close("demo", "test")
            daemon.supervisor.add(daemon.make_session("demo", daemon.settings.sessions["demo"]))
            scene.advance(1.0)
        self.assertEqual(len(daemon.ground.mux.ports), opened)
