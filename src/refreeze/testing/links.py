"""What a way through the network does to datagrams: delay, jitter, loss, order, copies."""

from __future__ import annotations

from attrs import define, field, frozen

from refreeze.basics import Randomness


@frozen(kw_only=True)
class LinkSettings:
    """One direction. Seconds, bytes, and probabilities from 0 to 1.

    *jitter* adds up to so much to the delay and keeps the order, as a queue does. A *reorder*-ed
    datagram waits *reorder_delay* longer, and later ones overtake it. A *duplicate* arrives
    twice. A datagram whose payload is longer than *mtu* vanishes.
    """

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    reorder_delay: float = 0.02
    duplicate: float = 0.0
    mtu: int | None = None

    def __attrs_post_init__(self) -> None:
        if min(self.delay, self.jitter, self.reorder_delay) < 0:
            raise ValueError("delay: must not be negative")
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: is a probability, from 0 to 1")

    @property
    def certain(self) -> bool:
        """Whether chance has no part in it."""
        return not (self.jitter or self.loss or self.reorder or self.duplicate)


INSTANT = LinkSettings(delay=0.0)
"""Inside one host."""


@define(eq=False, repr=False)
class Link:
    """One direction between two interfaces, with its own stream of randomness."""

    settings: LinkSettings
    _random: Randomness
    _certain: bool = field(init=False)
    _last: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._certain = self.settings.certain

    def change(self, settings: LinkSettings) -> None:
        """From now on."""
        self.settings = settings
        self._certain = settings.certain

    def arrivals(self, now: float) -> tuple[float, ...]:
        """When the copies of a datagram sent *now* arrive; empty when it is lost."""
        settings = self.settings
        if self._certain:
            at = self._last = max(self._last, now + settings.delay)
            return (at,)
        chance = self._random.random
        if settings.loss and chance() < settings.loss:
            return ()
        at = now + settings.delay
        if settings.jitter:
            at += chance() * settings.jitter
        if settings.reorder and chance() < settings.reorder:
            at = max(self._last, at) + settings.reorder_delay
        else:
            at = self._last = max(self._last, at)
        if settings.duplicate and chance() < settings.duplicate:
            return at, at
        return (at,)
