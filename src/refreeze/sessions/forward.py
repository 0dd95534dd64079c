"""The forward of one session: the local program's UDP in and out of the path.

The local program sends to ``listen``; what the path brings goes to ``deliver``, or, without it,
to the one flow's sender. The first allowed sender owns the flow until it is silent for
``flow_idle``; then another may take it. Received datagrams leave from the listen socket, so no
other local program can take the stream, and nothing is ever reflected.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from refreeze.basics import Address, canonical_host, format_address
from refreeze.net.port import Batch, Port, PortFactory

_PORT = re.compile("[0-9]{1,5}")


class ForwardError(Exception):
    """The forward cannot start; one line."""


def parse_place(text: str, key: str) -> Address:
    """``HOST:PORT``, ``[V6]:PORT`` or ``unix:/PATH`` (as (path, 0)); ValueError names *key*."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"{key}: a UNIX socket needs an absolute path")
        return path, 0
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{key}: HOST:PORT or unix:/PATH is wanted, not {text!r}")
    try:
        return canonical_host(host.removeprefix("[").removesuffix("]")), int(port)
    except ValueError:
        raise ValueError(f"{key}: {host!r} is not a numeric address") from None


def is_unix(address: Address) -> bool:
    """Whether the address is a UNIX socket's."""
    return address[0].startswith("/")


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


@frozen(kw_only=True)
class ForwardSettings:
    """Validated on construction: ValueError in one line that begins with the key."""

    listen: str = "127.0.0.1:0"
    deliver: str | None = None
    allow_from: tuple[str, ...] = ()
    flow_idle: float = 30.0

    def __attrs_post_init__(self) -> None:
        listen = parse_place(self.listen, "listen")
        for network in self.allow_from:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"allow_from: {network!r} is not a network") from None
        if not (is_unix(listen) or self.allow_from or _is_loopback(listen)):
            raise ValueError(
                f"listen: {self.listen} is not loopback; allow_from must say who may send"
            )
        if self.deliver is not None:
            deliver = parse_place(self.deliver, "deliver")
            if is_unix(deliver) != is_unix(listen):
                raise ValueError("deliver: must be of the same kind as listen (UDP or UNIX)")
        if not 0 < self.flow_idle <= 86400:
            raise ValueError("flow_idle: must be greater than 0")


@define
class ForwardCounters:
    """``accepted == handed + sum(dropped_out)``, always."""

    accepted: int = 0
    handed: int = 0
    dropped_out: Counter[str] = field(factory=Counter)
    refused: Counter[str] = field(factory=Counter)
    """Local datagrams that were not accepted: whose sender may not, or owns no flow."""
    received: int = 0
    delivered: int = 0
    dropped_in: Counter[str] = field(factory=Counter)


@define(eq=False, repr=False)
class Forward:
    """I move datagrams between one local program and one path."""

    settings: ForwardSettings
    factory: PortFactory
    path_send: Callable[[Sequence[bytes]], int]
    now: Callable[[], float]
    counters: ForwardCounters = field(factory=ForwardCounters)
    _port: Port | None = None
    _flow: Address | None = None
    _flow_at: float = 0.0
    _deliver: Address | None = None
    _networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = field(factory=list)

    def start(self) -> None:
        """Bind; ForwardError when that is refused."""
        listen = parse_place(self.settings.listen, "listen")
        try:
            if is_unix(listen):
                self._port = self.factory.open_unix(listen[0])
            else:
                self._port = self.factory.open_udp(*listen)
        except OSError as error:
            why = error.strerror or str(error)
            raise ForwardError(f"listen: {self.settings.listen}: {why}") from None
        if self.settings.deliver is not None:
            self._deliver = parse_place(self.settings.deliver, "deliver")
        if not is_unix(listen):  # a UNIX sender's address is a path, an abstract name or nothing
            self._networks = [ipaddress.ip_network(each) for each in self.settings.allow_from]
        self._port.on_batch(self._local_batch)

    def stop(self) -> None:
        """Release the socket."""
        if self._port is not None:
            self._port.close()
            self._port = None

    @property
    def listen_address(self) -> str:
        """Where the local program sends, with the port that was bound."""
        if self._port is None:
            return self.settings.listen
        local = self._port.local
        return f"unix:{local[0]}" if is_unix(local) else format_address(local)

    def _local_batch(self, _port: Port, batch: Batch) -> None:
        now = self.now()
        payloads: list[bytes] = []
        for data, source, _tos in batch:
            if source == self._flow or self._take_flow(source, now):
                self._flow_at = now  # at once: the next of this batch may be another sender
                payloads.append(data)
        if not payloads:
            return
        self.counters.accepted += len(payloads)
        handed = self.path_send(payloads)
        self.counters.handed += handed
        if handed < len(payloads):
            self.counters.dropped_out["path"] += len(payloads) - handed

    def _take_flow(self, source: Address, now: float) -> bool:
        """Whether *source* may speak; the first one owns the flow while it does."""
        if not self._allowed(source):
            self.counters.refused["foreign-sender"] += 1
            return False
        if self._deliver is not None and source == self._deliver:
            self._flow = source
            return True
        if self._flow is not None and now - self._flow_at < self.settings.flow_idle:
            self.counters.refused["other-flow"] += 1
            return False
        self._flow = source
        return True

    def _allowed(self, source: Address) -> bool:
        if not self._networks:
            return True  # the kernel lets only loopback and the path's permissions through
        address = ipaddress.ip_address(source[0].partition("%")[0])
        return any(
            address.version == network.version and address in network for network in self._networks
        )

    def deliver_from_path(self, payloads: Sequence[bytes]) -> None:
        """Hand what the path brought to the local program."""
        self.counters.received += len(payloads)
        target = self._deliver or self._flow
        if self._port is None or target is None or not target[0]:
            self.counters.dropped_in["no-flow"] += len(payloads)
            return
        delivered = self._port.send([(payload, target, 0) for payload in payloads])
        self.counters.delivered += delivered
        if delivered < len(payloads):
            self.counters.dropped_in["send-error"] += len(payloads) - delivered
