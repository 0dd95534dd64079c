"""libnice in a machine of the lab: its program, started and asked."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.interop.ours import Credentials, local
from tests.lab.commands import PATIENCE
from tests.lab.foreign import packaged
from tests.lab.lines import LineProgram
from tests.lab.namespaces import Namespace

PYTHON = "/usr/bin/python3"
"""The system's: introspection is no package of PyPI's."""
_PROGRAM = Path(__file__).with_name("nice_agent.py")
_PRESENT = "import gi; gi.require_version('Nice', '0.1'); from gi.repository import Nice"


def lacking() -> str | None:
    """What is missing for libnice, in words."""
    if (
        not Path(PYTHON).exists()
        or subprocess.run(
            [PYTHON, "-c", _PRESENT], capture_output=True, check=False, timeout=PATIENCE
        ).returncode
    ):
        return "libnice (apt-get install gir1.2-nice-0.1 python3-gi)"
    return None


@define(eq=False)
class NiceAgent:
    """One agent; a :class:`~tests.lab.carried.Foreign`."""

    namespace: Namespace
    turn: tuple[str, int, str, str] | None = None
    _program: LineProgram = field(init=False)
    _opened: bool = field(default=False, init=False)
    _media: bool = field(default=False, init=False)

    def start(self) -> None:
        """Run it."""
        self._program = LineProgram(self.namespace, "libnice")
        self._program.start([PYTHON, str(_PROGRAM)])

    def close(self) -> None:
        """It ends by itself then."""
        self._program.close()

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """A command; LabError when it is refused."""
        return self._program.ask(do, **fields)

    @property
    def version(self) -> str:
        """Of the library."""
        return packaged("libnice10")

    @property
    def states(self) -> list[str]:
        """All that its component has been in."""
        shown: list[str] = self.ask("state")["states"]
        return shown

    @property
    def types(self) -> str:
        """Of its selected pair, own first."""
        return str(self.ask("state")["pair"])

    @property
    def connection(self) -> str:
        """Its component's state, in the words of others."""
        state = self.states[-1]
        return "connected" if state == "ready" else state

    def hang_up(self) -> None:
        """There is no word for it but our signaling's."""

    def begin_again(self) -> None:
        """Another agent would be another program."""
        raise NotImplementedError

    def add_media(self) -> None:
        """The sections of its offers are ours: audio and video come before data."""
        self._media = True

    # Foreign

    def offer(self, *, restart: bool) -> str:
        """Its own, with all its candidates."""
        self._begin(controlling=True, restart=restart)
        return self._description("actpass")

    def answer(self, sdp: str) -> str:
        """It begins a new generation whenever we do."""
        self._begin(controlling=False, restart=True)
        described = self._description("active", rejects="m=audio 0 " in sdp)
        self.answered(sdp)
        return described

    def answered(self, sdp: str) -> None:
        """Our credentials, and the candidates that we have already."""
        theirs = local(sdp)
        self.ask("remote", ufrag=theirs.ufrag, pwd=theirs.pwd)
        for line in theirs.candidates:
            self.ask("candidate", candidate=line)
        if "a=end-of-candidates" in sdp:
            self.candidate("")

    def candidate(self, line: str, _mid: str = "0") -> None:
        """One more of ours."""
        self.ask("candidate", candidate=line.removeprefix("candidate:") or None)

    def _begin(self, *, controlling: bool, restart: bool) -> None:
        if not self._opened:
            self._opened = True
            self.ask("open", controlling=controlling, turn=self.turn)
        elif restart:
            self.ask("restart")

    def _description(self, setup: str, *, rejects: bool = False) -> str:
        own = self.ask("local")
        lines = [line.removeprefix("a=candidate:") for line in own["candidates"]]
        sdp = Credentials(own["ufrag"], own["pwd"], lines).sdp(setup)
        direction = "sendrecv" if setup == "actpass" else "sendonly"
        return bundled(sdp, direction, 0 if rejects else 9) if self._media else sdp


def bundled(sdp: str, direction: str, port: int) -> str:
    """The description of a data section with audio and video before it, in one bundle."""
    session, data = sdp.split("m=", 1)
    mids = "audio video 0" if port else "0"
    media = [
        f"m={kind} {port} UDP/TLS/RTP/SAVPF {number}\r\nc=IN IP4 0.0.0.0\r\na=mid:{kind}\r\n"
        f"a=rtpmap:{number} {codec}\r\na=rtcp-mux\r\na={direction}\r\n{transport(data)}"
        for kind, number, codec in (("audio", 111, "opus/48000/2"), ("video", 96, "VP8/90000"))
    ]
    return f"{session}a=group:BUNDLE {mids}\r\n{''.join(media)}m={data}"


def transport(section: str) -> str:
    """Its lines that all of a bundle share."""
    shared = ("a=ice-", "a=fingerprint:", "a=setup:")
    return "".join(line for line in section.splitlines(True) if line.startswith(shared))
