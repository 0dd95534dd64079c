"""Whatever is thrown at an association: dropped and counted, and never more than one handshake."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from OpenSSL import SSL

from refreeze.peer.dtls import AssociationState, problems
from refreeze.peer.dtls.records import ALERT, APPLICATION, HANDSHAKE, MAX_FRAGMENT
from refreeze.testing import SeededRandom, openssl_time
from tests.peer.dtls.forge import (
    CLOSE_NOTIFY,
    FATAL,
    HANDSHAKE_FAILURE,
    WARNING,
    alert,
    flips,
    noise,
    plausible,
    record,
    spoiled,
)
from tests.peer.dtls.hostile import REASONS, HostileCase, throw
from tests.peer.dtls.test_strangers import stranger
from tests.peer.dtls.wire import CLIENT, DELAY, SERVER, SIDES, Fate, Wire, context

STAGES = range(5)
"""How many datagrams were sent before something happens; with 4 the handshake is over."""


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
                wire.fate = self.beside(wire, which, random)
                with openssl_time(wire.clock):
                    wire.start()
                    wire.conclude()
                    for end in wire.ends:
                        if end.reason is not None:
                            self.assertIn(end.reason, REASONS, wire.story())
                    if wire.connected:
                        self.assertTrue(wire.flows(), wire.story())

    def beside(self, wire: Wire, which: tuple[str, int], random: SeededRandom) -> Fate:
        """Before that datagram arrives, something that was made of it does."""

        def fate(sender: str, number: int, datagram: bytes) -> Sequence[float]:
            if (sender, number) == which:
                end = wire.ends[1 - SIDES.index(sender)]
                wire.clock.run_at(wire.now + 0.01, end.take, spoiled(datagram, random))
            return (DELAY,)

        return fate

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
            if random.random() < 0.3:
                forged = noise(random)
            elif random.random() < malice:
                forged = plausible(random)
            else:
                forged = spoiled(datagram, random)
            wire.clock.run_at(wire.now + random.random() * 0.05, end.take, forged)

        def fate(sender: str, _number: int, datagram: bytes) -> Sequence[float]:
            for _ in range(int(random.random() * 4)):
                attack(sender, datagram)
            return () if random.random() < loss else (DELAY,)

        wire.fate = fate
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
