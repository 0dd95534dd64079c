"""The hub's end of one connection: handshake, hello, then envelopes and watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall, ITransport

from refreeze.basics import format_address
from refreeze.names import is_name
from refreeze.signaling.access import Access, Guard
from refreeze.signaling.cookie import CookieError, CookieServer
from refreeze.signaling.envelope import (
    UNKNOWN,
    Envelope,
    EnvelopeError,
    EnvelopeKind,
    JsonObject,
    is_id,
    read_envelope,
)
from refreeze.signaling.wire import LineConnection, hex_member, member

HELLO_WAIT = 10.0
"""Seconds from the connection to a valid hello."""


_NO_COOKIE = "it does not know the cookie"


class Stage(StrEnum):
    """Of a connection: only OPEN ones have a name and are heard."""

    HANDSHAKE = "handshake"
    PROOF = "proof"
    HELLO = "hello"
    OPEN = "open"


class Exchange(Protocol):
    """The hub, as its connections see it."""

    def connected(self, connection: HubConnection) -> bool:
        """A new connection; False: there are too many."""
        ...

    def joined(self, connection: HubConnection) -> None: ...

    def refused(self, connection: HubConnection, why: str) -> None:
        """It is not let in; said once, before its end."""
        ...

    def left(self, connection: HubConnection) -> None: ...

    def route(self, connection: HubConnection, envelope: Envelope) -> None: ...

    def watch(self, connection: HubConnection, names: Sequence[str]) -> None: ...

    def unwatch(self, connection: HubConnection, names: Sequence[str]) -> None: ...

    def bounce(
        self,
        connection: HubConnection,
        detail: str,
        members: Mapping[str, Any],
        reason: str = "malformed",
    ) -> None: ...


@define(eq=False, repr=False, slots=False, kw_only=True)
class HubConnection(LineConnection):
    """I am one daemon's connection, from the first byte to the last; the hub routes between us."""

    exchange: Exchange
    access: Access
    hello_wait: float = HELLO_WAIT
    host: str = ""
    """Where it comes from; empty for local programs."""
    name: str = field(default="", init=False)
    stage: Stage = field(default=Stage.HELLO, init=False)
    watching: set[str] = field(factory=set, init=False)
    _guard_: Guard | None = field(default=None, init=False)
    _deadline: IDelayedCall | None = field(default=None, init=False)
    _peer: str = field(default="", init=False)
    _turned_away: bool = field(default=False, init=False)

    @property
    def peer(self) -> str:
        """Where it comes from, for people."""
        return self._peer

    def opened(self) -> None:
        self._peer = peer_of(self.transport)
        if not self.exchange.connected(self):
            self._turned_away = True
            self.close("too-many")
            return
        self._guard_ = self.access.guard(self.transport)
        if self._guard_ is None:
            self._refuse("not-permitted", "its user is not allowed")
            return
        if self._guard_.handshake is not None:
            self.stage = Stage.HANDSHAKE
        self._deadline = self.clock.callLater(self.hello_wait, self._too_slow)

    def closed(self, reason: str) -> None:
        self._clear_deadline()
        refused = self._verification is not None and bool(self._verification.problem)
        if refused and self.stage is not Stage.OPEN and not self._turned_away:
            self._refused(reason)
        self.exchange.left(self)

    def notice_received(self, name: str, value: Any) -> None:
        match self.stage, name:
            case Stage.HANDSHAKE, "auth":
                self._challenge(value)
            case Stage.PROOF, "auth":
                self._verify(value)
            case Stage.HELLO, "hello":
                self._hello(value)
            case Stage.OPEN, "watch":
                self.exchange.watch(self, names_in(value))
            case Stage.OPEN, "unwatch":
                self.exchange.unwatch(self, names_in(value))
            case Stage.OPEN, _:
                self.counters["unknown_notices"] += 1
            case _:
                self._unwelcome()

    def envelope_received(self, members: JsonObject) -> None:
        if self.stage is not Stage.OPEN:
            self._unwelcome()
            return
        if members.get("from", self.name) != self.name:
            self.counters["foreign_from"] += 1
            self.exchange.bounce(self, "from: is not the sender", members, "not-permitted")
            return
        try:
            envelope = read_envelope(members, sender=self.name)
        except EnvelopeError as error:
            self.bad_line(error.reason, members)
            return
        if envelope.kind is EnvelopeKind.UNDELIVERABLE:
            self.bad_line("kind: only the hub says undeliverable", members)
            return
        self.exchange.route(self, envelope)

    def bad_line(self, reason: str, members: Mapping[str, Any]) -> None:
        self.counters["malformed"] += 1
        if self.stage is not Stage.OPEN:
            self._unwelcome()
            return
        self.exchange.bounce(self, reason, members)

    def _challenge(self, value: Any) -> None:
        try:
            nonce, proof = self._handshake().challenge(hex_member(value, "nonce"))
        except CookieError:
            self._refuse("auth", _NO_COOKIE)
            return
        self.stage = Stage.PROOF
        self.send_notice("auth", {"nonce": nonce.hex(), "proof": proof.hex()})

    def _verify(self, value: Any) -> None:
        if self._handshake().verify(hex_member(value, "proof")):
            self.stage = Stage.HELLO
        else:
            self._refuse("auth", _NO_COOKIE)

    def _handshake(self) -> CookieServer:
        server = self._guard_.handshake if self._guard_ else None
        if server is None:
            raise CookieError("no handshake is under way")
        return server

    def _hello(self, value: Any) -> None:
        name = member(value, "name", str)
        if not is_name(name):
            self._unwelcome()
            return
        if self._guard_ is None or not self._guard_.may_be(name):
            self._refuse("not-permitted", f"{name} is not its name")
            return
        self._clear_deadline()
        self.name, self.stage = name, Stage.OPEN
        self.send_notice("welcome", {"name": name})
        self.exchange.joined(self)
        self.exchange.watch(self, names_in(value.get("watch")))

    def _refuse(self, slug: str, why: str) -> None:
        self._refused(why)
        self.close(slug)

    def _refused(self, why: str) -> None:
        self._turned_away = True
        self.exchange.refused(self, why)

    def _unwelcome(self) -> None:
        """Something else than the next step of the greeting."""
        if not self.closing:
            proving = self.stage in (Stage.HANDSHAKE, Stage.PROOF)
            self._refuse("auth" if proving else "hello", "it does not speak as a daemon does")

    def _too_slow(self) -> None:
        if self.closing:
            return
        self._refused("it was not done with its greeting in time")
        if self._verification is not None and not self._verification.names:
            self.abort("timeout")  # in the midst of TLS's handshake nothing can be said
        else:
            self.close("timeout")

    def _clear_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


