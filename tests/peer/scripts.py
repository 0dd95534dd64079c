"""Two connections as a script of a browser uses them: their events, and perfect negotiation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description
from refreeze.peer import Event
from tests.peer.pair import Side, Two

NEEDED = "negotiationneeded"
CONNECTION_EVENTS = (
    NEEDED,
    "signalingstatechange",
    "iceconnectionstatechange",
    "icegatheringstatechange",
    "connectionstatechange",
    "icecandidate",
    "icecandidateerror",
)
ICE_TRANSPORT_EVENTS = ("statechange", "gatheringstatechange", "selectedcandidatepairchange")


def ufrag(description: Description | None) -> str:
    """The first in the text."""
    assert description is not None
    found = next(x for x in description.sdp.splitlines() if x.startswith("a=ice-ufrag:"))
    return found.partition(":")[2]


def candidate(port: int) -> str:
    """A host candidate that nobody answers at."""
    return f"candidate:1 1 udp 2130706431 192.0.2.77 {port} typ host"


class ScriptCase(SynchronousTestCase):
    """Two connections of browsers that know nothing of each other yet."""

    def setUp(self) -> None:
        self.two = Two(as_service=False)
        self.alice, self.bob = self.two.alice, self.two.bob
        self.a, self.b = self.alice.connection, self.bob.connection
        self.addCleanup(self.two.close)

    def connect(self) -> None:
        """A whole exchange, with candidates that are trickled, and all events over."""
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.addEventListener("icecandidate", Trickler(other))
        self.two.exchange(self.alice, self.bob)
        self.two.advance(3.0)
        self.forget()

    def forget(self) -> None:
        """What was fired so far is not asked for."""
        self.alice.fired.clear()
        self.bob.fired.clear()

    def tasks(self) -> None:
        """All that are queued."""
        self.two.advance(0)

    def needed(self, side: Side) -> int:
        """How often negotiationneeded was fired, from now on anew."""
        self.tasks()
        count = side.fired.count(NEEDED)
        side.fired.clear()
        return count

    def refused(self, deferred: Deferred[Any], name: str) -> Exception:
        """It fails with W3C's error of that name, in the tasks that are due."""
        self.tasks()
        error = self.failureResultOf(deferred).value
        assert isinstance(error, Exception)
        self.assertEqual(getattr(error, "name", type(error).__name__), name)
        return error


class Trickler:
    """A listener that carries candidates to the other side at once."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __call__(self, event: Event) -> None:
        if event.candidate is not None:
            self.other.addIceCandidate(event.candidate).addErrback(lambda _: None)


class Negotiator:
    """W3C's example of perfect negotiation (webrtc-pc section 10.7), over a wire with a delay."""

    def __init__(self, two: Two, side: Side, *, polite: bool) -> None:
        self.two, self.pc, self.polite = two, side.connection, polite
        self.making = self.ignoring = False
        self.other: Negotiator | None = None
        self.answered = 0
        self.rolled_back = 0
        self.pc.addEventListener(NEEDED, lambda _: self._run(self._offer))
        self.pc.addEventListener("icecandidate", self._trickle)

    def _run(self, step: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> None:
        Deferred.fromCoroutine(step())

    def _send(self, message: Any) -> None:
        other = self.other
        assert other is not None
        self.two.reactor.callLater(0.02, lambda: self._run(lambda: other.received(message)))

    def _trickle(self, event: Event) -> None:
        if event.candidate is not None:
            self._send(event.candidate)

    async def _offer(self) -> None:
        self.making = True
        try:
            await self.pc.setLocalDescription()
            self._send(self.pc.localDescription)
        finally:
            self.making = False

    async def received(self, message: Any) -> None:
        """What came over the wire."""
        if not isinstance(message, Description):
            try:
                await self.pc.addIceCandidate(message)
            except Exception:
                if not self.ignoring:
                    raise
            return
        colliding = self.making or self.pc.signalingState != "stable"
        offer = message.type == "offer"
        self.ignoring = offer and not self.polite and colliding
        if self.ignoring:
            return
        self.rolled_back += offer and self.pc.signalingState == "have-local-offer"
        await self.pc.setRemoteDescription(message)
        if offer:
            await self.pc.setLocalDescription()
            self._send(self.pc.localDescription)
        else:
            self.answered += 1
