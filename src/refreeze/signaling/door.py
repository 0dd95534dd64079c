"""Who is at the hub and not let in yet: bounded, as handshakes cost time and memory."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from refreeze.net.flood import BadSenders, Origin, origin_of

WASTED_PER_SECOND = 20
"""Connections of one origin that came to nothing, after which no more is tried that second."""


@define(eq=False, repr=False)
class Door:
    """I count who stands before me, in all and by origin (an IPv4 host, an IPv6 /64).

    Local programs have no host (``""``); they are counted in all only.
    """

    limit: int
    per_origin: int
    _bad: BadSenders = field(factory=lambda: BadSenders(per_second=WASTED_PER_SECOND), init=False)
    _origins: Counter[Origin] = field(factory=Counter, init=False)
    _all: int = field(default=0, init=False)

    def admits(self, host: str, now: float) -> bool:
        """Whether one more may try."""
        if self._all >= self.limit:
            return False
        fits = self._origins[origin_of(host)] < self.per_origin
        return not host or (fits and not self._bad.over(host, now))

    def came(self, host: str) -> None:
        """One more stands here."""
        self._all += 1
        self._origins[origin_of(host)] += 1

    def passed(self, host: str) -> None:
        """One was let in."""
        origin = origin_of(host)
        self._all -= 1
        self._origins[origin] -= 1
        if not self._origins[origin]:
            del self._origins[origin]

    def wasted(self, host: str, now: float) -> None:
        """One has gone without having been let in."""
        self.passed(host)
        if host:
            self._bad.charge(host, now)
