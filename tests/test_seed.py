"""The web's recipe, as README and docs/library.md print it, on two connections in a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer import RTCPeerConnection, RTCSessionDescription
from refreeze.service import PeerHost
from refreeze.testing import VirtualWorld

ROOT = Path(__file__).resolve().parents[1]
GOOD = ("connected", "completed")


def recipe(page: str) -> str:
    """The first block of Python in a page."""
    found = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


class SeedTests(SynchronousTestCase):
    """Alice runs the printed lines; bob answers."""

    def setUp(self) -> None:
        self.world = VirtualWorld(seed=1)
        self.addCleanup(self.world.stop)
        self.hosts = [
            PeerHost(
                self.world.reactor,
                process=self.world.process(self.world.network.host(name, [address])),
            )
            for name, address in (("alice", "192.0.2.1"), ("bob", "192.0.2.2"))
        ]
        self.alice, self.bob = (host.RTCPeerConnection() for host in self.hosts)
        self.offers: list[RTCSessionDescription] = []
        self.states: list[str] = []
        self.printed: dict[str, Any] = {}
        exec(recipe("docs/library.md"), self.printed)
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            one.onicecandidate = lambda event, other=other: self.trickle(other, event.candidate)
        self.alice.addEventListener(
            "iceconnectionstatechange", lambda _: self.states.append(self.alice.iceConnectionState)
        )
        self.addCleanup(self.end)

    def end(self) -> None:
        for host in self.hosts:
            host.close()
        self.world.reactor.advance(3.0)

    def trickle(self, other: RTCPeerConnection, candidate: Any) -> None:
        other.addIceCandidate(candidate).addErrback(lambda _: None)

    def server(self, offer: RTCSessionDescription) -> None:
        """Carries the offer to bob, and his answer back."""
        self.offers.append(offer)
        Deferred.fromCoroutine(self.answer(offer)).addErrback(self.fail)

    async def answer(self, offer: RTCSessionDescription) -> None:
        await self.bob.setRemoteDescription(offer)
        await self.bob.setLocalDescription()
        assert self.bob.localDescription is not None
        await self.alice.setRemoteDescription(self.bob.localDescription)

    def test_readme_and_library_print_the_same(self) -> None:
        self.assertEqual(recipe("README.md"), recipe("docs/library.md"))

    def test_what_failed_is_restarted_and_comes_back_rule_13(self) -> None:
        """The path is cut both ways until it failed; the recipe does the rest."""
        self.printed["keep"](self.alice, self.server)
        self.alice.createDataChannel("datagrams")
        self.world.reactor.advance(2.0)
        self.assertIn(self.alice.iceConnectionState, GOOD)
        self.assertEqual(len(self.offers), 1)
        hole = self.world.network.blackhole("alice", "bob")
        self.world.reactor.advance(12.0)
        self.assertIn("failed", self.states)
        self.assertEqual(len(self.offers), 2)
        hole.end()
        self.world.reactor.advance(10.0)
        self.assertIn(self.alice.iceConnectionState, GOOD)
        self.assertEqual(self.alice.connectionState, "connected")
        assert self.bob.dtlsTransport is not None
        assert self.alice.dtlsTransport is not None
        heard: list[bytes] = []
        self.bob.dtlsTransport.on_batch(heard.extend)
        self.alice.dtlsTransport.send([b"again"])
        self.world.reactor.advance(0.1)
        self.assertEqual(heard, [b"again"])

    def test_the_older_way_restarts_what_is_well_rule_6(self) -> None:
        self.printed["keep"](self.alice, self.server)
        self.alice.createDataChannel("datagrams")
        self.world.reactor.advance(2.0)
        before = self.alice.iceTransport.getLocalParameters()
        Deferred.fromCoroutine(self.printed["restart"](self.alice, self.server))
        self.world.reactor.advance(2.0)
        after = self.alice.iceTransport.getLocalParameters()
        self.assertNotEqual(before, after)
        self.assertEqual(self.states[-1], "completed")
        self.assertNotIn("failed", self.states)
