"""Python programs at the control port: over all three kinds of places, with real sockets."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Coroutine
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from refreeze.control import (
    Access,
    Commands,
    ControlClient,
    ControlError,
    ControlEvent,
    ControlRefused,
    ControlServer,
    EventLog,
    Role,
    connect_control,
)
from refreeze.control import client as module
from refreeze.control.client import MAX_PENDING
from refreeze.signaling.tls import TlsIdentity
from tests.control.fakes import WALL, FakeOperations
from tests.signaling.pki import Pki

HOST = "127.0.0.1"

reactor: Any = installed


def run(story: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
    """For trial."""
    return Deferred.fromCoroutine(story)


class PlaceTests(TestCase):
    """One server at all three places."""

    timeout = 30

    def setUp(self) -> None:
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "control.sock")
        self.cookie = os.path.join(directory.name, "cookie")
        self.pki = Pki(self.mktemp())
        self.server = ControlServer(
            reactor,
            self.path,
            Commands(FakeOperations(), reactor, "0.1"),
            EventLog(lambda: WALL),
            Access(cookie=Role.OPERATOR),
            tcp=f"{HOST}:0",
            cookie_file=self.cookie,
            random=random.SystemRandom(),
            tls=f"{HOST}:0",
            identity=TlsIdentity(self.pki.issue("alice", [HOST])),
        )
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        _, tcp, tls = (port.getHost() for port in self.server.ports)
        self.tcp, self.tls = f"tcp:{HOST}:{tcp.port}", f"tls:{HOST}:{tls.port}"  # type: ignore[attr-defined]

    async def use(self, client: ControlClient, role: str) -> None:
        """Ask, be refused, hear of an event, and hang up."""
        answer = await client.ask("list")
        self.assertEqual([each["id"] for each in answer.records], ["s-4f", "s-9a"])
        self.assertEqual(answer.fields["count"], "2")
        error = await self.assertFailure(client.ask("show zz"), ControlRefused)
        self.assertEqual((error.code, error.fields["id"]), ("no-such-session", "zz"))
        hello = await client.ask("hello 1 format=json")
        self.assertEqual(hello.fields["role"], role)
        heard: list[ControlEvent] = []
        told: Deferred[None] = Deferred()

        def listen(event: ControlEvent) -> None:
            heard.append(event)
            told.callback(None)

        await client.follow(listen, "net")
        self.server.events.emit("net.up", {"x": 1})
        await told
        self.assertEqual((heard[0].topic, heard[0].fields), ("net.up", {"x": 1}))
        await client.close()
        await self.assertFailure(client.ask("list"), ControlError)

    def test_a_unix_socket(self) -> Deferred[None]:
        async def story() -> None:
            await self.use(await connect_control(reactor, f"unix:{self.path}"), "admin")

        return run(story())

    def test_loopback_with_the_cookie(self) -> Deferred[None]:
        async def story() -> None:
            client = await connect_control(reactor, self.tcp, cookie=self.cookie)
            await self.use(client, "operator")

        return run(story())

    def test_tls_with_a_certificate(self) -> Deferred[None]:
        async def story() -> None:
            files = self.pki.issue("carol", role="observer")
            await self.use(await connect_control(reactor, self.tls, certificates=files), "observer")

        return run(story())

    def test_who_is_refused_knows_why(self) -> Deferred[None]:
        async def story() -> None:
            daemon = self.pki.issue("bob")
            for where, more, why in (
                (self.tls, {"certificates": daemon}, "it refuses the names in our certificate"),
                (self.tls, {"certificates": daemon, "server_name": "other"}, "not for other"),
                (self.tcp, {}, "a cookie file is needed on TCP"),
            ):
                made: Deferred[Any] = Deferred.fromCoroutine(
                    connect_control(reactor, where, **more)  # type: ignore[arg-type]
                )
                error = await self.assertFailure(made, ControlError)
                self.assertIn(why, str(error))

        return run(story())

    def test_what_comes_to_nothing_is_one_kind_of_error(self) -> Deferred[None]:
        async def story() -> None:
            other = f"{self.cookie}.other"
            with open(os.open(other, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(bytes(32))
            for where, more, why in (
                (f"unix:{self.path}.not", {}, "No such file"),
                (f"tcp:{HOST}:1", {}, "refused"),
                (self.tcp, {"cookie": f"{self.path}.not"}, "No such file"),
                (self.tcp, {"cookie": other}, "the server does not know the cookie"),
            ):
                made: Deferred[Any] = Deferred.fromCoroutine(
                    connect_control(reactor, where, **more)  # type: ignore[arg-type]
                )
                error = await self.assertFailure(made, ControlError)
                self.assertIn(why, str(error))

        return run(story())

    def test_who_says_nothing_is_given_up(self) -> Deferred[None]:
        """In TLS's handshake, and after the connection is there."""
        self.patch(module, "GREETING_SECONDS", 0.2)

        async def story() -> None:
            silent = socket.create_server((HOST, 0))
            self.addCleanup(silent.close)
            address = f"{HOST}:{silent.getsockname()[1]}"
            certified = {"certificates": self.pki.issue("carol", role="observer")}
            for where, more in ((f"tcp:{address}", {}), (f"tls:{address}", certified)):
                made: Deferred[Any] = Deferred.fromCoroutine(
                    connect_control(reactor, where, **more)  # type: ignore[arg-type]
                )
                error = await self.assertFailure(made, ControlError)
                self.assertEqual(str(error), f"{where}: no greeting in time")

        return run(story())


