"""The control port on TLS over real sockets: who gets in with which role, and who does not."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.tcp import Server
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from refreeze.control import Access, Commands, ControlServer, EventLog
from refreeze.control import connection as module
from refreeze.control.access import Role
from refreeze.ctl.places import Certificates
from refreeze.ctl.wire import ConnectError, Connection
from refreeze.signaling.certificates import CertificateFiles
from refreeze.signaling.tls import TlsIdentity
from tests.control.fakes import WALL, FakeOperations
from tests.signaling.pki import Pki, days_ago

HOST = "127.0.0.1"
PATIENCE = 10.0

reactor: Any = installed


def run(story: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
    """For trial."""
    return Deferred.fromCoroutine(story)


class CertifiedCase(TestCase):
    """A control port on loopback, and clients in threads."""

    timeout = 60

    def setUp(self) -> None:
        self.pki = Pki(self.mktemp())
        self.identity = TlsIdentity(self.pki.issue("alice", [HOST, "alice.example.net"]))
        self.operations = FakeOperations("s-4f", "s-9a")
        self.server = ControlServer(
            reactor,
            None,
            Commands(self.operations, reactor, "0.1"),
            EventLog(lambda: WALL),
            Access(certificates={"mallory": Role.NONE, "carol": Role.OBSERVER}),
            tls=f"{HOST}:0",
            identity=self.identity,
        )
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        (port,) = self.server.ports
        self.port: int = port.getHost().port  # type: ignore[attr-defined]

    def client(self, name: str, role: str | None, **more: Any) -> CertificateFiles:
        """Files of somebody."""
        return self.pki.issue(name, role=role, **more)

    def connect(self, files: CertificateFiles, server_name: str = "") -> Connection:
        """As refreezectl does; blocking."""
        certificates = Certificates(files.certificate, files.key, files.ca, server_name)
        return Connection(f"tls:{HOST}:{self.port}", PATIENCE, certificates=certificates)

    async def ask(self, files: CertificateFiles, line: str) -> Any:
        """One request over a connection of its own: records and final."""

        def asked() -> Any:
            connection = self.connect(files)
            try:
                return connection.ask(line)
            finally:
                connection.close()

        return await deferToThread(asked)

    async def refused(self, attempt: Callable[[], object]) -> tuple[str, list[str]]:
        """What the client says, and what the log does."""
        with capturedLogs() as events:
            try:
                await deferToThread(attempt)
            except (ConnectError, OSError) as error:
                said = str(error)
            else:
                raise AssertionError("it was let in")
            while not any("why" in event for event in events):
                await deferToThread(lambda: None)
        return said, [str(event["why"]) for event in events if "why" in event]


class RoleTests(CertifiedCase):
    def test_the_certificate_says_who_may_what(self) -> Deferred[None]:
        async def story() -> None:
            for role, outcomes in (
                ("observer", (True, False, False)),
                ("operator", (True, True, False)),
                ("admin", (True, True, True)),
            ):
                files = self.client(f"the-{role}", role)
                for line, may in zip(("list", "cancel s-4f", "reload"), outcomes, strict=True):
                    _, final = await self.ask(files, line)
                    self.assertEqual(final.code == "not-permitted", not may, (role, line))

        return run(story())

    def test_the_configuration_may_say_otherwise(self) -> Deferred[None]:
        async def story() -> None:
            _, final = await self.ask(self.client("carol", "admin"), "reload")
            self.assertEqual(final.code, "not-permitted")
            files = self.client("mallory", "admin")
            with capturedLogs() as events:
                error = await self.assertFailure(deferToThread(self.connect, files), ConnectError)
            self.assertIn("not-permitted", str(error))
            while any(isinstance(each, Server) for each in reactor.getReaders()):
                await deferToThread(lambda: None)
            self.assertIn("certificate mallory from 127.0.0.1", [e.get("who") for e in events])

        return run(story())

    def test_a_role_that_is_taken_away_is_gone_at_once(self) -> Deferred[None]:
        """A connection does not outlive what it was let in for."""

        async def story() -> None:
            erin = await deferToThread(self.connect, self.client("erin", "admin"))
            frank = await deferToThread(self.connect, self.client("frank", "admin"))
            self.addCleanup(erin.close)
            self.addCleanup(frank.close)
            roles = {"erin": Role.OBSERVER, "frank": Role.NONE}
            self.server.change_access(Access(certificates=roles))
            _, final = await deferToThread(erin.ask, "reload")
            self.assertEqual(final.code, "not-permitted")
            _, final = await deferToThread(erin.ask, "list")
            self.assertTrue(final.ok)
            error = await self.assertFailure(deferToThread(frank.ask, "list"), ConnectError)
            self.assertIn("not-permitted", str(error))

        return run(story())

    def test_who_asked_stands_in_the_log(self) -> Deferred[None]:
        async def story() -> None:
            files = self.client("dave", "operator")
            with capturedLogs() as events:
                await self.ask(files, 'restart s-4f reason="new switch"')
            (asked,) = (event for event in events if "outcome" in event)
            self.assertEqual(asked["who"], "certificate dave from 127.0.0.1")
            self.assertEqual(asked["keys"], 'reason="new switch"')

        return run(story())

    def test_events_and_answers_share_the_connection(self) -> Deferred[None]:
        async def story() -> None:
            files = self.client("dave", "observer")

            def followed() -> str:
                connection = self.connect(files)
                connection.ask("watch all")
                reactor.callFromThread(self.server.events.emit, "net.up", {"x": 1})
                try:
                    return connection.event(PATIENCE)
                finally:
                    connection.close()

            self.assertIn("net.up", await deferToThread(followed))

        return run(story())


class RefusalTests(CertifiedCase):
    """Closed at once, without a word, and one line in the log with address and reason."""

    def check(
        self, attempt: Callable[[], object], by_client: str, by_daemon: str
    ) -> Deferred[None]:
        async def story() -> None:
            said, logged = await self.refused(attempt)
            self.assertIn(by_client, said)
            self.assertEqual(logged, [by_daemon])

        return run(story())

    def test_a_foreign_ca(self) -> Deferred[None]:
        foreign = Pki(self.mktemp()).issue("dave", role="admin")
        files = CertificateFiles(
            certificate=foreign.certificate,
            key=foreign.key,
            ca=os.path.join(self.pki.directory, "ca.crt"),
        )
        return self.check(
            lambda: self.connect(files),
            "the daemon does not trust the CA of our certificate",
            "its certificate comes from a CA that is not ours",
        )

    def test_an_expired_certificate(self) -> Deferred[None]:
        files = self.client("dave", "admin", now=days_ago(10), days=3)
        return self.check(
            lambda: self.connect(files),
            "our certificate has expired",
            "its certificate has expired",
        )

    def test_a_daemons_certificate(self) -> Deferred[None]:
        """Whoever is in the hub may not drive daemons."""
        files = self.client("bob", None)
        return self.check(
            lambda: self.connect(files),
            "it is for no control port",
            "its certificate for bob is for no client of the control port",
        )

    def stranger(self, context: ssl.SSLContext) -> None:
        """Whatever is said then, nothing comes back."""
        with (
            socket.create_connection((HOST, self.port), PATIENCE) as plain,
            context.wrap_socket(plain) as secured,
        ):
            secured.sendall(b"list\n")
            heard = secured.recv(100)
            raise AssertionError(f"it heard {heard!r}")

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def test_no_certificate(self) -> Deferred[None]:
        context = self.context()
        return self.check(
            lambda: self.stranger(context), "certificate required", "it showed no certificate"
        )

    def test_tls_1_2(self) -> Deferred[None]:
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        files = self.client("dave", "admin")
        context.load_cert_chain(files.certificate, files.key)
        return self.check(
            lambda: self.stranger(context), "protocol version", "it does not speak TLS 1.3"
        )

    def test_plain_text(self) -> Deferred[None]:
        def plain() -> None:
            with socket.create_connection((HOST, self.port), PATIENCE) as stream:
                stream.sendall(b"list\nquit\n")
                heard = b""
                while data := stream.recv(100):
                    heard += data
                # An alert of TLS may come, and nothing of ours.
                assert b"refreeze" not in heard
            raise OSError("closed")

        return self.check(plain, "closed", "it does not speak TLS")

    def test_a_daemon_for_another_name(self) -> Deferred[None]:
        files = self.client("dave", "admin")
        return self.check(
            lambda: self.connect(files, "other.example.net"),
            "the daemon's certificate is refused",
            "it refuses our certificate",
        )

    def test_who_does_not_come_to_the_point_is_dropped(self) -> Deferred[None]:
        """A slow loris holds a place of strangers for a while, and none of the clients'."""
        self.patch(module, "AUTH_SECONDS", 0.2)

        async def story() -> None:
            def waits() -> None:
                with socket.create_connection((HOST, self.port), PATIENCE) as stream:
                    stream.sendall(b"\x16\x03\x01\x02")
                    stream.recv(100)
                raise OSError("closed")

            _, logged = await self.refused(waits)
            self.assertEqual(logged, ["it was not done with its handshake in time"])
            records, _ = await self.ask(self.client("dave", "observer"), "list")
            self.assertEqual(len(records), 2)

        return run(story())


class RenewalTests(CertifiedCase):
    def test_new_certificates_are_for_new_connections_and_others_stay(self) -> Deferred[None]:
        async def story() -> None:
            files = self.client("dave", "observer")
            before = await deferToThread(self.connect, files)
            self.addCleanup(before.close)
            self.pki.issue("alice", [HOST])
            self.assertTrue(self.identity.reread())
            serial = self.identity.material.chain[0].serial_number

            def shown() -> bool:
                context = ssl.create_default_context(cafile=files.ca)
                context.load_cert_chain(files.certificate, files.key)
                with (
                    socket.create_connection((HOST, self.port), PATIENCE) as plain,
                    context.wrap_socket(plain, server_hostname=HOST) as secured,
                ):
                    found = secured.getpeercert()
                    assert found is not None
                    return int(str(found["serialNumber"]), 16) == serial

            self.assertTrue(await deferToThread(shown))
            records, _ = await deferToThread(before.ask, "list")
            self.assertEqual(len(records), 2)

        return run(story())
