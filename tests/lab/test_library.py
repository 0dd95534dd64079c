"""The library's RTCPeerConnection, which takes audio and video too, on one LAN with real peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from refreeze.sdp import SessionDescription
from tests.interop.matrix import cell
from tests.interop.ours import LOOK, Ours, reactor
from tests.interop.peers import missing
from tests.lab import chromium, firefox, nice
from tests.lab.commands import lacking
from tests.lab.foreign import AIORTC, LIBDATACHANNEL, PION, Agent, Stack
from tests.lab.namespaces import Lab, Namespace
from tests.lab.protected_peer import Peer
from tests.lab.segment import Segment, public4


class LibraryTests(TestCase):
    """They offer audio, video and data in one bundle; all of it is taken, and restarted."""

    timeout = 60

    def story(
        self,
        party: str,
        what: str | None,
        make: Callable[[Namespace], Any],
        *,
        restarts: bool = True,
    ) -> Deferred[None]:
        for each in (lacking(), what):
            if each is not None:
                missing(each)
        lab = Lab()
        self.addCleanup(lab.close)
        segment = Segment(lab)
        self.peer: Peer = make(segment.public("peer", 22))
        self.peer.start()
        self.addCleanup(self.peer.close)
        with segment.public("alice", 21).entered():
            self.ours = Ours([public4(21)], protect=make is not nice.NiceAgent, takes_media=True)
        self.addCleanup(self.ours.close)
        self.peer.add_media()
        return Deferred.fromCoroutine(self.told(party, restarts))

    async def told(self, party: str, restarts: bool) -> None:
        """It offers; and, if it can, both restart in turns."""
        with cell(party, self.peer.version, "bundled-library"):
            await self.they_offer()
            if restarts:
                await self.we_restart()
                await self.they_offer(restart=True)

    async def they_offer(self, *, restart: bool = False) -> None:
        """A round that they begin."""
        answer = await self.ours.answer(self.peer.offer(restart=restart))
        self.peer.answered(answer)
        await self.connected()

    async def we_restart(self) -> None:
        """A round that we begin."""
        await self.ours.answered(self.peer.answer(await self.ours.offer(restart=True)))
        await self.connected()

    async def connected(self) -> None:
        """Both say so, DTLS and all; there is one association, and every section lives."""
        ours = self.ours
        await ours.connected()
        await ours.until(lambda: ours.connection.connectionState == "connected")
        while not self.has_dtls():
            await deferLater(reactor, LOOK)
        self.assertEqual(len(ours.told), int(ours.protect))
        transceivers = ours.connection.getTransceivers()
        self.assertEqual([each.kind for each in transceivers], ["audio", "video"])
        self.assertEqual({each.currentDirection for each in transceivers}, {"recvonly"})
        described = ours.connection.localDescription
        assert described is not None
        media = SessionDescription.parse(described.sdp).media
        self.assertEqual([each.kind for each in media], ["audio", "video", "application"])
        self.assertEqual([each.mid for each in media if each.rejected], [])

    def has_dtls(self) -> bool:
        """As it says; libdatachannel waits for SCTP, too, and has found a certificate meanwhile."""
        peer = self.peer
        if isinstance(peer, Agent) and peer.stack is LIBDATACHANNEL:
            return bool(peer.peer)
        return peer.connection == "connected"

    def test_chromium(self) -> Deferred[None]:
        return self.story("chromium", chromium.lacking(), chromium.Chromium)

    def test_firefox(self) -> Deferred[None]:
        """It takes no restart in which a section has no new credentials."""
        return self.story("firefox", firefox.lacking(), firefox.Firefox)

    def test_pion(self) -> Deferred[None]:
        return self.stack(PION)

    def test_libdatachannel(self) -> Deferred[None]:
        return self.stack(LIBDATACHANNEL, restarts=False)

    def test_aiortc(self) -> Deferred[None]:
        """It takes no section without credentials."""
        return self.stack(AIORTC, restarts=False)

    def stack(self, stack: Stack, *, restarts: bool = True) -> Deferred[None]:
        """The story with that one's program."""
        return self.story(stack.name, stack.lacking(), lambda m: Agent(m, stack), restarts=restarts)

    def test_libnice(self) -> Deferred[None]:
        """Its sections are the tests' own."""
        return self.story("libnice", nice.lacking(), nice.NiceAgent)
