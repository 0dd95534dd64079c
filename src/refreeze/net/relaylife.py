"""One life of a relay: one channel, one allocation on it, and the ports it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.channel import ServerChannel
from refreeze.net.port import Datagram
from refreeze.net.relayport import RelayPort
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.turn import (
    Allocated,
    Allocation,
    AllocationFailed,
    AllocationLost,
    Released,
    TryAlternate,
    TurnEvent,
    TurnProblem,
)

ReleasedCallback: TypeAlias = Callable[["RelayLife"], None]

UNANSWERED: Final = AllocationFailed(TurnProblem(None, "unanswered"), "later")
"""The server is not there, or does not answer (any more)."""


class LifeOwner(Protocol):
    """Who lives by it. A life ends with exactly one of the calls below ``life_ready``, unless
    its owner releases it first."""

    def life_ready(self, life: RelayLife) -> None:
        """It has ports."""
        ...

    def life_failed(self, life: RelayLife, failure: AllocationFailed) -> None:
        """It will never have any; what the server may know of it is the owner's to release."""
        ...

    def life_redirected(self, life: RelayLife, server: Address, domain: str | None) -> None:
        """Another server is to be asked instead (300); the channel is closed."""
        ...

    def life_lost(self, life: RelayLife, reason: str) -> None:
        """It had ports, and they carry nothing any more; the channel is closed."""
        ...


