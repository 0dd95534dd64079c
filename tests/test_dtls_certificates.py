"""Whole daemons and the certificates of their DTLS: kept, renewed, shown at the next restart."""

from __future__ import annotations

import os
import re
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import DaemonSettings
from refreeze.peer import Event
from refreeze.service import Daemon
from refreeze.sessions.session import Session
from tests.simulation.scene import SESSION, Scene

DAY = 86400.0


class DtlsScene(Scene):
    """Alice and bob protect their session, and alice has a state directory."""

    directory: str

    def _settings(self, name: str) -> DaemonSettings:
        settings = super()._settings(name)
        sessions = {
            session: evolve(each, protect="dtls") for session, each in settings.sessions.items()
        }
        state = self.directory if name == "alice" else None
        return evolve(settings, sessions=sessions, state_dir=state)


class DtlsCertificateTests(SynchronousTestCase):
    """Everything is in virtual time but the disk."""

    def setUp(self) -> None:
        class Here(DtlsScene):
            directory = os.path.abspath(self.mktemp())

        self.scene = Here(1)
        self.directory = Here.directory
        self.addCleanup(lambda: self.assertEqual(self.scene.end(), []))

    @property
    def alice(self) -> Daemon:
        return self.scene.running["alice"]

    def session(self, name: str) -> Session:
        session = self.scene.session(name)
        assert session is not None
        return session

    def shown(self, name: str) -> dict[str, Any]:
        """What `refreezectl show` says of the protection."""
        records = self.scene.running[name].supervisor.show(SESSION)
        (found,) = [each for each in records if each["part"] == "protect"]
        return found

    def fingerprint(self) -> str:
        """Of the newest certificate of alice."""
        return " ".join(self.alice.certificate.context.fingerprints[0])

    def grow_old(self) -> str:
        """Three weeks pass on alice's calendar at once; her new fingerprint."""
        certificate, before = self.alice.certificate, self.fingerprint()
        wall = certificate.wall
        certificate.wall = lambda: wall() + 21 * DAY
        self.assertTrue(certificate.look())
        self.assertNotEqual(self.fingerprint(), before)
        return self.fingerprint()

    def restart(self) -> None:
        """By alice's operator."""
        waiting = self.alice.supervisor.restart(SESSION, reason="", force=True)
        self.scene.flow(10.0)
        self.assertEqual(self.successResultOf(waiting)["outcome"], "succeeded")

    def test_the_same_certificate_in_the_next_life(self) -> None:
        self.scene.connect()
        before = self.shown("bob")["remote_fingerprint"]
        self.assertEqual(before, self.fingerprint())
        self.assertIn("dtls.pem", os.listdir(self.directory))
        self.scene.stop("alice")
        self.scene.advance(3.0)
        self.scene.start("alice")
        self.scene.flow(30.0)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], before)
        self.assertEqual(self.shown("alice")["local_fingerprint"], before)

    def test_how_long_it_holds_is_shown_and_scraped(self) -> None:
        self.scene.connect()
        self.assertAlmostEqual(self.alice.supervisor.status()["dtls_certificate_days"], 30.0, 1)
        self.assertEqual(self.shown("alice")["certificate_age_days"], 0.0)
        gauge = r"(?m)^refreeze_dtls_certificate_expires_seconds (\S+)$"
        (scraped,) = re.findall(gauge, self.alice.supervisor.metrics())
        expires = self.alice.certificate.certificate.expires
        self.assertEqual(float(scraped), expires.timestamp())

    def test_a_renewal_changes_nothing_before_the_next_restart(self) -> None:
        """Then there is a new association beside the old one, and no packet is lost."""
        self.scene.flow(10.0)
        program = self.scene.program
        old, new = self.fingerprint(), self.grow_old()
        (told,) = self.scene.of("alice", "certificate.renewed")
        self.assertEqual(told.fields["why"], "old")
        sent, back = program.sent, len(program.arrivals)
        self.scene.advance(60.0)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], old)
        self.assertEqual(self.shown("alice")["association"], 1)
        self.restart()
        self.scene.advance(5.0)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], new)
        self.assertEqual(self.shown("alice")["local_fingerprint"], new)
        self.assertEqual(self.shown("alice")["association"], 2)
        self.assertLessEqual(abs(program.sent - sent - (len(program.arrivals) - back)), 1)
        self.restart()
        self.assertEqual(self.shown("alice")["association"], 2)

    def test_the_peers_restart_brings_it_into_use_too(self) -> None:
        self.scene.flow(10.0)
        new = self.grow_old()
        waiting = self.scene.running["bob"].supervisor.restart(SESSION, reason="", force=True)
        self.scene.flow(10.0)
        self.assertEqual(self.successResultOf(waiting)["outcome"], "succeeded")
        self.scene.advance(5.0)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], new)

    def test_a_renewal_while_an_offer_waits_for_its_answer(self) -> None:
        """The offer named the old one, and that is the one that the peer gets to see."""
        connection, old = self.session("alice").connection, self.fingerprint()

        def changed(event: Event) -> None:
            if connection.signalingState == "have-local-offer":
                connection.removeEventListener("signalingstatechange", changed)
                self.grow_old()

        connection.addEventListener("signalingstatechange", changed)
        self.scene.flow(10.0)
        new = self.fingerprint()
        self.assertNotEqual(new, old)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], old)
        self.assertEqual(self.session("bob").securing.problem, "")
        self.restart()
        self.scene.advance(5.0)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], new)

    def test_one_that_expired_in_a_suspend_has_a_successor_when_the_machine_wakes(self) -> None:
        """The restart after the suspend shows it already."""
        self.scene.flow(10.0)
        certificate, old = self.alice.certificate, self.fingerprint()
        wall = certificate.wall
        certificate.wall = lambda: wall() + 100 * DAY
        self.scene.world.suspend(self.scene.hosts["alice"], 5.0)
        self.scene.advance(5.0)
        self.scene.flow(60.0)
        self.scene.advance(10.0)
        self.assertNotEqual(self.fingerprint(), old)
        self.assertEqual(self.shown("bob")["remote_fingerprint"], self.fingerprint())
