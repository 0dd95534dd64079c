"""Stand-ins for what the parts of net/ talk to: ports, owners, timed targets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, BatchReceiver, Port, PortCounters
from refreeze.stun import Message, RequestTemplate, encode_indication, encode_success
from refreeze.stun import short_term_key as make_key

KEY = make_key("a" * 24)

BASE: Address = ("10.0.0.1", 5000)
OTHER_BASE: Address = ("10.0.0.2", 5000)
PEER: Address = ("192.0.2.7", 6000)
STRANGER: Address = ("198.51.100.9", 7000)


def transaction(number: int) -> bytes:
    """A transaction id that is easy to tell from another."""
    return number.to_bytes(12, "big")


def request(local_ufrag: str, number: int = 1) -> bytes:
    """A check as the peer would send it to *local_ufrag*."""
    template = RequestTemplate(
        username=f"{local_ufrag}:peer", key=KEY, priority=1, controlling=True, tie_breaker=1
    )
    return template.encode(transaction(number))


def success(number: int) -> bytes:
    """A success response."""
    return encode_success(transaction(number), PEER, KEY)


def indication(number: int = 1) -> bytes:
    """A keepalive."""
    return encode_indication(transaction(number))


@define(eq=False)
class FakePort:
    """A port that keeps what it was given, and receives what a test hands it."""

    local: Address = BASE
    counters: PortCounters = field(factory=PortCounters)
    broken: str | None = None
    accepts: int = 1 << 30
    sent: list[tuple[bytes, Address, int]] = field(factory=list)
    closed: bool = False
    max_payload: int = 65_507
    receiver: BatchReceiver | None = None

    def send(self, batch: Batch) -> int:
        if self.broken is not None or self.closed:
            return 0
        taken = list(batch)[: self.accepts]
        self.sent.extend(taken)
        return len(taken)

    def on_batch(self, receiver: BatchReceiver) -> None:
        self.receiver = receiver

    def close(self) -> None:
        self.closed = True

    def receive(self, *items: tuple[bytes, Address]) -> None:
        """One turn of the reader found these."""
        assert self.receiver is not None
        self.receiver(self, [(data, source, 0) for data, source in items])


@define(eq=False)
class FakeOwner:
    """An owner that remembers; *fails* makes every call raise, *then* is what STUN does."""

    stun: list[tuple[Message, Address, Address, float]] = field(factory=list)
    data: list[tuple[Address, Address, list[bytes]]] = field(factory=list)
    order: list[str] = field(factory=list)
    fails: bool = False
    then: Callable[[Address, float], None] = field(default=lambda source, now: None)

    def stun_received(
        self, message: Message, port_base: Address, source: Address, now: float
    ) -> None:
        self.stun.append((message, port_base, source, now))
        self.order.append("stun")
        self.then(source, now)
        if self.fails:
            raise RuntimeError("an owner's bug")

    def data_received(
        self, port_base: Address, source: Address, payloads: list[bytes], now: float
    ) -> None:
        self.data.append((port_base, source, payloads))
        self.order.append("data")
        if self.fails:
            raise RuntimeError("an owner's bug")

    def payloads(self) -> list[bytes]:
        """All data, flat."""
        return [payload for _base, _source, payloads in self.data for payload in payloads]


@define(eq=False)
class FakeFactory:
    """Opens fake ports on the hosts there are; a port number is taken only once."""

    hosts: list[str]
    opened: list[FakePort] = field(factory=list)
    refused: dict[Address, int] = field(factory=dict)
    """Errno by address."""
    _next: int = 40000

    def open_udp(self, host: str, port: int = 0) -> Port:
        if host not in self.hosts:
            raise error(errno.EADDRNOTAVAIL)
        if (host, port) in self.refused:
            raise error(self.refused[host, port])
        if any(other.local == (host, port) and not other.closed for other in self.opened):
            raise error(errno.EADDRINUSE)
        if port == 0:
            self._next += 1
            port = self._next
        opened = FakePort((host, port))
        self.opened.append(opened)
        return opened

    def open_unix(self, path: str) -> Port:
        opened = FakePort((path, 0))
        self.opened.append(opened)
        return opened

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        return [("eth0", host) for host in self.hosts]

    def source_host(self, remote_host: str) -> str | None:
        six = ":" in remote_host
        return next((host for host in self.hosts if (":" in host) is six), None)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@define(eq=False)
class FakeTimed:
    """A target whose deadline a test sets; *then* says what a wake-up does."""

    deadline: float | None = None
    then: Callable[[float], None] = field(default=lambda now: None)
    served: list[float] = field(factory=list)

    def next_deadline(self) -> float | None:
        return self.deadline

    def handle_timeout(self, now: float) -> None:
        self.served.append(now)
        self.deadline = None
        self.then(now)