class LineTests(SynchronousTestCase):
    """A client without a daemon."""

    def setUp(self) -> None:
        self.client = ControlClient()
        self.transport = StringTransport()
        self.aborted = 0
        self.transport.abortConnection = self._abort  # type: ignore[method-assign]
        self.client.makeConnection(self.transport)
        self.client.dataReceived(b"* refreeze 1\r\n")

    def _abort(self) -> None:
        self.aborted += 1

    def test_answers_are_told_apart_and_come_in_order(self) -> None:
        both = gatherResults([self.client.ask("ping"), self.client.ask("list")])
        self.assertEqual(self.transport.value(), b"@1 ping\n@2 list\n")
        self.client.dataReceived(b'@1 OK\n@2 - {"id":"x"}\n! 7 T net.up {}\n@2 OK count=1\n')
        ping, listed = self.successResultOf(both)
        self.assertEqual((ping.records, listed.records), ([], [{"id": "x"}]))

    def test_what_is_not_the_protocol_ends_the_connection(self) -> None:
        for said in (
            *(b"@9 OK\n", b"nonsense\n", b"! x\n", b"@1 - [1]\n", b"\xff\n"),
            *(
                b'@1 OK x="\\q"\n',
                "! \u00b2 T net.up {}\n".encode(),
                b"! %s T t {}\n" % (b"9" * 5000),
            ),
        ):
            self.setUp()
            self.client.ask("ping").addErrback(lambda failure: None)
            self.client.dataReceived(said)
            self.assertEqual(self.aborted, 1, said)

    def test_a_request_that_could_not_be_read_is_refused_without_its_tag(self) -> None:
        asked = self.client.ask("x" * 5000)
        self.client.dataReceived(b"ERR too-long limit=4096 retry=no\n")
        self.assertEqual(self.failureResultOf(asked, ControlRefused).value.code, "too-long")
        self.assertEqual(self.aborted, 0)

    def test_requests_are_bounded_and_one_line_each(self) -> None:
        for _ in range(MAX_PENDING):
            self.client.ask("ping")
        self.failureResultOf(self.client.ask("ping"), ControlError)
        self.setUp()
        self.failureResultOf(self.client.ask("ping\nshutdown"), ControlError)
        self.assertEqual(self.transport.value(), b"")

    def test_a_listener_that_fails_harms_nobody(self) -> None:
        self.client.follow(lambda event: 1 // 0)
        self.client.dataReceived(b"@1 OK since=0\n! 1 T net.up {}\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.aborted, 0)
