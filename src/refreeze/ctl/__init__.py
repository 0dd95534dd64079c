"""refreezectl: the control port's client. Plain sockets, no Twisted, quick to start."""

from refreeze.ctl.main import main

__all__ = ["main"]
