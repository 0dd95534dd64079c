"""Listening UNIX sockets that the service manager opened for us (socket activation)."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure


class _InheritedPort(unix.Port):
    """Socket and file are the manager's too: the next life of the daemon needs them."""

    _shouldShutdown = False
    """shutdown(2) would end the socket for everybody who holds it, the manager first."""

    def connectionLost(self, reason: Failure) -> None:
        """Not unix.Port's, which would remove the file."""
        tcp.Port.connectionLost(self, reason)  # type: ignore[no-untyped-call]  # Twisted's


def adopt_unix_listener(
    reactor: Any, listening: socket.socket, factory: IProtocolFactory
) -> IListeningPort:
    """Serve *factory* on *listening*, which may be closed afterwards (it is duplicated)."""
    # What reactor.adoptStreamPort() does, with another class.
    kind: Any = _InheritedPort
    port = kind._fromListeningDescriptor(reactor, listening.fileno(), factory)
    port.startListening()
    made: IListeningPort = port
    return made
