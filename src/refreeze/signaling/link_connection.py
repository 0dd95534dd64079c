"""A daemon's end of one connection to the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

from refreeze.names import is_name
from refreeze.signaling.cookie import CookieClient, CookieError
from refreeze.signaling.envelope import (
    Envelope,
    EnvelopeError,
    JsonObject,
    read_envelope,
)
from refreeze.signaling.wire import LineConnection, hex_member, member

WATCH_CHUNK = 256
"""Names in one watch notice, which with 64 characters each stays far below 64 KiB."""


class LinkStage(StrEnum):
    """Of a connection to the hub."""

    HANDSHAKE = "handshake"
    HELLO = "hello"
    OPEN = "open"


class LinkOwner(Protocol):
    """The link, as its connection sees it."""

    def welcomed(self, connection: LinkConnection) -> None: ...

    def lost(self, connection: LinkConnection, reason: str) -> None: ...

    def presence(self, peer: str, online: bool) -> None: ...

    def deliver(self, envelope: Envelope) -> None: ...

    def dismissed(self, reason: str) -> None: ...


@define(eq=False, repr=False, slots=False, kw_only=True)
class LinkConnection(LineConnection):
    """I greet the hub, prove what it asks for, and hand on what it says until it is gone."""

    owner: LinkOwner
    name: str
    handshake: CookieClient | None
    hello_wait: float
    stage: LinkStage = field(default=LinkStage.HELLO, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _error: str = field(default="", init=False)

    def watch(self, peers: Iterable[str]) -> None:
        """Ask for the presence of these."""
        names = list(peers)
        for start in range(0, len(names), WATCH_CHUNK):
            self.send_notice("watch", names[start : start + WATCH_CHUNK])

    def opened(self) -> None:
        self._deadline = self.clock.callLater(self.hello_wait, self._fail, "no welcome in time")
        if self.handshake is None:
            self._hello()
        else:
            self.stage = LinkStage.HANDSHAKE
            self.send_notice("auth", {"nonce": self.handshake.nonce.hex()})

    def closed(self, reason: str) -> None:
        self._clear_deadline()
        self.owner.lost(self, self._error or reason)

    def notice_received(self, name: str, value: Any) -> None:
        match self.stage, name:
            case _, "bye":
                self._dismissed(value)
            case LinkStage.HANDSHAKE, "auth":
                self._prove(value)
            case LinkStage.HELLO, "welcome":
                self._welcomed()
            case LinkStage.OPEN, "presence":
                self._presence(value)
            case _:
                self.counters["unknown_notices"] += 1

    def envelope_received(self, members: JsonObject) -> None:
        try:
            envelope = read_envelope(members)
        except EnvelopeError as error:
            self.bad_line(error.reason, members)
            return
        if envelope.to != self.name or self.stage is not LinkStage.OPEN:
            self.bad_line("not for us", members)
            return
        self.counters["received"] += 1
        self.owner.deliver(envelope)

    def bad_line(self, reason: str, members: Mapping[str, Any]) -> None:
        self.counters["malformed"] += 1
        self._log.debug("a bad line from the hub: {reason}", reason=reason)

    def _hello(self) -> None:
        self.stage = LinkStage.HELLO
        self.send_notice("hello", {"name": self.name})

    def _prove(self, value: Any) -> None:
        if self.handshake is None:
            return
        try:
            nonce, proof = hex_member(value, "nonce"), hex_member(value, "proof")
            answer = self.handshake.answer(nonce, proof)
        except CookieError as error:
            self._fail(str(error))
            return
        self.send_notice("auth", {"proof": answer.hex()})
        self._hello()

    def _welcomed(self) -> None:
        self._clear_deadline()
        self.stage = LinkStage.OPEN
        self.owner.welcomed(self)

    def _presence(self, value: Any) -> None:
        peer, online = member(value, "peer", str), member(value, "online", bool)
        if online is not None and is_name(peer):
            self.owner.presence(peer, online)

    def _dismissed(self, value: Any) -> None:
        reason = member(value, "reason", str) or "unknown"
        self.owner.dismissed(reason)
        self._fail(f"the hub said bye: {reason[:64]!r}")

    def _fail(self, error: str) -> None:
        self._error = error
        self.abort(error)

    def _clear_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
