"""A daemon that serves browsers, on real sockets: plain, on TLS and on a UNIX socket."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from refreeze.config import DaemonSettings
from refreeze.ice import AgentSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.net.udp import UdpPortFactory
from refreeze.service import Daemon, Process
from refreeze.service.frontage import tls_options
from refreeze.sessions.settings import SessionSettings
from refreeze.signaling.http.settings import HttpSettings
from tests.signaling.http.kit import fragment, sdp
from tests.signaling.pki import Pki

PATIENCE = 20.0
TOKEN, NEW = "first-token-of-the-daemon", "other-token-of-the-daemon"
PATH = "/sessions/screen"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
Response = tuple[int, dict[str, str], bytes]


class UnixConnection(http.client.HTTPConnection):
    """Python's client on a UNIX socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.host)


class HttpDaemonTests(TestCase):
    """Python's own HTTP client in a thread, and one daemon."""

    timeout = 60

    def setUp(self) -> None:
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.tokens = f"{self.directory}/tokens"
        self.write(f"screen {TOKEN}\n")
        self.connect: Callable[[], http.client.HTTPConnection] = self.plain

    def write(self, text: str) -> None:
        """The file of tokens."""
        with os.fdopen(
            os.open(self.tokens, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w"
        ) as f:
            f.write(text)

    def start(self, **settings: Any) -> Daemon:
        """A daemon with one session on HTTP."""
        clock: Any = reactor
        process = Process(
            reactor=IReactorTime(clock),
            random=random.SystemRandom(),
            ports=UdpPortFactory(clock),
            wall=time.time,
        )
        made = DaemonSettings(
            name="gate",
            http=HttpSettings(**settings),
            addresses=AddressSettings(addresses=("127.0.0.1",)),
            ice=AgentSettings(allow_loopback=True),
            sessions={"screen": SessionSettings(peer="browser", signaling="http")},
        )
        self.daemon = Daemon(process=process, settings=made)
        self.daemon.startService()

        async def stop() -> None:
            await self.daemon.stopService()
            process.scheduler.stop()

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return self.daemon

    @property
    def port(self) -> int:
        """Where it listens."""
        frontage: Any = self.daemon._frontage
        return int(frontage._port.getHost().port)

    def plain(self) -> http.client.HTTPConnection:
        """A connection without TLS."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(
        self, method: str, path: str, body: str | bytes = b"", token: str = "", **more: str
    ) -> Deferred[Response]:
        """A request on a connection of its own, in a thread."""
        connection = self.connect()
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"

        def talk() -> Response:
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                found = {name.lower(): value for name, value in response.getheaders()}
                return response.status, found, response.read()
            finally:
                connection.close()

        return deferToThread(talk)

    def post(self, token: str = "") -> Deferred[Response]:
        """An offer."""
        return self.ask("POST", PATH, sdp(), token, Content_Type="application/sdp")

    async def whole(self, token: str = "") -> None:
        """A resource from its POST to its DELETE."""
        status, headers, body = await self.post(token)
        self.assertEqual(status, 201)
        self.assertIn(b"a=setup:active", body)
        self.assertIn(b"127.0.0.1", body)
        place, kind = headers["location"], FRAGMENT["Content-Type"]
        matched = {"Content_Type": kind, "If_Match": headers["etag"]}
        status, _, _ = await self.ask("PATCH", place, fragment(), token, **matched)
        self.assertEqual(status, 204)
        anew = {"Content_Type": kind, "If_Match": "*"}
        status, again, body = await self.ask("PATCH", place, fragment("client2"), token, **anew)
        self.assertEqual((status, b"a=ice-ufrag:" in body), (200, True))
        self.assertNotEqual(again["etag"], headers["etag"])
        status, _, _ = await self.ask("DELETE", place, b"", token)
        self.assertEqual(status, 200)

    def play(self, story: Callable[[], Any]) -> Deferred[None]:
        """An ``async def`` as a test."""
        return Deferred.fromCoroutine(story())

    def test_plain_on_loopback(self) -> Deferred[None]:
        async def story() -> None:
            daemon = self.start(listen="tcp:127.0.0.1:0")
            await self.whole()
            text = daemon.supervisor.metrics()
            self.assertIn('refreeze_http_responses_total{status="201"} 1.0', text)
            self.assertIn("refreeze_http_clients 0.0", text)
            self.assertEqual(daemon.supervisor.status()["http_clients"], 0)

        return self.play(story)

    def test_on_a_unix_socket(self) -> Deferred[None]:
        async def story() -> None:
            place = f"{self.directory}/http.sock"
            self.start(listen=f"unix:{place}")
            self.connect = lambda: UnixConnection(place)
            await self.whole()

        return self.play(story)

    def test_on_tls_with_tokens(self) -> Deferred[None]:
        async def story() -> None:
            pki = Pki(self.directory)
            files = pki.issue("web", ["127.0.0.1"])
            self.start(
                listen="tcp:127.0.0.1:0",
                certificate=files.certificate,
                key=files.key,
                tokens=self.tokens,
            )
            context = ssl.create_default_context(cafile=files.ca)
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.connect = lambda: http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=PATIENCE, context=context
            )
            self.assertEqual((await self.post())[0], 401)
            self.assertEqual((await self.post(NEW))[0], 401)
            await self.whole(TOKEN)

        return self.play(story)

    def test_files_of_no_use_for_tls_are_named(self) -> None:
        pki = Pki(self.directory)
        one, two = pki.issue("web", ["127.0.0.1"]), pki.issue("other", ["127.0.0.1"])
        for certificate, key, wanted in (
            ("/no/file", one.key, "http: /no/file: No such file or directory"),
            (one.certificate, two.key, f"http: {two.key}: not the key of {one.certificate}"),
            (one.key, one.key, f"http: {one.key}: holds no certificate in PEM"),
        ):
            error = self.assertRaises(ValueError, tls_options, certificate, key)
            self.assertIn(wanted, str(error))
        os.chmod(one.key, 0o644)
        error = self.assertRaises(ValueError, tls_options, one.certificate, one.key)
        self.assertIn("others than its owner and group may use it", str(error))

    def test_tokens_and_origins_change_with_a_reload(self) -> Deferred[None]:
        async def story() -> None:
            daemon = self.start(listen="tcp:127.0.0.1:0", tokens=self.tokens)
            self.assertEqual((await self.post(TOKEN))[0], 201)
            self.write(f"screen {NEW}\n")
            self.assertEqual((await self.post(NEW))[0], 401)
            settings = daemon.settings
            origins = evolve(settings.http, origins=("https://a.example",))
            daemon.read_settings = lambda: evolve(settings, http=origins)
            daemon.supervisor.reload()
            self.assertEqual((await self.post(TOKEN))[0], 401)
            self.assertEqual((await self.post(NEW))[0], 201)
            status, headers, _ = await self.ask("OPTIONS", PATH, Origin="https://a.example")
            self.assertEqual(
                (status, headers["access-control-allow-origin"]), (204, "https://a.example")
            )

        return self.play(story)

    def test_a_body_that_is_too_long_is_told_so_before_the_connection_ends(self) -> Deferred[None]:
        """Not reset while the client still sends (RFC 9112 section 9.6)."""

        async def story() -> None:
            self.start(listen="tcp:127.0.0.1:0")
            for size in (65 * 1024, 1024 * 1024):
                status, headers, _ = await self.ask(
                    "POST", PATH, size * b"x", Content_Type="application/sdp"
                )
                self.assertEqual((status, headers["connection"]), (413, "close"))

        return self.play(story)

    def test_the_page_is_served_only_when_it_is_wanted(self) -> Deferred[None]:
        async def story() -> None:
            daemon = self.start(listen="tcp:127.0.0.1:0")
            self.assertEqual((await self.ask("GET", "/"))[0], 404)
            settings = daemon.settings
            daemon.read_settings = lambda: evolve(settings, http=evolve(settings.http, page=True))
            daemon.supervisor.reload()
            frontage: Any = daemon._frontage
            for path, (kind, content) in frontage._doorway.page.items():
                status, headers, body = await self.ask("GET", path)
                self.assertEqual((status, headers["content-type"], body), (200, kind, content))

        return self.play(story)
