"""The forward of one session: the local program's UDP in and out of the path.

The local program sends to ``listen``; what the path brings goes to ``deliver``, or, without it,
to the one flow's sender. The first allowed sender owns the flow until it is silent for
``flow_idle``; then another may take it. Received datagrams leave from the listen socket, so no
other local program can take the stream, and nothing is ever reflected: what is sent to a refused
sender is nothing, and what comes from our own socket goes nowhere.
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


def _ip(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address[0].partition("%")[0])


def _check_deliver(deliver: Address, listen: Address) -> None:
    """ValueError when the listen socket could never send there, or would send to itself."""
    if is_unix(deliver) != is_unix(listen):
        raise ValueError("deliver: must be of the same kind as listen (UDP or UNIX)")
    if is_unix(deliver):
        if deliver == listen:
            raise ValueError("deliver: is listen itself")
        return
    to, via = _ip(deliver), _ip(listen)
    if to.version != via.version:
        raise ValueError("deliver: must be of the same family as listen (IPv4 or IPv6)")
    if to.is_unspecified or to.is_multicast or deliver[1] == 0:
        raise ValueError(f"deliver: {format_address(deliver)} is not one program's address")
    if via.is_loopback and not to.is_loopback:
        raise ValueError("deliver: is not loopback, so listen cannot be either")
    if deliver[1] == listen[1] and (to == via or (via.is_unspecified and to.is_loopback)):
        raise ValueError("deliver: is listen itself")


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
        if not (is_unix(listen) or self.allow_from or _ip(listen).is_loopback):
            raise ValueError(
                f"listen: {self.listen} is not loopback; allow_from must say who may send"
            )
        if self.deliver is not None:
            _check_deliver(parse_place(self.deliver, "deliver"), listen)
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
        self._port = self._listen(self.settings.listen)
        self._take_settings()

    def change(self, settings: ForwardSettings) -> None:
        """Go by *settings* from now on; the socket stays unless ``listen`` is another place.

        ForwardError when the new place cannot be bound: nothing has changed then.
        """
        if settings.listen != self.settings.listen:
            port, old = self._listen(settings.listen), self._port
            self._port, self._flow = port, None
            if old is not None:
                old.close()
        self.settings = settings
        self._take_settings()

    def _listen(self, text: str) -> Port:
        listen = parse_place(text, "listen")
        try:
            if is_unix(listen):
                port = self.factory.open_unix(listen[0])
            else:
                port = self.factory.open_udp(*listen)
        except OSError as error:
            why = error.strerror or str(error)
            raise ForwardError(f"listen: {text}: {why}") from None
        port.on_batch(self._local_batch)
        return port

    def _take_settings(self) -> None:
        settings = self.settings
        deliver = settings.deliver
        self._deliver = None if deliver is None else parse_place(deliver, "deliver")
        # A UNIX sender's address is a path, an abstract name or nothing.
        unix = is_unix(parse_place(settings.listen, "listen"))
        self._networks = [] if unix else [ipaddress.ip_network(n) for n in settings.allow_from]
        if self._flow is not None and not self._allowed(self._flow):
            self._flow = None

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
        flow, now = self._flow, self.now()
        payloads = [data for data, source, _tos in batch if source == flow]
        if len(payloads) < len(batch):
            payloads = self._pick(batch, now)
        if not payloads:
            return
        self._flow_at = now
        counters, count = self.counters, len(payloads)
        counters.accepted += count
        handed = 0
        try:
            handed = self.path_send(payloads)
        finally:
            counters.handed += handed
            if handed < count:
                counters.dropped_out["path"] += count - handed

    def _pick(self, batch: Batch, now: float) -> list[bytes]:
        """What may pass of a batch from several senders, or from a new one."""
        payloads = []
        for data, source, _tos in batch:
            if source == self._flow or self._take_flow(source, now):
                self._flow_at = now  # at once: the next of this batch may be another sender
                payloads.append(data)
        return payloads

    def _take_flow(self, source: Address, now: float) -> bool:
        """Whether *source* may speak; the first one owns the flow while it does."""
        if not self._allowed(source) or self._is_us(source):
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

    def _is_us(self, source: Address) -> bool:
        """What we sent ourselves would go round for ever."""
        return self._port is not None and source == self._port.local

    def _allowed(self, source: Address) -> bool:
        if not self._networks:
            return True  # the kernel lets only loopback and the path's permissions through
        address = _ip(source)
        return any(
            address.version == network.version and address in network for network in self._networks
        )

    def deliver_from_path(self, payloads: Sequence[bytes]) -> None:
        """Hand what the path brought to the local program."""
        counters, count, port = self.counters, len(payloads), self._port
        counters.received += count
        target = self._deliver or self._flow
        if port is None or target is None or not target[0]:
            counters.dropped_in["no-flow"] += count
            return
        ours = port.counters
        too_long, would_block = ours.too_long, ours.would_block
        delivered = port.send([(payload, target, 0) for payload in payloads])
        counters.delivered += delivered
        lost = count - delivered
        if lost:
            too_long, would_block = ours.too_long - too_long, ours.would_block - would_block
            counters.dropped_in += Counter(
                {
                    "too-long": too_long,
                    "would-block": would_block,
                    "send-error": lost - too_long - would_block,
                }
            )
