"""Every benchmark prints its table."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.peers import missing

DIRECTORY = Path(__file__).resolve().parents[2] / "benchmarks"


class BenchmarkTests(SynchronousTestCase):
    """As a person runs them, once and small."""

    def play(self, name: str, size: int) -> str:
        if find_spec("aioice") is None:
            missing("aioice (pip install aioice==0.13.0)")
        path = os.pathsep.join([str(DIRECTORY.parent / "src"), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, str(DIRECTORY / name), str(size), "once"],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    def test_connect(self) -> None:
        table = self.play("connect.py", 3)
        self.assertIn("one pair, ms", table)
        self.assertIn("x", table)

    def test_restart_loses_nothing(self) -> None:
        """T17: the figures that do not depend on the machine are right here, too."""
        lines = self.play("restart.py", 3).splitlines()
        lost = [line for line in lines if "lost" in line]
        self.assertEqual([line.split()[-1] for line in lost], ["met", "met"])

    def test_hub_links(self) -> None:
        with patch.dict(os.environ, {"HUB_LINKS_IDLE": "1"}):
            table = self.play("hub_links.py", 20)
        self.assertRegex(table, r"memory of an idle link, KiB +[0-9.]+ +[0-9.]+")

    def test_protect(self) -> None:
        """Where the other stacks are not installed their columns are empty."""
        self.assertIn("1200 bytes, CPU us a packet", self.play("protect.py", 200))

    def test_handshakes(self) -> None:
        self.assertIn("memory of an association", self.play("handshakes.py", 5))

    def test_data_path(self) -> None:
        self.assertIn("CPU us a packet", self.play("data_path.py", 500))
