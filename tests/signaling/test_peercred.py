"""SO_PEERCRED behind its seam."""

from __future__ import annotations

import os
import socket
import struct

from attrs import define
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.peercred import Credentials, peer_credentials


@define
class Transport:
    """Has a handle, as Twisted's own transports have."""

    handle: object

    def getHandle(self) -> object:
        return self.handle


@define
class Handle:
    """Answers SO_PEERCRED with these bytes."""

    packed: bytes

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return self.packed


class PeerCredentialsTests(SynchronousTestCase):
    def test_a_unix_socket_tells_who_connected(self) -> None:
        one, other = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        self.assertEqual(
            peer_credentials(Transport(one)), Credentials(os.getpid(), os.getuid(), os.getgid())
        )

    def test_a_tcp_socket_tells_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            self.addCleanup(client.close)
            self.assertIsNone(peer_credentials(Transport(client)))

    def test_what_has_no_handle_tells_nothing(self) -> None:
        self.assertIsNone(peer_credentials(StringTransport()))
        self.assertIsNone(peer_credentials(Transport(None)))
        self.assertIsNone(peer_credentials(Transport(object())))
        self.assertIsNone(peer_credentials(Transport(Handle(b"short"))))

    def test_a_fake_handle_can_answer(self) -> None:
        packed = struct.pack("=iII", 5, 1000, 100)
        self.assertEqual(peer_credentials(Transport(Handle(packed))), Credentials(5, 1000, 100))
