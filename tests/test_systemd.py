"""What the service manager is told, and which of its wishes are meant for us."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from refreeze.systemd import Notifier, inherited_sockets, initial_environment


class UnitTests(SynchronousTestCase):
    """etc/systemd."""

    def test_memory_may_be_written_and_executed(self) -> None:
        """pyOpenSSL's callbacks are made in such memory (cffi); without, TLS is a MemoryError."""
        unit = Path(__file__).resolve().parents[1] / "etc" / "systemd" / "refreeze.service"
        keys = [line.partition("=")[0] for line in unit.read_text().splitlines()]
        self.assertIn("ProtectSystem", keys)
        self.assertNotIn("MemoryDenyWriteExecute", keys)


class NotifierTests(SynchronousTestCase):
    """sd_notify(3) and sd_watchdog_enabled(3)."""

    def listen(self, address: str) -> socket.socket:
        """The manager's socket."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(address)
        manager.settimeout(5)
        return manager

    def notifier(self, environment: dict[str, str]) -> Notifier:
        """Closed when the test ends."""
        notifier = Notifier.from_environment(environment)
        self.addCleanup(notifier.close)
        return notifier

    def test_lines_are_one_datagram(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "notify")
        manager = self.listen(path)
        notifier = self.notifier({"NOTIFY_SOCKET": path})
        notifier.send("READY=1", "STATUS=2 sessions")
        self.assertEqual(manager.recv(4096), b"READY=1\nSTATUS=2 sessions")

    def test_an_at_sign_is_the_abstract_namespace(self) -> None:
        name = f"refreeze-test-{os.getpid()}"
        manager = self.listen("\0" + name)
        self.notifier({"NOTIFY_SOCKET": "@" + name}).send("STOPPING=1")
        self.assertEqual(manager.recv(4096), b"STOPPING=1")

    def test_without_a_manager_it_is_silent(self) -> None:
        for environment in ({}, {"NOTIFY_SOCKET": ""}):
            notifier = self.notifier(environment)
            notifier.send("READY=1")
            self.assertIsNone(notifier.address)

    def test_a_manager_that_is_gone_is_no_error(self) -> None:
        for path in ("/nowhere/notify", "/" + "x" * 200):
            self.notifier({"NOTIFY_SOCKET": path}).send("WATCHDOG=1")

    def test_a_manager_that_does_not_read_never_blocks_us(self) -> None:
        name = f"refreeze-test-slow-{os.getpid()}"
        self.listen("\0" + name)
        notifier = self.notifier({"NOTIFY_SOCKET": "@" + name})
        for _ in range(2000):
            notifier.send("WATCHDOG=1")

    def test_the_variables_are_taken_away_from_children(self) -> None:
        environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "A": "b"}
        self.notifier(environment)
        self.assertEqual(environment, {"A": "b"})

    def test_the_watchdog_is_ours_only_with_our_pid_or_none(self) -> None:
        for pid, seconds in ((str(os.getpid()), 30.0), ("", 30.0), ("1", None)):
            environment = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": pid}
            self.assertEqual(self.notifier(environment).watchdog_seconds, seconds)

    def test_zero_or_no_number_is_no_watchdog(self) -> None:
        """Zero would be a timer that never rests."""
        for usec in ("0", "00", "-1", "", "x", "\u00b2", "1.5", "9" * 5000):
            self.assertIsNone(self.notifier({"WATCHDOG_USEC": usec}).watchdog_seconds, usec)

    def test_closing_twice_is_fine(self) -> None:
        notifier = self.notifier({"NOTIFY_SOCKET": "/nowhere"})
        notifier.send("READY=1")
        notifier.close()
        notifier.close()


class InheritedSocketTests(SynchronousTestCase):
    """sd_listen_fds(3). That sockets are taken is seen in tests/test_service_manager.py."""

    def test_what_is_meant_for_another_process_or_wrong_is_left_alone(self) -> None:
        us = str(os.getpid())
        for pid, number in (("1", "1"), ("", "1"), (us, ""), (us, "x"), (us, "-1"), (us, "\u00b2")):
            environment = {"LISTEN_PID": pid, "LISTEN_FDS": number, "LISTEN_FDNAMES": "x", "A": "b"}
            self.assertEqual(inherited_sockets(environment, {}), [])
            self.assertEqual(environment, {"A": "b"})

    def test_the_kernels_copy_serves_when_the_variables_are_gone(self) -> None:
        self.assertEqual(inherited_sockets({}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}), [])
        self.assertIn("PATH", initial_environment())
