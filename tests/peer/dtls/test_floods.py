"""However much is sent to an association: one handshake's memory, and little is answered."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path

from refreeze.peer.dtls import problems
from refreeze.peer.dtls.guard import MAX_EARLY, MAX_MESSAGE
from refreeze.peer.dtls.records import ALERT, APPLICATION, HANDSHAKE
from refreeze.testing import openssl_time
from tests.peer.dtls.fates import lose
from tests.peer.dtls.forge import CLIENT_HELLO, fragment, record
from tests.peer.dtls.hostile import REASONS, HostileCase, throw
from tests.peer.dtls.wire import DELAY, SERVER, End, Wire

FLOOD = 20_000
"""Datagrams."""
ROOM = 2 * 1024 * 1024
"""Bytes that the process may grow by in a flood: a hundredth of what was sent, or less."""


def resident() -> int:
    """The memory of this process, OpenSSL's with it, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def nonsense(kind: int) -> Callable[[int], bytes]:
    """Records that claim to be under keys, by their numbers."""
    return lambda number: record(kind, bytes(1100), epoch=1, number=number)


class FloodTests(HostileCase):
    """More than anybody needs."""

    def grows(self, end: End, datagrams: Callable[[int], bytes], seconds: float) -> int:
        """Flood it for that long; the bytes by which the process grew."""
        wire = end.wire
        began, sent = wire.now, 0
        throw(end, (datagrams(number) for number in range(500)))
        before = resident()
        while sent < FLOOD:
            throw(end, (datagrams(number) for number in range(sent, sent + 1000)))
            sent += 1000
            wire.clock.advance(seconds * 1000 / FLOOD)
        self.assertLess(wire.now - began, seconds + 1.0)
        return resident() - before

    def hellos(self) -> list[bytes]:
        """ClientHellos of many clients."""
        found = []
        for _ in range(40):
            wire = Wire(lambda *_: ())
            with openssl_time(wire.clock):
                wire.start()
            found += wire.client.sent
        return found

    def test_client_hellos_cost_one_handshake(self) -> None:
        """On a 5-tuple that is owned; each but the first is passed over."""
        hellos = self.hellos()
        for seconds in (0.0, 20.0):
            wire = Wire(lambda *_: ())
            with openssl_time(wire.clock):
                wire.start()
                end = wire.server
                grown = self.grows(end, lambda n: hellos[n % len(hellos)], seconds)
                self.assertLess(grown, ROOM)
                sent = sum(map(len, end.sent))
                self.assertLess(sent, 8 * 1200, "a flight and its repetitions, whatever came")
                self.assertGreater(end.association.dropped["too-many"], FLOOD * 9 // 10)
                wire.clock.advance(30.0)
                self.assertEqual(end.reason, problems.TIMEOUT, wire.story())

    def test_client_hellos_to_a_connected_association(self) -> None:
        hellos = self.hellos()
        wire = self.connected()
        for end in wire.ends:
            sent = len(end.sent)
            grown = self.grows(end, lambda n: hellos[n % len(hellos)], 0.0)
            self.assertLess(grown, ROOM)
            self.assertEqual(len(end.sent), sent)
            self.assertEqual(end.association.dropped["old-epoch"], FLOOD + 500)
        self.unharmed(wire)

    def test_huge_messages_in_fragments(self) -> None:
        """Each claims to be of a message as long as is allowed, and there are many of them."""

        def piece(number: int) -> bytes:
            body = fragment(
                11, bytes(1000), length=MAX_MESSAGE, number=number % 12, offset=number % 15 * 1000
            )
            return record(HANDSHAKE, body, number=number)

        for at in range(2):
            wire = Wire(lambda *_: ())
            with openssl_time(wire.clock):
                wire.start()
                self.assertLess(self.grows(wire.ends[at], piece, 20.0), ROOM, wire.story())

    def test_messages_that_claim_too_much(self) -> None:
        wire = Wire()
        with openssl_time(wire.clock):
            wire.start()
            for end in wire.ends:
                for length in (MAX_MESSAGE + 1, 2**24 - 1):
                    body = fragment(11, bytes(500), length=length, number=1)
                    end.take(record(HANDSHAKE, body, number=9))
                self.assertEqual(end.association.dropped["oversized-handshake"], 2)
            wire.conclude()
            self.unharmed(wire)

    def test_fragments_outside_of_their_message(self) -> None:
        """They end the handshake at most: never an exception, never memory."""
        for at in range(2):
            for offset, length in ((5, 5), (2**24 - 1, 100), (100, 0), (99, 100)):
                wire = Wire()
                with openssl_time(wire.clock):
                    wire.start()
                    body = fragment(CLIENT_HELLO, bytes(10), length=length, offset=offset)
                    wire.ends[at].take(record(HANDSHAKE, body, number=9))
                    wire.conclude()
                    for end in wire.ends:
                        self.assertTrue(end.reason is None or end.reason in REASONS)

    def test_encrypted_records_before_there_are_keys(self) -> None:
        for kind in (HANDSHAKE, ALERT, APPLICATION):
            for at in range(2):
                wire = Wire()
                with openssl_time(wire.clock):
                    wire.start()
                    end = wire.ends[at]
                    wire.fate = lambda *_: ()
                    grown = self.grows(end, nonsense(kind), 20.0)
                    self.assertLess(grown, ROOM, (kind, wire.story()))
                    dropped = end.association.dropped.total()
                    self.assertGreaterEqual(dropped, FLOOD - MAX_EARLY - 64, wire.story())

    def test_encrypted_nonsense_to_a_connected_association(self) -> None:
        wire = self.connected()
        for kind in (HANDSHAKE, ALERT, APPLICATION):
            for end in wire.ends:
                sent = len(end.sent)
                self.assertLess(self.grows(end, nonsense(kind), 0.0), ROOM)
                self.assertEqual(len(end.sent), sent)
        self.unharmed(wire)

    def test_data_that_waited_in_vain_is_counted(self) -> None:
        for end in (self.waited("fails"), self.waited("closes"), self.waited("is abandoned")):
            self.assertEqual(end.association.dropped["early"], 3)
            self.assertEqual(end.received, [])

    def waited(self, how: str) -> End:
        """A client that got data before the last flight, which never came."""
        wire = Wire(lose((SERVER, 1)))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.advance(0.5)
            wire.fate = lambda sender, *_: (DELAY,) if sender == SERVER else ()
            wire.server.send(b"one", b"two", b"three")
            wire.clock.advance(0.1)
            if how == "closes":
                wire.client.close()
            elif how == "is abandoned":
                wire.client.association.abandon()
            else:
                wire.clock.advance(30.0)
        return wire.client
