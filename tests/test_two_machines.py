"""docs/two-machines.md, as it is written: its files, its five commands, two daemons, one hub."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.test_daemons import PATIENCE, free_port, program

PAGE = Path(__file__).resolve().parents[1] / "docs" / "two-machines.md"
BIN = os.path.dirname(sys.executable)
_BLOCK = re.compile(r"```(toml|console)\n(.*?)```", re.DOTALL)
NEITHER = '[network]\naddresses = ["127.0.0.1"]\n[ice]\nallow_loopback = true\n'


def free_tcp_port() -> int:
    """Taken and left again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TwoMachinesTests(SynchronousTestCase):
    """Machines are directories here; the hub's host name is ``localhost``."""

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.addCleanup(self.end)
        self.port = free_tcp_port()
        self.received = program()
        self.addCleanup(self.received.close)
        self.listen = {"7001": free_port(), "7002": free_port()}

    def etc(self, name: str) -> str:
        """A machine's /etc/refreeze."""
        return f"{self.directory}/{name}/etc/refreeze"

    def here(self, text: str, name: str) -> str:
        """What the page says, for a machine that is a directory of ours."""
        ours = {
            "/etc/refreeze": self.etc(name),
            "/var/lib/refreeze": f"{self.directory}/{name}/state",
            "/run/refreeze/control.sock": f"{self.directory}/{name}.sock",
            "alice.example.net": "localhost",
            "7810": str(self.port),
            "7001": str(self.listen["7001"]),
            "7002": str(self.listen["7002"]),
            "51820": str(self.received.getsockname()[1]),
        }
        return re.sub("|".join(map(re.escape, ours)), lambda found: ours[found[0]], text)

    def command(self, line: str) -> None:
        """One of the page's, on alice."""
        near, ssh, far = line.partition(" ssh root@bob.example.net ")
        line = self.here(near, "alice") + (" " + self.here(far, "bob") if ssh else "")
        if line.startswith("refreezectl pki "):
            line += f" --dir {self.etc('alice')}/pki"
        path = f"{BIN}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line], env=os.environ | {"PATH": path}, capture_output=True,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stderr}")

    def begin(self, name: str) -> None:
        """What systemctl restart does."""
        config = f"{self.etc(name)}/refreeze.toml"
        command = [f"{BIN}/twistd", "-n", "--pidfile=", "refreeze", "-c", config]
        with open(f"{self.directory}/{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.directory
            )

    def end(self) -> None:
        """No daemon outlives its test."""
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait(PATIENCE)

    def ctl(self, name: str, *words: str) -> str:
        """refreezectl against one of them, which may be still on its way up."""
        where = os.environ | {"REFREEZE_SOCKET": f"{self.directory}/{name}.sock"}
        command = [sys.executable, "-c", "import refreeze.ctl as c; raise SystemExit(c.main())"]
        for _ in range(300):
            done = subprocess.run(
                [*command, *words], env=where, capture_output=True, text=True,
                timeout=PATIENCE, check=False,
            )  # fmt: skip
            if done.returncode != 3:
                break
            self.assertIsNone(self.daemons[name].poll(), self.log(name))
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def log(self, name: str) -> str:
        """Everything that a daemon said."""
        return Path(f"{self.directory}/{name}.log").read_text()

    def follow_the_page(self) -> None:
        """Files, then commands."""
        blocks = _BLOCK.findall(PAGE.read_text())
        for kind, text in blocks:
            if kind == "toml":
                name = text.split("\n", 1)[0].removeprefix("# ")
                os.makedirs(self.etc(name))
                config = self.here(text, name).replace("[control]", f"{NEITHER}[control]")
                Path(f"{self.etc(name)}/refreeze.toml").write_text(config)
        commands = [
            line for kind, text in blocks if kind == "console" for line in text.splitlines()
        ]
        self.assertEqual((len(commands), commands[-1]), (5, "systemctl restart refreeze"))
        for line in commands[:-1]:
            self.command(line)
        for name in ("alice", "bob"):
            self.begin(name)

    def test_five_commands_join_two_machines_and_a_sixth_renews(self) -> None:
        self.follow_the_page()
        for name in ("alice", "bob"):
            self.ctl(name, "wait", "link", "connected", "--timeout", "30")
        status = self.ctl("alice", "status")
        self.assertRegex(status, r"signaling +up")
        self.assertRegex(status, r"hub_links +2")
        self.assertRegex(status, r"certificate_days +36[45]")
        with program() as sender:
            self.received.settimeout(PATIENCE)
            sender.sendto(b"over the path", ("127.0.0.1", self.listen["7001"]))
            self.assertEqual(self.received.recv(100), b"over the path")
        keys = [Path(self.etc(n)) / "pki" / f"{n}.key" for n in ("alice", "bob")]
        self.assertEqual([key.stat().st_mode & 0o777 for key in keys], [0o600, 0o600])

        self.command("refreezectl pki issue alice --host alice.example.net --force")
        self.assertIn("certificates=renewed", self.ctl("alice", "reload"))
        certificate = Path(self.etc("alice")) / "pki" / "alice.crt"
        certificate.write_text("half a cert")
        config = Path(self.etc("alice")) / "refreeze.toml"
        refused = subprocess.run(
            [sys.executable, "-m", "refreeze.ctl.main", "reload"],
            env=os.environ | {"REFREEZE_SOCKET": f"{self.directory}/alice.sock"},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(refused.returncode, 1)
        self.assertIn(
            f"{config}: hub: {certificate}: holds no certificate in PEM that can be read",
            refused.stderr,
        )
        self.assertRegex(self.ctl("alice", "status"), r"hub_links +2")
        for name in ("alice", "bob"):
            self.assertNotIn("Traceback", self.log(name))
            self.assertNotIn("PRIVATE", self.log(name))
