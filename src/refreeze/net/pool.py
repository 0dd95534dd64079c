"""Few sockets, shared: the k-th session to a peer takes the k-th socket of every address.

Two sessions to the same peer never share a socket, because data carries no name. Sessions to
different peers share. Sockets are opened when they are first needed and stay for good, across
restarts and sessions, unless their address goes away or they break (T35).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from attrs import define, field

from refreeze.basics import Address, format_address
from refreeze.net.mux import Mux
from refreeze.net.port import Port, PortFactory

PortRange: TypeAlias = tuple[int, int]
"""First and last port number that may be used; (0, 0) lets the kernel choose."""

ANY_PORT: Final = (0, 0)
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
"""The address is not there, or not yet (a tentative IPv6 address)."""

_OF_THE_HOST: Final = _ABSENT | {errno.EAFNOSUPPORT, errno.EMFILE, errno.ENFILE}
"""Errors that another port number does not help against."""

_PORT_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class PoolError(Exception):
    """No address could be bound; one line with every reason."""


def parse_port_range(text: str | int) -> PortRange:
    """``5000`` or ``"5000-5010"``, or 0 for any; ValueError, one line."""
    match = _PORT_RANGE.fullmatch(str(text))
    if match is not None:
        first = int(match[1])
        last = int(match[2] or first)
        if first <= last <= 65535 and (first > 0 or last == 0):
            return first, last
    raise ValueError(f"not a port or a range of ports: {text!r}")


@define(eq=False, repr=False)
class Lease:
    """One session's sockets: the *index*-th of every local address, in the pool's order."""

    peer: str
    index: int
    bases: list[Address] = field(factory=list)
    _held: bool = field(default=True, init=False)

    @property
    def held(self) -> bool:
        """False once it was released."""
        return self._held


@define(eq=False, repr=False)
class SocketPool:
    """I open the ports of all sessions, and put them into the mux."""

    _factory: PortFactory
    _mux: Mux
    hosts: Sequence[str]
    ports: PortRange = ANY_PORT
    errors: dict[str, str] = field(factory=dict, init=False)
    """Why a host has no socket, one line each; it is tried again by the next lease or refresh."""
    _absent: set[str] = field(factory=set, init=False)
    _opened: dict[tuple[str, int], Address] = field(factory=dict, init=False)
    _taken: dict[str, dict[int, Lease]] = field(factory=dict, init=False)

    def lease(self, peer: str) -> Lease:
        """Sockets for one more session to *peer*; PoolError when not one address can be bound.

        An address that is not there is no such error: it may come, and :meth:`refresh` tries.
        """
        taken = self._taken.setdefault(peer, {})
        index = next(number for number in range(len(taken) + 1) if number not in taken)
        lease = taken[index] = Lease(peer, index)
        self.refresh(lease)
        if not lease.bases and not self._absent.issuperset(self.hosts):
            self.release(lease)
            raise PoolError("; ".join(self.errors.values()))
        return lease

    def refresh(self, lease: Lease) -> list[Address]:
        """Open what *lease* lacks, and again what broke; returns the bases it lost.

        A socket that could be opened again at its own port is not lost.
        """
        before = list(lease.bases)
        if lease.held:
            bases = [self._base(host, lease.index) for host in self.hosts]
            lease.bases[:] = [base for base in bases if base is not None]
        return [base for base in before if base not in lease.bases]

    def refresh_all(self) -> list[Address]:
        """:meth:`refresh` every lease; returns the bases that were lost, each once."""
        lost: dict[Address, None] = {}
        for taken in list(self._taken.values()):
            for lease in list(taken.values()):
                lost |= dict.fromkeys(self.refresh(lease))
        return list(lost)

    def release(self, lease: Lease) -> None:
        """The session is over; its sockets stay for the next one. Idempotent."""
        lease._held = False
        taken = self._taken.get(lease.peer, {})
        if taken.get(lease.index) is lease:
            del taken[lease.index]
            if not taken:
                del self._taken[lease.peer]

    def replace(self, base: Address) -> Address | None:
        """Open a broken socket again, at its own port if that can be (T35).

        Returns the base there is now: *base* itself when nobody needs to know, another one when
        only another port was free, None when the address is gone. Leases follow.
        """
        for (host, index), opened in self._opened.items():
            if opened == base:
                self._close(host, index)
                found = self._open(host, index, first_try=base[1])
                self._swap(base, found, index)
                return found
        return None

    def set_hosts(self, hosts: Sequence[str]) -> list[Address]:
        """The local addresses are these from now on; returns the bases that went, closed.

        Leases lose them at once and get sockets of new addresses by :meth:`refresh`.
        """
        self.hosts = list(hosts)
        gone = []
        for host, index in list(self._opened):
            if host not in self.hosts:
                base = self._close(host, index)
                self._swap(base, None, index)
                gone.append(base)
        for host in list(self.errors):
            if host not in self.hosts:
                del self.errors[host]
                self._absent.discard(host)
        return gone

    @property
    def absent(self) -> frozenset[str]:
        """Hosts that could not be bound because they are not there, or not yet."""
        return frozenset(self._absent)

    def has(self, base: Address) -> bool:
        """Whether *base* is one of ours, open or broken."""
        return base in self._opened.values()

    def close(self) -> None:
        """Close every socket."""
        for host, index in list(self._opened):
            self._close(host, index)

    def _base(self, host: str, index: int) -> Address | None:
        base = self._opened.get((host, index))
        if base is None:
            return self._open(host, index)
        port = self._mux.ports.get(base)
        if port is not None and port.broken is None:
            return base
        return self.replace(base)

    def _swap(self, base: Address, found: Address | None, index: int) -> None:
        for taken in self._taken.values():
            lease = taken.get(index)
            if lease is not None and base in lease.bases:
                at = lease.bases.index(base)
                lease.bases[at : at + 1] = [] if found is None else [found]

    def _close(self, host: str, index: int) -> Address:
        base = self._opened.pop((host, index))
        port = self._mux.ports.get(base)
        self._mux.remove_port(base)
        if port is not None:
            port.close()
        return base

    def _open(self, host: str, index: int, first_try: int | None = None) -> Address | None:
        port = self._bind(host, first_try)
        if port is None:
            return None
        self.errors.pop(host, None)
        self._absent.discard(host)
        self._mux.add_port(port)
        self._opened[host, index] = port.local
        return port.local

    def _bind(self, host: str, first_try: int | None) -> Port | None:
        """The first number that works: the one we had, else any of the range that is free."""
        first, last = self.ports
        ours = {base[1] for base in self._opened.values() if base[0] == host}
        numbers = [number for number in range(first, last + 1) if number not in ours]
        if first_try is not None:
            numbers = [first_try, *(number for number in numbers if number != first_try)]
        reason = "every port of the range has a socket of ours"
        for number in numbers:
            try:
                return self._factory.open_udp(host, number)
            except OSError as error:
                reason = error.strerror or str(error)
                if error.errno in _ABSENT:
                    self._absent.add(host)
                if error.errno in _OF_THE_HOST:
                    break
        where = format_address((host, first)) + (f"-{last}" if last != first else "")
        self.errors[host] = f"{where}: {reason}".replace("\n", " ")
        return None
