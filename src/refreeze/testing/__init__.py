"""A fake network in virtual time, for programs that use refreeze and for refreeze itself.

It replaces the port factory, the clock and the randomness, and nothing else: a
:class:`VirtualWorld` runs daemons that ``service.py`` built, mux and all.
"""

from refreeze.testing.clock import NeverHappened, VirtualCall, VirtualClock
from refreeze.testing.hosts import FakeHost, FakePort, FakePortFactory
from refreeze.testing.links import LinkSettings
from refreeze.testing.log import DatagramLog, Fate, LogEntry
from refreeze.testing.names import FakeNames
from refreeze.testing.nat import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
    Behavior,
    Nat,
    NatSettings,
)
from refreeze.testing.network import Blackhole, FakeNetwork
from refreeze.testing.openssltime import OpenSslTimeUnavailable, openssl_time
from refreeze.testing.programs import EchoProgram, LocalProgram
from refreeze.testing.randomness import SeededRandom
from refreeze.testing.reactor import HostReactor, VirtualReactor
from refreeze.testing.servers import (
    FakeTurnServer,
    Lie,
    ServerAllocation,
    ServerEntry,
    ServerJournal,
)
from refreeze.testing.streams import Outage, Streams
from refreeze.testing.transports import Credentials
from refreeze.testing.world import VirtualWorld

__all__ = [
    "ADDRESS_RESTRICTED",
    "FULL_CONE",
    "PORT_RESTRICTED",
    "SYMMETRIC",
    "UDP_BLOCKED",
    "Behavior",
    "Blackhole",
    "Credentials",
    "DatagramLog",
    "EchoProgram",
    "FakeHost",
    "FakeNames",
    "FakeNetwork",
    "FakePort",
    "FakePortFactory",
    "FakeTurnServer",
    "Fate",
    "HostReactor",
    "Lie",
    "LinkSettings",
    "LocalProgram",
    "LogEntry",
    "Nat",
    "NatSettings",
    "NeverHappened",
    "OpenSslTimeUnavailable",
    "Outage",
    "SeededRandom",
    "ServerAllocation",
    "ServerEntry",
    "ServerJournal",
    "Streams",
    "VirtualCall",
    "VirtualClock",
    "VirtualReactor",
    "VirtualWorld",
    "openssl_time",
]
