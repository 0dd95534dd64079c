"""Two daemons behind NATs, a STUN and TURN server and a hub, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, evolve, field

from refreeze.config import DaemonSettings, HubSettings
from refreeze.net.gathering import GatherSettings
from refreeze.net.servers import IceServer
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import (
    EchoProgram,
    FakeHost,
    FakeTurnServer,
    LinkSettings,
    LocalProgram,
    Nat,
    NatSettings,
    VirtualWorld,
)

HUB = "unix:/virtual/hub.sock"
TURN_HOST = "203.0.113.10"
SERVERS = {
    "pub": IceServer(
        urls=(f"stun:{TURN_HOST}", f"turn:{TURN_HOST}"), username="user", credential="secret"
    )
}
GOOD = ("connected", "completed")
SIDES = ("alice", "bob")


@define(eq=False)
class Networks:
    """*nats*: in front of alice and of bob; None: a public address."""

    nats: Sequence[NatSettings | None] = (None, None)
    seed: int = 1
    servers: dict[str, IceServer] = field(factory=lambda: dict(SERVERS))
    gathering: GatherSettings = field(factory=GatherSettings)
    delay: float = 0.02
    """Of every way between two hosts, in seconds."""
    protect: str = "none"
    world: VirtualWorld = field(init=False)
    hosts: dict[str, FakeHost] = field(factory=dict, init=False)
    nat: dict[str, Nat] = field(factory=dict, init=False)
    turn: FakeTurnServer = field(init=False)
    daemons: dict[str, Daemon] = field(factory=dict, init=False)
    events: list[tuple[float, str, str, dict[str, Any]]] = field(factory=list, init=False)
    program: LocalProgram = field(init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world = VirtualWorld(self.seed, link=LinkSettings(delay=self.delay))
        network = world.network
        self.hosts["hub"] = network.host("hub")
        self.hosts["turn"] = network.host("turn", [TURN_HOST])
        for number, (name, kind) in enumerate(zip(SIDES, self.nats, strict=True), 1):
            if kind is None:
                self.hosts[name] = network.host(name, [f"198.51.100.{number}"])
            else:
                nat = self.nat[name] = network.nat(f"nat-{name}", f"198.51.100.{number}", kind)
                self.hosts[name] = network.host(name, [f"10.{number}.0.2"], nat=nat)
        self.turn = FakeTurnServer(self.hosts["turn"], world.reactor.on("turn")).start()
        self._start("hub", DaemonSettings(name="hub", hub=HubSettings(serve=HUB)))
        echo = world.run(EchoProgram(self.hosts["bob"], ("127.0.0.1", 7100)))
        self.start("alice")
        self.start("bob", f"127.0.0.1:{echo.local[1]}")
        self.program = world.run(LocalProgram(self.hosts["alice"], ("127.0.0.1", 7001), rate=50.0))

    def start(self, name: str, deliver: str | None = None) -> None:
        """That side's daemon."""
        listen = "127.0.0.1:7001" if name == "alice" else "127.0.0.1:7002"
        session = SessionSettings(
            peer="bob" if name == "alice" else "alice",
            protect=self.protect,
            forward=ForwardSettings(listen=listen, deliver=deliver),
        )
        settings = DaemonSettings(
            name=name,
            hub=HubSettings(connect=HUB),
            servers=self.servers,
            gathering=self.gathering,
            sessions={"s": session},
        )
        self._start(name, settings)

    def _start(self, name: str, settings: DaemonSettings) -> None:
        def note(topic: str, fields: dict[str, Any]) -> None:
            self.events.append((self.world.reactor.seconds(), name, topic, fields))

        daemon = self.world.daemon(self.hosts[name], settings, [note])
        self.daemons[name] = daemon
        daemon.startService()

    # Looking

    def session(self, name: str = "alice") -> Session:
        """That side's."""
        return self.daemons[name].supervisor.sessions["s"]

    @property
    def connected(self) -> bool:
        """On both sides."""
        return all(self.session(name).state in GOOD for name in SIDES)

    def types(self, name: str = "alice") -> str:
        """Of the pair that carries data."""
        route = self.session(name).connection.iceTransport.transport.route
        return "none" if route is None else f"{route.local.type.value}/{route.remote.type.value}"

    @property
    def relayed(self) -> bool:
        """Whether the path goes through the server."""
        return "relay" in self.types()

    def topics(self, topic: str, name: str = "alice") -> list[dict[str, Any]]:
        """What was told."""
        return [fields for _, who, what, fields in self.events if (who, what) == (name, topic)]

    # Doing

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.world.reactor.advance(seconds)

    def until_connected(self, seconds: float) -> float:
        """How long it took; AssertionError if longer."""
        began = self.world.reactor.seconds()
        self.world.reactor.run_until(lambda: self.connected, seconds)
        return self.world.reactor.seconds() - began

    def flows(self) -> bool:
        """Whether what is sent now comes back within half a second."""
        began = self.world.reactor.seconds()
        self.advance(0.5)
        return any(each.sent_at >= began for each in self.program.arrivals)

    def until_data(self, seconds: float) -> float:
        """How long it takes until something comes back that was sent after this call."""
        began = self.world.reactor.seconds()

        def back() -> bool:
            arrivals = self.program.arrivals
            return bool(arrivals) and arrivals[-1].sent_at >= began

        self.world.reactor.run_until(back, seconds)
        return self.world.reactor.seconds() - began

    def configure(self, *names: str, **changes: Any) -> None:
        """Reload these sides with these settings."""
        for name in names:
            daemon = self.daemons[name]
            wanted = evolve(daemon.settings, **changes)
            daemon.read_settings = lambda wanted=wanted: wanted  # type: ignore[misc]
            daemon.reload()

    def stop(self) -> list[str]:
        """The end; returns what was left behind."""
        return [str(call) for call in self.world.stop()]
