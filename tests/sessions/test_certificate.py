"""The sessions' certificate: kept, renewed in time, there whatever disk and clock do."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer import RTCCertificate
from refreeze.sessions.certificate import ASIDE, LOOK_EVERY, KeptCertificate

BEGIN = datetime(2027, 1, 15, tzinfo=UTC)
DAY = 86400.0


class Case(SynchronousTestCase):
    """A state directory, a clock that goes by hand, and a wall clock that can be set."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        self.path = os.path.join(self.directory, "dtls.pem")
        self.clock = Clock()
        self.offset = BEGIN.timestamp()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lives: list[KeptCertificate] = []
        self.addCleanup(self.end)

    def end(self) -> None:
        """Nothing is left waiting."""
        for life in self.lives:
            life.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wall(self) -> float:
        return self.offset + self.clock.seconds()

    def begin(self, path: str | None = "") -> KeptCertificate:
        """A new life of the daemon."""
        kept = KeptCertificate(
            path=self.path if path == "" else path,
            clock=self.clock,
            wall=self.wall,
            emit=lambda topic, fields: self.events.append((topic, fields)),
        )
        self.assertEqual(self.events, [])  # nobody listens yet
        kept.startService()
        self.lives.append(kept)
        return kept

    def days(self, days: float) -> None:
        """Time passes, an hour at a time."""
        self.clock.pump([LOOK_EVERY] * round(days * 24))

    def taken(self) -> list[tuple[str, dict[str, Any]]]:
        """Events since the last time."""
        events, self.events = self.events, []
        return events

    def on_disk(self) -> RTCCertificate:
        with open(self.path, "rb") as file:
            return RTCCertificate.from_pem(file.read())


class KeptTests(Case):
    """From one life to the next."""

    def test_the_first_start_makes_one_that_nobody_else_can_read(self) -> None:
        kept = self.begin()
        self.assertEqual(self.on_disk().der, kept.certificate.der)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.directory).st_mode), 0o700)
        self.assertAlmostEqual(kept.days_left, 30, 3)
        self.assertEqual(self.taken(), [])

    def test_the_next_start_has_the_same(self) -> None:
        first = self.begin()
        self.days(3)
        again = self.begin()
        self.assertEqual(again.certificate.der, first.certificate.der)
        self.assertEqual(again.context.fingerprints, first.context.fingerprints)
        self.assertEqual(self.taken(), [])

    def test_without_a_state_directory_it_is_in_memory(self) -> None:
        first, second = self.begin(None), self.begin(None)
        self.assertNotEqual(first.certificate.der, second.certificate.der)
        self.assertFalse(os.path.exists(self.directory))
        self.assertEqual((first.problem, self.taken()), ("", []))

    def test_the_context_is_made_once(self) -> None:
        kept = self.begin()
        before = kept.context
        self.days(5)
        self.assertIs(kept.context, before)
        self.assertIs(before.certificate, kept.certificate)


