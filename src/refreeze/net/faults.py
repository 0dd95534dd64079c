"""Faults on purpose: ports that silently drop, both ways, what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, BatchReceiver, Port, PortCounters, PortFactory


@define(eq=False)
class FaultyPort:
    """A port that loses the datagrams of some remote addresses, or of all, for a while."""

    port: Port
    now: Callable[[], float]
    lost_in: int = 0
    lost_out: int = 0
    _until: dict[Address | None, float] = field(factory=dict)

    @property
    def local(self) -> Address:
        return self.port.local

    @property
    def counters(self) -> PortCounters:
        return self.port.counters

    @property
    def broken(self) -> str | None:
        return self.port.broken

    def drop(self, remote: Address | None, until: float) -> None:
        """Lose everything to and from *remote* (None: everything) until then."""
        self._until[remote] = until

    def clear(self) -> None:
        """Lose nothing any more."""
        self._until.clear()

    def _dropping(self, remote: Address) -> bool:
        now = self.now()
        for key in (None, remote):
            until = self._until.get(key)
            if until is not None:
                if now < until:
                    return True
                del self._until[key]
        return False

    def send(self, batch: Batch) -> int:
        """Datagrams that are lost here count as handed over: a network loses in silence."""
        if not self._until:
            return self.port.send(batch)
        kept = [item for item in batch if not self._dropping(item[1])]
        lost = len(batch) - len(kept)
        self.lost_out += lost
        return lost + (self.port.send(kept) if kept else 0)

    def on_batch(self, receiver: BatchReceiver) -> None:
        """The receiver sees this port, and what was not lost."""

        def filtered(_port: Port, batch: Batch) -> None:
            kept: Batch = batch
            if self._until:
                kept = [item for item in batch if not self._dropping(item[1])]
                self.lost_in += len(batch) - len(kept)
            if kept:
                receiver(self, kept)

        self.port.on_batch(filtered)

    def close(self) -> None:
        self.port.close()


@define(eq=False)
class FaultyPortFactory:
    """Wraps the UDP ports of a factory and remembers them by their address."""

    factory: PortFactory
    now: Callable[[], float]
    ports: dict[Address, FaultyPort] = field(factory=dict)

    def open_udp(self, host: str, port: int = 0) -> Port:
        """A port that can be told to lose datagrams."""
        opened = FaultyPort(self.factory.open_udp(host, port), self.now)
        self.ports[opened.local] = opened
        return opened

    def open_unix(self, path: str) -> Port:
        """UNIX sockets lose nothing."""
        return self.factory.open_unix(path)

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """As the wrapped factory has them."""
        return self.factory.local_hosts()

    def drop(self, base: Address, remote: Address | None, until: float) -> None:
        """See :meth:`FaultyPort.drop`; an unknown base is ignored."""
        port = self.ports.get(base)
        if port is not None:
            port.drop(remote, until)
