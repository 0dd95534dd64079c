"""Who sends STUN that leads nowhere, and how much of it we still read."""

from __future__ import annotations

import socket
from typing import Final, TypeAlias

from attrs import define, field

Origin: TypeAlias = str | bytes
"""An IPv4 host, or the /64 of an IPv6 one: whoever has one address of it has them all."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def origin_of(host: str) -> Origin:
    """What a budget is counted by.

    An IPv4 host that came to an IPv6 socket (``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) is
    one host; as a /64 it would be all of IPv4.
    """
    if ":" not in host:
        return host
    try:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return host
    mapped = packed.startswith(_MAPPED)
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if mapped else packed[:8]


@define(eq=False, repr=False)
class BadSenders:
    """A budget of bad packets per origin and second, in a table that cannot grow.

    What is over the budget need not be read at all. The table is emptied every second, so a
    spoofed flood from everywhere costs *max_origins* entries and no more; the origins that do
    not fit are read as usual.
    """

    per_second: int = 200
    max_origins: int = 1024
    _counts: dict[Origin, int] = field(factory=dict, init=False)
    _since: float = field(default=0.0, init=False)
    _anyone_over: bool = field(default=False, init=False)

    def charge(self, host: str, now: float) -> None:
        """*host* sent a packet that led nowhere."""
        self._turn(now)
        origin = origin_of(host)
        count = self._counts.get(origin, 0)
        if count or len(self._counts) < self.max_origins:
            self._counts[origin] = count + 1
            if count + 1 >= self.per_second:
                self._anyone_over = True

    def over(self, host: str, now: float) -> bool:
        """Whether *host* has used up its budget; costs nothing while nobody has."""
        if not self._anyone_over:
            return False
        self._turn(now)
        return self._counts.get(origin_of(host), 0) >= self.per_second

    def _turn(self, now: float) -> None:
        if now - self._since >= 1.0:
            self._counts.clear()
            self._since = now
            self._anyone_over = False
