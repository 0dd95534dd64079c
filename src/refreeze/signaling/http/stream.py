"""Server-sent events (HTML section 9.2): what a session says, on a response that does not end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from refreeze.signaling.envelope import Envelope, EnvelopeKind

MAX_UNREAD: Final = 256 * 1024
"""Bytes written while the client does not read; one more, and it is closed."""
KEEPALIVE: Final = 15.0
"""Seconds between two comments, which tell proxies and us that somebody is there."""

_KINDS: Final = {
    EnvelopeKind.OFFER: "offer",
    EnvelopeKind.CANDIDATE: "candidate",
    EnvelopeKind.END_OF_CANDIDATES: "candidate",
    EnvelopeKind.RESTART_PLEASE: "restart-please",
}
EVENTS: Final = ("offer", "candidate", "restart-please", "gone")


@implementer(IPushProducer)
@define(eq=False, repr=False)
class EventStream:
    """One response. A client that does not read is closed, not waited for."""

    _request: Any
    _clock: IReactorTime
    _ended: Callable[[EventStream], None]
    _number: int = field(default=0, init=False)
    _paused: bool = field(default=False, init=False)
    _unread: int = field(default=0, init=False)
    _over: bool = field(default=False, init=False)
    _keepalive: IDelayedCall | None = field(default=None, init=False)

    def start(self) -> None:
        """Headers are set; the response begins."""
        self._request.registerProducer(self, True)
        self._request.notifyFinish().addBoth(self._lost)
        self._keep_alive()

    def send(self, envelope: Envelope) -> None:
        """An envelope of the session's, if it is one that clients hear."""
        kind = _KINDS.get(envelope.kind)
        if kind is not None:
            self._event(kind, _data(envelope))

    def end(self, reason: str) -> None:
        """The last event."""
        if self._over:
            return
        self._event("gone", {"reason": reason})
        if not self._over:
            self._request.unregisterProducer()
            self._request.finish()
            self._lost(None)

    # IPushProducer

    def pauseProducing(self) -> None:
        """Nobody reads."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Somebody does, again."""
        self._paused, self._unread = False, 0

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._lost(None)

    # Inside

    def _event(self, kind: str, data: dict[str, Any]) -> None:
        self._number += 1
        text = f"event: {kind}\nid: {self._number}\ndata: {json.dumps(data)}\n\n"
        self._write(text.encode())

    def _write(self, data: bytes) -> None:
        if self._over:
            return
        self._request.write(data)
        if self._paused:
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self._request.channel.transport.abortConnection()
                self._lost(None)

    def _keep_alive(self) -> None:
        """Two of them unread are enough to know."""
        self._keepalive = self._clock.callLater(KEEPALIVE, self._keep_alive)
        if self._paused:
            self._unread += MAX_UNREAD // 2
        self._write(b":\n\n")

    def _lost(self, _: object) -> None:
        if self._over:
            return
        self._over = True
        if self._keepalive is not None and self._keepalive.active():
            self._keepalive.cancel()
        self._ended(self)


def _data(envelope: Envelope) -> dict[str, Any]:
    if envelope.kind is EnvelopeKind.OFFER:
        return {"id": envelope.id, "sdp": envelope.sdp}
    if envelope.candidate is not None:
        return dict(envelope.candidate.w3c())
    return {"reason": envelope.reason}
