"""The only door for data: what leaves and enters over the pair that ICE selected.

A door is Port-shaped: batches go in with :meth:`send` and come out of the receiver that
:meth:`on_batch` set. It has no addresses, because the path chooses them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from attrs import define, field

Payloads: TypeAlias = Sequence[bytes]
PayloadReceiver: TypeAlias = Callable[[list[bytes]], None]


@define
class DoorCounters:
    """What became of every datagram: ``offered == handed + sum(dropped.values())``."""

    offered: int = 0
    handed: int = 0
    received: int = 0
    dropped: Counter[str] = field(factory=Counter)
    received_dropped: Counter[str] = field(factory=Counter)


class DatagramDoor(Protocol):
    """A way for datagrams without addresses."""

    @property
    def counters(self) -> DoorCounters: ...

    @property
    def max_payload(self) -> int | None:
        """The largest datagram the current path takes, in bytes; None without a path."""
        ...

    def send(self, payloads: Payloads) -> int:
        """Send in order; returns how many were handed to a Port, the rest is counted."""
        ...

    def on_batch(self, receiver: PayloadReceiver) -> None:
        """Set the one receiver."""
        ...
