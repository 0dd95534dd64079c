"""A STUN and TURN server of the fake network, with faults and lies on demand."""

from refreeze.testing.servers.allocation import ServerAllocation
from refreeze.testing.servers.journal import ServerEntry, ServerJournal
from refreeze.testing.servers.lies import Lie
from refreeze.testing.servers.server import FakeTurnServer

__all__ = ["FakeTurnServer", "Lie", "ServerAllocation", "ServerEntry", "ServerJournal"]
