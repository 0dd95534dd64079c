"""The first seconds of a hub: its daemons are on their way back, so nobody is called absent yet.

Of a hub that was restarted, every link comes back within moments, but one after the other. Who
is first must not hear that its peer is away: its round would be given up for nothing, and what it
sends would come back. So absence is told, and envelopes for the absent are returned, only when
these seconds are over; until then they wait here, bounded. It is the only time that a hub keeps
anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from refreeze.signaling.envelope import Envelope
from refreeze.signaling.hub_connection import HubConnection

MAX_HELD: Final = 4 * 1024 * 1024
"""Bytes of all envelopes that wait."""

MAX_HELD_FOR_ONE: Final = 64
"""Envelopes that wait for one daemon: an offer, and its candidates."""


@frozen(eq=False, repr=False)
class Held:
    """One envelope that waits: as it will be sent, and who wants to know if it is not."""

    sender: HubConnection
    envelope: Envelope
    line: bytes


@define(eq=False, repr=False)
class Homecoming:
    """I hold what is sent to daemons that may still come, for *seconds* from my beginning."""

    clock: IReactorTime
    seconds: float
    _over: Callable[[], None]
    _timer: IDelayedCall | None = field(default=None, init=False)
    _held: dict[str, list[Held]] = field(factory=dict, init=False)
    _size: int = field(default=0, init=False)

    def begin(self) -> None:
        """The hub has started; *over* is called once when it is young no more."""
        if self.seconds > 0:
            self._timer = self.clock.callLater(self.seconds, self._end)

    def stop(self) -> None:
        """The hub ends; what waits is its senders' again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._held.clear()
        self._size = 0

    @property
    def under_way(self) -> bool:
        """Whether nobody is called absent yet."""
        return self._timer is not None

    def hold(self, held: Held) -> bool:
        """Keep *held* for its addressee; False: there is no room, or no time."""
        waiting = self._held.get(held.envelope.to, [])
        fits = len(waiting) < MAX_HELD_FOR_ONE and self._size + len(held.line) <= MAX_HELD
        if not self.under_way or not fits:
            return False
        self._size += len(held.line)
        self._held.setdefault(held.envelope.to, waiting).append(held)
        return True

    def take(self, name: str) -> list[Held]:
        """What waits for the daemon *name*, in order; it waits no more.

        Its bytes stay counted: they bound what a hub holds in its youth altogether.
        """
        return self._held.pop(name, [])

    def take_all(self) -> list[Held]:
        """Everything that waits, in order for each addressee."""
        found = [held for waiting in self._held.values() for held in waiting]
        self._held.clear()
        return found

    def _end(self) -> None:
        self._timer = None
        self._over()
