"""A scene: a hub, alice and bob with their daemons, a program at alice and its echo at bob."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from attrs import define, field, frozen

from refreeze.config import DaemonSettings, HubSettings
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import (
    DatagramLog,
    EchoProgram,
    FakeHost,
    LinkSettings,
    LocalProgram,
    NatSettings,
    VirtualWorld,
)
from refreeze.watchdog import PolicySettings

HUB = "unix:/virtual/hub.sock"
LISTEN = {"alice": ("127.0.0.1", 7001), "bob": ("127.0.0.1", 7002)}
ECHO = ("127.0.0.1", 7100)
SESSION = "demo"
GOOD = ("connected", "completed")


class SceneEvent(NamedTuple):
    """What a daemon told its listeners."""

    at: float
    who: str
    topic: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.at:9.3f} {self.who:5} {self.topic} {self.fields}"


@frozen(kw_only=True)
class Shape:
    """What a scene is made of. *nat*: in front of all of alice's addresses."""

    alice: Sequence[str] = ("192.0.2.1", "198.51.100.1")
    bob: Sequence[str] = ("192.0.2.2", "198.51.100.2")
    nat: NatSettings | None = None
    link: LinkSettings = field(factory=LinkSettings)
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

    def __attrs_post_init__(self) -> None:
        shape = self.shape
        world = self.world = VirtualWorld(self.seed, link=shape.link, log=DatagramLog(None))
        network = world.network
        nat = None if shape.nat is None else network.nat("nat", "203.0.113.1", shape.nat)
        self.hosts = {
            "hub": network.host("hub"),
            "alice": network.host("alice", shape.alice, nat=nat),
            "bob": network.host("bob", shape.bob),
        }
        self.lives = {name: [] for name in self.hosts}
        self.sessions = {name: [] for name in self.hosts}
        self.events = deque(maxlen=4000)
        world.run(EchoProgram(self.hosts["bob"], ECHO))
        for name in self.hosts:
            self.start(name)
        program = LocalProgram(self.hosts["alice"], LISTEN["alice"], rate=shape.rate)
        self.program = world.run(program)

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
            protect="none",
            liveness=shape.liveness,
            offerer=shape.offerer,
            forward=ForwardSettings(listen=listen, deliver=deliver),
        )
        return DaemonSettings(
            name=name,
            hub=HubSettings(connect=HUB),
            watchdog=shape.watchdog,
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
        return self.world.stop()
