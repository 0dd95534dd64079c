"""Ports on real sockets, on loopback, with the real reactor."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.net.stock import StockPort
from refreeze.net.udp import MAX_PACKETS_PER_TURN, SocketPort, UdpPortFactory, UdpSettings

MAX_PAYLOAD_IPV4 = 65507


class Inbox:
    """Gathers what a port receives; ``wait(n)`` fires with the first *n* datagrams."""

    def __init__(self, port: Port) -> None:
        self.items: list[tuple[bytes, Address, int]] = []
        self._wanted = 0
        self._waiting: Deferred[list[tuple[bytes, Address, int]]] | None = None
        port.on_batch(self.received)

    def received(self, _port: Port, batch: Batch) -> None:
        self.items.extend(batch)
        if self._waiting is not None and len(self.items) >= self._wanted:
            waiting, self._waiting = self._waiting, None
            waiting.callback(self.items)

    def wait(self, count: int) -> Deferred[list[tuple[bytes, Address, int]]]:
        self._wanted, self._waiting = count, Deferred()
        self.received(None, [])  # type: ignore[arg-type]
        return self._waiting


class RealPortCase(TestCase):
    """Ports that are closed at the end."""

    timeout = 10

    def setUp(self) -> None:
        the_reactor: Any = reactor
        self.factory = UdpPortFactory(the_reactor)

    def open(self, host: str = "127.0.0.1", port: int = 0) -> SocketPort:
        opened = self.factory.open_udp(host, port)
        assert isinstance(opened, SocketPort)
        self.addCleanup(opened.close)
        return opened


class UdpTests(RealPortCase):
    """One port to another."""

    def exchange(self, host: str) -> Deferred[None]:
        one, two = self.open(host), self.open(host)

        async def talk() -> None:
            inbox, back = Inbox(two), Inbox(one)
            one.send([(b"a", two.local, 0), (b"b", two.local, 0)])
            self.assertEqual(await inbox.wait(2), [(b"a", one.local, 0), (b"b", one.local, 0)])
            two.send([(b"c", inbox.items[0][1], 0)])
            self.assertEqual(await back.wait(1), [(b"c", two.local, 0)])

        return Deferred.fromCoroutine(talk())

    def test_ipv4(self) -> Deferred[None]:
        return self.exchange("127.0.0.1")

    def test_ipv6(self) -> Deferred[None]:
        return self.exchange("::1")

    def test_the_longest_datagram_arrives_whole_and_a_longer_one_is_counted(self) -> Deferred[None]:
        one, two = self.open(), self.open()

        async def talk() -> None:
            inbox = Inbox(two)
            longest = os.urandom(MAX_PAYLOAD_IPV4)
            handed = one.send([(longest + b"x", two.local, 0), (longest, two.local, 0)])
            self.assertEqual((handed, one.counters.too_long), (1, 1))
            self.assertEqual((await inbox.wait(1))[0][0], longest)

        return Deferred.fromCoroutine(talk())

    def test_a_burst_of_thousands_fits_the_receive_buffer(self) -> Deferred[None]:
        """The default buffer holds some 256 small packets."""
        one, two = self.open(), self.open()
        size = two._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        count = 2000 if size >= 4 * 1024 * 1024 else 100

        async def talk() -> None:
            inbox = Inbox(two)
            one.send([(number.to_bytes(4, "big"), two.local, 0) for number in range(count)])
            items = await inbox.wait(count)
            numbers = [int.from_bytes(data, "big") for data, _source, _tos in items]
            self.assertEqual(numbers, list(range(count)))

        return Deferred.fromCoroutine(talk())

    def test_what_leaves_together_arrives_one_by_one_and_in_order(self) -> Deferred[None]:
        hosts = ("127.0.0.1", "::1")
        sizes = [1200] * 70 + [900, 900, 0, 1, 1, 0] + [30_000] * 3 + [20] * 5

        async def talk() -> None:
            for one, two in ((self.open(host), self.open(host)) for host in hosts):
                assert one._segments is not None
                inbox, payloads = Inbox(two), [os.urandom(size) for size in sizes]
                handed = one.send([(payload, two.local, 0) for payload in payloads])
                items = await inbox.wait(len(sizes))
                self.assertEqual([data for data, _source, _tos in items], payloads)
                self.assertEqual((handed, one.counters.sent_bytes), (len(sizes), sum(sizes)))

        return Deferred.fromCoroutine(talk())

    def test_timers_run_before_a_flood_is_read(self) -> Deferred[None]:
        """Twisted's own reader takes 256 KiB first (notes C2, maxThroughput)."""
        one, two = self.open(), self.open()
        the_reactor: Any = reactor

        async def talk() -> None:
            inbox = Inbox(two)
            one.send([(b"x", two.local, 0)] * 2 * MAX_PACKETS_PER_TURN)
            await inbox.wait(1)
            timer: Deferred[None] = Deferred()
            the_reactor.callLater(0, timer.callback, None)
            await timer
            self.assertEqual(len(inbox.items), MAX_PACKETS_PER_TURN)
            await inbox.wait(2 * MAX_PACKETS_PER_TURN)

        return Deferred.fromCoroutine(talk())

    def test_a_refused_datagram_hurts_neither_sending_nor_reading(self) -> Deferred[None]:
        one, two, gone = self.open(), self.open(), self.open()
        nobody = gone.local
        gone.close()

        async def talk() -> None:
            inbox, back = Inbox(two), Inbox(one)
            one.send([(b"x", nobody, 0), (b"y", nobody, 0), (b"a", two.local, 0)])
            two.send([(b"b", one.local, 0)])
            await gatherResults([inbox.wait(1), back.wait(1)])
            self.assertIsNone(one.broken)

        return Deferred.fromCoroutine(talk())

    def test_a_taken_address_is_refused(self) -> None:
        taken = self.open()
        error = self.assertRaises(OSError, self.factory.open_udp, *taken.local)
        self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_a_closed_port_frees_its_address_at_once(self) -> None:
        first = self.open()
        local = first.local
        first.close()
        self.assertEqual(self.open(*local).local, local)

    def test_T35_a_socket_that_the_system_killed_is_noticed(self) -> None:
        port = self.open()
        port._socket.close()
        self.assertEqual(port.send([(b"x", ("127.0.0.1", 9), 0)]), 0)
        self.assertEqual(port.broken, "EBADF")

    def test_an_unknown_zone_or_a_foreign_address_is_an_oserror(self) -> None:
        for host in ("fe80::1%nowhere", "192.0.2.1"):
            self.assertRaises(OSError, self.factory.open_udp, host)

    def test_dont_fragment_is_a_setting(self) -> None:
        the_reactor: Any = reactor
        factory = UdpPortFactory(the_reactor, UdpSettings(dont_fragment=True))
        for host, level, option in (
            ("127.0.0.1", socket.IPPROTO_IP, 10),
            ("::1", socket.IPPROTO_IPV6, 23),
        ):
            port: Any = factory.open_udp(host)
            self.addCleanup(port.close)
            self.assertEqual(port._socket.getsockopt(level, option), 2)

    def test_local_hosts_have_loopback(self) -> None:
        self.assertIn(("lo", "127.0.0.1"), self.factory.local_hosts())

    def test_the_source_towards_a_remote_is_the_kernels_choice(self) -> None:
        self.assertEqual(self.factory.source_host("127.0.0.9"), "127.0.0.1")
        self.assertEqual(self.factory.source_host("::1"), "::1")
        for nowhere in ("localhost", "", "fe80::1%nosuchlink", "255.255.255.255"):
            self.assertIsNone(self.factory.source_host(nowhere))


