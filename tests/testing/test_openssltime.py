"""OpenSSL's clock is the fake one: its timer of a handshake runs in virtual time."""

from __future__ import annotations

import gc
import platform
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import FakeNetwork, VirtualClock, VirtualWorld, openssltime
from refreeze.testing.openssltime import OpenSslTimeUnavailable, follow, openssl_time
from tests.virtualtime import need_openssl_time

SECOND = 1.0
"""After which a flight is repeated (RFC 6347 section 4.2.4.1)."""


def flight(connection: SSL.Connection) -> bytes:
    """What it wants to send."""
    try:
        return connection.bio_read(65536)
    except SSL.WantReadError:
        return b""


def client() -> SSL.Connection:
    """One that has sent its first flight."""
    connection = SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None)
    connection.set_connect_state()
    connection.set_ciphertext_mtu(1200)
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return connection
    raise AssertionError("a handshake with nobody is over")


class OpenSslTimeTests(SynchronousTestCase):
    """A client that gets no answer."""

    def setUp(self) -> None:
        need_openssl_time()
        self.addCleanup(follow, None)
        self.clock = VirtualClock()

    def test_the_first_flight_is_repeated_after_one_virtual_second(self) -> None:
        with openssl_time(self.clock):
            connection = client()
            first = flight(connection)
            self.clock.advance(0.9)
            self.assertAlmostEqual(connection.DTLSv1_get_timeout() or 0, 0.1)
            self.assertFalse(connection.DTLSv1_handle_timeout())
            self.assertEqual(flight(connection), b"")
            self.clock.advance(0.1)
            self.assertEqual(connection.DTLSv1_get_timeout(), 0)
            self.assertTrue(connection.DTLSv1_handle_timeout())
            again = flight(connection)
        self.assertEqual(again[13:], first[13:], "all but the record's header")
        self.assertGreater(again[5:11], first[5:11], "which has the next number")

    def test_each_wait_is_twice_the_one_before(self) -> None:
        waits = []
        with openssl_time(self.clock):
            connection = client()
            for _ in range(4):
                wait = connection.DTLSv1_get_timeout()
                assert wait is not None
                waits.append(wait)
                self.clock.advance(wait)
                connection.DTLSv1_handle_timeout()
        self.assertEqual(waits, [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND])

    def test_no_real_time_passes_in_it(self) -> None:
        with openssl_time(self.clock):
            connection = client()
            self.assertEqual({connection.DTLSv1_get_timeout() for _ in range(1000)}, {SECOND})

    def test_afterwards_it_is_what_it_was(self) -> None:
        other = VirtualClock()
        follow(other)
        connection = client()
        with openssl_time(self.clock):
            self.clock.advance(0.5)
            self.assertEqual(connection.DTLSv1_get_timeout(), SECOND / 2)
        self.assertEqual(connection.DTLSv1_get_timeout(), SECOND)
        follow(None)
        self.assertEqual(connection.DTLSv1_get_timeout(), 0, "it began long ago by the true time")

    def test_a_clock_that_is_gone_is_followed_no_more(self) -> None:
        follow(self.clock)
        connection = client()
        del self.clock
        gc.collect()
        self.assertEqual(connection.DTLSv1_get_timeout(), 0)

    def test_a_fake_network_is_enough(self) -> None:
        network = FakeNetwork(self.clock, 1)
        connection = client()
        network.clock.advance(SECOND)
        self.assertTrue(connection.DTLSv1_handle_timeout())

    def test_a_world_that_has_stopped_tells_no_time(self) -> None:
        world = VirtualWorld(1)
        connection = client()
        self.assertEqual(connection.DTLSv1_get_timeout(), SECOND)
        world.stop()
        self.assertEqual(connection.DTLSv1_get_timeout(), 0)

    def test_a_world_that_stops_leaves_the_next_ones_time(self) -> None:
        before, after = VirtualWorld(1), VirtualWorld(2)
        connection = client()
        before.stop()
        self.assertEqual(connection.DTLSv1_get_timeout(), SECOND)
        after.stop()


class UnavailableTests(SynchronousTestCase):
    """Where OpenSSL keeps its time to itself."""

    def forget(self) -> None:
        """As if nobody had asked yet; the function that OpenSSL has stays where it is."""
        teller = openssltime._teller
        self.patch(openssltime, "_teller", teller.__wrapped__)
        openssltime.unavailable.cache_clear()
        self.addCleanup(openssltime.unavailable.cache_clear)

    def check(self, reason: str) -> None:
        """It says so, and a fake network does without."""
        clock = VirtualClock()
        self.assertIn(reason, openssltime.unavailable() or "")
        with self.assertRaises(OpenSslTimeUnavailable) as caught:
            follow(clock)
        self.assertIn(reason, str(caught.exception))
        FakeNetwork(clock, 1)
        VirtualWorld(1).stop()

    def test_on_another_processor(self) -> None:
        self.forget()
        self.patch(platform, "machine", lambda: "mips")
        self.check("mips")

    def test_with_an_openssl_that_takes_its_time_elsewhere(self) -> None:
        self.forget()
        nothing: list[Any] = []
        self.patch(openssltime, "_openssl", lambda: nothing)
        self.check("no loaded OpenSSL")
