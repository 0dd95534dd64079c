"""What a killed lab leaves behind goes with the next one, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.case import LabCase
from tests.lab.commands import run, until
from tests.lab.namespaces import PREFIX, ROOT, Lab, sweep

_VICTIM = """
import time
from pathlib import Path
from tests.lab.commands import until
from tests.lab.namespaces import Lab
lab = Lab()
made = lab.namespace("victim")
made.write_hosts({"somebody": ["192.0.2.1"]})
sleeper = made.start(["sleep", "600"], lab.directory / "log")
comm = Path(f"/proc/{sleeper.pid}/comm")
until(lambda: comm.read_text() == "sleep\\n", "the program")
print(lab.directory.name, sleeper.pid, flush=True)
time.sleep(60)
"""


def of(lab: str) -> list[str]:
    """The system's namespaces of the lab of that name."""
    names = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line]
    return [name for name in names if name.startswith(f"{PREFIX}{lab}-")]


def runs(pid: int) -> bool:
    """Whether a process is alive; one that nobody waited for is not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class NamespaceTests(LabCase):
    """The beginning and the end of labs."""

    def victim(self) -> tuple[str, int]:
        """A lab of a process that was killed: its name, and a program it had started."""
        with subprocess.Popen(
            [sys.executable, "-c", _VICTIM], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            name, sleeper = process.stdout.readline().split()
            process.kill()
        return name, int(sleeper)

    def test_a_closed_lab_leaves_nothing(self) -> None:
        lab = Lab()
        made = lab.namespace("host")
        made.write_hosts({})
        process = made.start(["sleep", "600"], lab.directory / "log")
        self.assertEqual(len(of(lab.directory.name)), 1)
        lab.close()
        self.assertEqual(process.poll(), -signal.SIGTERM)
        self.assertEqual(of(lab.directory.name), [])
        self.assertFalse(lab.directory.exists())
        self.assertFalse(os.path.exists(f"/etc/netns/{made.system_name}"))
        lab.close()

    def test_a_killed_lab_ends_its_programs_and_is_swept(self) -> None:
        name, sleeper = self.victim()
        until(lambda: not runs(sleeper), "the end of the program")
        self.assertEqual(len(of(name)), 1)
        sweep()
        self.assertEqual(of(name), [])
        self.assertFalse((ROOT / name).exists())

    def test_a_living_lab_is_left_alone(self) -> None:
        self.lab.namespace("host")
        sweep()
        self.assertEqual(len(of(self.lab.directory.name)), 1)
        self.assertTrue(self.lab.directory.exists())

    def test_a_program_finds_the_names_that_were_written(self) -> None:
        made = self.lab.namespace("host")
        made.write_hosts({"turn.lab.test": ["203.0.113.10", "2001:db8::10"]})
        found = made.run("getent", "ahosts", "turn.lab.test")
        self.assertIn("203.0.113.10", found)
        self.assertIn("2001:db8::10", found)