def peer_of(transport: ITransport | None) -> str:
    """An address for people; ``a local program`` at a UNIX socket."""
    address = None if transport is None else transport.getPeer()
    if isinstance(address, IPv4Address | IPv6Address):
        return format_address((address.host, address.port))
    return "a local program"


def names_in(value: object) -> list[str]:
    """The valid names in a notice's list, whatever else may be in it."""
    return [name for name in value if is_name(name)] if isinstance(value, list) else []


def undeliverable(*, hub: str, to: str, reason: str, members: Mapping[str, Any]) -> Envelope:
    """What comes back for a line that reached nobody, as far as the line could be read."""
    addressee, session = members.get("to"), members.get("session")
    lost, epoch, generation = (members.get(n) for n in ("id", "epoch", "generation"))
    return Envelope(
        id=f"undeliverable-{lost}"[:64] if is_id(lost) else "undeliverable",
        from_=str(addressee) if is_name(addressee) else hub,
        to=to,
        session=str(session) if is_name(session) else UNKNOWN,
        epoch=epoch if type(epoch) is int and 0 < epoch < 2**53 else 1,
        generation=generation if type(generation) is int and 0 <= generation < 2**31 else 0,
        kind=EnvelopeKind.UNDELIVERABLE,
        offer=str(lost) if is_id(lost) else UNKNOWN,
        reason=reason,
    )


def returned(envelope: Envelope, reason: str) -> Envelope:
    """The answer to a valid *envelope* that reached nobody."""
    return Envelope(
        id=f"undeliverable-{envelope.id}"[:64],
        from_=envelope.to,
        to=envelope.from_,
        session=envelope.session,
        epoch=envelope.epoch,
        generation=envelope.generation,
        kind=EnvelopeKind.UNDELIVERABLE,
        offer=envelope.id,
        reason=reason,
    )
