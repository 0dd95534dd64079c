"""A session that DTLS refused: what holds it, and who can make it whole again."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.session import Session
from refreeze.sessions.supervisor import OperationError
from tests.simulation.scene import SESSION, Scene
from tests.virtualtime import need_openssl_time

DAY = 86400.0
ALERT = bytes.fromhex("15fefd 0000 000000000063 0002 0228")
"""A fatal one, in the clear: handshake_failure."""
NONSENSE = bytes.fromhex("16fefd 0000 000000000063 0010 02000004 0000 000000 000004 ffffffff")
"""A ServerHello of four bytes."""


class RefusedCase(SynchronousTestCase):
    """Somebody off the path forged *datagram* in the middle of alice's handshake."""

    datagram = ALERT

    def setUp(self) -> None:
        need_openssl_time()
        self.scene = Scene(1)
        self.addCleanup(self.scene.end)
        dtls = self.session("alice").securing.transport
        assert dtls is not None
        self.scene.world.reactor.run_until(lambda: dtls.show()["association"] == 1, 10.0)
        dtls._received([self.datagram])
        self.scene.advance(6.0)
        self.started = self.session("alice").policy.counters.started.total()

    def session(self, name: str) -> Session:
        found = self.scene.session(name)
        assert found is not None
        return found

    def restart(self, *, force: bool) -> Any:
        """By alice's operator."""
        return self.scene.running["alice"].supervisor.restart(SESSION, reason="", force=force)

    def held(self) -> tuple[str, str | None]:
        """Alice's state, and why."""
        alice = self.session("alice")
        return alice.state, alice.policy.snapshot().held_reason


class RefusedTests(RefusedCase):
    """An alert."""

    def test_nothing_that_happens_by_itself_restarts_it(self) -> None:
        self.scene.kill("bob")
        alice = self.session("alice")
        self.assertEqual(self.held(), ("failed", "dtls-alert"))
        self.scene.hosts["alice"].remove_address("192.0.2.1")
        self.scene.advance(DAY)
        self.assertEqual(alice.policy.counters.started.total(), self.started)
        self.assertEqual(self.held(), ("failed", "dtls-alert"))

    def test_a_peer_that_was_not_told_tries_again(self) -> None:
        """So the forgery costs some 30 s: that is the peer's patience with the handshake."""
        self.scene.flow(40.0)
        self.assertEqual(self.session("bob").securing.counters["dtls-timeout"], 1)

    def test_an_operator_who_releases_it_gets_a_new_association(self) -> None:
        self.scene.running["alice"].supervisor.release(SESSION)
        self.scene.flow(10.0)

    def test_an_operator_may_force_a_restart(self) -> None:
        self.assertRaises(OperationError, self.restart, force=False)
        self.restart(force=True)
        self.scene.flow(10.0)

    def test_the_peers_operator_may(self) -> None:
        self.scene.running["bob"].supervisor.restart(SESSION, reason="", force=True)
        self.scene.flow(10.0)

    def test_the_peers_next_life_makes_it_whole(self) -> None:
        self.scene.kill("bob")
        self.scene.start("bob")
        self.scene.flow(30.0)

    def test_a_life_of_our_own_makes_it_whole(self) -> None:
        self.scene.kill("alice")
        self.scene.start("alice")
        self.scene.flow(30.0)


class NonsenseTests(RefusedCase):
    """A message that no server sends."""

    datagram = NONSENSE

    def test_the_session_is_whole_again_when_the_peer_has_lost_patience(self) -> None:
        self.assertEqual(self.held(), ("failed", "dtls-handshake"))
        self.scene.flow(40.0)