class UnixTests(RealPortCase):
    """UNIX datagram ports and their files."""

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "a.sock")
        self.other = os.path.join(directory.name, "b.sock")

    def open_unix(self, path: str) -> Port:
        port = self.factory.open_unix(path)
        self.addCleanup(port.close)
        return port

    def test_datagrams_and_their_senders(self) -> Deferred[None]:
        one, two = self.open_unix(self.path), self.open_unix(self.other)

        async def talk() -> None:
            inbox = Inbox(two)
            one.send([(b"a", two.local, 0)])
            self.assertEqual(await inbox.wait(1), [(b"a", (self.path, 0), 0)])

        return Deferred.fromCoroutine(talk())

    def test_an_oversized_datagram_is_flagged_and_dropped(self) -> Deferred[None]:
        one, two = self.open_unix(self.path), self.open_unix(self.other)

        async def talk() -> None:
            inbox = Inbox(two)
            handed = one.send([(bytes(70_000), two.local, 0), (b"a", two.local, 0)])
            self.assertEqual(handed, 2)
            self.assertEqual([item[0] for item in await inbox.wait(1)], [b"a"])
            self.assertEqual(two.counters.truncated, 1)

        return Deferred.fromCoroutine(talk())

    def test_a_stale_file_is_replaced(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(self.path)
        self.assertEqual(self.open_unix(self.path).local, (self.path, 0))

    def test_a_live_socket_is_not_taken_over(self) -> None:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            path = f"{self.path}{int(kind)}"
            with socket.socket(socket.AF_UNIX, kind) as live:
                live.bind(path)
                if kind == socket.SOCK_STREAM:
                    live.listen()
                error = self.assertRaises(OSError, self.factory.open_unix, path)
                self.assertEqual(error.errno, errno.EADDRINUSE)
                self.assertTrue(os.path.exists(path))

    def test_what_is_no_socket_stays(self) -> None:
        with open(self.other, "w") as file:
            file.write("precious")
        os.symlink(self.other, self.path)
        for path in (self.path, self.other):
            self.assertRaises(OSError, self.factory.open_unix, path)
        with open(self.other) as file:
            self.assertEqual(file.read(), "precious")

    def test_the_file_goes_with_its_port_unless_another_took_the_path(self) -> None:
        port = self.factory.open_unix(self.path)
        port.close()
        self.assertFalse(os.path.exists(self.path))
        first = self.factory.open_unix(self.path)
        os.unlink(self.path)
        self.open_unix(self.path)
        first.close()
        self.assertTrue(os.path.exists(self.path))

    def test_only_owner_and_group_may_send(self) -> None:
        self.open_unix(self.path)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o660)

    def test_an_abstract_name_has_no_file(self) -> Deferred[None]:
        name = f"@refreeze-{os.getpid()}"
        one, two = self.open_unix(self.path), self.open_unix(name)

        async def talk() -> None:
            inbox = Inbox(two)
            one.send([(b"a", (name, 0), 0)])
            self.assertEqual((await inbox.wait(1))[0][0], b"a")

        return Deferred.fromCoroutine(talk())


