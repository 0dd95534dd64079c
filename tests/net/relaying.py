"""Relays in virtual time: a client machine, TURN servers of the fake network, a pool between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.net.mux import Mux
from refreeze.net.opener import ChannelOpener
from refreeze.net.relay import Relay
from refreeze.net.relayattempt import RelayTools
from refreeze.net.relayrelease import Releases
from refreeze.net.relays import RelayLease, RelayPool
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.resolve import Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import IceServer
from refreeze.testing import FakeHost, LinkSettings, VirtualWorld
from refreeze.testing.reactor import HostReactor
from refreeze.testing.servers import FakeTurnServer
from refreeze.turn import TurnSettings
from tests.testing.desk import Ear

CLIENT = ("203.0.113.5", "2001:db8::5")
SERVER = ("203.0.113.10", "2001:db8::10")
PEER = ("203.0.113.77", "2001:db8::77")
DELAY = 0.02
NAME = "turn.test"
URL = f"turn:{NAME}"


@define(eq=False)
class Watcher:
    """A session, as far as relays are concerned: it writes down what it is told."""

    clock: Callable[[], float]
    settled: list[tuple[float, Relay]] = field(factory=list)
    lost: list[tuple[float, list[Address], str]] = field(factory=list)

    def relay_settled(self, relay: Relay) -> None:
        self.settled.append((self.clock(), relay))

    def relay_lost(self, relay: Relay, bases: Sequence[Address], reason: str) -> None:
        self.lost.append((self.clock(), list(bases), reason))


@define(eq=False)
class Site:
    """The client machine, and everything it needs to be relayed."""

    world: VirtualWorld
    settings: RelaySettings = field(factory=RelaySettings)
    servers: dict[str, IceServer] = field(factory=dict)
    host: FakeHost = field(init=False)
    reactor: HostReactor = field(init=False)
    scheduler: Scheduler = field(init=False)
    mux: Mux = field(init=False)
    pool: RelayPool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.host = self.world.network.host("client", CLIENT)
        self.reactor = self.world.reactor.on("client")
        self.scheduler = Scheduler(self.reactor, boottime=self.reactor.boottime)
        self.mux = Mux(self.scheduler.now)
        opener = ChannelOpener(
            reactor=self.reactor,
            ports=self.host.factory,
            scheduler=self.scheduler,
            hosts=lambda: list(self.host.interfaces),
        )
        self.pool = RelayPool(
            tools=RelayTools(
                opener=opener,
                resolver=Resolver(names=self.reactor.nameResolver, clock=self.reactor),
                scheduler=self.scheduler,
                random=self.world.random.child("relays"),
                releases=Releases(),
                settings=self.settings,
                turn=TurnSettings(),
            ),
            mux=self.mux,
            wall=self.reactor.wall,
            servers=lambda: self.servers,
        )
        self.scheduler.on_clock_jump(self.pool.slept)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps."""
        self.host.suspend(seconds)
        self.reactor.suspend(seconds)

    def lease(self, peer: str = "bob", session: str = "s") -> tuple[RelayLease, Watcher]:
        """Of a session, and what it is told."""
        watcher = Watcher(self.scheduler.now)
        return self.pool.lease(peer=peer, session=session, listener=watcher), watcher

    @property
    def sockets(self) -> int:
        """UDP ports and streams that the machine has open."""
        streams = [
            each for each in self.world.reactor.streams.connections if each.party is self.reactor
        ]
        return len(self.host._ports) + len(streams)


class RelayCase(SynchronousTestCase):
    """One server on two families, one client, and time that only passes when it is told to."""

    settings = RelaySettings()

    def setUp(self) -> None:
        self.world = VirtualWorld(1, link=LinkSettings(delay=DELAY))
        self.network = self.world.network
        self.names = self.world.reactor.nameResolver.table
        self.names[NAME] = SERVER
        self.site = Site(self.world, self.settings)
        self.tls: Any = None
        self.server = self.turn_server("server", SERVER)
        self.use(URL)

    def turn_server(self, name: str, addresses: Sequence[str], **more: Any) -> FakeTurnServer:
        """One more, started."""
        return self.world.turn_server(self.network.host(name, addresses), **more)

    def use(self, *urls: str, name: str = "here", password: str = "secret", **more: Any) -> None:
        """Configure a server of these URLs."""
        if not {"secret", "credential_file", "secret_file"} & more.keys():
            more |= {"username": "user", "credential": password}
        self.site.servers[name] = IceServer(urls=urls, **more)

    def relay(self) -> tuple[Relay, RelayLease, Watcher]:
        """The first session's first, not yet settled."""
        lease, watcher = self.site.lease()
        return lease.relays[0], lease, watcher

    def ready(self) -> tuple[Relay, RelayLease, Watcher]:
        """The same, with its allocation."""
        relay, lease, watcher = self.relay()
        self.until(lambda: bool(relay.ports), 5.0)
        return relay, lease, watcher

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.world.reactor.advance(seconds)

    def until(self, happened: Callable[[], bool], seconds: float) -> float:
        """Time passes until it did, and that in time; returns how long it took."""
        began = self.world.reactor.seconds()
        self.world.reactor.run_until(happened, seconds)
        self.assertTrue(happened(), f"it did not happen within {seconds} s")
        return self.world.reactor.seconds() - began

    def ear(self, host: str = PEER[0], port: int = 7000) -> Ear:
        """A peer, which remembers what it got."""
        name = f"peer {host}"
        found = self.network.hosts.get(name) or self.network.host(name, [host])
        return Ear(found, (host, port))

    def close(self) -> None:
        """Close the pool; nothing of it may be left, and nothing at the server."""
        done: Deferred[None] = self.site.pool.close()
        self.world.reactor.run_until(lambda: bool(done.called), 3.0)
        self.successResultOf(done)
        self.advance(0.6)
        self.assertEqual(self.site.sockets, 0)
        self.assertEqual(dict(self.site.mux.ports), {})
