"""Whole daemons with their hub over TLS, in virtual time; OpenSSL goes by the real clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, DaemonSettings
from refreeze.signaling.settings import HubSettings
from tests.signaling.pki import Pki, days_ago
from tests.simulation.scene import Scene

PLACE = "tls:127.0.0.1:7810"
LONG = 36500
"""Days: virtual time is some way from here."""


class TlsScene(Scene):
    """Hub, alice and bob, each with a certificate of its own."""

    pki: Pki

    def _settings(self, name: str) -> DaemonSettings:
        files = self.pki.issue(name, ["127.0.0.1"] if name == "hub" else [], days=LONG)
        hub = HubSettings(
            serve=PLACE if name == "hub" else None,
            connect=None if name == "hub" else PLACE,
            certificate=files.certificate,
            key=files.key,
            ca=files.ca,
        )
        return evolve(super()._settings(name), hub=hub)


class TlsDaemonTests(SynchronousTestCase):
    def setUp(self) -> None:
        pki = Pki(self.mktemp(), days=LONG)

        class Here(TlsScene):
            pass

        Here.pki = pki
        self.pki = pki
        self.scene = Here(1)
        self.addCleanup(lambda: self.assertEqual(self.scene.end(), []))

    def status(self, name: str) -> dict[str, Any]:
        """What `refreezectl status` shows."""
        return self.scene.running[name].supervisor.status()

    def test_a_session_connects_and_status_tells_of_hub_and_link(self) -> None:
        self.scene.connect()
        self.scene.flow(5.0)
        self.assertEqual(self.status("alice")["signaling"], "up")
        self.assertGreater(self.status("alice")["certificate_days"], 10000)
        hub = self.status("hub")
        scraped = self.scene.running["hub"].supervisor.metrics()
        for line in ("refreeze_hub_links 2.0", 'refreeze_hub_total{result="routed"} '):
            self.assertIn(line, scraped)
        self.assertIn("refreeze_certificate_expires_seconds ", scraped)
        self.assertIn("refreeze_link_up 1.0", self.scene.running["bob"].supervisor.metrics())
        self.assertEqual((hub["hub_links"], hub["hub_refused"], hub["hub_foreign_from"]), (2, 0, 0))

    def test_a_certificate_is_replaced_while_everything_goes_on(self) -> None:
        """By a reload, or by itself within the hour; no link is dropped, no session notices."""
        self.scene.connect()
        alice, hub = self.scene.running["alice"], self.scene.running["hub"]
        self.pki.issue("alice", days=LONG)
        alice.read_settings = lambda: alice.settings
        self.assertEqual(alice.supervisor.reload()["certificates"], "renewed")
        self.assertNotIn("certificates", alice.supervisor.reload())
        self.pki.issue("hub", ["127.0.0.1"], days=LONG)
        self.scene.advance(3700.0)
        assert hub.meeting.certificates is not None
        self.assertEqual(
            [e.fields["why"] for e in self.scene.of("hub", "config.certificate")], ["renewed"]
        )
        for name in ("alice", "bob"):
            self.assertEqual(self.scene.of(name, "signal.down", since=1.0), [])
            link = self.scene.running[name].meeting.link
            assert link is not None
            self.assertEqual(link.counters["connects"], 1)
        self.scene.flow(5.0)

    def test_a_daemon_whose_certificate_has_expired_says_so_and_comes_back_with_a_new_one(
        self,
    ) -> None:
        self.scene.connect()
        self.pki.issue("bob", now=days_ago(30), days=10)
        bob = self.scene.running["bob"]
        assert bob.meeting.certificates is not None
        self.assertTrue(bob.meeting.certificates.look())
        self.scene.kill("hub")
        self.scene.start("hub")
        self.scene.advance(60.0)
        said = "it says that our certificate has expired"
        self.assertEqual(self.status("bob")["signaling"], f"down: {said}")
        (shown,) = [r for r in bob.supervisor.show("demo") if r["part"] == "signaling"]
        self.assertEqual((shown["up"], shown["problem"]), (False, said))
        self.assertGreater(self.status("hub")["hub_refused"], 0)
        self.assertTrue(self.scene.of("bob", "signal.down")[-1].fields["why"])
        self.assertEqual(self.status("hub")["hub_links"], 1)
        self.scene.flow(5.0)  # the path does not need the hub
        self.pki.issue("bob", days=LONG)
        self.assertTrue(bob.meeting.certificates.look())
        self.scene.advance(31.0)
        self.assertEqual(self.status("bob")["signaling"], "up")

    def test_a_damaged_file_is_told_and_the_old_certificate_stays(self) -> None:
        self.scene.connect()
        bob = self.scene.running["bob"]
        self.pki.put("bob.crt", b"?")
        assert bob.meeting.certificates is not None
        self.assertFalse(bob.meeting.certificates.look())
        (told,) = self.scene.of("bob", "config.certificate")
        self.assertIn("holds no certificate in PEM", told.fields["why"])
        bob.read_settings = lambda: bob.settings
        self.assertNotIn("certificates", bob.supervisor.reload())
        self.assertEqual(self.status("bob")["signaling"], "up")
        self.assertGreater(self.status("bob")["certificate_days"], 10000)

    def test_a_daemon_cannot_start_with_files_that_are_of_no_use(self) -> None:
        self.scene.stop("bob")
        self.scene.advance(3.0)
        files = self.pki.issue("bob", now=days_ago(0) + timedelta(days=1))
        self.pki.put("bob.key", b"?")
        hub = HubSettings(connect=PLACE, certificate=files.certificate, key=files.key, ca=files.ca)
        settings = DaemonSettings(name="bob", hub=hub)
        daemon = self.scene.world.daemon(self.scene.hosts["bob"], settings)
        error = self.assertRaises(ValueError, daemon.startService)
        self.assertEqual(str(error), f"{files.key}: holds no key in PEM that can be read")
        self.assertNotIsInstance(error, ConfigError)
