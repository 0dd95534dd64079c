"""Faults on purpose: ports that silently drop, both ways, what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, BatchReceiver, Port, PortCounters, PortFactory


@define(eq=False, repr=False)
class FaultyPort:
    """A port that loses the datagrams of some remote addresses, or of all, for a while.

    To everybody above, the network lost them: nothing is an error, and nothing else counts
    them than :attr:`lost_in` and :attr:`lost_out`.
    """

    port: Port
    _now: Callable[[], float]
    lost_in: int = field(default=0, init=False)
    lost_out: int = field(default=0, init=False)
    faults: dict[Address | None, float] = field(factory=dict)
    """Until when each remote address is cut off; None stands for all of them."""

    @property
    def local(self) -> Address:
        """See :class:`~refreeze.net.port.Port`."""
        return self.port.local

    @property
    def counters(self) -> PortCounters:
        """The wrapped port's: what was lost here never got there."""
        return self.port.counters

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        return self.port.max_payload

    @property
    def broken(self) -> str | None:
        """See :class:`~refreeze.net.port.Port`."""
        return self.port.broken

    def drop(self, remote: Address | None, until: float) -> None:
        """Lose everything to and from *remote* (None: everybody) until then (monotonic s)."""
        self.faults[remote] = until

    def clear(self) -> None:
        """Lose nothing any more."""
        self.faults.clear()

    def send(self, batch: Batch) -> int:
        """Datagrams that are lost here count as handed over: a network loses in silence."""
        kept = self._survivors(batch)
        lost = len(batch) - len(kept)
        self.lost_out += lost
        return lost + (self.port.send(kept) if kept else 0)

    def on_batch(self, receiver: BatchReceiver) -> None:
        """The receiver sees this port, and what was not lost."""

        def filtered(_port: Port, batch: Batch) -> None:
            kept = self._survivors(batch)
            self.lost_in += len(batch) - len(kept)
            if kept:
                receiver(self, kept)

        self.port.on_batch(filtered)

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        self.port.close()

    def _survivors(self, batch: Batch) -> Batch:
        if not self.faults:
            return batch
        now = self._now()
        for over in [remote for remote, until in self.faults.items() if until <= now]:
            del self.faults[over]
        if None in self.faults:
            return ()
        return [item for item in batch if item[1] not in self.faults]


@define(eq=False, repr=False)
class FaultyPortFactory:
    """Wraps the UDP ports of a factory, and remembers them so that faults can be injected.

    A fault is the path's and not the socket's: a port that is opened again at the same address
    inherits what is left of it.
    """

    _factory: PortFactory
    _now: Callable[[], float]
    ports: dict[Address, FaultyPort] = field(factory=dict, init=False)

    def open_udp(self, host: str, port: int = 0) -> Port:
        """A port that can be told to lose datagrams."""
        inner = self._factory.open_udp(host, port)
        before = self.ports.get(inner.local)
        opened = FaultyPort(inner, self._now, {} if before is None else before.faults)
        self.ports[opened.local] = opened
        return opened

    def open_unix(self, path: str) -> Port:
        """UNIX sockets lose nothing."""
        return self._factory.open_unix(path)

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """As the wrapped factory has them."""
        return self._factory.local_hosts()

    def source_host(self, remote_host: str) -> str | None:
        """As the wrapped factory has it: a fault is no missing route."""
        return self._factory.source_host(remote_host)

    def drop(self, base: Address, remote: Address | None, until: float) -> bool:
        """See :meth:`FaultyPort.drop`; False when no port has that base."""
        port = self.ports.get(base)
        if port is None:
            return False
        port.drop(remote, until)
        return True

    def clear(self) -> None:
        """End every fault."""
        for port in self.ports.values():
            port.clear()
