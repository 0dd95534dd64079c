"""The server on real sockets: modes, stale files, the half-closed end, loopback TCP."""

from __future__ import annotations

import os
import random
import socket
import stat
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from refreeze.control import Access, Commands, ControlServer, EventLog
from refreeze.signaling.places import HubEndpointError
from tests.control.fakes import WALL, FakeOperations


class ServerTests(TestCase):
    """start and stop."""

    timeout = 20

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "control.sock")
        self.cookie = os.path.join(directory.name, "cookie")
        self.operations = FakeOperations()

    def server(self, **places: Any) -> ControlServer:
        """A server that stops when the test does."""
        clock: Any = reactor
        commands = Commands(self.operations, clock, "0.1.0")
        path = places.pop("path", self.path)
        server = ControlServer(
            clock, path, commands, EventLog(lambda: WALL), Access(),
            random=random.Random(3), **places,
        )  # fmt: skip
        self.addCleanup(lambda: Deferred.fromCoroutine(server.stop()))
        return server

    def talk(self, text: bytes, *, half_close: bool) -> Deferred[bytes]:
        """Send *text* as nc would, and read to the end."""

        def blocking() -> bytes:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(10)
                client.connect(self.path)
                client.sendall(text)
                if half_close:
                    client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(65536), b""))

        return deferToThread(blocking)

    def test_the_socket_is_0660(self) -> None:
        self.server().start()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)

    def test_a_slow_answer_reaches_a_client_that_closed_its_half(self) -> Deferred[None]:
        """T-half-close: `printf ... | nc -N -U` gets every answer, then the end."""
        self.server().start()
        clock: Any = reactor
        self.operations.restarts = {}
        restart = self.operations.restart

        def slow(session_id: str, *, reason: str, force: bool) -> Deferred[dict[str, Any]]:
            outcome = restart(session_id, reason=reason, force=force)
            clock.callLater(0.05, outcome.callback, {"id": session_id, "outcome": "succeeded"})
            return outcome

        self.operations.restart = slow  # type: ignore[method-assign]

        async def story() -> None:
            answer = await self.talk(b"@1 restart s-4f wait=5\r\n@2 ping\n", half_close=True)
            self.assertEqual(
                answer.decode().splitlines()[1:],
                [
                    "@1 - id=s-4f outcome=succeeded",
                    "@1 OK job=r1 matched=1 queued=1 refused=0",
                    "@2 OK",
                ],
            )

        return Deferred.fromCoroutine(story())

    def test_hundreds_of_requests_in_one_write_are_all_answered(self) -> Deferred[None]:
        self.server().start()

        async def story() -> None:
            answer = await self.talk(b"list\n" * 500, half_close=True)
            self.assertEqual(answer.count(b"OK count=2\n"), 500)

        return Deferred.fromCoroutine(story())

    def test_the_socket_of_a_killed_daemon_is_replaced(self) -> Deferred[None]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(self.path)
        self.server().start()

        async def story() -> None:
            answer = await self.talk(b"quit\n", half_close=False)
            self.assertTrue(answer.endswith(b"\nOK\n"), answer)

        return Deferred.fromCoroutine(story())

    def test_a_socket_in_use_and_a_file_that_is_none_are_not_touched(self) -> None:
        self.server().start()
        self.assertRaises(CannotListenError, self.server().start)
        plain = f"{self.path}.txt"
        with open(plain, "w") as file:
            file.write("mine")
        self.assertRaises(CannotListenError, self.server(path=plain).start)
        with open(plain) as file:
            self.assertEqual(file.read(), "mine")

    def test_tcp_is_loopback_with_a_cookie_or_not_at_all(self) -> None:
        self.assertRaises(ValueError, self.server(tcp="127.0.0.1:0").start)
        self.assertFalse(os.path.exists(self.path))
        wide = self.server(tcp="0.0.0.0:0", cookie_file=self.cookie)
        self.assertRaises(HubEndpointError, wide.start)

    def test_what_cannot_listen_leaves_nothing_listening(self) -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        server = self.server(tcp=f"127.0.0.1:{taken.getsockname()[1]}", cookie_file=self.cookie)
        self.assertRaises(CannotListenError, server.start)
        self.assertEqual(server.ports, ())
        self.assertEqual(stat.S_IMODE(os.stat(self.cookie).st_mode), 0o640)
