"""``python -m tests.wpt CHECKOUT [FILE...]``: what passes, and what does not.

CHECKOUT has ``webrtc/`` and ``resources/`` of web-platform-tests. Without files, those of
docs/wpt.md are run, and that page is written anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "wpt.md"
SECONDS = 60.0
"""For one file."""
_BEGIN, _END = "<!-- written by python -m tests.wpt -->", "<!-- so far -->"
_ROW = re.compile(r"^\| `([^`]+)` \|[^|]*\|([^|]*)\|$", re.MULTILINE)


@frozen
class Outcome:
    """Of one file: its tests that do not pass, of how many."""

    file: str
    failed: Sequence[tuple[str, str]]
    count: int
    harness: str | None
    """Why it did not come to its end."""

    @property
    def passed(self) -> str:
        """As the table has it."""
        more = "" if self.harness is None else ", then stops"
        return f"{self.count - len(self.failed)} of {self.count}{more}"


def run(checkout: Path, file: str, seconds: float = SECONDS) -> Outcome:
    """In a browser of its own."""
    root = HERE.parent.parent
    paths = [str(root / "src"), str(root)]
    words = ["node", "--no-warnings", "--expose-internals", str(HERE / "page" / "run.js")]
    done = subprocess.run(
        [*words, sys.executable, str(checkout.resolve()), file, str(seconds)],
        capture_output=True,
        text=True,
        timeout=2 * seconds,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    if not done.stdout.strip():
        raise RuntimeError(f"{file}: nothing came of it: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    failed = [(t["name"], t["message"] or "") for t in found["tests"] if t["status"] != 0]
    return Outcome(file, failed, len(found["tests"]), found["harness"])


def table(outcomes: Iterable[Outcome], why: dict[str, str]) -> str:
    """For docs/wpt.md; *why* are the reasons that stand there, by file."""
    lines = ["| file | passes | what does not |", "| --- | --- | --- |"]
    for each in outcomes:
        reason = why.get(each.file, "") if each.failed or each.harness else ""
        lines.append(f"| `{each.file}` | {each.passed} | {reason} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    checkout, *files = arguments
    page = PAGE.read_text()
    why = {file: reason.strip() for file, reason in _ROW.findall(page)}
    outcomes = []
    for file in files or why:
        outcome = run(Path(checkout), file)
        outcomes.append(outcome)
        print(f"{file}: {outcome.passed}", flush=True)
        for name, message in outcome.failed:
            print(f"    {name}\n        {message[:300]}", flush=True)
    if not files:
        head, _, rest = page.partition(_BEGIN)
        tail = rest.partition(_END)[2]
        PAGE.write_text(f"{head}{_BEGIN}\n{table(outcomes, why)}\n{_END}{tail}")


if __name__ == "__main__":
    main(sys.argv[1:])
