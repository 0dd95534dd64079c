"""The demo: a hub, two daemons and an echo program in one process, on loopback.

Built by the same service.py as any daemon; three daemons in one process, and no global notices.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from refreeze.config import DaemonSettings
from refreeze.control.settings import ControlPlaces
from refreeze.ice import AgentSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.signaling.settings import HubSettings

ECHO = ("127.0.0.1", 7100)
LISTEN = {"alice": "127.0.0.1:7001", "bob": "127.0.0.1:7002"}
BANNER = """\
refreeze demo: a hub, the daemons alice and bob, and an echo program behind bob.
  data     alice's local port is 127.0.0.1:7001; what you send there comes back through the path
  control  {alice} (default)
           {bob}
  try      echo hello | nc -u -w1 127.0.0.1 7001
           refreezectl list            refreezectl watch
           refreezectl fault demo path --for 30      (then look at watch)
           refreezectl restart demo --wait 10
"""


class Echo(DatagramProtocol):
    """Sends everything back to where it came from."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """See DatagramProtocol."""
        if self.transport is not None:
            self.transport.write(datagram, addr)


@define(eq=False, repr=False, slots=False)
class EchoService(Service):
    """The program behind bob."""

    reactor: Any
    port: Any = field(default=None, init=False)

    _log = Logger()

    def startService(self) -> None:
        """Listen; what fails is raised."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self.port = self.reactor.listenUDP(ECHO[1], Echo(), interface=ECHO[0])

    def stopService(self) -> Deferred[Any] | None:
        """Stop listening."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        stopping: Deferred[Any] | None = self.port.stopListening()
        return stopping


def directory() -> str:
    """Where the demo keeps its sockets."""
    return os.path.join(os.getcwd(), ".state")


def control_socket(name: str) -> str:
    """The control socket of one of the two."""
    return os.path.join(directory(), name, "control.sock")


def settings() -> list[DaemonSettings]:
    """The hub, alice and bob."""
    for name in ("alice", "bob"):
        os.makedirs(os.path.join(directory(), name), mode=0o750, exist_ok=True)
    hub = f"unix:{directory()}/hub.sock"
    daemons = [DaemonSettings(name="hub", hub=HubSettings(serve=hub))]
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        deliver = None if name == "alice" else f"{ECHO[0]}:{ECHO[1]}"
        forward = ForwardSettings(listen=LISTEN[name], deliver=deliver, flow_idle=1.0)
        daemons.append(
            DaemonSettings(
                name=name,
                faults=True,
                hub=HubSettings(connect=hub),
                control=ControlPlaces(socket=control_socket(name)),
                addresses=AddressSettings(addresses=("127.0.0.1", "127.0.0.2")),
                ice=AgentSettings(allow_loopback=True),
                sessions={"demo": SessionSettings(peer=peer, forward=forward)},
            )
        )
    return daemons


def banner() -> str:
    """What runs, and what to try."""
    return BANNER.format(alice=control_socket("alice"), bob=control_socket("bob"))
