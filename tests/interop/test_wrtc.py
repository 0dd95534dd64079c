"""libwebrtc (@roamhq/wrtc) at the other end of offers and answers.

Its ICE is judged, and its descriptions; its DTLS is not answered yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from refreeze.jsep import Description, DescriptionType
from refreeze.sdp import SessionDescription
from tests.interop.matrix import cell
from tests.interop.ours import Ours, local, reactor
from tests.interop.peers import Message, Peer, wrtc_peer

PC = "pc"
LATE = 0.2
"""Seconds that candidates come behind their description."""


@define(eq=False)
class Call:
    """Our peer connection and libwebrtc's."""

    peer: Peer
    ours: Ours

    def ask(self, do: str, **fields: Any) -> Deferred[Message]:
        """A command to libwebrtc."""
        return self.peer.ask(do, pc=PC, **fields)

    @asynccontextmanager
    async def cell(self, *cases: str) -> AsyncIterator[None]:
        """What is tried inside is these cases of the matrix."""
        version = (await self.ask("version"))["version"]
        with cell("wrtc", version, *cases):
            yield

    async def until(self, *states: str) -> None:
        """Until libwebrtc is in one of these.

        Every change is an event, but what it reads then may still be the old state, and no other
        event follows: so it is asked again after a while.
        """
        while (await self.ask("state"))["state"] not in states:
            change = self.peer.seen("state", pc=PC)
            await change.addTimeout(1.0, reactor, lambda _late, _seconds: {})

    async def we_offer(self, *, restart: bool = False) -> None:
        """A whole round, with all candidates in the descriptions."""
        answer = await self.ask("answer", sdp=await self.ours.offer(restart=restart))
        await self.ours.answered(answer["sdp"])
        await self.ours.connected()

    async def they_offer(self, **options: bool) -> None:
        """A whole round that they begin."""
        offer = await self.ask("offer", **options)
        await self.ask("answered", sdp=await self.ours.answer(offer["sdp"]))
        await self.ours.connected()

    async def theirs(self) -> list[Message]:
        """Every candidate that libwebrtc tells of, and their end."""
        told = [await self.peer.seen("candidate", pc=PC)]
        while told[-1]["candidate"] is not None:
            told.append(await self.peer.seen("candidate", pc=PC))
        return told

    async def trickle_to_us(self, told: Sequence[Message], ufrag: str) -> None:
        """These, in their order."""
        for each in told:
            await self.ours.connection.addIceCandidate(
                {
                    "candidate": each["candidate"] or "",
                    "sdpMid": each["mid"] or "0",
                    "usernameFragment": ufrag,
                }
            )

    async def trickle_to_them(self) -> None:
        """Every candidate of ours backwards, and their end."""
        *candidates, end = self.ours.candidates
        for candidate in [*reversed(candidates), end]:
            await self.ask("candidate", candidate=candidate.candidate, mid=candidate.sdpMid)

    async def both_connected(self) -> None:
        """Until libwebrtc says so too."""
        stats = await self.ask("stats")
        while not any(pair.get("nominated") for pair in stats["pairs"]):
            stats = await self.ask("stats")


def without_candidates(sdp: str) -> str:
    """What a description says before anything was gathered."""
    return "".join(line + "\r\n" for line in sdp.splitlines() if "candidate" not in line)


