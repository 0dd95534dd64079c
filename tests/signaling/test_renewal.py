"""Certificates while a daemon runs: found again by themselves, and warned of in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.certificates import CertificateError
from refreeze.signaling.renewal import LOOK_EVERY, Renewal
from refreeze.signaling.tls import TlsIdentity
from tests.signaling.pki import Pki

BEGIN = datetime(2027, 1, 15, tzinfo=UTC)
DAY = 86400.0


class RenewalTests(SynchronousTestCase):
    """A certificate of 30 days, and a clock that goes by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.pki = Pki(self.mktemp())
        self.files = self.pki.issue("alice", now=BEGIN, days=30)
        self.renewal = Renewal(
            identity=TlsIdentity(self.files),
            clock=self.clock,
            wall=lambda: BEGIN.timestamp() + self.clock.seconds(),
            emit=lambda topic, fields: self.events.append((topic, fields)),
        )
        self.renewal.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Nothing is left waiting."""
        self.renewal.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def days(self, days: float) -> None:
        """Time passes, an hour at a time."""
        self.clock.pump([LOOK_EVERY] * round(days * 24))

    def taken(self) -> list[dict[str, Any]]:
        """Events since the last time."""
        events, self.events = self.events, []
        self.assertEqual({topic for topic, _ in events} - {"config.certificate"}, set())
        return [fields for _, fields in events]

    def test_new_files_are_found_within_the_hour(self) -> None:
        before = self.renewal.identity.material
        self.pki.issue("alice", now=BEGIN, days=90)
        self.clock.advance(LOOK_EVERY - 1)
        self.assertIs(self.renewal.identity.material, before)
        self.clock.advance(1)
        self.assertAlmostEqual(self.renewal.days_left, 90, 0)
        self.assertEqual(self.taken(), [{"why": "renewed", "days": 89}])

    def test_files_that_are_the_same_are_no_news(self) -> None:
        self.days(10)
        self.assertEqual(self.taken(), [])

    def test_there_is_a_warning_a_day_from_the_fourteenth_before_the_end(self) -> None:
        self.days(16)
        self.assertEqual([each["days"] for each in self.taken()], [14])
        with capturedLogs() as logged:
            self.days(3)
        told = self.taken()
        self.assertEqual([each["days"] for each in told], [13, 12, 11])
        self.assertEqual({event["log_level"] for event in logged}, {LogLevel.warn})
        self.assertEqual({event["path"] for event in logged}, {self.files.certificate})

    def test_an_end_that_has_come_is_an_error(self) -> None:
        self.days(29.9)
        with capturedLogs() as logged:
            self.days(1)
        self.assertEqual([e["log_level"] for e in logged], [LogLevel.error])
        self.assertLess(self.renewal.days_left, 0)

    def test_a_daemon_that_starts_late_is_warned_at_once(self) -> None:
        self.clock.advance(25 * DAY)
        self.taken()
        again = Renewal(
            identity=self.renewal.identity,
            clock=Clock(),
            wall=self.renewal.wall,
            emit=self.renewal.emit,
        )
        again.startService()
        self.assertEqual([each["days"] for each in self.taken()], [5])
        again.stopService()

    def test_damaged_files_are_named_once_and_the_old_ones_stay(self) -> None:
        before = self.renewal.identity.material
        self.pki.put("alice.crt", b"half")
        with capturedLogs() as logged:
            self.days(2)
        self.assertIs(self.renewal.identity.material, before)
        (said,) = self.taken()
        self.assertIn("holds no certificate in PEM", said["why"])
        self.assertEqual(len(logged), 1)
        self.pki.issue("alice", now=BEGIN, days=90)
        self.days(0.1)
        self.assertEqual([each["why"] for each in self.taken()], ["renewed"])

    def test_a_key_and_a_certificate_that_come_one_after_the_other(self) -> None:
        """A look in between finds that they do not fit, and the next one takes both."""
        with open(self.files.certificate, "rb") as file:
            old = file.read()
        self.pki.issue("alice", now=BEGIN, days=90)
        with open(self.files.certificate, "rb") as file:
            new = file.read()
        self.pki.put("alice.crt", old)
        self.assertFalse(self.renewal.look())
        self.pki.put("alice.crt", new)
        self.assertTrue(self.renewal.look())
        self.assertGreater(self.renewal.days_left, 80)

    def test_a_certificate_for_somebody_else_is_not_taken(self) -> None:
        """The daemon could not say hello with it."""
        before = self.renewal.identity.material

        def only_alice(material: Any) -> None:
            if "alice" not in material.names:
                raise CertificateError(f"{self.files.certificate}: is for somebody else")

        self.renewal.identity.check = only_alice
        bob = self.pki.issue("bob", now=BEGIN + timedelta(days=1))
        for ours, theirs in ((self.files.key, bob.key), (self.files.certificate, bob.certificate)):
            with open(theirs, "rb") as file:
                self.pki.put(ours.rpartition("/")[2], file.read())
        self.assertFalse(self.renewal.look())
        self.assertIs(self.renewal.identity.material, before)
