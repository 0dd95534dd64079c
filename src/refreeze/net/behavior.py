"""What is between one local address and the servers: probes, and sockets of their own for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, Final, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from refreeze.basics import Address, Randomness
from refreeze.net.port import Batch, Port, PortFactory
from refreeze.net.ratelog import RateLimitedLog
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.net.udp import error_name
from refreeze.stun import StunError, is_stun, parse
from refreeze.stun.behavior import (
    FilteringBehavior,
    FilteringProbe,
    MappingBehavior,
    MappingProbe,
)

PACE: Final = 0.02
"""Seconds between the first requests of two probes of one socket (cf. RFC 8445 section 14.2)."""

MAX_FILTERING: Final = 2
"""Servers that are asked how the NAT filters; the second one in case the first cannot tell."""

_Probe = TypeVar("_Probe", MappingProbe, FilteringProbe)


@frozen(kw_only=True)
class NatBehavior:
    """What one local address knows of the NAT before it. *why*: why something is unknown."""

    local: Address
    mapped: tuple[Address, ...] = ()
    mapping: MappingBehavior = MappingBehavior.UNKNOWN
    filtering: FilteringBehavior = FilteringBehavior.UNKNOWN
    server: Address | None = None
    """Who told; None: two servers were compared, or nobody told anything."""
    why: str | None = None


@define(eq=False, repr=False)
class ProbeSocket:
    """I let probes talk through one port until all are over; then the port is closed."""

    _scheduler: Scheduler
    port: Port
    _progress: Callable[[], None] = lambda: None
    """Called when something may have become known."""
    _waiting: deque[MappingProbe | FilteringProbe] = field(factory=deque, init=False)
    _begun: list[MappingProbe | FilteringProbe] = field(factory=list, init=False)
    _next_begin: float = field(default=0.0, init=False)
    _handle: Handle | None = field(default=None, init=False)
    _done: Deferred[None] = field(init=False)
    _limited: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._done = Deferred(lambda _: self._close())
        self._limited = RateLimitedLog(self._log, now=self._scheduler.now)

    def run(self, probes: Sequence[_Probe]) -> Deferred[None]:
        """Fires when all *probes* are over, which they are in bounded time. May be cancelled."""
        self._waiting.extend(probes)
        self._next_begin = self._scheduler.now()
        self.port.on_batch(self._received)
        self._handle = self._scheduler.add(self)
        return self._done

    # Timed

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        deadlines = [at for each in self._begun if (at := each.next_deadline()) is not None]
        if self._waiting:
            deadlines.append(self._next_begin)
        return min(deadlines, default=None)

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        if self._waiting and now >= self._next_begin:
            probe = self._waiting.popleft()
            self._begun.append(probe)
            self._next_begin = now + PACE
            probe.start(now)
        for each in self._begun:
            each.handle_timeout(now)
        self._settle()

    # The port

    def _received(self, _port: Port, batch: Batch) -> None:
        now = self._scheduler.now()
        for data, source, _tos in batch:
            if not is_stun(data):
                continue
            try:
                message = parse(data)
            except StunError as error:
                self._limited.warn("no STUN from {source}: {why}", source=source[0], why=error)
                continue
            for each in self._begun:
                if each.receive(message, source, now):
                    break
        self._settle()

    def _settle(self) -> None:
        for each in self._begun:
            for data, to in each.take_transmits():
                if not self.port.send([(data, to, 0)]):
                    each.not_sent()
        if self._handle is None:
            return
        self._progress()
        if not self._waiting and all(each.over for each in self._begun):
            self._close()
            self._done.callback(None)
        else:
            self._handle.update()

    def _close(self) -> None:
        self.port.close()
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()


@define(eq=False, repr=False, kw_only=True)
class HostExamination:
    """One local address: all servers by one socket, then the filter by fresh ones."""

    host: str
    servers: Sequence[Address]
    own: Collection[str]
    """This machine's addresses: no server is there."""
    scheduler: Scheduler
    factory: PortFactory
    random: Randomness
    probes: list[MappingProbe] = field(factory=list, init=False)
    """What each server said; in the order of *servers*."""
    _filtering: dict[Address, FilteringProbe] = field(factory=dict, init=False)
    """By server."""
    _running: list[Deferred[None]] = field(factory=list, init=False)

    async def run(self) -> NatBehavior:
        """At most two rounds of :data:`~refreeze.stun.behavior.PATIENCE`; OSError without a socket.

        May be cancelled; no socket stays open.
        """
        socket = ProbeSocket(
            self.scheduler, self.factory.open_udp(self.host), self._ask_for_filters
        )
        base = socket.port.local
        self.probes = [
            MappingProbe(server=server, random=self.random, local=base, own=self.own)
            for server in self.servers
        ]
        try:
            await socket.run(self.probes)
            for each in self._running:
                await each
        finally:
            for each in self._running:
                each.cancel()
        return self._conclude(base)

    def _ask_for_filters(self) -> None:
        """Of every server that can tell, as soon as that is known, but not of too many."""
        for probe in self.probes:
            if probe.other is None or probe.server in self._filtering:
                continue
            if len(self._filtering) < MAX_FILTERING:
                asked = FilteringProbe(server=probe.server, random=self.random, other=probe.other)
                self._filtering[probe.server] = asked
                self._ask_for_filter(asked)

    def _ask_for_filter(self, asked: FilteringProbe) -> None:
        try:
            port = self.factory.open_udp(self.host)
        except OSError as error:
            asked.why = f"no socket: {error_name(error)}"
        else:
            self._running.append(ProbeSocket(self.scheduler, port).run([asked]))

    def _conclude(self, base: Address) -> NatBehavior:
        answered = [probe for probe in self.probes if probe.mapped is not None]
        mapped = tuple(dict.fromkeys(probe.mapped for probe in answered if probe.mapped))
        if not answered:
            return NatBehavior(local=base, why="no server answered")
        told = next((p for p in answered if p.mapping is not MappingBehavior.UNKNOWN), None)
        mapping = _compared(answered) if told is None else told.mapping
        asked = list(self._filtering.values())
        filtered = next((p for p in asked if p.filtering is not FilteringBehavior.UNKNOWN), None)
        why = None
        if mapping is MappingBehavior.UNKNOWN:
            why = next((probe.why for probe in answered if probe.other), answered[0].why)
        elif filtered is None:
            why = asked[0].why if asked else answered[0].no_other
        return NatBehavior(
            local=base,
            mapped=mapped,
            mapping=mapping,
            filtering=FilteringBehavior.UNKNOWN if filtered is None else filtered.filtering,
            server=None if told is None else told.server,
            why=why,
        )


def _compared(answered: Sequence[MappingProbe]) -> MappingBehavior:
    """Without RFC 5780: two servers at different addresses that saw one mapped address, or not.

    One socket asked both. Two that saw different ones do not tell which of the dependent
    behaviors it is; for hole punching that is the same.
    """
    if len({probe.server[0] for probe in answered}) < 2:
        return MappingBehavior.UNKNOWN
    if len({probe.mapped for probe in answered}) == 1:
        return MappingBehavior.ENDPOINT_INDEPENDENT
    return MappingBehavior.ADDRESS_AND_PORT_DEPENDENT
