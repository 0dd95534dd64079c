"""What takes real time: a minute of consent, and libwebrtc's own way to failed. All at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.interop.ours import GOOD, Ours, reactor
from tests.interop.peers import aioice_peer, need_wrtc, wrtc_peer
from tests.interop.test_aioice import LOOPBACK, Duo
from tests.interop.test_wrtc import Call

LIMIT = 120.0
"""Seconds for each story."""
CONSENTS = 12
"""Answers, one each 4 to 6 s: a minute."""


def was_cancelled(failure: Failure) -> bool:
    """Also when it waited for several things at once."""
    while failure.check(FirstError):
        failure = failure.value.subFailure
    return failure.check(CancelledError) is not None


class LongTests(TestCase):
    """One test, because its parts wait beside each other."""

    timeout = 150

    def setUp(self) -> None:
        need_wrtc()  # before the stories begin, whose errors come together
        self.stands: dict[str, Callable[[], list[str]]] = {}

    def test_consent_holds_for_a_minute_and_a_failed_libwebrtc_is_restarted(self) -> Deferred[None]:
        """rule 66 with aioice over both families; out of failed with libwebrtc, either way."""
        stories = {
            "minute over IPv4": self.minute(4),
            "minute over IPv6": self.minute(6),
            "we restart": self.failure(True),
            "libwebrtc restarts": self.failure(False),
        }
        gathered = gatherResults([self.limited(*each) for each in stories.items()])
        return gathered.addCallback(lambda _: None)

    def limited(self, name: str, story: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """A story that says where it stands when it takes too long."""

        def late(result: object, seconds: float) -> object:
            if isinstance(result, Failure) and was_cancelled(result):
                stands = "; ".join(self.stands.get(name, lambda: ["not begun"])())
                raise AssertionError(f"{name}: not over after {seconds} s: {stands}")
            return result

        return Deferred.fromCoroutine(story).addTimeout(LIMIT, reactor, late)

    def ours(self, host: str) -> Ours:
        made = Ours([host])
        self.addCleanup(made.close)
        return made

    async def minute(self, version: int) -> None:
        """Each side proves every few seconds that it still wants the other's packets."""
        host = LOOPBACK[version]
        duo = Duo(await aioice_peer(self), self.ours(host), host)
        self.stands[f"minute over IPv{version}"] = lambda: [
            f"ours {duo.ours.state} {duo.ours.route and duo.ours.route.counters}",
            f"events of aioice {duo.peer.events} {duo.peer.errors!r}",
        ]
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
        self.stands["we restart" if we_restart else "libwebrtc restarts"] = lambda: [
            f"ours {call.ours.state} after {call.ours.states}",
            f"events of libwebrtc {call.peer.events} {call.peer.errors!r}",
        ]
        await call.we_offer()
        await call.until(*GOOD)
        call.ours.cut()
        failed = Deferred.fromCoroutine(call.until("failed"))
        await gatherResults([failed, call.ours.until(lambda: call.ours.state == "failed")])
        call.ours.mend()
        async with call.cell("out-of-failed"):
            if we_restart:
                await call.we_offer(restart=True)
            else:
                await call.they_offer(iceRestart=True)
            await call.until(*GOOD)
            self.assertIn(call.ours.state, GOOD)