class LibwebrtcTests(TestCase):
    """Offer, answer, restart, glare, trickle."""

    timeout = 60

    async def call(self, *, takes_media: bool = False) -> Call:
        ours = Ours(["127.0.0.1"], takes_media=takes_media)
        self.addCleanup(ours.close)
        return Call(await wrtc_peer(self), ours)

    def run_story(self, story: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(story)

    def credentials(self, call: Call) -> tuple[str, str]:
        """Our ufrag and theirs, as the descriptions in force have them."""
        connection = call.ours.connection
        assert connection.localDescription is not None
        assert connection.remoteDescription is not None
        return (
            local(connection.localDescription.sdp).ufrag,
            local(connection.remoteDescription.sdp).ufrag,
        )

    def test_we_offer_and_it_answers(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            await call.we_offer()
            await call.both_connected()
            self.assertTrue(call.ours.route.nominated)

        return self.run_story(story())

    def test_it_offers_and_we_answer(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            await call.they_offer()
            await call.both_connected()
            self.assertTrue(call.ours.route.nominated)

        return self.run_story(story())

    def test_candidates_are_trickled_both_ways_late_and_in_disorder(self) -> Deferred[None]:
        """All backwards, and late behind the descriptions."""

        async def story() -> None:
            call = await self.call()
            async with call.cell("trickled"):
                offer = without_candidates(await call.ours.offer())
                answer = (await call.ask("answer", sdp=offer, trickle=True))["sdp"]
                *theirs, end = await call.theirs()
                self.assertGreater(len(theirs), 0)
                await call.ours.answered(without_candidates(answer))
                await deferLater(reactor, LATE)
                await call.trickle_to_us([*reversed(theirs), end], local(answer).ufrag)
                await call.trickle_to_them()
                await call.ours.connected()
                await call.both_connected()

        return self.run_story(story())

    def test_it_offers_audio_video_and_data_in_one_bundle(self) -> Deferred[None]:
        """rule 20: a program takes all of it, over one transport; restarts keep it so."""

        async def story() -> None:
            call = await self.call(takes_media=True)
            async with call.cell("bundled-library"):
                await call.ask("media")
                await call.they_offer()
                await call.both_connected()
                connection = call.ours.connection
                kinds = [each.kind for each in connection.getTransceivers()]
                self.assertEqual(kinds, ["audio", "video"])
                self.assertEqual(
                    [each.currentDirection for each in connection.getTransceivers()],
                    ["recvonly", "recvonly"],
                )
                assert connection.localDescription is not None
                self.assertNotIn(" 0 UDP/TLS/RTP", connection.localDescription.sdp)
                await call.we_offer(restart=True)
                await call.they_offer(iceRestart=True)
                await call.both_connected()

        return self.run_story(story())

    def test_a_daemon_takes_the_data_section_of_a_bundle(self) -> Deferred[None]:
        """The tagged one is audio's, which is rejected; restarts of either side keep it so."""

        async def story() -> None:
            call = await self.call()
            async with call.cell("bundled"):
                await call.ask("media")
                await call.they_offer()
                await call.we_offer(restart=True)
                await call.they_offer(iceRestart=True)
                await call.both_connected()
            description = call.ours.connection.localDescription
            assert description is not None
            media = SessionDescription.parse(description.sdp).media
            self.assertEqual([each.rejected for each in media], [True, True, False])

        return self.run_story(story())

    def test_we_restart_and_it_restarts_in_turns(self) -> Deferred[None]:
        """rules 6, 8, 18: new credentials on both sides each time, and connected all along."""

        async def story() -> None:
            call = await self.call()
            await call.we_offer()
            seen = [self.credentials(call)]
            for turn in range(4):
                if turn % 2:
                    await call.we_offer(restart=True)
                elif turn:
                    await call.they_offer(iceRestart=True)
                else:
                    await call.ask("restartIce")
                    await call.they_offer()
                seen.append(self.credentials(call))
                await call.both_connected()
            for each in zip(*seen, strict=True):
                self.assertEqual(len(set(each)), len(seen))
            self.assertNotIn("failed", call.ours.states)
            self.assertNotIn("disconnected", call.ours.states)

        return self.run_story(story())

    def test_an_offer_without_a_restart_leaves_ice_as_it_is(self) -> Deferred[None]:
        """rule 18: the same credentials again, and no new generation."""

        async def story() -> None:
            call = await self.call()
            await call.we_offer()
            before, route = self.credentials(call), call.ours.route
            await call.they_offer()
            await call.we_offer()
            self.assertEqual(self.credentials(call), before)
            self.assertIs(call.ours.route, route)

        return self.run_story(story())

    def test_both_restart_at_once(self) -> Deferred[None]:
        """T11: our offer gives way by rollback, theirs is answered; ours is made again."""

        async def story() -> None:
            call = await self.call()
            await call.we_offer()
            before = self.credentials(call)
            async with call.cell("at-once"):
                await call.ours.offer(restart=True)
                theirs = await call.ask("offer", iceRestart=True)
                await call.ask("answered", sdp=await call.ours.answer(theirs["sdp"]))
                await call.ours.connected()
            between = self.credentials(call)
            await call.we_offer(restart=True)
            after = self.credentials(call)
            for ufrags in zip(before, between, after, strict=True):
                self.assertEqual(len(set(ufrags)), 3)

        return self.run_story(story())

    def test_it_yields_in_glare(self) -> Deferred[None]:
        """T11: its rollback of its own restart offer leaves our restart the only one."""

        async def story() -> None:
            call = await self.call()
            await call.they_offer()
            async with call.cell("at-once"):
                await call.ask("offer", iceRestart=True)
                await call.ask("rollback")
                await call.we_offer(restart=True)
                await call.both_connected()

        return self.run_story(story())

    def test_a_restart_offer_that_is_taken_back_changes_nothing(self) -> Deferred[None]:
        """rules 7, 26, T7: rollback, and the old credentials go on."""

        async def story() -> None:
            call = await self.call()
            await call.we_offer()
            before, route = self.credentials(call), call.ours.route
            await call.ours.offer(restart=True)
            rollback = Description(DescriptionType.ROLLBACK)
            await call.ours.connection.setLocalDescription(rollback)
            self.assertEqual(self.credentials(call), before)
            self.assertIs(call.ours.route, route)
            await call.we_offer(restart=True)
            await call.both_connected()

        return self.run_story(story())
