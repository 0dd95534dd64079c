"""Two whole daemons and a hub in the fake network: an echo behind bob, a program at alice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from refreeze.config import DaemonSettings, HubSettings
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import EchoProgram, FakeHost, LinkSettings, LocalProgram, VirtualWorld

HUB = "unix:/virtual/hub.sock"
ECHO = ("127.0.0.1", 7100)
LISTEN = ("127.0.0.1", 7001)
RTT = 0.04
"""Seconds."""


@define(eq=False, repr=False)
class Pair:
    """Alice and bob, with two addresses each, by default timers."""

    seed: int
    note: Callable[[str, dict[str, Any]], None]
    """Told of alice's and bob's events."""
    world: VirtualWorld = field(init=False)
    hosts: dict[str, FakeHost] = field(init=False)
    daemons: dict[str, Daemon] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world = VirtualWorld(self.seed, link=LinkSettings(delay=RTT / 2))
        hub = DaemonSettings(name="hub", hub=HubSettings(serve=HUB))
        world.daemon(world.network.host("hub"), hub).startService()
        self.hosts = {
            "alice": world.network.host("alice", ["192.0.2.1", "198.51.100.1"]),
            "bob": world.network.host("bob", ["192.0.2.2", "198.51.100.2"]),
        }
        world.run(EchoProgram(self.hosts["bob"], ECHO))
        self._start("alice", "bob", ForwardSettings(listen="{}:{}".format(*LISTEN)))
        self._start("bob", "alice", ForwardSettings(deliver="{}:{}".format(*ECHO)))

    def _start(self, name: str, peer: str, forward: ForwardSettings) -> None:
        sessions = {"demo": SessionSettings(peer=peer, protect="none", forward=forward)}
        settings = DaemonSettings(name=name, hub=HubSettings(connect=HUB), sessions=sessions)
        self.daemons[name] = self.world.daemon(self.hosts[name], settings, [self.note])
        self.daemons[name].startService()

    def program(self, rate: float) -> LocalProgram:
        """One that sends so many packets a second from now on."""
        return self.world.run(LocalProgram(self.hosts["alice"], LISTEN, rate=rate))

    def route(self) -> Any:
        """The pair that carries alice's data."""
        session = self.daemons["alice"].supervisor.sessions["demo"]
        return session.connection.iceTransport.transport.route

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.world.reactor.seconds()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.world.reactor.advance(seconds)
