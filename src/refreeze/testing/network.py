"""The fake network: it carries datagrams between hosts in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from attrs import define, field

from refreeze.basics import Address, canonical_host
from refreeze.net.port import Batch
from refreeze.testing import openssltime
from refreeze.testing.clock import VirtualClock
from refreeze.testing.hosts import FakeHost, FakePort, Interface, Realm, is_loopback
from refreeze.testing.links import INSTANT, Link, LinkSettings
from refreeze.testing.log import HEAD, DatagramLog, Fate, LogEntry
from refreeze.testing.nat import PORT_RESTRICTED, Nat, NatSettings
from refreeze.testing.randomness import SeededRandom

Place: TypeAlias = FakeHost | str | Address
"""A host, its name, one address (of a host or of a NAT), or one address and port."""

Payload: TypeAlias = tuple[bytes, int, bool]
"""Datagram, TOS byte, and whether it is a link's second copy."""

_ANYBODY: Final = None


@define(eq=False, repr=False)
class Blackhole:
    """Swallows what arrives from *a* at *b*, and from *b* at *a* unless it is *one_way*.

    Addresses are compared with what either end sees: its own, and the other's behind a NAT. It
    looks at datagrams when they arrive, so it also takes those under way when it began. Streams
    between hosts stand still meanwhile, unless it takes *streams* not.
    """

    a: str | Address
    b: str | Address | None
    one_way: bool
    until: float | None
    streams: bool = True
    swallowed: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)

    def end(self) -> None:
        """Everything gets through again."""
        self.over = True

    def takes(self, senders: tuple[object, ...], receivers: tuple[object, ...]) -> bool:
        """Whether it swallows a datagram between these; every name of each end is given."""
        a, b = self.a, self.b
        if a in senders and (b is None or b in receivers):
            return True
        return not self.one_way and a in receivers and (b is None or b in senders)


@define(eq=False, repr=False)
class Flight:
    """Datagrams of one sender to one destination that travel together."""

    origin: FakePort
    source: Interface | None
    sent_at: float
    sent_to: Address
    realm: Realm
    """Where they arrive."""
    seen_as: Address
    gateway: Nat | None
    """The last NAT that they passed on their way out."""
    payloads: list[Payload]


