"""A fake network and ports on it that remember what they got."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.testing import FakeHost, FakeNetwork, LinkSettings, VirtualClock


@define(eq=False)
class Ear:
    """A port, and (data, source, time) of everything it received."""

    host: FakeHost
    local: Address
    port: Port = field(init=False)
    heard: list[tuple[bytes, Address, float]] = field(factory=list)
    batches: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        open_unix = self.local[0].startswith("/")
        factory = self.host.factory
        self.port = factory.open_unix(self.local[0]) if open_unix else factory.open_udp(*self.local)
        self.local = self.port.local
        self.port.on_batch(self._receive)

    def _receive(self, _port: Port, batch: Batch) -> None:
        now = self.host.network.clock.seconds()
        self.heard += [(data, source, now) for data, source, _tos in batch]
        self.batches.append(len(batch))

    def send(self, to: Address, *payloads: bytes) -> int:
        """All in one batch."""
        return self.port.send([(data, to, 0) for data in payloads or (b"x",)])

    @property
    def data(self) -> list[bytes]:
        """What came, in order."""
        return [data for data, _, _ in self.heard]

    @property
    def sources(self) -> list[Address]:
        """From whom."""
        return [source for _, source, _ in self.heard]


def network(seed: int = 1, **link: Any) -> tuple[VirtualClock, FakeNetwork]:
    """A clock and a network whose links are like that."""
    clock = VirtualClock()
    return clock, FakeNetwork(clock, seed, default_link=LinkSettings(**link))
