"""What outlives a daemon, and what happens when the disk does not want it."""

from __future__ import annotations

import os
import stat

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.rounds import RoundBook
from refreeze.sessions.store import KEPT_ROUNDS, Store
from refreeze.watchdog import Cause, RoundOutcome


class StoreTests(SynchronousTestCase):
    """Epochs and histories."""

    def path(self) -> str:
        """A file below a directory that does not exist yet."""
        return os.path.join(self.mktemp(), "state", "refreeze.db")

    def test_an_epoch_survives_and_never_goes_back(self) -> None:
        """A machine whose clock was reset must not be taken for its own past."""
        path = self.path()
        store = Store(path)
        store.save_epoch("demo", 700)
        store.save_epoch("demo", 600)
        store.close()
        again = Store(path)
        self.assertEqual((again.epoch("demo"), again.epoch("other")), (700, 0))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        again.close()

    def test_rounds_are_kept_up_to_the_limit(self) -> None:
        """The latest ones, in order."""
        store = Store(None)
        book = RoundBook(lambda record: store.save_round("demo", record))
        for number in range(KEPT_ROUNDS + 5):
            book.begin(Cause.FAILED, ours=True, ufrag=None, now=0.0, wall=float(number))
            book.end(RoundOutcome.SUCCEEDED, "connected", 0.5)
        rounds = store.rounds("demo")
        self.assertEqual(len(rounds), KEPT_ROUNDS)
        self.assertEqual(rounds[0], (5.0, "failed", True, "succeeded", "connected", 0.5))
        store.close()

    def test_an_unwritable_place_is_said_once_and_memory_serves(self) -> None:
        """The daemon goes on."""
        with open(self.mktemp(), "w") as file:
            store = Store(os.path.join(file.name, "refreeze.db"))
        self.assertIn("refreeze.db", store.problem)
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        store.save_epoch("demo", 5)
        self.assertEqual(store.epoch("demo"), 5)
        store.close()

    def test_sessions_of_the_control_port_are_kept_until_they_are_closed(self) -> None:
        path = self.path()
        store = Store(path)
        store.save_session("two", {"peer": "bob", "protect": "none"})
        store.save_session("three", {"peer": "carol"})
        store.save_session("three", None)
        store.close()
        again = Store(path)
        self.assertEqual(again.sessions(), {"two": {"peer": "bob", "protect": "none"}})
        again.close()

    def test_a_disk_that_fills_up_is_said_once_and_what_was_there_is_taken_along(self) -> None:
        """SQLite's own limit of pages stands for the disk's."""
        problems: list[str] = []
        store = Store(self.path(), problems.append)
        store.save_epoch("demo", 5)
        pages = store._database.execute("pragma page_count").fetchone()[0]
        store._database.execute(f"pragma max_page_count = {pages}")
        for number in range(200):
            store.save_session(f"s{number}", {"peer": "x" * 200})
        self.assertEqual(len(problems), 1)
        self.assertIn("full", problems[0])
        self.assertEqual(len(store.sessions()), 200)
        self.assertEqual(store.epoch("demo"), 5)
        store.close()

    def test_a_damaged_file_is_said_and_memory_serves(self) -> None:
        path = self.path()
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(b"no database" * 1000)
        store = Store(path)
        self.assertIn("not a database", store.problem)
        store.save_epoch("demo", 5)
        self.assertEqual(store.epoch("demo"), 5)
        store.close()

    def test_damage_below_an_open_file_is_said_and_memory_serves(self) -> None:
        path = self.path()
        store = Store(path)
        store.save_epoch("demo", 5)
        with open(path, "r+b") as file:
            file.write(b"\xff" * os.path.getsize(path))
        store.save_epoch("other", 6)
        store.save_session("two", {"peer": "bob"})
        self.assertNotEqual(store.problem, "")
        self.assertEqual(store.epoch("other"), 6)
        self.assertEqual(list(store.sessions()), ["two"])
        store.close()
