"""A scene: a hub, alice and bob with their daemons, a program at alice and its echo at bob."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from attrs import define, field, frozen

from refreeze.config import DaemonSettings, HubSettings
from refreeze.net.servers import IceServer
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import (
    DatagramLog,
    EchoProgram,
    FakeHost,
    FakeTurnServer,
    LinkSettings,
    LocalProgram,
    Nat,
    NatSettings,
    VirtualWorld,
)
from refreeze.watchdog import PolicySettings
from tests.net.authority import Authority
from tests.net.test_tls import options

HUB = "unix:/virtual/hub.sock"
LISTEN = {"alice": ("127.0.0.1", 7001), "bob": ("127.0.0.1", 7002)}
ECHO = ("127.0.0.1", 7100)
SESSION = "demo"
GOOD = ("connected", "completed")


@cache
def certificate() -> tuple[str, Any]:
    """The CA's file, and the TURN server's TLS: made once, for it is the network that is random."""
    directory = Path("turn-certificate").resolve()
    directory.mkdir(exist_ok=True)
    authority = Authority()
    return authority.write(directory), options(*authority.issue(directory, "turn.example"))


class SceneEvent(NamedTuple):
    """What a daemon told its listeners."""

    at: float
    who: str
    topic: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.at:9.3f} {self.who:5} {self.topic} {self.fields}"


NATS = {"alice": ("203.0.113.1", "203.0.113.2"), "bob": ("203.0.113.101", "203.0.113.102")}
"""The external address of each side's NAT, and another one that it may change to."""
TURN = ("203.0.113.10", "2001:db8::10")
DEAD = "203.0.113.66"
"""Nobody's."""
NAMES = {"turn.example": TURN, "dead.example": (DEAD,)}


@frozen(kw_only=True)
class TurnShape:
    """A TURN server, and how the daemons know it."""

    urls: Sequence[str] = (f"turn:{TURN[0]}",)
    credentials: str = "file"
    """``file``: they can be rotated; ``secret``: they are made for *ttl* seconds."""
    ttl: float = 120.0
    sha256: bool = False
    max_lifetime: float = 3600.0
    nonce_seconds: float = 3600.0

    @property
    def tls(self) -> bool:
        """Whether it has a certificate."""
        return any(url.startswith("turns:") for url in self.urls)


@frozen(kw_only=True)
class Shape:
    """What a scene is made of. *nat* and *bob_nat*: in front of all of a side's addresses.

    *stun* are URLs of servers without credentials, which may be dead ones.
    """

    alice: Sequence[str] = ("192.0.2.1", "198.51.100.1")
    bob: Sequence[str] = ("192.0.2.2", "198.51.100.2")
    nat: NatSettings | None = None
    bob_nat: NatSettings | None = None
    turn: TurnShape | None = None
    stun: Sequence[str] = ()
    link: LinkSettings = field(factory=LinkSettings)
    protect: str = "dtls"
    plain: str = ""
    """The side that protects nothing all the same."""
    liveness: str = "default"
    offerer: str = "alice"
    watchdog: PolicySettings = field(factory=PolicySettings)
    rate: float = 5.0
    """Packets a second of the program at alice."""


