"""Whole daemons and their state directory: what comes back with them, and a disk that fails."""

from __future__ import annotations

import os
import shutil

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.service import Daemon
from tests.simulation.scene import SESSION, Scene


class StateTests(SynchronousTestCase):
    """Alice has a state directory; everything is in virtual time but the disk."""

    def setUp(self) -> None:
        self.scene = Scene(1)
        self.directory = os.path.abspath(self.mktemp())

        def end() -> None:
            self.assertEqual(self.scene.end(), [])

        self.addCleanup(end)

    def begin(self) -> Daemon:
        """A new life of alice."""
        self.scene.stop("alice")
        self.scene.advance(3.0)
        settings = evolve(self.scene._settings("alice"), state_dir=self.directory)
        self.seen: list[tuple[str, object]] = []
        daemon = self.scene.world.daemon(
            self.scene.hosts["alice"], settings, [lambda topic, f: self.seen.append((topic, f))]
        )
        daemon.startService()
        self.scene.running["alice"] = daemon
        self.scene.lives["alice"].append(daemon)
        return daemon

    def test_a_session_opened_at_run_time_outlives_the_daemon_until_it_is_closed(self) -> None:
        options = {"peer": "carol", "protect": "none", "listen": "127.0.0.1:7009"}
        self.begin().supervisor.open("extra", options)
        again = self.begin()
        self.assertEqual(set(again.supervisor.sessions), {SESSION, "extra"})
        extra = again.supervisor.sessions["extra"]
        self.assertEqual(extra.forward.listen_address, "127.0.0.1:7009")
        again.supervisor.close("extra", "operator")
        self.assertEqual(set(self.begin().supervisor.sessions), {SESSION})

    def test_one_that_cannot_come_back_now_is_told_and_tried_again(self) -> None:
        options = {"peer": "carol", "protect": "none", "listen": "127.0.0.1:7009"}
        self.begin().supervisor.open("extra", options)
        self.scene.stop("alice")
        self.scene.advance(3.0)
        taken = self.scene.hosts["alice"].factory.open_udp("127.0.0.1", 7009)
        self.scene.start("alice")
        self.assertEqual(set(self.begin().supervisor.sessions), {SESSION})
        self.assertIn("session.failed-to-open", [topic for topic, _ in self.seen])
        taken.close()
        self.assertEqual(set(self.begin().supervisor.sessions), {SESSION, "extra"})

    def test_an_unwritable_state_dir_is_told_and_the_daemon_goes_on(self) -> None:
        with open(self.directory, "w"):
            pass
        daemon = self.begin()
        self.assertIn("refreeze.db", daemon.supervisor.status()["state"])
        self.assertIn("state.memory-only", [topic for topic, _ in self.seen])
        self.scene.flow(30.0)

    def test_a_disk_that_fails_while_it_runs_is_told_and_the_daemon_goes_on(self) -> None:
        daemon = self.begin()
        self.assertNotIn("state", daemon.supervisor.status())
        self.scene.flow(30.0)
        daemon.store._database.execute("pragma query_only = on")
        waiting = daemon.supervisor.restart(SESSION, reason="", force=True)
        self.scene.flow(30.0)
        self.assertEqual(self.successResultOf(waiting)["outcome"], "succeeded")
        self.assertIn("readonly", daemon.supervisor.status()["state"])
        self.assertEqual([t for t, _ in self.seen].count("state.memory-only"), 1)
        self.assertEqual(len(daemon.store.rounds(SESSION)), 2)
        shutil.rmtree(self.directory)
