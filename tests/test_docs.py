"""The documentation says what the code does: tables, keys, verbs, topics, links, examples."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.control.verbs import VERBS
from tests.interop.matrix import CASES, FAILED, PEERS, load
from tests.interop.peers import missing

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.md"), *ROOT.glob("*.md")]

_EMITTED = re.compile(r"(?:emit|_tell|announce|note|Note)\(\s*\"([a-z]+(?:\.[a-z]+)?)\"")
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def tables() -> Any:
    """docs/tables.py as a module."""
    spec = spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DocumentTests(SynchronousTestCase):
    """Text against code."""

    def test_tables_are_those_of_the_code(self) -> None:
        """``python docs/tables.py`` mends it."""
        made = tables()
        for page in DOCS.glob("*.md"):
            self.assertEqual(made.filled(page.read_text()), page.read_text(), page.name)

    def test_every_table_is_in_some_document(self) -> None:
        text = "".join(page.read_text() for page in DOCS.glob("*.md"))
        for name in tables().TABLES:
            self.assertIn(f"<!-- table: {name} -->", text)

    def test_every_real_peer_was_tried_at_every_case(self) -> None:
        """And none has failed: what a peer cannot has words of its own."""
        found = load()
        self.assertEqual(list(found), list(PEERS))
        for peer, results in found.items():
            self.assertEqual(list(results["cases"]), list(CASES), peer)
            self.assertRegex(results["version"], r"\d", peer)
            self.assertNotIn(FAILED, results["cases"].values(), peer)

    def test_every_topic_is_documented(self) -> None:
        text = (DOCS / "control.md").read_text()
        for path in (ROOT / "src" / "refreeze").rglob("*.py"):
            for topic in _EMITTED.findall(path.read_text()):
                self.assertIn(f"`{topic}`", text, f"{path.name} emits {topic}")

    def test_links_lead_somewhere(self) -> None:
        for page in PAGES:
            for target in _LINK.findall(page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")

    def test_every_document_is_found_from_the_readme(self) -> None:
        text = (ROOT / "README.md").read_text() + (DOCS / "design.md").read_text()
        for page in DOCS.glob("*.md"):
            self.assertIn(page.name, text)


class ExampleTests(SynchronousTestCase):
    """What docs/library.md shows runs."""

    def play(self, name: str) -> str:
        return subprocess.run(
            [sys.executable, str(ROOT / "examples" / name)],
            env={"PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    def test_peer_connections(self) -> None:
        self.assertEqual(self.play("peer_connection.py").count("hello over"), 2)

    def test_two_peers_in_twenty_lines(self) -> None:
        script = ROOT / "docs" / "two_peers.py"
        said = subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        words = "connected [b'hello']", "connected [b'hello again']"
        self.assertEqual(tuple(said.splitlines()), words)
        body = script.read_text().partition("def main(reactor):\n")[2].partition("\n\n\n")[0]
        self.assertLessEqual(len(body.splitlines()), 20)

    def test_the_fake_network(self) -> None:
        self.assertIn("round.done", self.play("fake_network.py").partition("is lost")[2])

    def test_what_stands_in_the_text(self) -> None:
        blocks = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
        self.assertGreater(len(blocks), 0)
        for block in blocks:
            exec(block, {})


class ShellTests(SynchronousTestCase):
    """Man page and completion."""

    def test_completion_knows_every_verb(self) -> None:
        script = ROOT / "etc" / "completion" / "refreezectl.bash"
        line = (
            f"source {script}; COMP_WORDS=(refreezectl ''); COMP_CWORD=1; _refreezectl; "
            'echo "${COMPREPLY[@]}"; COMP_WORDS=(refreezectl li); _refreezectl; '
            'echo "${COMPREPLY[@]}"'
        )
        output = subprocess.run(
            ["bash", "-c", line], stdout=subprocess.PIPE, text=True, check=True, timeout=10
        ).stdout
        every, some = output.splitlines()
        self.assertEqual(
            {*VERBS, "wait", "top", "pki"} - {"hello", "auth", "quit"}, set(every.split())
        )
        self.assertEqual(some, "list")

    def test_completion_asks_the_daemon_that_the_options_name(self) -> None:
        """Bash makes words of the colons of an address."""
        script = ROOT / "etc" / "completion" / "refreezectl.bash"
        where = "--connect tls : alice.example.net : 7812 --cert carol.crt"
        line = (
            f"source {script}; "
            """refreezectl() { echo "{\\"id\\": \\"$1-$2-$3-$4\\"}"; }; """
            f"COMP_WORDS=(refreezectl {where} show ''); COMP_CWORD=10; _refreezectl; "
            'echo "${COMPREPLY[@]}"; '
            "COMP_WORDS=(refreezectl pki issue carol --role ''); COMP_CWORD=5; _refreezectl; "
            'echo "${COMPREPLY[@]}"'
        )
        output = subprocess.run(
            ["bash", "-c", line], stdout=subprocess.PIPE, text=True, check=True, timeout=10
        ).stdout
        self.assertEqual(
            output.splitlines(),
            [
                "--connect-tls:alice.example.net:7812---cert-carol.crt all",
                "observer operator admin",
            ],
        )

    def test_the_man_page_is_clean(self) -> None:
        if shutil.which("groff") is None:
            missing("groff (apt install groff-base)")
        page = ROOT / "etc" / "man" / "refreezectl.1"
        result = subprocess.run(
            ["groff", "-mdoc", "-Tutf8", "-ww", str(page)],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        self.assertEqual(result.stderr, "")
        self.assertIn("refreezectl", result.stdout)
