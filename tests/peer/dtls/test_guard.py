"""The guard: what OpenSSL gets to see of a handshake, and how much of it."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls.guard import (
    MAX_EARLY,
    MAX_EARLY_BYTES,
    MAX_ENCRYPTED,
    MAX_MESSAGE,
    RECORDS_A_SECOND,
    HandshakeGuard,
)
from refreeze.peer.dtls.records import (
    ALERT,
    APPLICATION,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Record,
    split,
)
from tests.peer.dtls.forge import CLIENT_HELLO, FATAL, HANDSHAKE_FAILURE, alert, fragment, record


def hello(length: int | None = None) -> Record:
    """A handshake message in the clear."""
    return made(HANDSHAKE, fragment(CLIENT_HELLO, bytes(50), length=length))


def made(kind: int, body: bytes, epoch: int = 0) -> Record:
    """One record."""
    return split(record(kind, body, epoch=epoch))[0][0]


class GuardTests(SynchronousTestCase):
    """Before an association is connected, and after."""

    def setUp(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.guard = HandshakeGuard(self.dropped)

    def test_a_handshake_passes(self) -> None:
        for each in (
            hello(),
            hello(MAX_MESSAGE),
            made(CHANGE_CIPHER_SPEC, b"\x01"),
            made(HANDSHAKE, bytes(40), epoch=1),
            split(alert(FATAL, HANDSHAKE_FAILURE))[0][0],
        ):
            self.assertTrue(self.guard.in_handshake(each, 0.0))
        self.assertEqual(self.dropped, {})
        self.assertEqual(self.guard.encrypted, 1)

    def test_messages_that_claim_more_than_any_has(self) -> None:
        self.assertFalse(self.guard.in_handshake(hello(MAX_MESSAGE + 1), 0.0))
        self.assertEqual(self.dropped, {"oversized-handshake": 1})

    def test_so_many_records_a_second_and_again_in_the_next(self) -> None:
        for second in (5.0, 6.0, 60.0):
            passed = sum(self.guard.in_handshake(hello(), second) for _ in range(1000))
            self.assertEqual(passed, RECORDS_A_SECOND)
        self.assertEqual(self.dropped, {"too-many": 3 * (1000 - RECORDS_A_SECOND)})

    def test_a_flood_that_never_ends_passes_no_faster(self) -> None:
        passed = sum(self.guard.in_handshake(hello(), at / 1000) for at in range(30_000))
        self.assertEqual(passed, 30 * RECORDS_A_SECOND)

    def test_few_records_under_keys_that_there_are_not(self) -> None:
        records = [made(HANDSHAKE, bytes(40), epoch=1) for _ in range(100)]
        passed = sum(self.guard.in_handshake(each, at * 1.0) for at, each in enumerate(records))
        self.assertEqual(passed, MAX_ENCRYPTED)

    def test_epochs_that_never_were(self) -> None:
        for kind in (HANDSHAKE, APPLICATION):
            self.assertFalse(self.guard.in_handshake(made(kind, bytes(40), epoch=2), 0.0))
        self.assertFalse(self.guard.in_handshake(made(APPLICATION, b"x"), 0.0))
        self.assertEqual(self.dropped, {"old-epoch": 3})
        self.assertEqual(self.guard.take_early(), [])

    def test_data_that_is_early_is_kept_in_order_once(self) -> None:
        records = [made(APPLICATION, bytes([at]) * 30, epoch=1) for at in range(MAX_EARLY + 5)]
        for each in records:
            self.assertFalse(self.guard.in_handshake(each, 0.0))
        self.assertEqual(self.guard.take_early(), [each.data for each in records[:MAX_EARLY]])
        self.assertEqual(self.guard.take_early(), [])
        self.assertEqual(self.dropped, {"early": 5})

    def test_data_that_is_early_is_bounded_in_bytes(self) -> None:
        for _ in range(20):
            self.guard.in_handshake(made(APPLICATION, bytes(16000), epoch=1), 0.0)
        kept = sum(map(len, self.guard.take_early()))
        self.assertLess(kept, MAX_EARLY_BYTES + 16640)
        self.assertEqual(self.dropped, {"early": 15})

    def test_when_connected_only_what_is_under_keys_passes(self) -> None:
        for kind in (ALERT, HANDSHAKE):
            self.assertTrue(self.guard.when_connected(made(kind, bytes(40), epoch=1), 0.0))
            self.assertFalse(self.guard.when_connected(made(kind, bytes(40)), 0.0))
        self.assertFalse(self.guard.when_connected(made(CHANGE_CIPHER_SPEC, b"\x01"), 0.0))
        self.assertEqual(self.dropped, {"old-epoch": 3})
