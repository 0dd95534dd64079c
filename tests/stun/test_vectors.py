"""RFC 5769 and RFC 8489 appendix B: what other implementations were checked against too."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    IntegrityKey,
    MessageBuilder,
    MessageClass,
    Method,
    PasswordAlgorithm,
    encode_algorithms,
    long_term_key,
    parse,
    short_term_key,
    user_hash,
)
from refreeze.stun.integrity import fingerprint
from tests.stun import vectors

KEY = short_term_key(vectors.SHORT_TERM_PWD)
LONG_TERM = long_term_key(vectors.MATRIX, vectors.REALM, vectors.LONG_TERM_PASSWORD)
SHA256 = long_term_key(vectors.MATRIX, vectors.REALM, vectors.LONG_TERM_PASSWORD, sha256=True)


class SampleTests(SynchronousTestCase):
    def test_sample_request(self) -> None:
        """RFC 5769 section 2.1; USERNAME is padded with spaces there."""
        message = parse(vectors.REQUEST)
        self.assertEqual(message.method, Method.BINDING)
        self.assertIs(message.message_class, MessageClass.REQUEST)
        self.assertEqual(message.transaction_id, vectors.TRANSACTION)
        self.assertEqual(message.software, "STUN test client")
        self.assertEqual(message.priority, 0x6E0001FF)
        self.assertEqual(message.ice_controlled, 0x932FF9B151263B36)
        self.assertIsNone(message.ice_controlling)
        self.assertFalse(message.use_candidate)
        self.assertEqual(message.username, vectors.USERNAME)
        self.assertTrue(message.has_integrity)
        self.assertTrue(message.has_fingerprint)
        self.assertEqual(message.unknown_required, ())
        self.assertTrue(message.verify(KEY))
        self.assertFalse(message.verify(short_term_key("VOkJxbRl1RmTxUk/WvJxBu")))

    def test_sample_ipv4_response(self) -> None:
        """RFC 5769 section 2.2."""
        message = parse(vectors.RESPONSE_V4)
        self.assertIs(message.message_class, MessageClass.SUCCESS)
        self.assertEqual(message.software, "test vector")
        self.assertEqual(message.xor_mapped_address, ("192.0.2.1", 32853))
        self.assertIsNone(message.mapped_address)
        self.assertTrue(message.verify(KEY))

    def test_sample_ipv6_response(self) -> None:
        """RFC 5769 section 2.3."""
        message = parse(vectors.RESPONSE_V6)
        expected = ("2001:db8:1234:5678:11:2233:4455:6677", 32853)
        self.assertEqual(message.xor_mapped_address, expected)
        self.assertTrue(message.verify(KEY))

    def test_sample_request_with_long_term_authentication(self) -> None:
        """RFC 5769 section 2.4; there is no FINGERPRINT."""
        message = parse(vectors.LONG_TERM_REQUEST)
        self.assertEqual(message.username, vectors.MATRIX)
        self.assertEqual(message.nonce, vectors.NONCE)
        self.assertEqual(message.realm, vectors.REALM)
        self.assertFalse(message.has_fingerprint)
        self.assertTrue(message.verify(LONG_TERM))
        self.assertFalse(message.verify(KEY))

    def test_sample_request_with_sha256(self) -> None:
        """RFC 8489 appendix B.1."""
        text = f"{vectors.MATRIX}:{vectors.REALM}:{vectors.LONG_TERM_PASSWORD}"
        digest = sha256(text.encode()).digest()
        message = parse(vectors.SHA256_REQUEST)
        self.assertFalse(message.has_integrity)
        self.assertTrue(message.has_integrity_sha256)
        self.assertTrue(message.verify(IntegrityKey(digest)))
        self.assertTrue(message.verify(IntegrityKey(digest, sha256=True)))
        self.assertFalse(message.verify(LONG_TERM))
        self.assertEqual(message.nonce, vectors.SHA256_NONCE)
        self.assertEqual(message.unknown_required, ())
        self.assertTrue(message.verify(SHA256))
        self.assertEqual(
            message.attribute(Attribute.USERHASH), user_hash(vectors.MATRIX, vectors.REALM)
        )
        self.assertEqual(
            message.attribute(Attribute.PASSWORD_ALGORITHM),
            encode_algorithms([PasswordAlgorithm.SHA256]),
        )

    def test_each_verifies_again_by_its_learnt_shape(self) -> None:
        for data in (vectors.REQUEST, vectors.RESPONSE_V4, vectors.RESPONSE_V6):
            for _ in range(3):
                self.assertTrue(parse(data).verify(KEY))


class RebuildTests(SynchronousTestCase):
    def test_long_term_request_byte_for_byte(self) -> None:
        """The one sample of RFC 5769 whose padding is zeros."""
        builder = MessageBuilder(
            Method.BINDING, MessageClass.REQUEST, vectors.LONG_TERM_TRANSACTION
        )
        builder.add(Attribute.USERNAME, vectors.MATRIX.encode())
        builder.add(Attribute.NONCE, vectors.NONCE.encode())
        builder.add(Attribute.REALM, vectors.REALM.encode())
        self.assertEqual(builder.build(LONG_TERM, fingerprint=False), vectors.LONG_TERM_REQUEST)

    def test_sha256_request_byte_for_byte(self) -> None:
        digest = sha256(
            f"{vectors.MATRIX}:{vectors.REALM}:{vectors.LONG_TERM_PASSWORD}".encode()
        ).digest()
        builder = MessageBuilder(
            Method.BINDING, MessageClass.REQUEST, vectors.LONG_TERM_TRANSACTION
        )
        userhash = sha256(f"{vectors.MATRIX}:{vectors.REALM}".encode()).digest()
        builder.add(0x001E, userhash)
        builder.add(Attribute.NONCE, vectors.SHA256_NONCE.encode())
        builder.add(Attribute.REALM, vectors.REALM.encode())
        builder.add(0x001D, bytes((0, 2, 0, 0)))
        built = builder.build(IntegrityKey(digest, sha256=True), fingerprint=False)
        self.assertEqual(built, vectors.SHA256_REQUEST)

    def test_fingerprint_of_every_sample(self) -> None:
        for data in (vectors.REQUEST, vectors.RESPONSE_V4, vectors.RESPONSE_V6):
            self.assertEqual(fingerprint(data[:-8]), data[-4:])
