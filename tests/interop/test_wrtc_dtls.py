"""libwebrtc's DTLS with ours: both roles, restarts of either side, and the end."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from refreeze.peer import DtlsClosed, DtlsConnected, DtlsFailed
from tests.interop.forged import forged
from tests.interop.ours import Ours
from tests.interop.peers import wrtc_peer
from tests.interop.test_wrtc import Call


class ProtectedTests(TestCase):
    """``connectionState`` on both sides."""

    timeout = 60

    async def call(self) -> Call:
        ours = Ours(protect=True)
        self.addCleanup(ours.close)
        return Call(await wrtc_peer(self), ours)

    async def connected(self, call: Call) -> None:
        """Both say so; there is one association, and its payload is SCTP, which is not ours."""
        ours = call.ours
        await ours.until(lambda: ours.connection.connectionState == "connected")
        while (await call.ask("state"))["connection"] != "connected":
            pass
        await ours.until(lambda: ours.door.counters.received_dropped["sctp"])
        (told,) = ours.told
        self.assertIsInstance(told, DtlsConnected)
        self.assertEqual(ours.received, [])

    def test_we_offer_and_restarts_keep_the_association_rule_30(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            async with call.cell("we-offer"):
                await call.we_offer()
                await self.connected(call)
            async with call.cell("we-restart"):
                await call.we_offer(restart=True)
                await self.connected(call)
            async with call.cell("they-restart"):
                await call.they_offer(iceRestart=True)
                await self.connected(call)

        return Deferred.fromCoroutine(story())

    def test_it_offers_and_its_end_is_ours(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            async with call.cell("they-offer"):
                await call.they_offer()
                await self.connected(call)
            await call.ask("close")
            await call.ours.until(lambda: DtlsClosed() in call.ours.told)

        return Deferred.fromCoroutine(story())

    def test_its_fingerprint_is_another(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            answer = await call.ask("answer", sdp=await call.ours.offer())
            await call.ours.answered(forged(answer["sdp"]))
            await self.failed(call, "dtls-fingerprint")

        return Deferred.fromCoroutine(story())

    def test_our_fingerprint_is_another(self) -> Deferred[None]:
        async def story() -> None:
            call = await self.call()
            offer = await call.ask("offer")
            await call.ask("answered", sdp=forged(await call.ours.answer(offer["sdp"])))
            await self.failed(call, "dtls-alert")

        return Deferred.fromCoroutine(story())

    async def failed(self, call: Call, reason: str) -> None:
        """Both are."""
        ours = call.ours
        await ours.until(lambda: ours.connection.connectionState == "failed")
        while (await call.ask("state"))["connection"] != "failed":
            pass
        (told,) = ours.told
        assert isinstance(told, DtlsFailed)
        self.assertEqual((told.problem.reason, told.problem.heals), (reason, False))
