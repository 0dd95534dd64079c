"""What one daemon has of the network: sockets, relays, names, and what its servers say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from refreeze.basics import Address
from refreeze.config import DaemonSettings
from refreeze.ice import CheckBucket
from refreeze.net.allocating import AllocationChecks
from refreeze.net.doctor import Doctor
from refreeze.net.faults import FaultyPortFactory
from refreeze.net.gatherer import SessionGatherer
from refreeze.net.interfaces import choose_hosts, present_hosts
from refreeze.net.mux import Mux
from refreeze.net.opener import ChannelOpener
from refreeze.net.pool import SocketPool
from refreeze.net.port import PortFactory
from refreeze.net.reflexive import Reflexive
from refreeze.net.relayattempt import RelayTools
from refreeze.net.relayrelease import Releases
from refreeze.net.relays import RelayPool
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.resolve import Resolver
from refreeze.net.routes import ANYWHERE
from refreeze.net.servers import ServerUrl
from refreeze.peer.named import ResolveName
from refreeze.service.names import MulticastNames
from refreeze.service.process import Process
from refreeze.turn import TurnSettings


@define(eq=False, repr=False, kw_only=True)
class Ground:
    """I compose the network floor of one daemon, and make every session's gatherer."""

    process: Process
    settings: Callable[[], DaemonSettings]
    """As they are now."""
    bucket: CheckBucket = field(init=False)
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    resolver: Resolver = field(init=False)
    reflexive: Reflexive = field(init=False)
    relays: RelayPool = field(init=False)
    doctor: Doctor = field(init=False)
    faults: FaultyPortFactory | None = field(default=None, init=False)
    _names: MulticastNames | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        process, settings = self.process, self.settings()
        scheduler = process.scheduler
        factory = process.ports
        if settings.faults:
            factory = self.faults = FaultyPortFactory(factory, scheduler.now)
        strict = settings.ice.strict_pacing
        self.bucket = CheckBucket.strict() if strict else CheckBucket()
        self.mux = Mux(scheduler.now)
        self.pool = SocketPool(factory, self.mux, self.hosts(), settings.ports)
        self.resolver = Resolver(names=process.reactor.nameResolver, clock=process.reactor)
        self.reflexive = Reflexive(
            mux=self.mux,
            scheduler=scheduler,
            random=process.random,
            resolver=self.resolver,
            bucket=self.bucket,
        )
        self.relays = self._make_relays(factory)
        self.doctor = Doctor(
            hosts=self.hosts,
            preferred=self.preferred,
            servers=lambda: self.settings().servers,
            relay_only=lambda: self.settings().gathering.policy == "relay",
            factory=process.ports,
            scheduler=scheduler,
            clock=process.reactor,
            random=process.random,
            resolver=self.resolver,
            allocations=AllocationChecks(tools=self.relays.tools, wall=process.wall),
        )
        self._names = self._make_names()

    def _make_relays(self, factory: PortFactory) -> RelayPool:
        process = self.process
        tools = RelayTools(
            opener=ChannelOpener(
                reactor=process.reactor,
                ports=factory,
                scheduler=process.scheduler,
                hosts=lambda: self.pool.hosts,
            ),
            resolver=self.resolver,
            scheduler=process.scheduler,
            random=process.random,
            releases=Releases(),
            settings=RelaySettings(share_allocations=self.settings().gathering.share_allocations),
            turn=TurnSettings(),
        )
        return RelayPool(
            tools=tools,
            mux=self.mux,
            wall=process.wall,
            servers=lambda: self.settings().servers,
        )

    def _make_names(self) -> MulticastNames | None:
        process = self.process
        if process.mdns_links is None:
            return None
        return MulticastNames(
            opener=process.mdns_links,
            hosts=self._links,
            clock=process.reactor,
            random=process.random,
            settings=lambda: self.settings().gathering,
        )

    # Addresses

    def hosts(self) -> Sequence[str]:
        """The local addresses to use, as they are now."""
        found = self.process.ports.local_hosts()
        return present_hosts(choose_hosts(self.settings().addresses, found), found)

    def preferred(self) -> list[str]:
        """Where the kernel would send from, towards anywhere."""
        chosen = (self.process.ports.source_host(remote) for remote in ANYWHERE)
        return [host for host in chosen if host is not None]

    def _links(self) -> list[tuple[str, str]]:
        hosts = self.hosts()
        return [found for found in self.process.ports.local_hosts() if found[1] in hosts]

    # For sessions

    @property
    def resolve_mdns(self) -> ResolveName | None:
        """Resolves ``.local`` names; None where nobody does."""
        return None if self._names is None else self._names.resolve

    def gatherer(self, peer: str, session: str) -> SessionGatherer:
        """One session's, with sockets and relays of its own; PoolError without any socket."""
        gatherer = SessionGatherer(
            settings=self.settings().gathering,
            pool=self.pool,
            lease=self.pool.lease(peer),
            reflexive=self.reflexive,
            servers=self._urls,
            preferred=self.preferred,
            salt=f"{self.process.random.getrandbits(64):x}",
            names=None if self._names is None else self._names.name_of,
        )
        gatherer.relays = self.relays.lease(peer=peer, session=session, listener=gatherer)
        return gatherer

    def _urls(self) -> list[ServerUrl]:
        return [url for server in self.settings().servers.values() for url in server.parsed]

    # Changes

    def reconfigure(self, gatherers: Iterable[SessionGatherer]) -> None:
        """Servers and gathering changed: in force from everybody's next gathering (rule 14)."""
        wanted = self.settings().gathering
        self.relays.tools = evolve(
            self.relays.tools,
            settings=evolve(self.relays.tools.settings, share_allocations=wanted.share_allocations),
        )
        self.relays.reconfigured()
        for gatherer in gatherers:
            gatherer.settings = wanted

    def base_gone(self, base: Address) -> None:
        """What was known of that socket is no longer true."""
        self.reflexive.forget(base)
        if self._names is not None:
            self._names.forget(base[0])

    def looked(self) -> None:
        """The local addresses may be others than they were."""
        self.relays.look()

    def clock_jumped(self, gap: float) -> None:
        """The machine slept: mappings and allocations may be over, and are asked for (T37)."""
        self.reflexive.doubt()
        self.relays.slept(gap)

    def drop(self, tuples: Iterable[tuple[Address, Address]], until: float) -> None:
        """Lose the packets of those 5-tuples in our ports, both ways, until then."""
        assert self.faults is not None
        for base, remote in tuples:
            self.faults.drop(base, remote, until)

    # The end

    def stop(self) -> Deferred[None]:
        """Say goodbye to servers and links; fires after two seconds at most."""
        self.doctor.stop()
        if self._names is not None:
            self._names.stop()
        return self.relays.close()

    def close(self) -> None:
        """Close every socket."""
        self.reflexive.close()
        self.pool.close()
        if self._names is not None:
            self._names.close()
