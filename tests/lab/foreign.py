"""Other WebRTC stacks in a machine of the lab: their programs (:mod:`tests.lab.agents`) asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.lab.commands import run
from tests.lab.lines import LineProgram
from tests.lab.namespaces import Namespace

AGENTS = Path(__file__).with_name("agents")


@frozen
class Stack:
    """One of them: how its program is started, and what it needs."""

    name: str
    command: Callable[[], Sequence[str]]
    needs: Sequence[Path | str]
    package: str = ""
    """Debian's, where the program cannot tell the version of what it is made of."""

    def lacking(self) -> str | None:
        """What is missing, in words."""
        for each in self.needs:
            there = each.exists() if isinstance(each, Path) else shutil.which(each) is not None
            if not there:
                return f"{self.name} (make peers: there is no {each})"
        return None


_VENV = AGENTS / ".venv" / "bin" / "python"
_MODULES = AGENTS / "node_modules" / "node-datachannel"
_PION = AGENTS / "pion" / "pionagent"

AIORTC = Stack("aiortc", lambda: [str(_VENV), str(AGENTS / "aiortc_agent.py")], [_VENV])
LIBDATACHANNEL = Stack(
    "libdatachannel",
    lambda: ["node", str(AGENTS / "datachannel_agent.js")],
    ["node", _MODULES],
)
PION = Stack(
    "pion",
    lambda: [str(_PION)],
    [_PION],
    package="golang-github-pion-webrtc.v3-dev",
)


def packaged(package: str) -> str:
    """The upstream version of a package of Debian's that is installed."""
    version = run("dpkg-query", "-W", "-f", "${Version}", package)
    return version.rpartition("-")[0] or version


@define(eq=False)
class Agent:
    """One program with one connection; a :class:`~tests.lab.carried.Foreign`."""

    namespace: Namespace
    stack: Stack
    _program: LineProgram = field(init=False)
    _offered: bool = field(default=False, init=False)
    """Whether there was a description already."""

    def start(self) -> None:
        """Run it."""
        self._program = LineProgram(self.namespace, self.stack.name)
        self._program.start(self.stack.command())

    def close(self) -> None:
        """It ends by itself then."""
        self._program.close()

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """A command; LabError when it is refused."""
        return self._program.ask(do, **fields)

    @property
    def version(self) -> str:
        """Of the stack."""
        if self.stack.package:
            return packaged(self.stack.package)
        return str(self.ask("version")["version"])

    @property
    def connection(self) -> str:
        """connectionState."""
        return str(self.ask("state")["state"])

    @property
    def peer(self) -> str:
        """The fingerprint of the other end that its DTLS found, as libdatachannel tells it."""
        return str(self.ask("state")["peer"])

    def hang_up(self) -> None:
        """Close the connection."""
        self.ask("close")

    def begin_again(self, *, keep: bool = False) -> None:
        """Another connection in its place; libdatachannel's can be kept until the program ends."""
        self.ask("again", keep=keep)
        self._offered = False

    def add_media(self) -> None:
        """The first offer has audio and video, too."""
        self.ask("media")

    # Foreign

    def offer(self, *, restart: bool) -> str:
        """The first has a data channel, and nothing to restart."""
        restart, self._offered = restart and self._offered, True
        return str(self.ask("offer", restart=restart)["sdp"])

    def answer(self, sdp: str) -> str:
        """To ours."""
        self._offered = True
        return str(self.ask("answer", sdp=sdp)["sdp"])

    def answered(self, sdp: str) -> None:
        """By us."""
        self.ask("answered", sdp=sdp)

    def candidate(self, line: str, mid: str) -> None:
        """One that we trickled."""
        self.ask("candidate", candidate=line, mid=mid)
