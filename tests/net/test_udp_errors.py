"""Everything that a socket may say, without a socket (notes C2)."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.port import Batch, Port
from refreeze.net.udp import (
    MAX_BYTES_PER_TURN,
    MAX_DATAGRAM,
    MAX_PACKETS_PER_TURN,
    MAX_READ_ERRORS,
    MAX_TARGETS,
    SocketPort,
    Udp4Port,
    Udp6Port,
    UnixPort,
)
from tests.net.sockets import FakeReactor, FakeSocket, error

PEER = ("192.0.2.7", 6000)


class PortCase(SynchronousTestCase):
    """A port on a fake socket."""

    kind: type[SocketPort] = Udp4Port
    local = ("192.0.2.1", 5000)

    def setUp(self) -> None:
        self.reactor, self.socket = FakeReactor(), FakeSocket()
        fakes: Any = (self.reactor, self.socket)
        self.port = self.kind(*fakes, self.local)
        self.batches: list[Batch] = []
        self.port.on_batch(self.received)

    def received(self, _port: Port, batch: Batch) -> None:
        self.batches.append(batch)


class SendErrorTests(PortCase):
    """A port never raises out of send, and knows why."""

    def send(self, *outcomes: OSError | None) -> int:
        """Send one datagram per outcome."""
        self.socket.sending.extend(outcomes)
        return self.port.send([(b"x", PEER, 0)] * len(outcomes))

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        self.assertEqual(self.send(None, error(errno.ENETUNREACH), None), 2)
        self.assertEqual(self.port.counters.sent, 2)
        self.assertEqual(self.port.counters.sent_bytes, 2)

    def test_too_long(self) -> None:
        self.assertEqual(self.send(error(errno.EMSGSIZE)), 0)
        self.assertEqual(self.port.counters.too_long, 1)

    def test_a_full_buffer(self) -> None:
        self.assertEqual(self.send(error(errno.EAGAIN), error(errno.ENOBUFS)), 0)
        self.assertEqual(self.port.counters.would_block, 2)

    def test_T36_no_route_or_no_permission_is_an_error_of_this_send_only(self) -> None:
        for number in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EINVAL):
            self.send(error(number))
        self.assertEqual(self.port.counters.send_errors, 4)
        self.assertEqual((self.port.last_error, self.port.broken), ("EINVAL", None))

    def test_T35_a_dead_socket_is_broken(self) -> None:
        self.send(error(errno.ENETDOWN))
        self.assertEqual(self.port.broken, "ENETDOWN")
        self.assertNotIn(self.port, self.reactor.readers)

    def test_a_refusal_of_an_earlier_datagram_does_not_lose_this_one(self) -> None:
        self.assertEqual(self.send(error(errno.ECONNREFUSED)), 1)
        self.assertEqual(len(self.socket.sent), 1)

    def test_a_second_refusal_is_an_error(self) -> None:
        self.socket.sending.extend([error(errno.ECONNREFUSED)] * 2)
        self.assertEqual(self.port.send([(b"x", PEER, 0)]), 0)
        self.assertEqual(self.port.counters.send_errors, 1)

    def test_a_host_name_is_never_looked_up(self) -> None:
        self.assertEqual(self.port.send([(b"x", ("localhost", 9), 0)]), 0)
        self.assertEqual((self.port.counters.send_errors, self.socket.sent), (1, []))

    def test_impossible_destinations_are_errors(self) -> None:
        hosts = [("::1", 9), ("192.0.2.7", 0), ("192.0.2.7", 70000), ("fe80::1%nowhere", 9)]
        self.assertEqual(self.port.send([(b"x", host, 0) for host in hosts]), 0)
        self.assertEqual(self.port.counters.send_errors, 4)

    def test_after_close_nothing_is_taken(self) -> None:
        self.port.close()
        self.port.close()
        self.assertEqual(self.port.send([(b"x", PEER, 0)]), 0)
        self.assertEqual(self.port.counters.send_errors, 1)
        self.assertEqual((self.socket.closed, self.reactor.readers), (True, set()))

    def test_the_tos_goes_with_its_datagram(self) -> None:
        self.port.send([(b"x", PEER, 0xB8), (b"y", PEER, 0)])
        self.assertEqual(self.socket.ancillary, [(socket.IPPROTO_IP, socket.IP_TOS, b"\xb8")])
        self.assertEqual(self.socket.sent, [(b"x", PEER), (b"y", PEER)])

    def test_the_memory_of_destinations_is_bounded(self) -> None:
        for number in range(1, 2 * MAX_TARGETS):
            self.port.send([(b"x", ("192.0.2.7", number), 0)])
        self.assertLessEqual(len(self.port._targets), MAX_TARGETS)


class ReadTests(PortCase):
    """A turn of the reader."""

    def test_what_waits_is_handed_up_in_one_batch(self) -> None:
        self.socket.prepare(b"1", PEER)
        self.socket.prepare(b"", PEER)
        self.port.doRead()
        self.assertEqual(self.batches, [[(b"1", PEER, 0), (b"", PEER, 0)]])
        self.assertEqual(self.port.counters.received, 2)

    def test_a_truncated_datagram_is_dropped_and_counted(self) -> None:
        self.socket.prepare(bytes(MAX_DATAGRAM + 2), PEER)
        self.socket.prepare(b"2", PEER)
        self.port.doRead()
        self.port.doRead()
        self.assertEqual(self.batches, [[(b"2", PEER, 0)]])
        self.assertEqual((self.port.counters.truncated, self.port.counters.received_bytes), (1, 1))

    def test_a_turn_is_bounded_in_packets(self) -> None:
        for _ in range(3 * MAX_PACKETS_PER_TURN):
            self.socket.prepare(b"x", PEER)
        self.port.doRead()
        self.assertEqual(len(self.batches[0]), MAX_PACKETS_PER_TURN)

    def test_a_turn_is_bounded_in_bytes(self) -> None:
        for _ in range(10):
            self.socket.prepare(bytes(MAX_BYTES_PER_TURN // 2), PEER)
        self.port.doRead()
        self.assertEqual(len(self.batches[0]), 2)

    def test_truncated_datagrams_count_against_the_turn(self) -> None:
        for _ in range(3):
            self.socket.prepare(bytes(MAX_DATAGRAM + 2), PEER)
        self.port.doRead()
        self.assertEqual(self.socket.reads, 1)

    def test_a_refused_send_is_read_over(self) -> None:
        self.socket.reading.append(error(errno.ECONNREFUSED))
        self.socket.prepare(b"1", PEER)
        self.port.doRead()
        self.assertEqual(self.batches, [[(b"1", PEER, 0)]])
        self.assertEqual((self.port.counters.receive_errors, self.port.broken), (1, None))

    def test_T35_a_dead_socket_is_broken_and_read_no_more(self) -> None:
        self.socket.reading.append(error(errno.ECONNABORTED))
        self.port.doRead()
        self.assertEqual(self.port.broken, "ECONNABORTED")
        self.assertEqual(self.reactor.readers, set())

    def test_an_error_that_does_not_go_away_does_not_spin(self) -> None:
        self.socket.always = error(errno.EIO)
        self.port.doRead()
        self.assertEqual((self.socket.reads, self.port.broken), (MAX_READ_ERRORS, "EIO"))

    def test_a_receiver_that_fails_leaves_the_port_alone_and_the_log_small(self) -> None:
        def fail(_port: Port, _batch: Batch) -> None:
            raise RuntimeError("a receiver's bug")

        self.port.on_batch(fail)
        for _ in range(200):
            self.socket.prepare(b"x", PEER)
            self.port.doRead()
        self.assertEqual(self.port.counters.received, 200)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 5)

    def test_what_was_handed_up_is_not_overwritten_by_the_next_turn(self) -> None:
        self.socket.prepare(b"first", PEER)
        self.port.doRead()
        self.socket.prepare(b"other", PEER)
        self.port.doRead()
        self.assertEqual(self.batches[0][0][0], b"first")

    def test_T35_a_descriptor_that_the_reactor_gave_up_is_broken(self) -> None:
        self.port.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.port.broken, "lost")
        self.assertTrue(self.socket.closed)
        self.assertEqual(self.port.fileno(), -1)


class Ipv6Tests(PortCase):
    """Scopes (Twisted issue 6826)."""

    kind = Udp6Port
    local = ("fe80::1%lo", 5000)

    def test_a_link_local_source_keeps_its_zone(self) -> None:
        self.socket.prepare(b"x", ("fe80::2", 6000, 0, socket.if_nametoindex("lo")))
        self.port.doRead()
        self.assertEqual(self.batches, [[(b"x", ("fe80::2%lo", 6000), 0)]])

    def test_an_unknown_scope_is_left_out(self) -> None:
        self.socket.prepare(b"x", ("fe80::2", 6000, 0, 999_999))
        self.port.doRead()
        self.assertEqual(self.batches[0][0][1], ("fe80::2", 6000))

    def test_a_global_source_is_just_itself(self) -> None:
        self.socket.prepare(b"x", ("2001:db8::2", 6000, 0, 0))
        self.port.doRead()
        self.assertEqual(self.batches[0][0][1], ("2001:db8::2", 6000))

    def test_sources_are_in_canonical_form(self) -> None:
        self.socket.prepare(b"x", ("::192.0.2.7", 6000, 0, 0))
        self.port.doRead()
        self.assertEqual(self.batches[0][0][1], ("::c000:207", 6000))

    def test_a_zone_becomes_the_scope_of_a_destination(self) -> None:
        self.port.send([(b"x", ("fe80::2%lo", 9), 0), (b"y", ("fe80::2", 9), 0)])
        scope = socket.if_nametoindex("lo")
        self.assertEqual(
            [to for _data, to in self.socket.sent],
            [("fe80::2", 9, 0, scope), ("fe80::2", 9, 0, 0)],
        )

    def test_ipv4_destinations_and_unknown_zones_are_errors(self) -> None:
        self.port.send([(b"x", PEER, 0), (b"x", ("fe80::2%nowhere", 9), 0)])
        self.assertEqual((self.port.counters.send_errors, self.socket.sent), (2, []))

    def test_the_traffic_class_goes_with_its_datagram(self) -> None:
        self.port.send([(b"x", ("2001:db8::2", 9), 0x28)])
        self.assertEqual(self.socket.ancillary[0][:2], (socket.IPPROTO_IPV6, socket.IPV6_TCLASS))


class UnixErrorTests(PortCase):
    """UNIX datagram sockets."""

    kind = UnixPort
    local = ("/run/none/f.sock", 0)

    def test_a_receiver_that_is_gone_is_an_error_of_this_send_only(self) -> None:
        self.socket.sending.append(error(errno.ENOENT))
        self.assertEqual(self.port.send([(b"x", ("/run/none/g.sock", 0), 0)]), 0)
        self.assertEqual((self.port.last_error, self.port.broken), ("ENOENT", None))

    def test_a_sender_without_an_address_cannot_be_answered(self) -> None:
        self.socket.prepare(b"x", None)
        self.port.doRead()
        self.assertEqual(self.batches[0][0][1], ("", 0))
        self.assertEqual(self.port.send([(b"y", ("", 0), 0)]), 0)

    def test_abstract_names_are_written_with_an_at_sign(self) -> None:
        self.socket.prepare(b"x", b"\0name")
        self.port.doRead()
        self.assertEqual(self.batches[0][0][1], ("@name", 0))
        self.port.send([(b"y", ("@name", 0), 0)])
        self.assertEqual(self.socket.sent, [(b"y", "\0name")])
