"""The daemon under a service manager: its datagrams, SIGHUP, inherited sockets, a wrong file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

PATIENCE = 60.0
CONFIG = """
name = "alice"
[hub]
serve = "unix:{directory}/hub.sock"
connect = "unix:{directory}/hub.sock"
[control]
socket = "{directory}/control.sock"
[network]
addresses = ["127.0.0.1"]
"""
SESSION = '[sessions.link]\npeer = "bob"\nprotect = "none"\n'


class ServiceManagerTests(SynchronousTestCase):
    """twistd as a process."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(f"{self.directory}/notify")
        self.manager.settimeout(PATIENCE)
        self.path = f"{self.directory}/refreeze.toml"
        self.write(CONFIG)

    def write(self, text: str) -> None:
        """The configuration file."""
        with open(self.path, "w") as file:
            file.write(text.format(directory=self.directory))

    def command(self) -> list[str]:
        """How the unit starts it."""
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        return [twistd, "-n", "--pidfile=", "refreeze", "-c", self.path]

    def begin(self, *prefix: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start it."""
        with open(f"{self.directory}/log", "ab") as log:
            daemon = subprocess.Popen(
                [*prefix, *self.command()],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | {"NOTIFY_SOCKET": f"{self.directory}/notify"} | environment,
            )

        def end() -> None:
            daemon.kill()
            daemon.wait(PATIENCE)

        self.addCleanup(end)
        return daemon

    def told(self, first: str) -> list[str]:
        """The next message that begins with *first*."""
        while True:
            lines = self.manager.recv(4096).decode().splitlines()
            if lines[0] == first:
                return lines

    def log(self) -> str:
        """What was logged so far."""
        with open(f"{self.directory}/log") as file:
            return file.read()

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """refreezectl."""
        return subprocess.run(
            [sys.executable, "-m", "refreeze.ctl.main", *words],
            env=os.environ | {"REFREEZE_SOCKET": f"{self.directory}/control.sock"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_ready_pings_reload_and_the_end_are_told(self) -> None:
        daemon = self.begin(WATCHDOG_USEC="400000")
        self.assertIn(f"MAINPID={daemon.pid}", self.told("READY=1"))
        self.told("WATCHDOG=1")
        self.told("WATCHDOG=1")
        self.write(CONFIG + SESSION)
        daemon.send_signal(signal.SIGHUP)
        self.assertTrue(self.told("RELOADING=1")[1].startswith("MONOTONIC_USEC="))
        self.told("READY=1")
        self.assertIn("link", self.ctl("list").stdout)
        self.write("nonsense = 1\n" + CONFIG)
        daemon.send_signal(signal.SIGHUP)
        self.told("RELOADING=1")
        self.told("READY=1")
        self.assertIn("link", self.ctl("list").stdout)
        self.assertIn(f"{self.path}: nonsense: unknown key", self.log())
        refused = self.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nonsense: unknown key", refused.stderr)
        daemon.terminate()
        self.told("STOPPING=1")
        self.assertEqual(daemon.wait(PATIENCE), -signal.SIGTERM)
        self.assertNotIn("Traceback", self.log())

    def test_the_log_level_changes_while_it_runs(self) -> None:
        daemon = self.begin()
        self.told("READY=1")
        self.assertEqual(self.ctl("log", "level=critical").returncode, 0)
        self.assertEqual(self.ctl("hold", "--for", "1").returncode, 0)
        self.assertEqual(self.ctl("log", "level=info").returncode, 0)
        self.assertEqual(self.ctl("release").returncode, 0)
        self.assertNotIn("asked hold", self.log())
        self.assertIn("asked release", self.log())
        self.assertEqual(self.ctl("set", "log.level=loud").returncode, 1)
        daemon.terminate()
        self.told("STOPPING=1")

    def test_the_control_socket_is_taken_over_and_left_to_the_next_life(self) -> None:
        """sd_listen_fds(3); Twisted takes the variables away when it is imported."""
        path = f"{self.directory}/control.sock"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listening.close)
        listening.bind(path)
        listening.listen()
        activate = (
            "import os, sys\n"
            f"os.dup2({listening.fileno()}, 3)\n"
            "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
            "os.execv(sys.argv[1], sys.argv[1:])\n"
        )
        for _life in range(2):
            with open(f"{self.directory}/log", "ab") as log:
                daemon = subprocess.Popen(
                    [sys.executable, "-c", activate, *self.command()],
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    env=os.environ | {"NOTIFY_SOCKET": f"{self.directory}/notify"},
                    pass_fds=(listening.fileno(),),
                )
            self.addCleanup(daemon.wait, PATIENCE)
            self.addCleanup(daemon.kill)
            # Asked before it listens: the manager's socket keeps the request.
            done = self.ctl("status")
            self.assertIn("sessions", done.stdout, done.stderr)
            self.told("READY=1")
            daemon.terminate()
            self.told("STOPPING=1")
            daemon.wait(PATIENCE)
        self.assertNotIn("Traceback", self.log())

    def test_a_wrong_file_is_one_line_and_status_1(self) -> None:
        self.write(CONFIG + SESSION.replace("none", "some"))
        done = subprocess.run(
            self.command(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith(f"{self.path}: sessions.link.protect: "))
