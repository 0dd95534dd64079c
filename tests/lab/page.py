"""A page with one RTCPeerConnection and a data channel, in whatever browser.

A :class:`Page` is a :class:`~tests.lab.carried.Foreign`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from tests.lab.commands import LabError, until

_SCRIPT = """
globalThis.pc = new RTCPeerConnection();
globalThis.states = [];
globalThis.candidates = [];
globalThis.connections = [];
pc.onconnectionstatechange = () => connections.push(pc.connectionState);
pc.oniceconnectionstatechange = () => states.push(pc.iceConnectionState);
pc.onicecandidate = (event) => {
  if (event.candidate && event.candidate.candidate) candidates.push(event.candidate.candidate);
};
globalThis.described = async (description) => {
  // The gathering state is still that of the generation before: only the end tells.
  const ended = new Promise((done) => pc.addEventListener('icecandidate', (event) => {
    if (!event.candidate) done();
  }));
  await pc.setLocalDescription(description);
  await ended;
  return pc.localDescription.sdp;
};
globalThis.pair = async () => {
  const stats = await pc.getStats();
  for (const each of stats.values()) {
    if (each.type !== 'transport' || !each.selectedCandidatePairId) continue;
    const pair = stats.get(each.selectedCandidatePairId);
    const ends = [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id));
    return {id: pair.id, types: ends.map((end) => end.candidateType).join('/')};
  }
  return null;
};
"""


class Page(ABC):
    """What the page can be asked; *run* is the browser's."""

    @abstractmethod
    def run(self, script: str) -> Any:
        """The JSON value that an asynchronous function returns with this body."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the browser."""

    def load(self) -> None:
        """Begin."""
        self.run(_SCRIPT)

    def visit(self, url: str) -> None:
        """Another page instead, from its beginning, even if it is at that place already."""
        for each in ("about:blank", url):
            self.run(f"location.href = {json.dumps(each)}")
            until(partial(self._arrived, each), each)

    def _arrived(self, url: str) -> bool:
        """While a browser is between two pages it may know neither. A page may cut its fragment."""
        try:
            place, state = self.run("return [location.href, document.readyState]")
        except LabError:
            return False
        return state == "complete" and url.startswith(place)

    # What it says of itself

    @property
    def state(self) -> str:
        """iceConnectionState."""
        return str(self.run("return pc.iceConnectionState"))

    @property
    def connection(self) -> str:
        """connectionState."""
        return str(self.run("return pc.connectionState"))

    @property
    def connections(self) -> list[str]:
        """All that it has shown."""
        shown: list[str] = self.run("return connections")
        return shown

    @property
    def states(self) -> list[str]:
        """All that it has shown."""
        shown: list[str] = self.run("return states")
        return shown

    @property
    def candidates(self) -> list[str]:
        """All that it has gathered."""
        lines: list[str] = self.run("return candidates")
        return lines

    @property
    def pair(self) -> dict[str, str]:
        """``id`` and ``types`` of the selected pair; LabError when there is none."""
        found: dict[str, str] | None = self.run("return await pair()")
        if found is None:
            raise LabError("the browser has no pair")
        return found

    # Foreign

    def offer(self, *, restart: bool) -> str:
        """The first has the data channel."""
        begin = "if (!pc.sctp) pc.createDataChannel('lab');"
        if restart:
            begin += "pc.restartIce();"
        return str(self.run(f"{begin} return await described(await pc.createOffer())"))

    def answer(self, sdp: str) -> str:
        """To ours."""
        return str(
            self.run(
                f"await pc.setRemoteDescription({{type: 'offer', sdp: {json.dumps(sdp)}}});"
                "return await described(await pc.createAnswer())"
            )
        )

    def answered(self, sdp: str) -> None:
        """By us."""
        self.run(f"await pc.setRemoteDescription({{type: 'answer', sdp: {json.dumps(sdp)}}})")

    def candidate(self, line: str, mid: str) -> None:
        """One that we trickled."""
        init = json.dumps({"candidate": line, "sdpMid": mid})
        self.run(f"await pc.addIceCandidate({init})")

    def add_media(self) -> None:
        """The first offer has audio and video, too."""
        self.run("pc.addTransceiver('audio'); pc.addTransceiver('video')")

    def begin_again(self) -> None:
        """Another connection in its place."""
        self.hang_up()
        self.load()

    def hang_up(self) -> None:
        """Close the connection: what a page does that is left."""
        self.run("pc.close()")
