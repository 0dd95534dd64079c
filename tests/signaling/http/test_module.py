"""The module that a page embeds (refreeze.js), in Node: its text handling against ours, and what it
does in lost responses, glare and ends of sessions, with a browser and a daemon by script.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import Fragment, fragment_of
from tests.corpus import NAMES, load
from tests.interop.peers import missing

HERE = Path(__file__).parent / "module"
RESTART = (
    "a=group:BUNDLE 0\r\nm=audio 9 x y\r\na=mid:0\r\na=ice-ufrag:fresh\r\n"
    f"a=ice-pwd:{'w' * 22}\r\na=candidate:1 1 udp 99 192.0.2.1 9 typ host\r\n"
)
SECONDS = 60


class ModuleCase(SynchronousTestCase):
    """The module's files and the scripts beside each other, as ES modules."""

    def setUp(self) -> None:
        node = shutil.which("node")
        if node is None:
            missing("Node.js")
        self.node = str(node)
        self.place = Path(self.mktemp())
        self.place.mkdir()
        (self.place / "package.json").write_text('{"type": "module"}')
        for each in (files("refreeze.signaling.http") / "page").iterdir():
            if each.name.endswith(".js"):
                (self.place / each.name).write_bytes(each.read_bytes())
        for path in HERE.iterdir():
            shutil.copy(path, self.place)

    def run_node(self, *arguments: str, given: str = "") -> str:
        """Standard output; a failure is told whole."""
        done = subprocess.run(
            [self.node, *arguments],
            cwd=self.place,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-4000:])
        return done.stdout


class ScriptedTests(ModuleCase):
    """Tests in the module's own language."""

    def passed(self, script: str) -> set[str]:
        """Names of the tests."""
        output = self.run_node("--test", "--test-reporter=tap", script)
        self.assertNotIn("# SKIP", output)
        return set(re.findall(r"^ *ok \d+ - (.+)$", output, re.M))

    def test_a_client_keeps_rules_72_and_73_and_stays_polite(self) -> None:
        """Rule 72: a refused restart is rolled back. Rule 73: candidates wait for the entity tag of
        a restart, one restart is outstanding, a refused tag means another one.
        """
        passed = self.passed("refreeze.test.mjs")
        declared = re.findall(r"^test\('(.+?)'", (HERE / "refreeze.test.mjs").read_text(), re.M)
        self.assertGreater(len(declared), 20)
        self.assertLessEqual(set(declared), passed)

    def test_events_are_read_wherever_the_stream_is_cut(self) -> None:
        self.assertGreaterEqual(len(self.passed("requests.test.mjs")), 2)


class DocumentTests(ModuleCase):
    """What docs/browser.md says."""

    page = (Path(__file__).parents[3] / "docs" / "browser.md").read_text()

    def test_its_example_connects_and_shows_the_state(self) -> None:
        (script,) = re.findall(r'<script type="module">\n(.*?)</script>', self.page, re.S)
        (self.place / "example.js").write_text(script)
        self.assertEqual(
            self.run_node("example.mjs").splitlines(),
            ["us asked under way", "us asked answered", "path connected", "path closed"],
        )

    def test_its_tables_have_every_option_member_and_event(self) -> None:
        made = json.loads(self.run_node("surface.mjs"))
        rows = set(re.findall(r"^\| `(\w+)(?:\(.*?\))?` \|", self.page, re.M))
        self.assertEqual(set(made), rows)


class FragmentTests(ModuleCase):
    """Descriptions of real browsers and libraries, as both languages read them."""

    def test_fragments_and_answers_are_what_our_parser_makes_of_the_corpus(self) -> None:
        """Rule 69: of the BUNDLE-tagged section alone; rule 71: nothing but ICE changes."""
        texts = {name: load(name) for name in NAMES}
        given = json.dumps({"descriptions": texts, "restart": RESTART})
        made = json.loads(self.run_node("fragments.mjs", given=given))
        self.assertEqual(set(made), set(NAMES))
        for name, text in texts.items():
            self.check(name, SessionDescription.parse(text), made[name])

    def check(self, name: str, parsed: SessionDescription, made: dict[str, Any]) -> None:
        """One description."""
        wanted = fragment_of(parsed)
        fragment = Fragment.parse(made["fragment"])
        self.assertEqual(fragment.credentials, wanted.credentials, name)
        self.assertEqual(fragment.bundle, wanted.bundle, name)
        self.assertEqual(fragment.options or frozenset(), wanted.options or frozenset(), name)
        (section,), (other,) = fragment.sections, wanted.sections
        self.assertEqual((section.media, section.mid), (other.media, other.mid), name)
        self.assertEqual(list(section.candidates), list(other.candidates), name)
        (trickled,) = Fragment.parse(made["trickled"]).sections
        self.assertEqual((trickled.candidates, trickled.ended), ([], True), name)
        for role, text in zip(["passive", "active"], made["answers"], strict=True):
            self.check_answer(name, parsed, text, role)

    def check_answer(self, name: str, parsed: SessionDescription, text: str, role: str) -> None:
        """Of the other side, to a restart; *role* is open only in what was an offer."""
        answer = SessionDescription.parse(text)
        tagged = answer.tagged
        assert tagged is not None
        assert tagged.credentials is not None
        self.assertEqual(tagged.credentials.ufrag, "fresh", name)
        self.assertEqual(
            [value for _, value in tagged.attributes("candidate")],
            ["1 1 udp 99 192.0.2.1 9 typ host"],
        )
        for before, after in zip(parsed.media, answer.media, strict=True):
            self.assertEqual(_kept(before, role), _kept(after, role), name)
            if after is not tagged:
                self.assertIsNone(after.credentials, name)


_ICE = re.compile(r"a=(ice-ufrag|ice-pwd|candidate|end-of-candidates|remote-candidates)\b")


def _kept(section: Any, role: str) -> list[str]:
    lines = [line for line in section.lines if _ICE.match(line) is None]
    return [f"a=setup:{role}" if line == "a=setup:actpass" else line for line in lines]