@define(eq=False, repr=False)
class Scene:
    """The daemons are those of service.py; the world under them is the fake one."""

    seed: int
    shape: Shape = field(factory=Shape)
    world: VirtualWorld = field(init=False)
    hosts: dict[str, FakeHost] = field(init=False)
    running: dict[str, Daemon] = field(factory=dict, init=False)
    lives: dict[str, list[Daemon]] = field(init=False)
    """Every daemon that ever ran, with its sessions, so that their counters can be added up."""
    sessions: dict[str, list[Session]] = field(init=False)
    events: deque[SceneEvent] = field(init=False)
    program: LocalProgram = field(init=False)
    turn: FakeTurnServer | None = field(init=False)
    rotations: int = field(default=0, init=False)
    addresses: dict[str, set[str]] = field(init=False)
    """All that a side ever had."""
    ended_at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        shape = self.shape
        world = self.world = VirtualWorld(self.seed, link=shape.link, log=DatagramLog(None))
        network = world.network
        world.reactor.nameResolver.table.update(NAMES)
        self.hosts = {
            "hub": network.host("hub"),
            "alice": network.host("alice", shape.alice, nat=self._nat("alice", shape.nat)),
            "bob": network.host("bob", shape.bob, nat=self._nat("bob", shape.bob_nat)),
        }
        self.addresses = {"alice": {*shape.alice}, "bob": {*shape.bob}}
        self.turn = self._turn_server()
        self.lives = {name: [] for name in self.hosts}
        self.sessions = {name: [] for name in self.hosts}
        self.events = deque(maxlen=4000)
        world.run(EchoProgram(self.hosts["bob"], ECHO))
        for name in self.hosts:
            self.start(name)
        program = LocalProgram(self.hosts["alice"], LISTEN["alice"], rate=shape.rate)
        self.program = world.run(program)

    def _nat(self, side: str, settings: NatSettings | None) -> Nat | None:
        if settings is None:
            return None
        return self.world.network.nat(side, NATS[side][0], settings)

    # The TURN server

    def _turn_server(self) -> FakeTurnServer | None:
        shape = self.shape.turn
        if shape is None:
            return None
        server = self.world.turn_server(
            self.world.network.host("turn", TURN),
            tls=certificate()[1] if shape.tls else None,
            sha256=shape.sha256,
            max_lifetime=shape.max_lifetime,
            nonce_seconds=shape.nonce_seconds,
        )
        self.rotate(server)
        return server

    def rotate(self, server: FakeTurnServer) -> None:
        """Other credentials, for the server and in the daemons' file, from now on."""
        assert self.shape.turn is not None
        if self.shape.turn.credentials == "secret":
            server.rotate_credentials(secret="shared")
            return
        self.rotations += 1
        name, password = f"user-{self.rotations}", f"password-{self.rotations}"
        server.rotate_credentials({name: password})
        Path(self._credential_file).write_text(f"{name}\n{password}\n")

    @property
    def _credential_file(self) -> str:
        return f"credentials-{self.seed}"

    def _servers(self) -> dict[str, IceServer]:
        shape, servers = self.shape, dict[str, IceServer]()
        if shape.stun:
            servers["stun"] = IceServer(urls=tuple(shape.stun))
        if shape.turn is None:
            return servers
        urls, ca = tuple(shape.turn.urls), certificate()[0] if shape.turn.tls else None
        if shape.turn.credentials == "secret":
            servers["turn"] = IceServer(urls=urls, secret="shared", ttl=shape.turn.ttl, ca=ca)
        else:
            servers["turn"] = IceServer(urls=urls, credential_file=self._credential_file, ca=ca)
        return servers

    # Daemons

    def start(self, name: str) -> None:
        """A new daemon of that name; the one before must be gone."""

        def note(topic: str, fields: dict[str, Any]) -> None:
            self.events.append(SceneEvent(self.now, name, topic, fields))

        daemon = self.world.daemon(self.hosts[name], self._settings(name), [note])
        daemon.startService()
        self.running[name] = daemon
        self.lives[name].append(daemon)
        self.sessions[name] += daemon.supervisor.sessions.values()

    def kill(self, name: str) -> None:
        """As SIGKILL does."""
        del self.running[name]
        self.world.kill(self.hosts[name])

    def stop(self, name: str) -> None:
        """As SIGTERM does."""
        self.running.pop(name).stopService()

    def _settings(self, name: str) -> DaemonSettings:
        if name == "hub":
            return DaemonSettings(name=name, hub=HubSettings(serve=HUB))
        shape = self.shape
        deliver = f"{ECHO[0]}:{ECHO[1]}" if name == "bob" else None
        listen = "{}:{}".format(*LISTEN[name])
        session = SessionSettings(
            peer="bob" if name == "alice" else "alice",
            protect="none" if name == shape.plain else shape.protect,
            liveness=shape.liveness,
            offerer=shape.offerer,
            forward=ForwardSettings(listen=listen, deliver=deliver),
        )
        return DaemonSettings(
            name=name,
            hub=HubSettings(connect=HUB),
            watchdog=shape.watchdog,
            servers=self._servers(),
            sessions={SESSION: session},
        )

    # Looking

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.world.reactor.seconds()

    def session(self, name: str) -> Session | None:
        """One side's, when its daemon runs."""
        daemon = self.running.get(name)
        return None if daemon is None else daemon.supervisor.sessions[SESSION]

    def route(self, name: str) -> Any:
        """The pair that carries its data; None without one."""
        session = self.session(name)
        return None if session is None else session.connection.iceTransport.transport.route

    def connected(self) -> bool:
        """Whether both sides are."""
        sides = [self.session(name) for name in ("alice", "bob")]
        return all(side is not None and side.state in GOOD for side in sides)

    def of(self, name: str, topic: str, since: float = 0.0) -> list[SceneEvent]:
        """That daemon's events."""
        return [e for e in self.events if e.who == name and e.topic == topic and e.at >= since]

    # Waiting

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.world.reactor.advance(seconds)

    def connect(self, limit: float = 10.0) -> float:
        """Until both are connected; seconds, or NeverHappened."""
        return self.world.reactor.run_until(self.connected, limit)

    def flow(self, limit: float) -> float:
        """Until both are connected and a packet comes back that is sent from now on; seconds."""
        program, first = self.program, self.program.sent

        def back() -> bool:
            arrivals = program.arrivals
            return bool(arrivals) and arrivals[-1].number >= first and self.connected()

        return self.world.reactor.run_until(back, limit)

    def end(self) -> Sequence[object]:
        """Stop everything; returns the calls that somebody left behind."""
        left = self.world.stop()
        self.ended_at = self.now
        return left
