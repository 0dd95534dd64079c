"""Requests that are too long, too slow or too many, and what is no HTTP."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from refreeze.service.frontage import tls_options
from refreeze.signaling.http.resources import SDP
from refreeze.signaling.http.wire import (
    MAX_BODY,
    MAX_CONNECTIONS,
    MAX_OF_ORIGIN,
    MAX_TURNED_AWAY,
    BoundedChannel,
    BoundedSite,
)
from tests.signaling.http.kit import SESSION, Client, Connection, Kit, sdp
from tests.signaling.pki import Pki

PATH = f"/sessions/{SESSION}"


class Stuck(StringTransport):
    """One whose other end does not take anything."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class WireTests(SynchronousTestCase):
    """One listener; what is refused leaves no request behind."""

    def setUp(self) -> None:
        self.kit = Kit()

    def refused(self, connection: Connection, status: int) -> None:
        """A problem, and the end of the connection soon after."""
        self.kit.advance(0.1)
        reply = connection.take()
        assert reply is not None, connection.data
        self.assertEqual((reply.problem["status"], reply.headers["connection"]), (status, "close"))
        self.assertEqual(connection.data, b"")
        self.kit.advance(1.5)
        self.assertTrue(connection.lost)
        self.assertEqual(self.kit.site.counters[status], 1)
        self.assertEqual(self.kit.site.connections, 0)
        self.assertEqual(self.kit.script.heard, [])
        self.assertEqual(self.kit.reactor.getDelayedCalls(), [])

    def test_a_body_that_is_said_to_be_too_long_is_413_at_once(self) -> None:
        connection = self.kit.client.connect()
        connection.request("POST", PATH, Content_Length=str(MAX_BODY + 1), Content_Type=SDP)
        self.refused(connection, 413)

    def test_a_body_that_grows_too_long_is_413(self) -> None:
        connection = self.kit.client.connect()
        connection.send(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {SDP}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(40):
            connection.send(b"1000\r\n" + 4096 * b"x" + b"\r\n")
        connection.send(b"0\r\n\r\n")
        self.refused(connection, 413)

    def test_the_longest_body_is_read(self) -> None:
        padded = sdp() + "a=x:" + "y" * (MAX_BODY - len(sdp()) - 6) + "\r\n"
        self.assertEqual(len(padded), MAX_BODY)
        reply = self.kit.client.post(padded)
        self.assertNotEqual(reply.status, 413)

    def test_a_body_that_takes_too_long_is_408(self) -> None:
        connection = self.kit.client.connect()
        connection.request("POST", PATH, b"v", Content_Length="1000", Content_Type=SDP)
        for _ in range(12):
            self.kit.advance(0.8)
            connection.send(b"=")
        self.kit.advance(0.5)
        self.refused(connection, 408)

    def test_a_head_that_takes_too_long_is_408_however_it_drips(self) -> None:
        connection = self.kit.client.connect()
        connection.send(f"POST {PATH} HTTP/1.1\r\n".encode())
        for number in range(12):
            self.kit.advance(0.8)
            connection.send(f"X-{number}: x\r\n".encode())
        self.kit.advance(0.5)
        self.refused(connection, 408)

    def test_what_follows_a_refusal_is_not_looked_at(self) -> None:
        connection = self.kit.client.connect()
        connection.send(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode())
        self.kit.advance(10.1)
        connection.send(
            f"Content-Type: {SDP}\r\nContent-Length: {len(sdp())}\r\n\r\n{sdp()}".encode()
        )
        self.refused(connection, 408)

    def test_a_client_that_says_nothing_at_all_is_408(self) -> None:
        connection = self.kit.client.connect()
        self.kit.advance(10.1)
        self.refused(connection, 408)

    def test_a_connection_may_rest_between_two_requests_but_not_for_long(self) -> None:
        connection = self.kit.client.connect()
        for _ in range(3):
            connection.request("OPTIONS", PATH)
            self.kit.advance(8.0)
            reply = connection.take()
            assert reply is not None
            self.assertEqual(reply.status, 204)
        self.assertFalse(connection.lost)
        self.kit.advance(8.0)
        self.assertTrue(connection.lost)
        self.assertEqual(self.kit.reactor.getDelayedCalls(), [])

    def test_what_is_no_http_is_400(self) -> None:
        for raw in (
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
            b"GET / HTTP/2.0 x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"GET /\xe9 HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + 600 * b"x: y\r\n" + b"\r\n",
            b"GET / HTTP/1.1\r\n" + 20 * (b"x: " + 1000 * b"y" + b"\r\n") + b"\r\n",
        ):
            self.kit = Kit()
            connection = self.kit.client.connect()
            connection.send(raw)
            self.refused(connection, 400)

    def test_a_line_that_does_not_end_ends_the_connection(self) -> None:
        connection = self.kit.client.connect()
        for _ in range(20):
            connection.send(4096 * b"x")
        self.kit.advance(12.0)
        self.assertTrue(connection.lost)
        self.assertEqual(self.kit.reactor.getDelayedCalls(), [])

    def test_pipelined_requests_are_answered_one_after_another(self) -> None:
        connection = self.kit.client.connect()
        connection.request("POST", PATH, sdp().encode(), Content_Type=SDP)
        connection.request("OPTIONS", PATH)
        connection.request("GET", PATH)
        self.kit.advance(1.0)
        statuses = [reply.status for _ in range(3) if (reply := connection.take()) is not None]
        self.assertEqual(statuses, [201, 204, 405])

    def test_more_connections_than_there_is_room_for_are_503(self) -> None:
        held = [self.kit.client.connect() for _ in range(MAX_CONNECTIONS)]
        one = self.kit.client.connect()
        self.kit.advance(0.1)
        reply = one.take()
        assert reply is not None
        self.assertEqual((reply.problem["status"], reply.headers["retry-after"]), (503, "5"))
        self.assertTrue(one.lost)
        for each in held:
            assert each.transport is not None
            each.transport.loseConnection()
        self.kit.advance(0.1)
        self.assertEqual(self.kit.client.ask("OPTIONS", PATH).status, 204)

    def test_one_host_elsewhere_has_not_all_the_room(self) -> None:
        """Unless it is a proxy, or on this machine."""
        for host, limit, wanted in (
            ("192.0.2.9", MAX_OF_ORIGIN, MAX_OF_ORIGIN),
            ("2001:db8::9", MAX_OF_ORIGIN, MAX_OF_ORIGIN),
            ("127.0.0.1", MAX_OF_ORIGIN, MAX_CONNECTIONS),
            ("192.0.2.9", None, MAX_CONNECTIONS),
        ):
            site = BoundedSite(self.kit.doorway, self.kit.reactor, limit)
            made = [site.buildProtocol(IPv4Address("TCP", host, port)) for port in range(300)]
            channels = [each for each in made if isinstance(each, BoundedChannel)]
            self.assertEqual(len(channels), wanted, host)
            for each in channels:
                site.lost(each)
            again = site.buildProtocol(IPv4Address("TCP", host, 1))
            self.assertIsInstance(again, BoundedChannel)

    def test_a_crowd_is_not_even_told_that_there_is_no_room(self) -> None:
        site = BoundedSite(self.kit.doorway, self.kit.reactor, 0)
        told = 0
        for port in range(MAX_TURNED_AWAY + 20):
            protocol = site.buildProtocol(IPv4Address("TCP", "192.0.2.9", port))
            transport = Stuck()
            protocol.makeConnection(transport)
            told += b"503" in transport.value()
            self.assertTrue(transport.disconnecting or transport.aborted)
        self.assertEqual((told, site.turned_away), (MAX_TURNED_AWAY, MAX_TURNED_AWAY))

    def test_a_tls_handshake_that_never_comes_ends_the_connection(self) -> None:
        files = Pki(self.mktemp(), days=36500).issue("web", ["localhost"])
        factory = TLSMemoryBIOFactory(
            tls_options(files.certificate, files.key), False, self.kit.site, clock=self.kit.reactor
        )
        self.kit.reactor.listenUNIX("/virtual/tls.sock", factory)
        client = Client(self.kit.reactor, self.kit.reactor, "/virtual/tls.sock")
        silent, stranger = client.connect(), client.connect()
        stranger.send(b"GET / HTTP/1.1\r\n\r\n")
        self.kit.advance(13.0)
        self.assertEqual((silent.lost, stranger.lost), (True, True))
        self.assertEqual((self.kit.site.connections, self.kit.reactor.getDelayedCalls()), (0, []))

    def test_a_response_to_head_says_how_long_it_would_be(self) -> None:
        self.kit.doorway.page = {"/": ("text/html", b"page")}
        reply = self.kit.client.ask("HEAD", "/")
        self.assertEqual((reply.status, reply.headers["content-length"]), (200, "4"))

    def test_an_empty_response_has_no_type_and_nobody_tells_versions(self) -> None:
        place, _ = self.kit.begin()
        reply = self.kit.client.ask("DELETE", place)
        self.assertNotIn("content-type", reply.headers)
        self.assertEqual(reply.headers["server"], "refreeze")

    def test_responses_are_counted_by_status(self) -> None:
        self.kit.begin()
        self.kit.client.ask("GET", "/")
        self.kit.client.post("")
        self.assertEqual(self.kit.doorway.counters, {201: 1, 404: 1, 400: 1})

    def test_nothing_is_logged_that_shows_a_path(self) -> None:
        """Whoever knows it can end the session."""
        logged: list[str] = []

        def note(event: LogEvent) -> None:
            logged.append(f"{formatEvent(event)} {event}")

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        place, _ = self.kit.begin()
        for method in ("HEAD", "GET", "PUT"):
            self.kit.client.ask(method, place)
        self.kit.client.connect()
        self.kit.advance(20.0)
        self.assertEqual([line for line in logged if place in line], [])
