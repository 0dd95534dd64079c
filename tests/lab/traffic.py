"""Numbered packets between two local programs, and what became of each of them.

All programs of all namespaces live in one thread: a socket stays in the namespace where it was
made. Times are seconds of the monotonic clock, which all namespaces share.
"""

from __future__ import annotations

import selectors
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from socket import socket
from typing import Self

from attrs import define, field, frozen

from tests.lab.commands import until
from tests.lab.namespaces import Namespace

_PACKET = struct.Struct("!4sI")
_MARK = b"\x80lab"
"""Not the beginning of anything else that is sent here."""
MARKER = b"a program's own words; "
"""What packets are filled with, so that a capture of plain payload shows it."""
SIZE = 200
_FILLING = (MARKER * SIZE)[: SIZE - _PACKET.size]
USUAL_RATE = 50.0
"""Packets a second."""


@frozen
class Stream:
    """One direction: when each packet was sent, by number, and every arrival in its order."""

    sent: Sequence[float]
    arrivals: Sequence[tuple[int, float]]

    def lost(self, since: float = 0.0, until: float = float("inf")) -> list[int]:
        """The packets sent between the two times that have not arrived (yet)."""
        there = {number for number, _ in self.arrivals}
        return [
            number
            for number, at in enumerate(self.sent)
            if since <= at <= until and number not in there
        ]

    def duplicates(self) -> list[int]:
        """What arrived more than once."""
        counts = Counter(number for number, _ in self.arrivals)
        return sorted(number for number, count in counts.items() if count > 1)

    def gap(self, since: float, until: float | None = None) -> float:
        """The longest time without an arrival that ended, or has not ended, after *since*."""
        times = [at for _, at in self.arrivals]
        ends = [*times, time.monotonic() if until is None else until]
        begins = [self.sent[0] if self.sent else since, *times]
        return max((e - b for b, e in zip(begins, ends, strict=True) if e >= since), default=0.0)

    def first_arrival(self, since: float) -> float | None:
        """When the first packet came that was sent after *since*."""
        return next((at for number, at in self.arrivals if self.sent[number] >= since), None)


@define(eq=False)
class Program:
    """A local program: it sends to a forward's ``listen`` and takes what comes back."""

    socket: socket = field(repr=False)
    target: tuple[str, int] | None
    interval: float
    sent: list[float] = field(factory=list, repr=False)
    arrivals: list[tuple[int, float]] = field(factory=list, repr=False)
    due: float = field(factory=time.monotonic)

    @property
    def address(self) -> tuple[str, int]:
        """Where a forward delivers to it."""
        host, port = self.socket.getsockname()[:2]
        return host, port

    def send(self, now: float) -> None:
        """The next packet; it counts also when nobody listens there."""
        self.due = max(self.due + self.interval, now)
        if self.target is None:
            return
        packet = _PACKET.pack(_MARK, len(self.sent)) + _FILLING
        self.sent.append(now)
        with suppress(OSError):
            self.socket.sendto(packet, self.target)

    def take(self) -> None:
        """Everything that has come."""
        while True:
            try:
                data = self.socket.recv(2000)
            except BlockingIOError:
                return
            except OSError:  # an earlier packet found nobody
                continue
            mark, number = _PACKET.unpack_from(data)
            if mark == _MARK:
                self.arrivals.append((number, time.monotonic()))


@define(eq=False)
class Traffic:
    """I run the programs; a context manager."""

    _programs: list[Program] = field(factory=list, init=False)
    _selector: selectors.BaseSelector = field(factory=selectors.DefaultSelector, init=False)
    _running: bool = field(default=True, init=False)
    _thread: threading.Thread = field(init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the programs; what they saw stays."""
        self._running = False
        self._thread.join()
        self._selector.close()
        for each in self._programs:
            each.socket.close()

    def program(
        self,
        namespace: Namespace,
        *,
        port: int = 0,
        target: tuple[str, int] | None = None,
        rate: float = USUAL_RATE,
        host: str = "127.0.0.1",
    ) -> Program:
        """A new one, at *port*; with a *target* it sends *rate* packets a second from now on."""
        made = Program(namespace.udp(host, port), target, 1.0 / rate)
        made.socket.setblocking(False)
        with self._lock:
            self._selector.register(made.socket, selectors.EVENT_READ, made)
            self._programs.append(made)
        return made

    def drop(self, *programs: Program) -> None:
        """End these; what they saw stays."""
        with self._lock:
            for each in programs:
                self._selector.unregister(each.socket)
                self._programs.remove(each)
                each.socket.close()

    def _run(self) -> None:
        while self._running:
            with self._lock:
                wait = self._send_what_is_due()
            ready = self._selector.select(wait)
            with self._lock:
                for key, _ in ready:
                    if key.data in self._programs:
                        key.data.take()

    def _send_what_is_due(self) -> float:
        """Returns the seconds until the next is; not many, for the sake of new programs."""
        now = time.monotonic()
        for each in self._programs:
            if each.due <= now:
                each.send(now)
        next_due = min((each.due for each in self._programs), default=now + 1.0)
        return min(max(0.0, next_due - time.monotonic()), 0.05)


@frozen
class Flow:
    """Both directions between two programs."""

    one: Program
    two: Program

    @property
    def there(self) -> Stream:
        """From one to two."""
        return Stream(self.one.sent, self.two.arrivals)

    @property
    def back(self) -> Stream:
        """From two to one."""
        return Stream(self.two.sent, self.one.arrivals)

    def flows(self, since: float) -> bool:
        """Whether packets sent after *since* have arrived at both ends."""
        return None not in (self.there.first_arrival(since), self.back.first_arrival(since))

    def wait(self, seconds: float, since: float | None = None) -> float:
        """Until packets sent from now on (or after *since*) arrive at both; seconds that took."""
        began = time.monotonic() if since is None else since
        until(lambda: self.flows(began), "packets both ways", seconds)
        return time.monotonic() - began
