"""The one composition root: a process of any number of daemons, none of which is global."""

from refreeze.service.daemon import Daemon, Emit
from refreeze.service.peers import PeerHost
from refreeze.service.process import Process

__all__ = ["Daemon", "Emit", "PeerHost", "Process"]
