"""refreezectl on TLS, and whatever answers there: one line that says why, and exit code 3."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import ssl
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl.client import UNREACHABLE
from refreeze.ctl.main import main
from refreeze.signaling.certificates import CertificateFiles
from tests.signaling.pki import Pki, days_ago

HOST = "127.0.0.1"
PATIENCE = 10.0


class PlacesCase(SynchronousTestCase):
    """A CA, carol's papers, and a port on loopback."""

    def setUp(self) -> None:
        self.pki = Pki(self.mktemp())
        self.carol = self.pki.issue("carol", role="operator")
        self.server = socket.create_server((HOST, 0))
        self.addCleanup(self.server.close)
        self.where = f"tls:{HOST}:{self.server.getsockname()[1]}"

    def ctl(self, *words: str) -> str:
        """What it complains of without a daemon that likes it."""
        said = io.StringIO()
        certificate = self.carol.certificate
        with contextlib.redirect_stderr(said):
            code = main(["--connect", self.where, "--cert", certificate, *words, "list"])
        self.assertEqual(code, UNREACHABLE, said.getvalue())
        self.assertEqual(said.getvalue().count("\n"), 1)
        return said.getvalue().removeprefix("refreezectl: ").rstrip("\n")


class ServerTests(PlacesCase):
    def serve(self, answer: Callable[[socket.socket], object]) -> None:
        """One client; what goes wrong with it is its matter."""

        def accept() -> None:
            client, _ = self.server.accept()
            client.settimeout(PATIENCE)
            with client, contextlib.suppress(OSError):
                answer(client)

        thread = threading.Thread(target=accept)
        thread.start()
        self.addCleanup(thread.join)

    def speak_tls(
        self, files: CertificateFiles, said: bytes = b"", **limits: ssl.TLSVersion
    ) -> Callable[[socket.socket], object]:
        """A server that says *said* after the handshake, and hears to the end."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        for name, limit in limits.items():
            setattr(context, name, limit)

        def answer(client: socket.socket) -> None:
            with context.wrap_socket(client, server_side=True) as secured:
                secured.sendall(said)
                while secured.recv(1000):
                    pass

        return answer

    def test_who_speaks_no_tls_1_3(self) -> None:
        files = self.pki.issue("alice", [HOST])
        self.serve(self.speak_tls(files, maximum_version=ssl.TLSVersion.TLSv1_2))
        self.assertEqual(self.ctl(), f"{self.where}: no TLS 1.3 is spoken there")

    def test_who_speaks_no_tls(self) -> None:
        self.serve(lambda client: client.sendall(b"220 smtp.example.net ESMTP\r\n"))
        self.assertEqual(self.ctl(), f"{self.where}: no TLS is spoken there")

    def test_who_hangs_up(self) -> None:
        self.serve(lambda client: client.recv(1000) and client.shutdown(socket.SHUT_WR))
        self.assertEqual(self.ctl(), f"{self.where}: the daemon hung up in the handshake")

    def test_who_says_nothing(self) -> None:
        self.serve(lambda client: client.recv(100_000) and client.recv(1))
        self.assertIn("timed out", self.ctl("--timeout", "0.2"))

    def test_a_certificate_of_another_ca(self) -> None:
        self.serve(self.speak_tls(Pki(self.mktemp()).issue("alice", [HOST])))
        self.assertIn("the daemon's certificate is refused: ", self.ctl())

    def test_a_certificate_that_has_expired(self) -> None:
        self.serve(self.speak_tls(self.pki.issue("alice", [HOST], now=days_ago(9), days=2)))
        self.assertIn("the daemon's certificate is refused: certificate has expired", self.ctl())

    def test_a_certificate_for_another_host(self) -> None:
        self.serve(self.speak_tls(self.pki.issue("alice", ["alice.example.net"])))
        self.assertIn("the daemon's certificate is refused: IP address mismatch", self.ctl())

    def test_a_certificate_that_serves_nothing(self) -> None:
        """An operator's, at the address of a daemon: he gets no other's requests."""
        self.serve(self.speak_tls(self.pki.issue("mallory", role="admin")))
        self.assertIn("the daemon's certificate is refused: ", self.ctl())

    def test_another_server_with_a_good_certificate(self) -> None:
        self.serve(self.speak_tls(self.pki.issue("alice", [HOST]), b"HTTP/1.1 400\r\n"))
        self.assertIn("that is no refreeze daemon", self.ctl())

    def test_the_name_may_come_from_the_environment(self) -> None:
        self.patch(os, "environ", os.environ | {"REFREEZE_SERVER_NAME": "alice.example.net"})
        self.serve(self.speak_tls(self.pki.issue("alice", ["alice.example.net"]), b"hello\n"))
        self.assertIn("that is no refreeze daemon", self.ctl())


class FileTests(PlacesCase):
    """Before anything is sent."""

    def setUp(self) -> None:
        super().setUp()
        self.server.close()

    def path(self, name: str, content: bytes = b"") -> str:
        """A file of ours."""
        return self.pki.put(name, content)

    def test_nobody_is_there(self) -> None:
        self.assertEqual(self.ctl(), f"{self.where}: Connection refused")

    def test_what_stands_for_no_place(self) -> None:
        for where in ("tls:alice", "tls:alice:x", "tls:alice:70000"):
            self.where = where
            self.assertEqual(self.ctl(), f"{where}: tls:HOST:PORT is wanted")

    def test_files_are_named_when_they_are_of_no_use(self) -> None:
        missing = os.path.join(self.pki.directory, "missing")
        other = self.pki.issue("dave", role="observer")
        certificate, key = self.carol.certificate, self.carol.key
        empty = self.path("empty")
        for words, why in (
            (("--cert", missing), f"{missing}: No such file or directory"),
            (("--key", missing), f"{missing}: No such file or directory"),
            (("--ca", missing), f"{missing}: No such file or directory"),
            (("--key", other.key), f"{certificate} and {other.key}: no certificate with its key"),
            (("--cert", empty, "--key", key), f"{empty} and {key}: no certificate with its key"),
            (("--ca", empty), f"{empty}: holds no certificate"),
        ):
            self.assertEqual(self.ctl(*words), f"{self.where}: {why}")
