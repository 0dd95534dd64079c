"""Where a hub may listen."""

from __future__ import annotations

import os
import socket

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor, MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.places import (
    HubEndpointError,
    LoopbackPlace,
    TlsPlace,
    UnixPlace,
    check_hub_endpoint,
    client_endpoint,
    remove_stale_socket,
    server_endpoint,
)


class CheckTests(SynchronousTestCase):
    def test_a_unix_socket_and_loopback_are_fine(self) -> None:
        self.assertEqual(check_hub_endpoint("unix:/run/hub"), UnixPlace("/run/hub"))
        for text, place in {
            "tcp:127.0.0.1:7810": LoopbackPlace("127.0.0.1", 7810),
            "tcp:127.8.0.1:0": LoopbackPlace("127.8.0.1", 0),
            "tcp:[::1]:1": LoopbackPlace("::1", 1),
        }.items():
            self.assertEqual(check_hub_endpoint(text), place)

    def test_any_other_address_is_refused_and_told_that_tls_is_required(self) -> None:
        for text in ("tcp:0.0.0.0:1", "tcp:192.0.2.1:1", "tcp:[::]:1", "tcp:[2001:db8::1]:1"):
            with self.assertRaises(HubEndpointError) as caught:
                check_hub_endpoint(text)
            self.assertIn("TLS is required", str(caught.exception))

    def test_tls_may_be_at_any_host(self) -> None:
        for text, place in {
            "tls:hub.example.net:7810": TlsPlace("hub.example.net", 7810),
            "tls:HUB.Example.net.:7810": TlsPlace("hub.example.net", 7810),
            "tls:xn--bcher-kva.example:1": TlsPlace("xn--bcher-kva.example", 1),
            "tls:192.0.2.1:7810": TlsPlace("192.0.2.1", 7810),
            "tls:[2001:DB8:0::1]:7810": TlsPlace("2001:db8::1", 7810),
            "tls:*:0": TlsPlace("*", 0),
        }.items():
            self.assertEqual(check_hub_endpoint(text), place)

    def test_a_hub_listens_at_addresses_and_a_link_connects_to_hosts(self) -> None:
        for text, listen, connect in (
            ("tls:hub.example.net:7810", False, True),
            ("tls:192.0.2.1:7810", True, True),
            ("tls:*:7810", True, False),
            ("tls:0.0.0.0:7810", True, False),
            ("tls:[::]:7810", True, False),
            ("tls:192.0.2.1:0", True, False),
        ):
            place = check_hub_endpoint(text)
            assert isinstance(place, TlsPlace)
            self.assertEqual((place.listenable, place.connectable), (listen, connect), text)

    def test_what_nobody_can_read_is_refused_in_one_line(self) -> None:
        for text in (
            "",
            "unix",
            "unix:relative",
            "unix:/" + "x" * 107,
            "tcp:7810",
            "tcp:localhost:7810",
            "tcp:127.0.0.1:",
            "tcp:127.0.0.1:65536",
            "tcp:127.0.0.1:99999999999999999999",
            "tcp:127.0.0.1:-1",
            "udp:127.0.0.1:1",
            "tls",
            "tls:7810",
            "tls:hub.example.net",
            "tls:hub example:7810",
            "tls:http://hub:7810",
            "tls:user@hub:7810",
            "tls:-hub:7810",
            "tls:hub..net:7810",
            "tls:127.1:7810",
            "tls:300.1.1.1:7810",
            "tls:[hub]]:7810",
            "tls:" + "a" * 64 + ":7810",
            "tls:" + "a." * 128 + "net:7810",
            "tls:b\u00fccher.example:7810",
        ):
            with self.assertRaises(HubEndpointError) as caught:
                check_hub_endpoint(text)
            self.assertNotIn("\n", str(caught.exception))


class EndpointTests(SynchronousTestCase):
    def test_a_unix_socket_is_listened_at_with_mode_0660(self) -> None:
        reactor = MemoryReactor()
        path = os.path.abspath(self.mktemp())
        server_endpoint(reactor, UnixPlace(path)).listen(Factory())
        self.assertEqual(reactor.unixServers[0][0], path)
        self.assertEqual(reactor.unixServers[0][3], 0o660)

    def test_tcp_is_listened_at_on_that_address_only(self) -> None:
        reactor = MemoryReactor()
        server_endpoint(reactor, LoopbackPlace("127.0.0.1", 5)).listen(Factory())
        server_endpoint(reactor, LoopbackPlace("::1", 6)).listen(Factory())
        self.assertEqual([(s[0], s[3]) for s in reactor.tcpServers], [(5, "127.0.0.1"), (6, "::1")])

    def test_the_client_connects_where_the_server_listens(self) -> None:
        reactor = MemoryReactor()
        client_endpoint(reactor, UnixPlace("/run/hub")).connect(Factory())
        client_endpoint(reactor, LoopbackPlace("127.0.0.1", 5)).connect(Factory())
        self.assertEqual(reactor.unixClients[0][0], "/run/hub")
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 5))

    def test_a_star_is_every_address(self) -> None:
        reactor = MemoryReactor()
        server_endpoint(reactor, TlsPlace("*", 5)).listen(Factory())
        wildcard = "::" if os.path.exists("/proc/net/if_inet6") else "0.0.0.0"
        self.assertEqual(reactor.tcpServers[0][3], wildcard)

    def test_a_name_is_resolved_when_a_link_connects(self) -> None:
        endpoint = client_endpoint(MemoryReactorClock(), TlsPlace("hub.example.net", 5))
        self.assertIsInstance(endpoint, HostnameEndpoint)


class StaleSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)

    def test_the_socket_of_a_killed_daemon_is_removed(self) -> None:
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.close()
        self.assertTrue(remove_stale_socket(self.path))
        self.assertFalse(os.path.exists(self.path))

    def test_the_socket_of_a_living_daemon_stays(self) -> None:
        self.listener.bind(self.path)
        self.listener.listen()
        self.assertFalse(remove_stale_socket(self.path))
        self.assertTrue(os.path.exists(self.path))

    def test_a_file_that_is_no_socket_stays(self) -> None:
        with open(self.path, "w"):
            pass
        self.assertFalse(remove_stale_socket(self.path))
        self.assertTrue(os.path.exists(self.path))

    def test_no_file_is_fine(self) -> None:
        self.assertFalse(remove_stale_socket(self.path))
