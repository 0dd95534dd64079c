"""The daemon's log: priorities for journald, usual lines elsewhere, a level that changes."""

from __future__ import annotations

import io
import os

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from refreeze.journal import Journal, has_descriptor, is_journal


class JournalTests(SynchronousTestCase):
    """What is written."""

    def logger(self, *, journald: bool) -> tuple[Logger, Journal, io.StringIO]:
        """A logger that writes to a journal of its own."""
        out = io.StringIO()
        journal = Journal(out, journald=journald)
        return Logger("test", observer=LogPublisher(journal)), journal, out

    def test_journald_gets_priorities_and_no_time(self) -> None:
        """sd-daemon(3): every line of an event has its own."""
        log, _, out = self.logger(journald=True)
        log.info("up")
        log.warn("a\nb")
        log.error("bad")
        log.critical("worse")
        log.info("")
        self.assertEqual(out.getvalue(), "<6>up\n<4>a\n<4>b\n<3>bad\n<2>worse\n")

    def test_elsewhere_a_line_has_its_time_and_level(self) -> None:
        log, _, out = self.logger(journald=False)
        log.info("up")
        self.assertRegex(out.getvalue(), r"^\d{4}-\S+ \[test#info\] up\n$")

    def test_the_level_changes_while_it_runs(self) -> None:
        log, journal, out = self.logger(journald=True)
        log.debug("1")
        journal.set_level("debug")
        log.debug("2")
        journal.set_level("error")
        log.warn("3")
        log.error("4")
        self.assertEqual(out.getvalue(), "<7>2\n<3>4\n")

    def test_an_unknown_level_is_refused_and_the_old_one_stays(self) -> None:
        log, journal, out = self.logger(journald=True)
        for name in ("", "loud", "INFO"):
            self.assertRaises(ValueError, journal.set_level, name)
        log.info("still")
        self.assertEqual(out.getvalue(), "<6>still\n")

    def test_only_the_stream_that_was_named_is_the_journal(self) -> None:
        """A program whose output was sent elsewhere inherits the variable (systemd.exec(5))."""
        self.assertTrue(is_journal({"JOURNAL_STREAM": "8:42"}, 8, 42))
        self.assertFalse(is_journal({"JOURNAL_STREAM": "8:42"}, 8, 43))
        self.assertFalse(is_journal({}, 8, 42))

    def test_what_is_no_file_has_no_descriptor(self) -> None:
        self.assertIsNone(has_descriptor(io.StringIO()))
        with open(os.devnull) as file:
            self.assertEqual(has_descriptor(file), file.fileno())
