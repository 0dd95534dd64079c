"""The allocations that are being given back: their sockets stay until their servers know."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from refreeze.net.relaylife import RelayLife


@define(eq=False, repr=False)
class Releases:
    """I hold lives to their end, which is bounded, so that nobody else has to wait for it."""

    _lives: set[RelayLife] = field(factory=set, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def __len__(self) -> int:
        return len(self._lives)

    def take(self, life: RelayLife) -> None:
        """Release *life*; it is nobody else's any more."""
        self._lives.add(life)
        life.release(self._released)

    def done(self) -> Deferred[None]:
        """Fires when there is none left."""
        if not self._lives:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def abort(self) -> None:
        """Close what is left, whatever the servers know."""
        for life in list(self._lives):
            life.abort()
            self._released(life)

    def _released(self, life: RelayLife) -> None:
        self._lives.discard(life)
        if not self._lives:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)
