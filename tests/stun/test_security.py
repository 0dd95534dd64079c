"""Password algorithms and the nonce that protects the choice (RFC 8489 section 9.2)."""

from __future__ import annotations

import hashlib
import hmac

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    PasswordAlgorithm,
    SecurityFeature,
    StunError,
    cookie_of,
    encode_algorithms,
    long_term_key,
    nonce_features,
    parse,
    user_hash,
)
from refreeze.stun.security import MAX_ALGORITHMS, decode_algorithm, decode_algorithms


class NonceTests(SynchronousTestCase):
    def test_the_first_bit_is_the_leftmost(self) -> None:
        """RFC 8489 section 18.1."""
        self.assertEqual(cookie_of(SecurityFeature.PASSWORD_ALGORITHMS), "obMatJos2gAAA")
        self.assertEqual(cookie_of(SecurityFeature.USERNAME_ANONYMITY), "obMatJos2QAAA")
        self.assertEqual(cookie_of(SecurityFeature.NONE), "obMatJos2AAAA")

    def test_what_a_nonce_says(self) -> None:
        both = SecurityFeature.PASSWORD_ALGORITHMS | SecurityFeature.USERNAME_ANONYMITY
        for features in (
            SecurityFeature.NONE,
            SecurityFeature.PASSWORD_ALGORITHMS,
            SecurityFeature.USERNAME_ANONYMITY,
            both,
        ):
            self.assertEqual(nonce_features(cookie_of(features) + "rest"), features)
            self.assertEqual(nonce_features(cookie_of(features)), features)
        self.assertEqual(nonce_features("obMatJos2////"), both)

    def test_a_nonce_without_the_cookie_says_nothing(self) -> None:
        for nonce in (
            "",
            "f//499k954d6OL34oL9FSTvy64sA",
            "obMatJos2",
            "obMatJos2gAA",
            "obMatJos2g AA",
            "obMatJos2g\u00e9AA",
            "obMatJos2g===",
            "xobMatJos2gAAA",
            "OBMATJOS2gAAA",
        ):
            self.assertEqual(nonce_features(nonce), SecurityFeature.NONE, nonce)


class AlgorithmTests(SynchronousTestCase):
    def test_lists_go_there_and_back(self) -> None:
        for numbers in ((), (1,), (2, 1), (0xFFFF, 2, 1)):
            self.assertEqual(decode_algorithms(encode_algorithms(numbers)), numbers)
        self.assertEqual(encode_algorithms([PasswordAlgorithm.SHA256]), b"\x00\x02\x00\x00")

    def test_parameters_are_walked_over(self) -> None:
        value = b"\x00\x09\x00\x03abc\x00" + b"\x00\x02\x00\x00" + b"\x00\x08\x00\x01x"
        self.assertEqual(decode_algorithms(value), (9, 2, 8))

    def test_what_is_no_list_is_refused(self) -> None:
        for value in (b"\x00", b"\x00\x02\x00", b"\x00\x02\x00\x05abcd", bytes(6)):
            self.assertRaises(StunError, decode_algorithms, value)
        decode_algorithms(bytes(4 * MAX_ALGORITHMS))
        self.assertRaises(StunError, decode_algorithms, bytes(4 * MAX_ALGORITHMS + 4))

    def test_one_is_exactly_one(self) -> None:
        self.assertEqual(decode_algorithm(b"\x00\x01\x00\x00"), 1)
        self.assertRaises(StunError, decode_algorithm, b"")
        self.assertRaises(StunError, decode_algorithm, bytes(8))

    def test_the_property_tells_empty_from_absent(self) -> None:
        for numbers in ((), (2, 1)):
            builder = MessageBuilder(Method.ALLOCATE, MessageClass.ERROR, bytes(12))
            builder.add(Attribute.PASSWORD_ALGORITHMS, encode_algorithms(numbers))
            self.assertEqual(parse(builder.build()).password_algorithms, numbers)


class KeyTests(SynchronousTestCase):
    def test_the_sha256_key_is_the_hash_of_three_texts(self) -> None:
        """RFC 8489 section 18.5.1.2; the hash and the HMAC are computed here by other means."""
        key = long_term_key("u\u00fcser", "r", "p:w", sha256=True)
        self.assertEqual(key.key, hashlib.new("sha256", "u\u00fcser:r:p:w".encode()).digest())
        data = MessageBuilder(Method.ALLOCATE, MessageClass.REQUEST, bytes(12)).build(
            key, fingerprint=False
        )
        signed = data[:20]
        expected = hmac.new(key.key, signed, hashlib.sha256).digest()
        self.assertEqual(data[24:], expected)

    def test_the_sha256_key_does_not_believe_sha1(self) -> None:
        key = long_term_key("user", "realm", "pass", sha256=True)
        builder = MessageBuilder(Method.REFRESH, MessageClass.SUCCESS, bytes(12))
        self.assertTrue(parse(builder.build(key)).verify(key))
        old = long_term_key("user", "realm", "pass")
        self.assertFalse(parse(builder.build(old)).verify(key))

    def test_a_user_hash_covers_the_realm(self) -> None:
        """RFC 8489 section 14.4."""
        self.assertEqual(user_hash("a", "b"), hashlib.new("sha256", b"a:b").digest())
        self.assertNotEqual(user_hash("a", "b"), user_hash("a", "c"))
