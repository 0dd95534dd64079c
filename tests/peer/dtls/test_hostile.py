"""Whatever is thrown at an association: dropped and counted, and never more than one handshake."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls import AssociationState, problems
from refreeze.peer.dtls.guard import MAX_EARLY, MAX_MESSAGE
from refreeze.peer.dtls.records import ALERT, APPLICATION, HANDSHAKE, MAX_FRAGMENT
from refreeze.testing import SeededRandom, openssl_time
from tests.peer.dtls.forge import (
    CLIENT_HELLO,
    CLOSE_NOTIFY,
    FATAL,
    HANDSHAKE_FAILURE,
    WARNING,
    alert,
    flips,
    fragment,
    noise,
    plausible,
    record,
    spoiled,
)
from tests.peer.dtls.test_strangers import stranger
from tests.peer.dtls.wire import CLIENT, DELAY, SERVER, SIDES, End, Wire, context
from tests.virtualtime import need_openssl_time

FLOOD = 20_000
"""Datagrams."""
ROOM = 2 * 1024 * 1024
"""Bytes that the process may grow by in a flood: a hundredth of what was sent, or less."""
STAGES = range(5)
"""How many datagrams were sent before something happens; with 4 the handshake is over."""
REASONS = (
    problems.ALERT,
    problems.CERTIFICATE,
    problems.FINGERPRINT,
    problems.HANDSHAKE,
    problems.TIMEOUT,
)


def resident() -> int:
    """The memory of this process, OpenSSL's with it, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


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
    for count, datagram in enumerate(datagrams, 1):  # noqa: B007
        end.take(datagram)
    return count


