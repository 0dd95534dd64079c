"""What every signaling keeps of an attached session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.signaling.carrier import CarrierReceiver
from refreeze.signaling.envelope import Envelope


@define(eq=False, repr=False)
class Attachment:
    """One session's receiver: told every change once, and shielded from our caller.

    What it raises is logged here and goes no further.
    """

    session: str
    peer: str
    receiver: CarrierReceiver
    _up: bool | None = field(default=None, init=False)
    _online: bool | None = field(default=None, init=False)
    _greeting: IDelayedCall | None = field(default=None, init=False)
    _gone: bool = field(default=False, init=False)

    _log = Logger()

    def greet(self, clock: IReactorTime, greeting: Callable[[], None]) -> None:
        """Call *greeting* in the next turn: a receiver hears nothing before attach() returns."""
        self._greeting = clock.callLater(0, greeting)

    def release(self) -> None:
        """The receiver hears nothing more."""
        self._gone = True
        if self._greeting is not None and self._greeting.active():
            self._greeting.cancel()

    def tell_up(self, up: bool) -> None:
        """The signaling's state. While it is down nothing is known of the peer's presence."""
        if not up:
            self._online = None
        if up != self._up and not self._gone:
            self._up = up
            self._guard("signaling_state", lambda: self.receiver.signaling_state(up))

    def tell_presence(self, online: bool) -> None:
        """The peer's presence."""
        if online != self._online and not self._gone:
            self._online = online
            self._guard("peer_presence", lambda: self.receiver.peer_presence(self.peer, online))

    def deliver(self, envelope: Envelope) -> None:
        """An envelope from the peer."""
        if not self._gone:
            self._guard("envelope_received", lambda: self.receiver.envelope_received(envelope))

    def _guard(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            self._log.failure(
                "session {session}: its {what} failed", session=self.session, what=what
            )


@define(eq=False, repr=False)
class Attachments:
    """All attached sessions of one signaling, by session and peer."""

    _by_key: dict[tuple[str, str], Attachment] = field(factory=dict, init=False)
    _by_peer: dict[str, set[Attachment]] = field(factory=dict, init=False)

    def add(self, session: str, peer: str, receiver: CarrierReceiver) -> Attachment:
        """ValueError when that session is attached already."""
        if (session, peer) in self._by_key:
            raise ValueError(f"session {session} with {peer} is attached already")
        attachment = Attachment(session, peer, receiver)
        self._by_key[session, peer] = attachment
        self._by_peer.setdefault(peer, set()).add(attachment)
        return attachment

    def remove(self, attachment: Attachment) -> bool:
        """Idempotent; True when its peer has no attached session any more."""
        attachment.release()
        if self._by_key.get((attachment.session, attachment.peer)) is not attachment:
            return False
        del self._by_key[attachment.session, attachment.peer]
        others = self._by_peer[attachment.peer]
        others.discard(attachment)
        if not others:
            del self._by_peer[attachment.peer]
        return not others

    def find(self, envelope: Envelope) -> Attachment | None:
        """The one that *envelope* is for."""
        return self._by_key.get((envelope.session, envelope.from_))

    def of_peer(self, peer: str) -> list[Attachment]:
        return list(self._by_peer.get(peer, ()))

    def peers(self) -> list[str]:
        return list(self._by_peer)

    def __iter__(self) -> Iterator[Attachment]:
        return iter(list(self._by_key.values()))
