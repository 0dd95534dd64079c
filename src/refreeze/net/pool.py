"""Few sockets, shared: the k-th session to a peer takes the k-th socket of every address.

Two sessions to the same peer never share a socket, because data carries no name.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from refreeze.basics import Address, format_address
from refreeze.net.mux import Mux
from refreeze.net.port import PortFactory


class PoolError(Exception):
    """No address could be bound; one line."""


@define(eq=False)
class Lease:
    """One session's sockets: the *index*-th of every address, best address first."""

    peer: str
    index: int
    bases: list[Address]


@define(eq=False)
class SocketPool:
    """Opens ports as they are needed and keeps them for good.

    *ports*: (0, 0) lets the kernel choose; (5000, 5010) takes the first free of the range.
    """

    factory: PortFactory
    mux: Mux
    hosts: Sequence[str]
    ports: tuple[int, int] = (0, 0)
    errors: list[str] = field(factory=list, init=False)
    _opened: dict[tuple[str, int], Address] = field(factory=dict, init=False)
    _taken: dict[str, set[int]] = field(factory=dict, init=False)

    def lease(self, peer: str) -> Lease:
        """Sockets for one more session to *peer*; PoolError when not one address works."""
        taken = self._taken.setdefault(peer, set())
        index = next(i for i in range(len(taken) + 1) if i not in taken)
        lease = Lease(peer, index, [])
        taken.add(index)
        self.refresh(lease)
        if not lease.bases:
            self.release(lease)
            raise PoolError("; ".join(self.errors) or "there is no local address to use")
        return lease

    def refresh(self, lease: Lease) -> None:
        """Bring the lease up to date: missing and broken sockets are opened again (T35)."""
        self.errors.clear()
        lease.bases[:] = [
            base for host in self.hosts if (base := self._base(host, lease.index)) is not None
        ]

    def release(self, lease: Lease) -> None:
        """The session is over; its sockets stay for the next one."""
        self._taken.get(lease.peer, set()).discard(lease.index)

    def close(self) -> None:
        """Close every socket."""
        for base in self._opened.values():
            port = self.mux.ports.get(base)
            self.mux.remove_port(base)
            if port is not None:
                port.close()
        self._opened.clear()

    def _base(self, host: str, index: int) -> Address | None:
        base = self._opened.get((host, index))
        if base is not None:
            port = self.mux.ports.get(base)
            if port is not None and port.broken is None:
                return base
            self.mux.remove_port(base)
            if port is not None:
                port.close()
            del self._opened[host, index]
        first, last = self.ports
        for number in range(first, last + 1):
            try:
                port = self.factory.open_udp(host, number)
            except OSError as error:
                where = format_address((host, number))
                self.errors.append(f"{where}: {error.strerror or error}")
                continue
            self.mux.add_port(port)
            self._opened[host, index] = port.local
            return port.local
        return None
