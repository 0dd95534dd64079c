"""What the tests of hostile input share."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls import problems
from refreeze.testing import openssl_time
from tests.peer.dtls.wire import End, Wire
from tests.virtualtime import need_openssl_time

REASONS = (
    problems.ALERT,
    problems.CERTIFICATE,
    problems.FINGERPRINT,
    problems.HANDSHAKE,
    problems.TIMEOUT,
)


class HostileCase(SynchronousTestCase):
    """Handshakes that somebody disturbs."""

    def setUp(self) -> None:
        need_openssl_time()

    def connected(self) -> Wire:
        """Two that are."""
        wire = Wire()
        self.enterContext(openssl_time(wire.clock))
        wire.start()
        wire.conclude()
        self.assertTrue(wire.connected, wire.story())
        return wire

    def unharmed(self, wire: Wire, what: object = "") -> None:
        """Both are connected, and data flows."""
        self.assertTrue(wire.connected, f"{what}: {wire.story()}")
        self.assertTrue(wire.flows(), f"{what}: {wire.story()}")


def throw(end: End, datagrams: Iterable[bytes]) -> int:
    """All of it at one end; how many there were."""
    count = 0
    for datagram in datagrams:
        end.take(datagram)
        count += 1
    return count