@define(eq=False, repr=False)
class FakeNetwork:
    """I am the world between the hosts: realms, links, NATs, faults, and the log.

    *link* is what every way between two hosts is like, unless :meth:`link` says otherwise. DTLS
    handshakes go by my clock too, where :mod:`~refreeze.testing.openssltime` can do that.
    """

    clock: VirtualClock
    seed: int | str
    default_link: LinkSettings = field(factory=LinkSettings, kw_only=True)
    log: DatagramLog = field(factory=DatagramLog, kw_only=True)
    hosts: dict[str, FakeHost] = field(factory=dict, init=False)
    nats: dict[str, Nat] = field(factory=dict, init=False)
    public: Realm = field(factory=lambda: Realm("public"), init=False)
    _random: SeededRandom = field(init=False)
    _settings: dict[tuple[str, str], LinkSettings] = field(factory=dict, init=False)
    _links: dict[tuple[Interface, Interface | None], Link] = field(factory=dict, init=False)
    _blackholes: list[Blackhole] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._random = SeededRandom(self.seed).child("network")
        if openssltime.unavailable() is None:
            openssltime.follow(self.clock)

    # Building

    def host(self, name: str, addresses: Iterable[str] = (), *, nat: Nat | None = None) -> FakeHost:
        """A host, with all its addresses behind *nat* or in public.

        Addresses of another family than the NAT's are outside of it.
        """
        if name in self.hosts:
            raise ValueError(f"there is a host {name} already")
        made = FakeHost(self, name, self.public if nat is None else nat.inside)
        for address in addresses:
            made.add_address(address)
        self.hosts[name] = made
        return made

    def nat(
        self,
        name: str,
        address: str,
        settings: NatSettings = PORT_RESTRICTED,
        *,
        behind: Nat | None = None,
    ) -> Nat:
        """A NAT with that external address, in public or inside another one."""
        if name in self.nats:
            raise ValueError(f"there is a NAT {name} already")
        outside = self.public if behind is None else behind.inside
        inside = Realm(name)
        random = self._random.child(f"nat/{name}")
        made = Nat(name, canonical_host(address), inside, outside, settings, random)
        outside.add(made.address, made)
        inside.gateway = made
        self.nats[name] = made
        return made

    def link(
        self, a: FakeHost | str, b: FakeHost | str, settings: LinkSettings, *, one_way: bool = False
    ) -> None:
        """What the way from *a* to *b* is like from now on, and back too unless *one_way*.

        Each is a host or one address of a host (its own, not a NAT's); the more special wins.
        """
        first, second = _link_name(a), _link_name(b)
        self._settings[first, second] = settings
        if not one_way:
            self._settings[second, first] = settings
        self._relink()

    def default(self, settings: LinkSettings) -> None:
        """What every way is like from now on that :meth:`link` says nothing about."""
        self.default_link = settings
        self._relink()

    def _relink(self) -> None:
        for (source, target), link in self._links.items():
            link.change(self.settings_of(source, target))

    def blackhole(
        self,
        a: Place,
        b: Place | None = _ANYBODY,
        *,
        one_way: bool = False,
        seconds: float | None = None,
        streams: bool = True,
    ) -> Blackhole:
        """Swallow everything from *a* to *b* and back, for *seconds* or until it is ended.

        Without *b*, everything from and to *a*. A 5-tuple is its two addresses and ports.
        Without *streams* it is a firewall that blocks UDP.
        """
        until = None if seconds is None else self.clock.seconds() + seconds
        other = None if b is None else _place(b)
        made = Blackhole(_place(a), other, one_way, until, streams)
        self._blackholes.append(made)
        return made

    def heal(self) -> None:
        """End every blackhole."""
        for blackhole in self._blackholes:
            blackhole.end()
        self._blackholes.clear()

    # Carrying

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """In a turn of its own, now."""
        self.clock.run_at(self.clock.seconds(), function, *args)

    def send(self, port: FakePort, remote: Address, items: Batch) -> bool:
        """For ports: send all *items* to *remote*; False when no kernel would."""
        log, now, origin = self.log, self.clock.seconds(), port.host
        payloads = [(data, tos, False) for data, _remote, tos in items]
        flight = Flight(port, None, now, remote, self.public, port.local, None, payloads)
        if port.is_unix or is_loopback(remote[0]):
            if port.is_unix:
                target = origin.port(remote)
            elif port.interface is not None:
                return False
            else:
                target = origin.port(remote)
                if not is_loopback(port.local[0]):
                    flight.seen_as = ("::1" if port.six else "127.0.0.1", port.local[1])
            if target is None and port.is_unix:
                return False
            log.sent += len(items)
            self.soon(self._arrive_locally, flight)
            return True
        source = origin.source(port, remote[0])
        if source is None:
            return False
        flight.source = source
        log.sent += len(items)
        if port.interface is None:
            flight.seen_as = source.address, port.local[1]
        self._depart(flight)
        return True

    def _depart(self, flight: Flight) -> None:
        """Out through the NATs, and onto the link."""
        source, remote = flight.source, flight.sent_to
        assert source is not None
        realm, now = source.realm, flight.sent_at
        while (place := realm.find(remote[0])) is None:
            gateway = realm.gateway
            if gateway is None:
                self._over(flight, Fate.NO_SUCH_HOST)
                return
            external = gateway.outbound(flight.seen_as, remote, now)
            if isinstance(external, str):
                self._over(flight, Fate.NAT_DROPPED, external)
                return
            flight.seen_as, flight.gateway, realm = external, gateway, gateway.outside
        flight.realm = realm
        link = self._link(source, self._destination(place, remote))
        self._travel(flight, link)

    def _travel(self, flight: Flight, link: Link) -> None:
        """Those that arrive at one time arrive together."""
        now, mtu = flight.sent_at, link.settings.mtu
        groups: dict[float, list[Payload]] = {}
        lost: list[Payload] = []
        too_big: list[Payload] = []
        for payload in flight.payloads:
            if mtu is not None and len(payload[0]) > mtu:
                too_big.append(payload)
                continue
            arrivals = link.arrivals(now)
            if not arrivals:
                lost.append(payload)
            self.log.duplicated += max(0, len(arrivals) - 1)
            for number, at in enumerate(arrivals):
                groups.setdefault(at, []).append((*payload[:2], number > 0))
        if lost:
            self._over(flight, Fate.LOST, payloads=lost)
        if too_big:
            self._over(flight, Fate.TOO_BIG, payloads=too_big)
        for at, payloads in groups.items():
            self.clock.run_at(at, self._arrive, flight, payloads)

    def _arrive(self, flight: Flight, payloads: list[Payload]) -> None:
        """In through the NATs, to the port."""
        place, local = flight.realm.find(flight.sent_to[0]), flight.sent_to
        now, behind = self.clock.seconds(), flight.gateway
        while isinstance(place, Nat):
            if place is behind and not place.settings.hairpin:
                self._over(flight, Fate.NAT_DROPPED, "no hairpin", payloads)
                return
            internal = place.inbound(local[1], flight.seen_as, now)
            if isinstance(internal, str):
                self._over(flight, Fate.NAT_DROPPED, internal, payloads)
                return
            local, place = internal, place.inside.find(internal[0])
        if place is None or place.host.asleep:
            self._over(flight, Fate.NO_SUCH_HOST, "asleep" if place else "", payloads)
            return
        if self._blackholes and self._swallowed(flight, place, local, len(payloads)):
            self._over(flight, Fate.BLACKHOLED, "", payloads, local)
            return
        self._hand_over(flight, place.host.port(local), payloads, local)

    def _arrive_locally(self, flight: Flight) -> None:
        target = flight.origin.host.port(flight.sent_to)
        self._hand_over(flight, target, flight.payloads, flight.sent_to)

    def _hand_over(
        self, flight: Flight, port: FakePort | None, payloads: list[Payload], local: Address
    ) -> None:
        if port is None:
            self._over(flight, Fate.NO_SUCH_PORT, "", payloads, local)
            return
        self._over(flight, Fate.DELIVERED, "", payloads, local)
        seen_as = flight.seen_as
        port.receive([(data, seen_as, tos) for data, tos, _copy in payloads])

    def _swallowed(self, flight: Flight, place: Interface, local: Address, count: int) -> bool:
        origin, seen_as, sent_to = flight.origin, flight.seen_as, flight.sent_to
        own = origin.local
        senders = (origin.host.name, own, own[0], seen_as, seen_as[0])
        receivers = (place.host.name, local, local[0], sent_to, sent_to[0])
        blackhole = self.blackhole_of(senders, receivers)
        if blackhole is not None:
            blackhole.swallowed += count
        return blackhole is not None

    def blackhole_of(
        self, senders: tuple[object, ...], receivers: tuple[object, ...], *, streams: bool = False
    ) -> Blackhole | None:
        """What swallows now whatever goes between these, every name of each end being given."""
        now = self.clock.seconds()
        for blackhole in tuple(self._blackholes):
            if blackhole.over or (blackhole.until is not None and now >= blackhole.until):
                self._blackholes.remove(blackhole)
            elif (blackhole.streams or not streams) and blackhole.takes(senders, receivers):
                return blackhole
        return None

    # Links

    def _destination(self, place: Interface | Nat, remote: Address) -> Interface | None:
        """Where a datagram is going, as far as that can be known when it leaves."""
        while isinstance(place, Nat):
            internal = place.peek(remote[1])
            found = None if internal is None else place.inside.find(internal[0])
            if internal is None or found is None:
                return None
            remote, place = internal, found
        return place

    def _link(self, source: Interface, target: Interface | None) -> Link:
        link = self._links.get((source, target))
        if link is None:
            name = "" if target is None else f"{target.host.name}/{target.address}"
            random = self._random.child(f"link/{source.host.name}/{source.address}/{name}")
            link = Link(self.settings_of(source, target), random)
            self._links[source, target] = link
        return link

    def settings_of(self, source: Interface, target: Interface | None) -> LinkSettings:
        """What the way between them is like."""
        if target is None:
            return self.default_link
        if source.host is target.host:
            return INSTANT
        for first in (source.address, source.host.name):
            for second in (target.address, target.host.name):
                found = self._settings.get((first, second))
                if found is not None:
                    return found
        return self.default_link

    # The log

    def _over(
        self,
        flight: Flight,
        fate: Fate,
        detail: str = "",
        payloads: list[Payload] | None = None,
        arrived: Address | None = None,
    ) -> None:
        if payloads is None:
            payloads = flight.payloads
        log = self.log
        log.fates[fate] += len(payloads)
        if log.limit == 0:
            return
        now, origin = self.clock.seconds(), flight.origin
        for data, _tos, copy in payloads:
            log.add(
                LogEntry(
                    flight.sent_at,
                    now,
                    origin.host.name,
                    origin.local,
                    flight.seen_as,
                    flight.sent_to,
                    arrived,
                    len(data),
                    fate,
                    detail,
                    data[:HEAD],
                    copy,
                )
            )


def _link_name(place: FakeHost | str) -> str:
    return place.name if isinstance(place, FakeHost) else place


def _place(place: Place) -> str | Address:
    return place.name if isinstance(place, FakeHost) else place
