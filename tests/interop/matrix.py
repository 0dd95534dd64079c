"""Who was tried at what, and what came of it: the tests write it down while they run.

``docs/interop.json`` has the results that docs/interop.md shows (`python docs/tables.py` makes the
table of it). With ``REFREEZE_INTEROP_RESULTS=FILE`` a run writes its results into FILE; without it
every result has to be the one that is documented.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parents[2] / "docs" / "interop.json"

CASES: Final = {
    "we-offer": "we offer",
    "they-offer": "they offer",
    "we-restart": "we restart",
    "they-restart": "they restart",
    "at-once": "both restart at once",
    "out-of-failed": "restart out of `failed`",
    "trickled": "candidates late and in disorder",
    "bundled": "they offer audio, video and data, bundled, to a daemon",
    "bundled-library": "the same to the library",
}

PEERS: Final = {
    "chromium": "Chromium",
    "firefox": "Firefox",
    "wrtc": "@roamhq/wrtc (libwebrtc)",
    "aiortc": "aiortc",
    "libdatachannel": "libdatachannel (node-datachannel)",
    "pion": "pion",
    "libnice": "libnice",
}

WORKS: Final = "yes"
FAILED: Final = "FAILED"


class Undocumented(AssertionError):
    """A result that docs/interop.json does not have."""


@contextmanager
def cell(peer: str, version: str, *cases: str, gap: str = "") -> Iterator[None]:
    """What is tried inside succeeds, or fails the test. *gap*: what the peer cannot, in words;
    what is tried is then what happens instead."""
    try:
        yield
    except BaseException:
        _note(peer, version, cases, FAILED)
        raise
    _note(peer, version, cases, gap or WORKS)


def _note(peer: str, version: str, cases: tuple[str, ...], result: str) -> None:
    assert peer in PEERS, peer
    assert set(cases) <= set(CASES), cases
    target = os.environ.get("REFREEZE_INTEROP_RESULTS")
    if target is not None:
        _write(Path(target), peer, version, dict.fromkeys(cases, result))
    elif result != FAILED:
        known = load().get(peer, {}).get("cases", {})
        for case in cases:
            if known.get(case) != result:
                raise Undocumented(f"{peer}: {case}: {result}, not {known.get(case)}")


def load(path: Path = RESULTS) -> dict[str, Any]:
    """``{peer: {"version": VERSION, "cases": {case: result}}}``."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _write(path: Path, peer: str, version: str, results: dict[str, str]) -> None:
    found = load(path)
    cases = found.get(peer, {}).get("cases", {}) | results
    ordered = {case: cases[case] for case in CASES if case in cases}
    found[peer] = {"version": version, "cases": ordered}
    whole = {each: found[each] for each in PEERS if each in found}
    path.write_text(json.dumps(whole, indent=1) + "\n")
