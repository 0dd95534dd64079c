"""Signatures: right ones, wrong ones, both kinds, and the key's silence."""

from __future__ import annotations

import hmac
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    IntegrityKey,
    MessageBuilder,
    MessageClass,
    Method,
    RequestTemplate,
    long_term_key,
    parse,
    short_term_key,
)

TID = bytes(range(12))
PWD = "SecretSecretSecretSecret"
KEY = short_term_key(PWD)


def builder() -> MessageBuilder:
    made = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
    return made.add(Attribute.USERNAME, b"abcd:efgh")


def both(sha1_key: IntegrityKey, sha256_key: IntegrityKey) -> bytes:
    """A message with the two signatures, SHA-1 first, as RFC 8489 section 14.6 has it."""
    made = builder()
    signed = made.build(sha1_key, fingerprint=False)
    made.add(Attribute.MESSAGE_INTEGRITY, signed[-20:])
    return made.build(sha256_key, sha256=True)


class KeyTests(SynchronousTestCase):
    def test_the_cached_states_are_hmac_sha1(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for size in (0, 1, 16, 22, 24, 63, 64, 65, 200, 256):
            secret, data = random.randbytes(size), random.randbytes(random.randrange(300))
            key = IntegrityKey(secret)
            for _ in range(2):
                wanted = hmac.digest(secret, data, "sha1")
                self.assertEqual(key.sign(data), wanted, f"seed {seed}")

    def test_repr_hides_the_secret(self) -> None:
        template = RequestTemplate(
            username="abcd:efgh", key=KEY, priority=1, controlling=True, tie_breaker=1
        )
        data = template.encode(TID)
        for each in (KEY, long_term_key("u", "r", PWD), template, parse(data), builder()):
            self.assertNotIn("Secret", repr(each))
            self.assertNotIn("Secret", str(each))
        self.assertNotIn(KEY.key, data)


class VerifyTests(SynchronousTestCase):
    def test_no_signature_is_no_right_signature(self) -> None:
        self.assertFalse(parse(builder().build()).verify(KEY))

    def test_the_length_is_adjusted_for_what_follows(self) -> None:
        """RFC 8489 section 14.5: it was signed as if the signature were the last."""
        for fingerprint in (False, True):
            data = builder().build(KEY, fingerprint=fingerprint)
            self.assertTrue(parse(data).verify(KEY))

    def test_another_key_fails(self) -> None:
        for sha256 in (False, True):
            parsed = parse(builder().build(KEY, sha256=sha256))
            self.assertTrue(parsed.verify(KEY))
            self.assertFalse(parsed.verify(short_term_key(PWD[:-1])))

    def test_both_signatures_must_be_right(self) -> None:
        other = short_term_key("another")
        self.assertTrue(parse(both(KEY, KEY)).verify(KEY))
        self.assertFalse(parse(both(other, KEY)).verify(KEY))
        self.assertFalse(parse(both(KEY, other)).verify(KEY))

    def test_a_key_for_sha256_is_not_bid_down(self) -> None:
        strict = IntegrityKey(PWD.encode(), sha256=True)
        self.assertFalse(parse(builder().build(KEY)).verify(strict))
        self.assertTrue(parse(builder().build(strict)).verify(strict))
        self.assertTrue(parse(both(KEY, strict)).verify(strict))

    def test_sha1_behind_sha256_does_not_count(self) -> None:
        made = builder()
        signed = made.build(KEY, fingerprint=False, sha256=True)
        made.add(Attribute.MESSAGE_INTEGRITY_SHA256, signed[-32:])
        made.add(Attribute.MESSAGE_INTEGRITY, bytes(20))
        parsed = parse(made.build())
        self.assertFalse(parsed.has_integrity)
        self.assertTrue(parsed.verify(KEY))

    def test_a_shortened_sha256_signature(self) -> None:
        """RFC 8489 section 14.6: 16 bytes or more, in steps of 4."""
        for size in (16, 20, 24, 28, 32):
            made = builder()
            body = made.build(fingerprint=False)[20:]
            signed = made._head(len(body) + 4 + size) + body
            made.add(Attribute.MESSAGE_INTEGRITY_SHA256, KEY.sign_sha256(signed)[:size])
            self.assertTrue(parse(made.build()).verify(KEY))