class StockTests(RealPortCase):
    """The same Port on Twisted's own listenUDP."""

    def listen(self) -> StockPort:
        the_reactor: Any = reactor
        port = StockPort.listen(the_reactor, "127.0.0.1")
        self.addCleanup(port.close)
        return port

    def test_it_talks_to_our_own(self) -> Deferred[None]:
        one, two = self.listen(), self.open()

        async def talk() -> None:
            inbox, back = Inbox(two), Inbox(one)
            one.send([(b"a", two.local, 0)])
            self.assertEqual(await inbox.wait(1), [(b"a", one.local, 0)])
            two.send([(bytes(MAX_PAYLOAD_IPV4), one.local, 0)])
            self.assertEqual(len((await back.wait(1))[0][0]), MAX_PAYLOAD_IPV4)

        return Deferred.fromCoroutine(talk())

    def test_no_send_raises(self) -> None:
        port = self.listen()
        remotes = [("::1", 9), ("localhost", 9), ("127.0.0.1", 70000), ("192.0.2.1", 9)]
        batch = [(b"x", remote, 0) for remote in remotes]
        handed = port.send([*batch, (bytes(66_000), ("127.0.0.1", 9), 0)])
        self.assertEqual(handed + port.counters.send_errors + port.counters.too_long, 5)
        self.assertEqual(port.counters.too_long, 1)

    def test_after_close_nothing_is_taken(self) -> None:
        port = self.listen()
        port.close()
        port.close()
        self.assertEqual(port.send([(b"x", ("127.0.0.1", 9), 0)]), 0)
        self.assertIsNone(port.broken)

    def test_a_receiver_that_fails_is_logged_a_few_times(self) -> None:
        def fail(_port: Port, _batch: Batch) -> None:
            raise RuntimeError("a receiver's bug")

        port = self.listen()
        port.on_batch(fail)
        for _ in range(200):
            port.received(b"x", ("127.0.0.1", 9))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 5)

    def test_a_link_local_source_takes_the_zone_of_its_port(self) -> None:
        port = StockPort(("fe80::1%eth0", 5000))
        got: list[Batch] = []
        port.on_batch(lambda _port, batch: got.append(batch))
        port.received(b"x", ("fe80::2", 6000))
        self.assertEqual(got[0][0][1], ("fe80::2%eth0", 6000))
