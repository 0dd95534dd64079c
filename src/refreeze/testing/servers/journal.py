"""What a server of the fake network did, for tests to ask."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from attrs import define, field

from refreeze.basics import Address, format_address

LIMIT: Final = 10_000


class ServerEntry(NamedTuple):
    """One thing that happened."""

    at: float
    """Virtual seconds."""
    what: str
    """A slug: ``binding``, ``allocated``, ``refreshed``, ``permitted``, ``bound``, ``refused``;
    ``released``, ``expired``, ``disconnected``, ``forgotten``, ``killed`` end an allocation;
    ``garbage``."""
    client: Address
    """As the server sees it."""
    detail: str

    def __str__(self) -> str:
        return f"{self.at:.6f} {self.what} {format_address(self.client)} {self.detail}".rstrip()


@define(eq=False, repr=False)
class ServerJournal:
    """The last entries, and how many of each there were."""

    counts: Counter[str] = field(factory=Counter, init=False)
    _entries: deque[ServerEntry] = field(factory=lambda: deque(maxlen=LIMIT), init=False)

    def write(self, at: float, what: str, client: Address, detail: str = "") -> None:
        """For servers: one more."""
        self.counts[what] += 1
        self._entries.append(ServerEntry(at, what, client, detail))

    def __iter__(self) -> Iterator[ServerEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, what: str, *, since: float = 0.0) -> list[ServerEntry]:
        """Those that are kept, from then on."""
        return [entry for entry in self._entries if entry.what == what and entry.at >= since]
