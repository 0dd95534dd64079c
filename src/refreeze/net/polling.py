"""Changed addresses where no kernel tells of them: looked for every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ClassVar

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from refreeze.net.netlink import AddressMonitor

INTERVAL = 3.0
"""Seconds between two looks."""


@define(eq=False, repr=False, kw_only=True)
class AddressPoll:
    """I call everybody who asked when *look* answers something else than the time before."""

    look: Callable[[], Hashable]
    clock: IReactorTime
    interval: float = INTERVAL
    _callbacks: list[Callable[[], None]] = field(factory=list, init=False)
    _seen: Hashable = field(default=None, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* after a look that found something else."""
        self._callbacks.append(callback)

    def start(self) -> None:
        """Look from now on; what there is now is no change."""
        self._seen = self.look()
        self._next = self.clock.callLater(self.interval, self._look)

    def stop(self) -> None:
        """Idempotent."""
        waiting, self._next = self._next, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _look(self) -> None:
        self._next = self.clock.callLater(self.interval, self._look)
        try:
            seen = self.look()
        except OSError as error:
            self._log.warn("the addresses cannot be read: {why}", why=error)
            return
        if seen != self._seen:
            self._seen = seen
            for callback in list(self._callbacks):
                try:
                    callback()
                except Exception:
                    self._log.failure("who was told of a changed address failed")


@define(eq=False, repr=False)
class NetworkMonitor:
    """The kernel's word of changes where it gives it, else our own looks."""

    netlink: AddressMonitor
    poll: AddressPoll

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* whenever addresses, links or routes may have changed."""
        self.netlink.on_change(callback)
        self.poll.on_change(callback)

    def start(self) -> None:
        """From now on."""
        if not self.netlink.start():
            self.poll.start()

    def stop(self) -> None:
        """Idempotent."""
        self.netlink.stop()
        self.poll.stop()