class RenewalTests(Case):
    """In time, and after a time in which nobody looked."""

    def test_when_a_third_of_its_time_is_left_it_has_a_successor(self) -> None:
        kept = self.begin()
        before = kept.context
        self.days(20)
        self.assertIs(kept.context, before)
        self.days(0.1)
        self.assertIsNot(kept.context, before)
        self.assertEqual(self.taken(), [("certificate.renewed", {"why": "old", "days": 30})])
        self.assertEqual(self.on_disk().der, kept.certificate.der)
        self.days(19)
        self.assertEqual(self.taken(), [])

    def test_one_that_is_old_at_the_start_is_renewed_at_once(self) -> None:
        """Whoever reads events is told when the service starts."""
        before = self.begin().certificate
        self.offset += 21 * DAY
        kept = self.begin()
        self.assertNotEqual(kept.certificate.der, before.der)
        self.assertEqual(self.taken(), [("certificate.renewed", {"why": "old", "days": 30})])

    def test_one_that_expired_in_a_long_suspend_is_renewed_when_somebody_looks(self) -> None:
        kept = self.begin()
        self.offset += 100 * DAY
        self.assertLess(kept.days_left, 0)
        self.assertTrue(kept.look())
        self.assertFalse(kept.look())
        self.assertAlmostEqual(kept.days_left, 30, 3)

    def test_a_clock_that_is_not_set_at_the_start_changes_nothing(self) -> None:
        """A machine without a clock of its own begins in 1970, and is told the time soon."""
        before = self.begin().certificate
        self.offset = 0.0
        kept = self.begin()
        self.clock.advance(60.0)
        self.offset = BEGIN.timestamp() + DAY
        self.days(2)
        self.assertEqual(kept.certificate.der, before.der)
        self.assertEqual(self.taken(), [])

    def test_one_that_was_made_before_the_clock_was_set_is_renewed_within_the_hour(self) -> None:
        """Too early it has expired; too late it would be kept for years."""
        for wrong in (0.0, BEGIN.timestamp() + 2000 * DAY):
            self.offset = wrong
            kept = self.begin(None)
            self.offset = BEGIN.timestamp()
            self.clock.advance(LOOK_EVERY)
            self.assertLess(abs(kept.days_left - 30), 0.1)
            self.assertEqual(len(self.taken()), 1)
            self.lives.pop().stopService()

    def test_one_of_another_lifetime_is_used_for_two_thirds_of_it(self) -> None:
        """Whoever puts a certificate there may have one of a year."""
        os.mkdir(self.directory)
        made = RTCCertificate.generate(BEGIN, lifetime=timedelta(days=300))
        with open(self.path, "wb", opener=lambda *a: os.open(*a, 0o600)) as file:
            file.write(made.to_pem())
        kept = self.begin()
        self.offset += 199 * DAY
        self.assertFalse(kept.look())
        self.offset += 2 * DAY
        self.assertTrue(kept.look())


class DiskTests(Case):
    """The disk may hold anything, or nothing."""

    def spoil(self, content: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(content)

    def test_a_damaged_file_is_moved_aside_and_told_of_once(self) -> None:
        before = self.begin().certificate
        pem = before.to_pem()
        for content in (b"", b"?", pem[:-300], pem + pem, b"\0" * 200_000):
            self.spoil(content)
            with capturedLogs() as logged:
                kept = self.begin()
            errors = [e for e in logged if e["log_level"] is LogLevel.error]
            self.assertEqual(len(errors), 1)
            self.assertNotIn("\n", errors[0]["why"])
            with open(self.path + ASIDE, "rb") as file:
                self.assertEqual(file.read(), content)
            ((topic, fields),) = self.taken()
            self.assertEqual(topic, "certificate.renewed")
            self.assertTrue(fields["why"].startswith(f"{self.path}: "), fields)
            self.assertEqual(self.begin().certificate.der, kept.certificate.der)

    def test_a_file_that_others_could_read_is_no_secret_any_more(self) -> None:
        before = self.begin().certificate
        os.chmod(self.path, 0o644)
        kept = self.begin()
        self.assertNotEqual(kept.certificate.der, before.der)
        self.assertIn("others than its owner", self.taken()[0][1]["why"])
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_a_state_directory_that_is_none(self) -> None:
        with open(self.directory, "w"):
            pass
        with capturedLogs() as logged:
            kept = self.begin()
        ((topic, fields),) = [each for each in self.taken() if each[0] == "state.memory-only"]
        self.assertEqual((topic, fields["why"]), ("state.memory-only", kept.problem))
        self.assertIn("dtls.pem", kept.problem)
        self.assertAlmostEqual(kept.days_left, 30, 3)
        self.assertNotIn("PRIVATE", str(logged))

    def test_a_disk_that_fails_at_the_renewal_and_works_again(self) -> None:
        """The new one is used at once, told as not kept, and kept as soon as that works."""
        kept = self.begin()
        before = self.on_disk().der
        os.mkdir(self.path + ".new")  # it is in the way of the next file
        self.days(21)
        self.assertEqual([t for t, _ in self.taken()], ["state.memory-only", "certificate.renewed"])
        self.assertTrue(kept.problem)
        self.assertEqual(self.on_disk().der, before)
        self.days(1)
        self.assertEqual(self.taken(), [])
        os.rmdir(self.path + ".new")
        self.days(0.1)
        self.assertEqual((kept.problem, self.taken()), ("", []))
        self.assertEqual(self.on_disk().der, kept.certificate.der)
