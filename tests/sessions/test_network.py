"""Addresses come and go under whole daemons, in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

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
