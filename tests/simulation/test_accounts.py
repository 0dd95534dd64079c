"""The accounts of a simulated run see what is missing: each kind of loss is made on purpose."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.session import Session
from tests.simulation.accounts import exposed, leaks, losses
from tests.simulation.scene import Scene


class AccountsTests(SynchronousTestCase):
    """A scene in order has no complaints; one thing wrong is one complaint at least."""

    def scene(self) -> Scene:
        scene = Scene(3)
        scene.flow(10.0)
        scene.advance(5.0)
        scene.world.network.blackhole("alice", "bob", seconds=12.0)
        scene.advance(20.0)
        return scene

    def session(self, scene: Scene, name: str) -> Session:
        session = scene.session(name)
        assert session is not None
        return session

    def finish(self, scene: Scene) -> list[str]:
        scene.program.pause()
        scene.advance(5.0)
        found = losses(scene)
        self.assertEqual(scene.end(), [])
        scene.advance(5.0)
        return found + leaks(scene)

    def test_in_order(self) -> None:
        self.assertEqual(self.finish(self.scene()), [])

    def test_a_forward_that_loses_what_it_accepted_is_seen(self) -> None:
        scene = self.scene()
        session = self.session(scene, "alice")
        honest = session.forward.path_send

        def thief(payloads: Sequence[bytes]) -> int:
            honest(payloads[1:])
            return len(payloads)

        session.forward.path_send = thief
        scene.advance(2.0)
        self.assertTrue(any("handed to ports" in line for line in self.finish(scene)))

    def test_a_forward_that_does_not_count_is_seen(self) -> None:
        scene = self.scene()
        self.session(scene, "alice").forward.counters.accepted -= 1
        found = self.finish(scene)
        self.assertTrue(any("came from the program" in line for line in found), found)
        self.assertTrue(any("dropped" in line for line in found), found)

    def test_what_arrived_and_nobody_counted_is_seen(self) -> None:
        scene = self.scene()
        self.session(scene, "bob").forward.counters.received -= 1
        self.assertTrue(any("arrived" in line for line in self.finish(scene)))

    def test_what_leaves_in_the_clear_is_seen(self) -> None:
        scene = self.scene()
        session = self.session(scene, "alice")
        self.assertEqual(exposed(scene), [])
        session.forward.path_send = session.connection.iceTransport.datagrams.send
        scene.advance(2.0)
        self.assertTrue(any("in the clear" in line for line in exposed(scene)))

    def test_a_round_without_an_end_is_seen(self) -> None:
        scene = self.scene()
        self.session(scene, "alice").policy.counters.started["operator"] += 1
        self.assertTrue(any("do not add up" in line for line in self.finish(scene)))

    def test_what_stays_in_the_mux_is_seen(self) -> None:
        scene = self.scene()
        daemon = scene.running["bob"]
        transport = self.session(scene, "bob").connection.iceTransport
        found = self.finish(scene)
        self.assertEqual(found, [])
        daemon.ground.mux.register("left", transport)
        self.assertTrue(any("mux still has" in line for line in leaks(scene)))
