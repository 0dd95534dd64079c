"""What became of every datagram."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from attrs import define, field

from refreeze.basics import Address, format_address

HEAD: Final = 64
"""First bytes of a datagram that its entry keeps."""


class Fate(StrEnum):
    """How a datagram's way ended."""

    DELIVERED = "delivered"
    LOST = "lost"
    TOO_BIG = "too-big"
    """Longer than the link's MTU; nobody tells the sender."""
    NAT_DROPPED = "nat-dropped"
    BLACKHOLED = "blackholed"
    NO_SUCH_HOST = "no-such-host"
    NO_SUCH_PORT = "no-such-port"


class LogEntry(NamedTuple):
    """One datagram, or one copy of a duplicated one."""

    sent_at: float
    """Virtual seconds."""
    at: float
    """When its fate was decided."""
    host: str
    """Who sent it."""
    source: Address
    """As its sender has it."""
    seen_as: Address
    """Its source behind the last NAT that it got through."""
    sent_to: Address
    arrived: Address | None
    """The port that got it, as its owner has it; None: it did not get so far."""
    size: int
    fate: Fate
    detail: str
    head: bytes
    copy: bool
    """A link made it; its original has an entry of its own."""

    def __str__(self) -> str:
        way = f"{self.host} {format_address(self.source)}"
        if self.seen_as != self.source:
            way += f" ({format_address(self.seen_as)})"
        way += f" -> {format_address(self.sent_to)}"
        if self.arrived is not None and self.arrived != self.sent_to:
            way += f" ({format_address(self.arrived)})"
        why = f": {self.detail}" if self.detail else ""
        return f"{self.sent_at:.6f} {way} {self.size} B {self.fate}{why} {self.at:.6f}"


@define(eq=False, repr=False)
class DatagramLog:
    """The last *limit* datagrams (0: none are kept, None: all), and totals of all of them.

    ``sent + duplicated == sum(fates.values()) + in_flight``, at any time.
    """

    limit: int | None = 10_000
    sent: int = field(default=0, init=False)
    """Datagrams that a port took."""
    duplicated: int = field(default=0, init=False)
    fates: Counter[Fate] = field(factory=Counter, init=False)
    _entries: deque[LogEntry] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._entries = deque(maxlen=self.limit)

    @property
    def in_flight(self) -> int:
        """Datagrams whose fate is open."""
        return self.sent + self.duplicated - self.fates.total()

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: LogEntry) -> None:
        """For the network: one more that is over."""
        self._entries.append(entry)

    def of(
        self, fate: Fate | None = None, *, host: str | None = None, since: float = 0.0
    ) -> list[LogEntry]:
        """Those with that fate, from that host, sent since then."""
        return [
            entry
            for entry in self._entries
            if fate in (None, entry.fate) and host in (None, entry.host) and entry.sent_at >= since
        ]
