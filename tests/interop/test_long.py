"""What takes real time: a minute of consent, and libwebrtc's own way to failed. All at once."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.interop.ours import GOOD, Ours
from tests.interop.peers import aioice_peer, wrtc_peer
from tests.interop.test_aioice import LOOPBACK, Duo
from tests.interop.test_wrtc import Call

CONSENTS = 12
"""Answers, one each 4 to 6 s: a minute."""


class LongTests(TestCase):
    """One test, because its parts wait beside each other."""

    timeout = 120

    def test_consent_holds_for_a_minute_and_a_failed_libwebrtc_is_restarted(self) -> Deferred[None]:
        """rule 66 with aioice over both families; out of failed with libwebrtc, either way."""
        stories = [self.minute(4), self.minute(6), self.failure(True), self.failure(False)]
        gathered = gatherResults([Deferred.fromCoroutine(each) for each in stories])
        return gathered.addCallback(lambda _: None)

    def ours(self, host: str) -> Ours:
        made = Ours([host])
        self.addCleanup(made.close)
        return made

    async def minute(self, version: int) -> None:
        """Each side proves every few seconds that it still wants the other's packets."""
        host = LOOPBACK[version]
        duo = Duo(await aioice_peer(self), self.ours(host), host)
        if version == 4:
            await duo.we_offer("first")
        else:
            await duo.they_offer("first")
        counters = duo.ours.route.counters
        begin = counters.responses_received, counters.requests_received

        def enough() -> bool:
            return (
                counters.responses_received - begin[0] >= CONSENTS
                and counters.requests_received - begin[1] >= CONSENTS
            )

        await duo.ours.until(enough)
        self.assertEqual([each for each in duo.peer.events if each["event"] == "closed"], [])
        self.assertIn(duo.ours.state, GOOD)
        await duo.ours.echo(b"\x80still here")

    async def failure(self, we_restart: bool) -> None:
        """Everything between us is dropped until libwebrtc failed; then one of us restarts."""
        call = Call(await wrtc_peer(self), self.ours("127.0.0.1"))
        await call.we_offer()
        await call.until(*GOOD)
        call.ours.cut()
        failed = Deferred.fromCoroutine(call.until("failed"))
        await gatherResults([failed, call.ours.until(lambda: call.ours.state == "failed")])
        call.ours.mend()
        if we_restart:
            await call.we_offer(restart=True)
        else:
            await call.they_offer(iceRestart=True)
        await call.until(*GOOD)
        self.assertIn(call.ours.state, GOOD)
