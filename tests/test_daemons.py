"""Two real daemons from two files, as processes: started, killed, started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

PATIENCE = 60.0

CONFIG = """
name = "{name}"
state_dir = "{directory}/{name}-state"
[hub]
connect = "unix:{directory}/hub.sock"
{serve}
[control]
socket = "{directory}/{name}.sock"
[network]
addresses = ["127.0.0.1", "127.0.0.2"]
[ice]
allow_loopback = true
[sessions.link]
peer = "{peer}"
protect = "none"
listen = "127.0.0.1:{listen}"
deliver = "127.0.0.1:{deliver}"
"""


def program() -> socket.socket:
    """A local program's socket."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.settimeout(PATIENCE)
    return made


def free_port() -> int:
    """A port that is free now."""
    with program() as probe:
        return int(probe.getsockname()[1])


class DaemonsCase(SynchronousTestCase):
    """Alice and bob as processes, a program at either, and the hub in alice."""

    template = CONFIG

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.programs = {"alice": program(), "bob": program()}
        self.listen = {"alice": free_port(), "bob": free_port()}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name, peer in (("alice", "bob"), ("bob", "alice")):
            self.addCleanup(self.programs[name].close)
            serve = f'serve = "unix:{self.directory}/hub.sock"' if name == "alice" else ""
            with open(f"{self.directory}/{name}.toml", "w") as file:
                file.write(
                    self.template.format(
                        name=name,
                        peer=peer,
                        serve=serve,
                        directory=self.directory,
                        listen=self.listen[name],
                        deliver=self.programs[name].getsockname()[1],
                    )
                )
        self.addCleanup(self.end)

    def begin(self, name: str) -> None:
        """Start one daemon."""
        twistd = os.path.join(os.path.dirname(sys.executable), "twistd")
        command = [twistd, "-n", "--pidfile=", "refreeze", "-c", f"{self.directory}/{name}.toml"]
        with open(f"{self.directory}/{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.directory
            )

    def kill(self, name: str) -> None:
        """kill -9, and wait until it is gone."""
        daemon = self.daemons[name]
        daemon.kill()
        daemon.wait(PATIENCE)

    def end(self) -> None:
        """No daemon outlives its test."""
        for name in self.daemons:
            self.kill(name)

    def run_ctl(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """refreezectl against one of them."""
        command = [sys.executable, "-m", "refreeze.ctl.main", *words]
        where = os.environ | {"REFREEZE_SOCKET": f"{self.directory}/{name}.sock"}
        return subprocess.run(
            command, env=where, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def ctl(self, name: str, *words: str) -> str:
        """The output of refreezectl that must succeed."""
        done = self.run_ctl(name, *words)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def await_socket(self, name: str) -> None:
        """The daemon is up when its log says that its control port listens."""
        path = f"{self.directory}/{name}.sock"
        while True:
            self.assertIsNone(self.daemons[name].poll(), "the daemon ended")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                try:
                    probe.connect(path)
                    return
                except OSError:
                    continue

    def exchange(self, data: bytes) -> None:
        """From alice's program to bob's; sent again until it arrives, as UDP wants it."""
        self.programs["bob"].settimeout(0.2)
        for _ in range(int(PATIENCE / 0.2)):
            self.programs["alice"].sendto(data, ("127.0.0.1", self.listen["alice"]))
            try:
                while self.programs["bob"].recv(100) != data:
                    pass
                return
            except TimeoutError:
                continue
        self.fail(f"{data!r} never arrived")


class TwoDaemonsTests(DaemonsCase):
    """The story with separate processes."""

    def test_the_session_comes_back_after_either_daemon_was_killed(self) -> None:
        """Without a touch on the other side; the second time the hub dies too."""
        for name in ("alice", "bob"):
            self.begin(name)
            self.await_socket(name)
        self.ctl("alice", "wait", "link", "connected", "--timeout", "30")
        self.exchange(b"one")
        for number, name in enumerate(("bob", "alice")):
            self.kill(name)
            self.begin(name)
            self.await_socket(name)
            self.ctl(name, "wait", "link", "connected", "--timeout", "30")
            self.exchange(b"again %d" % number)
        for name in self.daemons:
            with open(f"{self.directory}/{name}.log") as log:
                self.assertNotIn("Traceback", log.read())