class NoiseTests(HostileCase):
    """Bytes that mean nothing."""

    def test_random_bytes_in_the_range_of_dtls_are_dropped_and_counted_at_any_time(self) -> None:
        random = SeededRandom("noise")
        print("seed noise", file=sys.stderr)
        for at in range(2):
            for stage in STAGES:
                wire = Wire()
                with openssl_time(wire.clock):
                    wire.start()
                    wire.clock.run_until(lambda w=wire, n=stage: w.carried.total() >= n, 5.0)
                    end = wire.ends[at]
                    before = end.association.dropped.total()
                    count = throw(end, (noise(random) for _ in range(300)))
                    self.assertGreaterEqual(end.association.dropped.total() - before, count)
                    wire.conclude()
                    self.unharmed(wire, (at, stage))

    def test_an_empty_datagram_and_bare_headers(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            before = end.association.dropped["malformed"]
            bare = record(APPLICATION, b"", epoch=1)
            count = throw(end, [b"", b"\x17", bare[:12], bare, bare[:13] * 5])
            self.assertEqual(end.association.dropped["malformed"] - before, count)
        self.unharmed(wire)

    def test_lengths_that_lie(self) -> None:
        wire = self.connected()
        long = bytearray(record(APPLICATION, bytes(100), epoch=1))
        for length in (99, 101, 0, MAX_FRAGMENT + 1, 65535):
            long[11:13] = length.to_bytes(2, "big")
            for end in wire.ends:
                before = end.association.dropped["malformed"]
                end.take(bytes(long))
                self.assertEqual(end.association.dropped["malformed"], before + 1, length)
        self.unharmed(wire)

    def test_the_longest_record_of_nonsense(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            for length in (1, 8, 24, 25, 16384, MAX_FRAGMENT):
                before = end.association.dropped.total()
                end.take(record(APPLICATION, bytes(length), epoch=1, number=77))
                self.assertEqual(end.association.dropped.total(), before + 1, length)
        self.unharmed(wire)

    def test_a_connected_association_survives_all_that_has_good_headers(self) -> None:
        random = SeededRandom("plausible")
        wire = self.connected()
        for end in wire.ends:
            before = end.association.dropped.total()
            count = throw(end, (plausible(random) for _ in range(3000)))
            self.assertGreaterEqual(end.association.dropped.total() - before, count)
            self.assertEqual(end.received, [])
        self.unharmed(wire)
        self.assertEqual(wire.carried[CLIENT], 2 + 3, "nothing was answered")

    def test_over_and_done_it_takes_nothing(self) -> None:
        wire = self.connected()
        wire.client.close()
        wire.clock.advance(1.0)
        random = SeededRandom("closed")
        for end in wire.ends:
            before = end.association.dropped["no-association"]
            count = throw(end, (plausible(random) for _ in range(100)))
            self.assertEqual(end.association.dropped["no-association"] - before, count)
            self.assertEqual(end.state, AssociationState.CLOSED)


class SpoiltTests(HostileCase):
    """True records, changed on the way."""

    def test_no_bit_of_a_record_can_be_changed(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            other = wire.other(end)
            (true,) = other.association.send([b"payload"])
            throw(end, flips(true))
            throw(end, (true[:length] for length in range(len(true))))
            self.assertEqual(end.received, [])
            end.take(true)
            self.assertEqual(end.received, [b"payload"], "the forged ones did not use its number")
        self.unharmed(wire)

    def test_a_datagram_of_a_handshake_that_was_changed_is_never_believed(self) -> None:
        """Beside the true one it may end the handshake, for good or badly, but never cheat it."""
        random = SeededRandom("spoiled")
        print("seed spoiled", file=sys.stderr)
        for which in [(CLIENT, 0), (CLIENT, 1), (SERVER, 0), (SERVER, 1)]:
            for _ in range(60):
                wire = Wire()

                def fate(sender: str, number: int, datagram: bytes) -> Iterable[float]:
                    if (sender, number) == which:  # noqa: B023
                        end = wire.ends[1 - SIDES.index(sender)]  # noqa: B023
                        wire.clock.run_at(wire.now + 0.01, end.take, spoiled(datagram, random))  # noqa: B023
                    return (0.02,)

                wire.fate = fate  # type: ignore[assignment]
                with openssl_time(wire.clock):
                    wire.start()
                    wire.conclude()
                    for end in wire.ends:
                        if end.reason is not None:
                            self.assertIn(end.reason, REASONS, wire.story())
                    if wire.connected:
                        self.assertTrue(wire.flows(), wire.story())

    def test_a_record_that_comes_again_is_no_second_payload(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            other = wire.other(end)
            records = other.association.send([b"one", b"two", b"three"])
            throw(end, records)
            before = end.association.dropped["undecryptable"]
            throw(end, records * 3)
            self.assertEqual(end.received, [b"one", b"two", b"three"])
            self.assertEqual(end.association.dropped["undecryptable"] - before, 9)

    def test_a_replayed_handshake_is_not_answered(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            sent = len(end.sent)
            throw(end, wire.other(end).sent * 50)
            wire.clock.advance(5.0)
            self.assertEqual(len(end.sent), sent)
        self.unharmed(wire)

    def test_records_of_another_association_are_nothing(self) -> None:
        another = Wire()
        with openssl_time(another.clock):
            another.start()
            another.conclude()
            foreign = another.client.association.send([b"payload"] * 3)
        wire = self.connected()
        throw(wire.server, foreign)
        self.assertEqual(wire.server.received, [])
        self.assertEqual(wire.server.association.dropped["undecryptable"], 3)
        self.unharmed(wire)


class EpochTests(HostileCase):
    """Records that are not of the one epoch with keys."""

    def test_other_epochs_are_dropped_and_counted(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            for kind in (ALERT, APPLICATION, HANDSHAKE):
                for epoch in (0, 2, 3, 65535):
                    before = end.association.dropped.total()
                    end.take(record(kind, bytes(40), epoch=epoch, number=9))
                    self.assertEqual(end.association.dropped.total(), before + 1, (kind, epoch))
        self.unharmed(wire)

    def test_the_past_has_a_name(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            throw(end, [record(APPLICATION, bytes(40)), alert(FATAL, HANDSHAKE_FAILURE)])
            self.assertEqual(end.association.dropped["old-epoch"], 2)


class AlertTests(HostileCase):
    """Alerts that nobody signed."""

    def test_after_the_handshake_a_plaintext_alert_is_nothing(self) -> None:
        wire = self.connected()
        for end in wire.ends:
            for level in (WARNING, FATAL):
                for what in (CLOSE_NOTIFY, HANDSHAKE_FAILURE, 100):
                    end.take(alert(level, what, number=50))
            self.assertEqual(end.association.dropped["old-epoch"], 6)
        self.unharmed(wire)

    def test_in_the_handshake_a_plaintext_warning_or_close_notify_is_nothing(self) -> None:
        for at in range(2):
            for stage in STAGES:
                for body in (
                    bytes([WARNING, CLOSE_NOTIFY]),
                    bytes([WARNING, 100]),
                    bytes([0, 0]),
                    bytes([WARNING]),
                    bytes([WARNING, 41, FATAL, HANDSHAKE_FAILURE]),
                ):
                    wire = Wire()
                    with openssl_time(wire.clock):
                        wire.start()
                        wire.clock.run_until(lambda w=wire, n=stage: w.carried.total() >= n, 5.0)
                        wire.ends[at].take(record(ALERT, body, number=50))
                        wire.conclude()
                        self.unharmed(wire, (at, stage, body))

    def test_in_the_handshake_a_fatal_alert_is_the_peers_word(self) -> None:
        """It has no other way to say so; who can forge that can also swallow everything."""
        for at in range(2):
            wire = Wire()
            with openssl_time(wire.clock):
                wire.start()
                wire.ends[at].take(alert(FATAL, HANDSHAKE_FAILURE, number=50))
                self.assertEqual(wire.ends[at].reason, problems.ALERT)
                wire.conclude()
                self.assertEqual(wire.ends[1 - at].reason, problems.TIMEOUT)


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

                    def one(number: int) -> bytes:
                        return record(kind, bytes(1100), epoch=1, number=number)  # noqa: B023

                    self.assertLess(self.grows(end, one, 20.0), ROOM, (kind, wire.story()))
                    dropped = end.association.dropped.total()
                    self.assertGreaterEqual(dropped, FLOOD - MAX_EARLY - 64, wire.story())

    def test_encrypted_nonsense_to_a_connected_association(self) -> None:
        wire = self.connected()
        for kind in (HANDSHAKE, ALERT, APPLICATION):
            for end in wire.ends:
                sent = len(end.sent)

                def one(number: int) -> bytes:
                    return record(kind, bytes(1100), epoch=1, number=number)  # noqa: B023

                self.assertLess(self.grows(end, one, 0.0), ROOM)
                self.assertEqual(len(end.sent), sent)
        self.unharmed(wire)

    def test_data_that_waited_in_vain_is_counted(self) -> None:
        for end in (self.waited("fails"), self.waited("closes"), self.waited("is abandoned")):
            self.assertEqual(end.association.dropped["early"], 3)
            self.assertEqual(end.received, [])

    def waited(self, how: str) -> End:
        """A client that got data before the last flight, which never came."""
        wire = Wire(lambda sender, n, _: () if (sender, n) == (SERVER, 1) else (DELAY,))
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


class RenegotiationTests(HostileCase):
    """A peer that wants to be somebody else in mid-session."""

    def test_a_new_handshake_within_the_association_is_refused(self) -> None:
        for at in range(2):
            bold = stranger()
            bold.forget()  # it may do as it likes, but asks who we are
            bold.settings.set_verify(SSL.VERIFY_PEER, lambda *_: True)
            bold.settings.use_certificate(bold.certificate.x509)
            bold.settings.use_privatekey(bold.certificate.key)
            contexts = [context(CLIENT), context(SERVER)]
            contexts[at] = bold
            wire = Wire(contexts=(contexts[0], contexts[1]))
            with openssl_time(wire.clock):
                wire.start()
                wire.conclude()
                self.assertTrue(wire.connected, wire.story())
                attacker, ours = wire.ends[at], wire.ends[1 - at]
                certificate = ours.association.peer_certificate
                changed = stranger("p384")
                connection = attacker.association._connection
                connection.set_context(changed.settings)
                connection.renegotiate()
                sent = len(attacker.sent)
                attacker.association._try(connection.do_handshake)
                attacker.association._flush(wire.now)
                attacker.settle()
                self.assertGreater(len(attacker.sent), sent, "it did ask")
                wire.clock.advance(1.0)
                self.assertEqual(ours.association.peer_certificate, certificate)
                self.assertTrue(
                    ours.state is AssociationState.CONNECTED or ours.reason == problems.ALERT,
                    wire.story(),
                )


class RandomTests(HostileCase):
    """``REFREEZE_SCHEDULES`` says how many, ``REFREEZE_SEED`` which one alone."""

    def test_everything_at_once(self) -> None:
        alone = os.environ.get("REFREEZE_SEED")
        first = int(alone or 1)
        count = 1 if alone else int(os.environ.get("REFREEZE_SCHEDULES", "300"))
        print(f"seeds {first} to {first + count - 1}", file=sys.stderr)
        for seed in range(first, first + count):
            self.play(SeededRandom(f"hostile/{seed}"), seed)

    def play(self, random: SeededRandom, seed: int) -> None:
        """Loss, and an attacker who sees everything and sends more than the two."""
        loss = random.random() * 0.3
        malice = random.random()
        wire = Wire()

        def attack(sender: str, datagram: bytes) -> None:
            end = wire.ends[1 - SIDES.index(sender)]
            forged = (
                noise(random)
                if random.random() < 0.3
                else plausible(random)
                if random.random() < malice
                else spoiled(datagram, random)
            )
            wire.clock.run_at(wire.now + random.random() * 0.05, end.take, forged)

        def fate(sender: str, _number: int, datagram: bytes) -> Iterable[float]:
            for _ in range(int(random.random() * 4)):
                attack(sender, datagram)
            return () if random.random() < loss else (0.02,)

        wire.fate = fate  # type: ignore[assignment]
        with openssl_time(wire.clock):
            wire.start()
            wire.conclude()
            for end in wire.ends:
                if end.state is not AssociationState.CONNECTED:
                    self.assertEqual(end.state, AssociationState.FAILED, (seed, wire.story()))
                    self.assertIn(end.reason, REASONS, (seed, wire.story()))
            if wire.connected:
                wire.clock.advance(0.1)
                self.assertTrue(wire.flows(), (seed, wire.story()))
