"""Tests over wires: OpenSSL's timer goes by their clock."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.testing import openssl_time
from tests.peer.dtls.wire import Wire
from tests.virtualtime import need_openssl_time


class WireCase(SynchronousTestCase):
    """Two ends and a wire, from the first flight to the end of both."""

    def setUp(self) -> None:
        need_openssl_time()

    def play(self, wire: Wire) -> Wire:
        """Until both ends are over."""
        with openssl_time(wire.clock):
            wire.start()
            wire.conclude()
        return wire
