"""Local programs: one that sends numbered packets and watches what comes back, and an echo."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.testing.clock import VirtualCall
from refreeze.testing.hosts import FakeHost

_HEADER: Final = struct.Struct("!2sQd")
"""Mark, number, time of sending; the first byte is not one of STUN's (RFC 7983)."""
_MARK: Final = b"PK"


class Arrival(NamedTuple):
    """A packet that a program got for the first time."""

    number: int
    sent_at: float
    at: float


@define(eq=False, repr=False)
class LocalProgram:
    """A UDP program on a fake host: sends *rate* numbered packets a second to *target*.

    What it gets that was sent by a program like itself is written down: its own packets when
    somebody echoes them, or another's. With ``rate=0`` it only listens, until :meth:`send`.
    """

    host: FakeHost
    target: Address | Callable[[], Address] | None = None
    rate: float = field(default=10.0, kw_only=True)
    size: int = field(default=100, kw_only=True)
    """Bytes a packet; 18 at least."""
    address: Address = field(default=("127.0.0.1", 0), kw_only=True)
    sent: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """Sent, but not taken by the own host's port."""
    arrivals: list[Arrival] = field(factory=list, init=False)
    duplicates: int = field(default=0, init=False)
    reordered: int = field(default=0, init=False)
    """Came for the first time after one with a greater number."""
    foreign: int = field(default=0, init=False)
    """Datagrams that were not of such a program."""
    port: Port | None = field(default=None, init=False)
    _got: set[int] = field(factory=set, init=False)
    _highest: int = field(default=-1, init=False)
    _timer: VirtualCall | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)
    _in_time: int = field(default=0, init=False)

    # Life

    def start(self) -> LocalProgram:
        """Bind, and begin to send; OSError when the address is taken."""
        port = self.port = self.host.factory.open_udp(*self.address)
        port.on_batch(self._received)
        if self.rate > 0:
            self.resume()
        return self

    def pause(self) -> None:
        """Send nothing for now; go on to listen."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def resume(self) -> None:
        """Send again; the first packet at once."""
        self.pause()
        self._began, self._in_time = self._now(), 0
        self._tick()

    def stop(self) -> None:
        """Nothing more, and the address is free. Idempotent."""
        self.pause()
        if self.port is not None:
            self.port.close()

    @property
    def local(self) -> Address:
        """Where it is bound."""
        if self.port is None:
            raise RuntimeError("the program was not started")
        return self.port.local

    def send(self, count: int = 1) -> None:
        """Some packets at once."""
        target = self.target() if callable(self.target) else self.target
        if self.port is None or target is None:
            raise RuntimeError("the program was not started, or has no target")
        now, batch = self._now(), []
        for number in range(self.sent, self.sent + count):
            head = _HEADER.pack(_MARK, number, now)
            batch.append((head.ljust(self.size, b"\0"), target, 0))
        self.sent += count
        self.refused += count - self.port.send(batch)

    # What came of it

    @property
    def received(self) -> int:
        """Packets that came, each counted once."""
        return len(self.arrivals)

    @property
    def lost(self) -> int:
        """Packets of mine that did not come back (yet)."""
        return self.sent - self.received

    def missing(self, begin: int = 0, end: int | None = None) -> list[int]:
        """The numbers from *begin* to before *end* (all that were sent) that never came."""
        return [n for n in range(begin, self.sent if end is None else end) if n not in self._got]

    @property
    def last_arrival(self) -> float | None:
        """When something came last."""
        return self.arrivals[-1].at if self.arrivals else None

    def longest_gap(self, since: float = 0.0) -> float:
        """The longest time without an arrival after *since*, up to now."""
        times = [since, *(each.at for each in self.arrivals if each.at >= since), self._now()]
        return max(later - earlier for earlier, later in pairwise(times))

    def delays(self) -> list[float]:
        """Seconds from sending to arrival, for every packet that came."""
        return [each.at - each.sent_at for each in self.arrivals]

    # Inside

    def _now(self) -> float:
        return self.host.network.clock.seconds()

    def _tick(self) -> None:
        if not self.host.asleep:
            self.send()
        self._in_time += 1
        # Counted from the beginning, so that rounding does not add up.
        at = self._began + self._in_time / self.rate
        self._timer = self.host.network.clock.callLater(max(0.0, at - self._now()), self._tick)

    def _received(self, _port: Port, batch: Batch) -> None:
        now = self._now()
        for data, _source, _tos in batch:
            if data[:2] != _MARK or len(data) < _HEADER.size:
                self.foreign += 1
                continue
            _mark, number, sent_at = _HEADER.unpack_from(data)
            if number in self._got:
                self.duplicates += 1
                continue
            self._got.add(number)
            self.arrivals.append(Arrival(number, sent_at, now))
            if number < self._highest:
                self.reordered += 1
            self._highest = max(self._highest, number)


@define(eq=False, repr=False)
class EchoProgram:
    """Sends everything back to where it came from."""

    host: FakeHost
    address: Address = ("127.0.0.1", 0)
    echoed: int = field(default=0, init=False)
    port: Port | None = field(default=None, init=False)

    def start(self) -> EchoProgram:
        """Bind; OSError when the address is taken."""
        port = self.port = self.host.factory.open_udp(*self.address)
        port.on_batch(self._received)
        return self

    @property
    def local(self) -> Address:
        """Where it is bound."""
        if self.port is None:
            raise RuntimeError("the program was not started")
        return self.port.local

    def stop(self) -> None:
        """The address is free. Idempotent."""
        if self.port is not None:
            self.port.close()

    def _received(self, port: Port, batch: Batch) -> None:
        self.echoed += port.send(batch)
