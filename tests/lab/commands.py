"""Programs of the system that the lab needs, run to their end within a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

NEEDED = {
    "ip": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
    "turnserver": "coturn",
    "setpriv": "util-linux",
}
"""Program: Debian's package."""

PATIENCE = 15.0
"""Seconds that a command may take, and that something just started may take to be there."""

LOOK = 0.02
"""Seconds between two looks."""

_Found = TypeVar("_Found")


class LabError(Exception):
    """A command failed, or what was waited for did not come: says which."""


def lacking() -> str | None:
    """What keeps the lab from working here, in words; None: nothing."""
    if os.geteuid() != 0:
        return "root (the lab makes network namespaces)"
    absent = sorted({package for tool, package in NEEDED.items() if shutil.which(tool) is None})
    return f"lab without {', '.join(absent)} (apt-get install)" if absent else None


def run(*words: str, text: str = "") -> str:
    """Standard output of a command that must succeed, with *text* as its input."""
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(words)}: not done in {PATIENCE:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(words)}: {said}{_numbered(text)}")
    return done.stdout


def _numbered(text: str) -> str:
    lines = enumerate(text.splitlines(), 1)
    return "".join(f"\n{number:4} {line}" for number, line in lines)


def looks(seconds: float) -> Iterator[float]:
    """Time since the beginning, again and again until *seconds* are over; one look at least."""
    began = time.monotonic()
    while True:
        passed = time.monotonic() - began
        yield passed
        if passed >= seconds:
            return
        time.sleep(LOOK)


def until(
    found: Callable[[], _Found | None],
    what: str | Callable[[], str],
    seconds: float = PATIENCE,
) -> _Found:
    """The first true result of *found*; LabError says *what* was missed."""
    for _ in looks(seconds):
        result = found()
        if result:
            return result
    said = what if isinstance(what, str) else what()
    raise LabError(f"not within {seconds:g} s: {said}")


def finish(processes: Sequence[subprocess.Popen[bytes]], seconds: float = PATIENCE) -> None:
    """Ask them to end, all at once; who has not ended in time is killed."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