@define(eq=False, repr=False, kw_only=True)
class RelayLife:
    """I carry one allocation's datagrams and time, until it ends. I never begin another.

    ========== ===================================== ==========================================
    state      ends by                               what comes too late
    ========== ===================================== ==========================================
    asking     ready; failed; redirected; release    --
    ready      lost; release                         --
    releasing  the server's answer, or its time      data and losses: nobody is told
    over       --                                    everything
    ========== ===================================== ==========================================
    """

    channel: ServerChannel
    allocation: Allocation
    scheduler: Scheduler
    settings: RelaySettings
    owner: LifeOwner
    ports: tuple[RelayPort, ...] = field(default=(), init=False)
    """By family, as they were asked for; closed once the life is over."""
    state: str = field(default="asking", init=False)
    _began: float = field(default=0.0, init=False)
    _heard: float = field(default=0.0, init=False)
    _release_by: float = field(default=0.0, init=False)
    _released: ReleasedCallback = field(default=lambda _: None, init=False)
    _ahead: float = field(default=0.0, init=False)
    """By which the server's time is ahead of ours, since we slept."""
    _handle: Handle | None = field(default=None, init=False)
    _pumping: bool = field(default=False, init=False)

    @property
    def bases(self) -> list[Address]:
        """The relayed addresses."""
        return [port.local for port in self.ports]

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.relayport.Relaying`."""
        return self.allocation.max_payload

    # What its owner asks for

    def start(self) -> None:
        """Ask the server for it; the answer never comes inside this call."""
        self._began = self._heard = self.scheduler.now()
        self.channel.on_frames(self._frames_received)
        self.channel.on_lost(self.lost)
        self._handle = self.scheduler.add(self)
        self.allocation.start(self._server_time())
        self._pump()

    def verify(self) -> None:
        """Is it still there? It is lost in about 4 s if nobody answers."""
        if self.state == "ready":
            self.allocation.verify(self._server_time())
            self._pump()

    def slept(self, seconds: float) -> None:
        """The clock stood still for so long, and the server's did not: what is late is due now.

        Permissions and channels that ran out meanwhile would be silence for ever (T37).
        """
        self._ahead += seconds
        if self._handle is not None:
            self._handle.update()

    def lost(self, reason: str) -> None:
        """Its 5-tuple cannot carry anything any more."""
        state = self.state
        if state not in ("releasing", "over"):
            self.allocation.lost(reason, self._server_time())
        if state == "asking":
            self._end_failed(UNANSWERED)
        elif state == "ready":
            self._end_lost(reason)
        elif state == "releasing":
            self._end()

    def release(self, released: ReleasedCallback) -> None:
        """End it at the server, on its own 5-tuple, before the socket goes (T29).

        The ports carry nothing from now on. An allocation that was only asked for may be there:
        it is released when its answer comes, within the same time. *released* is called when
        the server knows, or was given the time to, which may be now.
        """
        if self.state == "over" or (self.state == "asking" and self._heard == self._began):
            self.abort()
            released(self)
            return
        if self.state == "releasing":
            return
        self._released = released
        self._release_by = self.scheduler.now() + self.settings.release_seconds
        self.state = "releasing"
        self._close_ports("released")
        self.allocation.release(self._server_time())
        self._pump()

    def abort(self) -> None:
        """Over at once, whatever the server knows; nobody is told."""
        if self.state == "over":
            return
        self.state = "over"
        self._close_ports("closed")
        if self._handle is not None:
            self._handle.remove()
        self.channel.close()

    # Relaying

    def relay(self, items: Sequence[tuple[bytes, Address]]) -> int:
        """See :class:`~refreeze.net.relayport.Relaying`."""
        if self.state != "ready":
            return 0
        now, allocation = self._server_time(), self.allocation
        taken = sum([allocation.send(peer, payload, now) for payload, peer in items])
        self._pump()
        return taken

    # Timed

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        at, mine = self.allocation.next_deadline(), self._patience()
        if at is None:
            return mine
        at -= self._ahead
        return at if mine is None else min(at, mine)

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        self.allocation.handle_timeout(now + self._ahead)
        self._pump()
        patience = self._patience()
        if patience is None or now < patience:
            return
        if self.state == "releasing":
            self._end()
        else:
            # An answer that was lost may have been an allocation's: it is not over yet.
            doubt = self.allocation.doubt
            self.owner.life_failed(self, UNANSWERED if doubt is None else _unusable(doubt))

    def _patience(self) -> float | None:
        if self.state == "asking":
            settings = self.settings
            return min(self._heard + settings.fresh_seconds, self._began + settings.answer_seconds)
        return self._release_by if self.state == "releasing" else None

    def _server_time(self) -> float:
        return self.scheduler.now() + self._ahead

    # From the channel

    def _frames_received(self, frames: Sequence[bytes]) -> None:
        if self.state == "over":
            return
        self._heard = self.scheduler.now()
        now = self._server_time()
        for frame in frames:
            self.allocation.receive(frame, now)
        self._pump()

    # From the allocation

    def _pump(self) -> None:
        """Carry out what the allocation wants; calls from inside leave the telling to the first."""
        send = self.channel.send
        for frame in self.allocation.take_transmits():
            send(frame)
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.state != "over" and self._told():
                for frame in self.allocation.take_transmits():
                    send(frame)
        finally:
            self._pumping = False
        if self._handle is not None:
            self._handle.update()

    def _told(self) -> bool:
        """Tell what happened and what came; whether there was anything."""
        events = self.allocation.take_events()
        for event in events:
            self._apply(event)
        received = self.allocation.take_received()
        batches: dict[int, list[Datagram]] = {}
        for family, peer, payload in received:
            batches.setdefault(family, []).append((payload, peer, 0))
        for port in self.ports:
            batch = batches.get(6 if ":" in port.local[0] else 4)
            if batch:
                port.received(batch)
        return bool(events or received)

    def _apply(self, event: TurnEvent) -> None:
        if isinstance(event, Released):
            self._end()
        elif self.state == "asking":
            self._apply_asking(event)
        elif self.state == "ready" and isinstance(event, AllocationLost):
            self._end_lost(event.reason)
        elif self.state == "releasing" and isinstance(event, AllocationLost | AllocationFailed):
            self._end()

    def _apply_asking(self, event: TurnEvent) -> None:
        if isinstance(event, Allocated):
            self.state = "ready"
            relayed = self.allocation.relayed
            self.ports = tuple(RelayPort(relayed[family], self) for family in sorted(relayed))
            self.owner.life_ready(self)
        elif isinstance(event, AllocationFailed):
            self._end_failed(event)
        elif isinstance(event, TryAlternate):
            self.abort()
            self.owner.life_redirected(self, event.address, event.domain)
        elif isinstance(event, AllocationLost):
            self._end_failed(UNANSWERED)

    def _end(self) -> None:
        if self.state == "releasing":
            self.abort()
            self._released(self)

    def _end_failed(self, failure: AllocationFailed) -> None:
        if self.state == "asking":
            self.abort()
            self.owner.life_failed(self, failure)

    def _end_lost(self, reason: str) -> None:
        if self.state == "ready":
            self._close_ports(reason)
            self.abort()
            self.owner.life_lost(self, reason)

    def _close_ports(self, reason: str) -> None:
        for port in self.ports:
            port.lost(reason)
            port.close()


def _unusable(why: str) -> AllocationFailed:
    """There were answers, and none that could be believed."""
    return AllocationFailed(TurnProblem(None, why), "later")
