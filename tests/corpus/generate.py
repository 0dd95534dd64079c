"""Make the corpus anew: `python -m tests.corpus.generate [PEER ...]`, as root.

Every peer runs in a machine of the lab. It needs what `make peers` installs, both browsers, and
GStreamer (Debian: gir1.2-gst-plugins-bad-1.0, gstreamer1.0-plugins-{base,good,bad},
gstreamer1.0-nice). What a peer cannot tell has no file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.corpus import HERE
from tests.interop.peers import WRTC
from tests.lab.chromium import Chromium
from tests.lab.firefox import Firefox
from tests.lab.foreign import AGENTS
from tests.lab.namespaces import Lab, Namespace
from tests.lab.page import Page
from tests.lab.segment import Segment

STORIES = HERE / "stories"
_GOCODE = Path("/usr/share/gocode")
_BUILD = 120.0
_PATIENCE = 60.0
Told = dict[str, str]


def printed(machine: Namespace, *words: str | Path) -> Told:
    """By a program there."""
    output = subprocess.run(
        ["ip", "netns", "exec", machine.system_name, *map(str, words)],
        stdout=subprocess.PIPE,
        timeout=_PATIENCE,
        check=True,
    ).stdout
    told: Told = json.loads(output)
    return told


def browsed(browser: Chromium | Firefox) -> Told:
    """By a page in it."""
    browser.start()
    try:
        page: Page = browser
        told: Told = page.run((STORIES / "browser.js").read_text())
        return told
    finally:
        browser.close()


def pion(machine: Namespace) -> Told:
    """Debian's pion is sources below a GOPATH, and a program has to stand in one too."""
    root = machine.directory / "go"
    (root / "src").mkdir(parents=True)
    program, place = root / "stories", root / "src" / "stories"
    place.symlink_to(STORIES / "pion")
    settings = {"GO111MODULE": "off", "GOPATH": f"{root}:{_GOCODE}", "PWD": str(place)}
    subprocess.run(
        ["go", "build", "-o", program, "."],
        cwd=place,
        env=os.environ | settings,
        timeout=_BUILD,
        check=True,
    )
    return printed(machine, program)


PEERS: dict[str, Callable[[Namespace], Told]] = {
    "chromium": lambda machine: browsed(Chromium(machine)),
    "firefox": lambda machine: browsed(Firefox(machine)),
    "wrtc": lambda machine: printed(machine, "node", STORIES / "wrtc.js", WRTC),
    "libdatachannel": lambda machine: printed(machine, "node", STORIES / "datachannel.js", AGENTS),
    "aiortc": lambda machine: printed(
        machine, AGENTS / ".venv" / "bin" / "python", STORIES / "aiortc_stories.py"
    ),
    "pion": pion,
    "gstreamer": lambda machine: printed(
        machine, "/usr/bin/python3", STORIES / "gstreamer_stories.py"
    ),
}


def main(wanted: list[str]) -> None:
    """Write the files of these peers."""
    lab = Lab()
    try:
        segment = Segment(lab)
        for number, peer in enumerate(wanted, 21):
            told = PEERS[peer](segment.public(peer, number))
            for old in HERE.glob(f"{peer}_*.sdp"):
                old.unlink()
            for story, sdp in told.items():
                (HERE / f"{peer}_{story}.sdp").write_bytes(sdp.encode())
            print(f"{peer}: {', '.join(sorted(told))}")
    finally:
        lab.close()


if __name__ == "__main__":
    main(sys.argv[1:] or list(PEERS))
