"""Daemons for tests on real sockets: built by service.py, observed by their events."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol

from refreeze.config import DaemonSettings, HubSettings
from refreeze.ice import AgentSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.net.udp import UdpPortFactory
from refreeze.service import Daemon, Process
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings

Fields = dict[str, Any]


class Watch:
    """Remembers every event and fires Deferreds for those that were waited for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Fields]] = []
        self._waiting: list[tuple[Callable[[str, Fields], bool], Deferred[Fields]]] = []

    def __call__(self, topic: str, fields: Fields) -> None:
        self.events.append((topic, fields))
        for item in list(self._waiting):
            matches, waiter = item
            if matches(topic, fields):
                self._waiting.remove(item)
                waiter.callback(fields)

    def next(self, topic: str, **wanted: Any) -> Deferred[Fields]:
        """Fires with the fields of the next event of *topic* that has these fields."""

        def matches(seen: str, fields: Fields) -> bool:
            return seen == topic and all(fields.get(k) == v for k, v in wanted.items())

        waiter: Deferred[Fields] = Deferred()
        self._waiting.append((matches, waiter))
        return waiter

    def of(self, topic: str) -> list[Fields]:
        """All that was seen of *topic*."""
        return [fields for seen, fields in self.events if seen == topic]


class Echo(DatagramProtocol):
    """Sends everything back."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        assert self.transport is not None
        self.transport.write(datagram, addr)


class Client(DatagramProtocol):
    """A local program: sends, and hands out what comes back."""

    noisy = False

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._waiter: Deferred[bytes] | None = None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.received.append(datagram)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(datagram)

    def ask(self, data: bytes, address: tuple[str, int]) -> Deferred[bytes]:
        """Send *data*; fires with the next datagram that arrives."""
        assert self.transport is not None
        self._waiter = Deferred()
        self.transport.write(data, address)
        return self._waiter


class World:
    """Alice, bob and a hub between them, on loopback, with an echo program behind bob."""

    def __init__(self, directory: str, *, liveness: str = "default") -> None:
        clock: Any = reactor
        self.process = Process(
            reactor=IReactorTime(clock),
            random=random.SystemRandom(),
            ports=UdpPortFactory(clock),
            wall=time.time,
        )
        self.echo = clock.listenUDP(0, Echo(), interface="127.0.0.1")
        hub = f"unix:{directory}/hub.sock"
        self.watch = {"alice": Watch(), "bob": Watch()}
        self.daemons = {
            name: self._daemon(name, peer, hub, liveness, deliver)
            for name, peer, deliver in (
                ("alice", "bob", None),
                ("bob", "alice", f"127.0.0.1:{self.echo.getHost().port}"),
            )
        }
        self.hub = Daemon(
            process=self.process, settings=DaemonSettings(name="hub", hub=HubSettings(serve=hub))
        )
        self.client = Client()
        self.client_port = clock.listenUDP(0, self.client, interface="127.0.0.1")

    def _daemon(self, name: str, peer: str, hub: str, liveness: str, deliver: str | None) -> Daemon:
        settings = DaemonSettings(
            name=name,
            hub=HubSettings(connect=hub),
            faults=True,
            addresses=AddressSettings(addresses=("127.0.0.1", "127.0.0.2")),
            ice=AgentSettings(allow_loopback=True),
            sessions={
                "demo": SessionSettings(
                    peer=peer,
                    protect="none",
                    liveness=liveness,
                    forward=ForwardSettings(deliver=deliver, flow_idle=1.0),
                )
            },
        )
        return Daemon(process=self.process, settings=settings, listeners=[self.watch[name]])

    def start(self) -> None:
        """The hub first."""
        for daemon in (self.hub, *self.daemons.values()):
            daemon.startService()

    async def stop(self) -> None:
        """Everything down, all sockets closed."""
        for daemon in (*self.daemons.values(), self.hub):
            await daemon.stopService()
        self.process.scheduler.stop()
        for port in (self.echo, self.client_port):
            await port.stopListening()

    def session(self, name: str) -> Any:
        """One side's session."""
        return self.daemons[name].supervisor.sessions["demo"]

    def listen_address(self, name: str) -> tuple[str, int]:
        """Where a local program of that side sends."""
        host, _, port = self.session(name).forward.listen_address.rpartition(":")
        return host, int(port)
