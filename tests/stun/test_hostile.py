"""Whatever arrives, parsing ends in a message or a StunError, and soon."""

from __future__ import annotations

import struct
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    RequestTemplate,
    StunError,
    encode_error,
    encode_indication,
    encode_success,
    is_stun,
    parse,
    short_term_key,
)
from refreeze.stun.codec import MAX_ATTRIBUTES
from refreeze.stun.message import Message
from tests.stun import vectors

KEY = short_term_key(vectors.SHORT_TERM_PWD)
TID = bytes(range(12))
TEMPLATE = RequestTemplate(
    username="abcd:efgh", key=KEY, priority=1, controlling=True, tie_breaker=2**64 - 1
)
SAMPLES = (
    vectors.REQUEST,
    vectors.RESPONSE_V4,
    vectors.RESPONSE_V6,
    vectors.LONG_TERM_REQUEST,
    vectors.SHA256_REQUEST,
    TEMPLATE.encode(TID, True),
    encode_success(TID, ("2001:db8::1", 1), KEY),
    encode_error(TID, 420, "Unknown Attribute", key=KEY, unknown=(0x7FFF,)),
    encode_indication(TID),
)
REASONS = {
    "truncated",
    "cookie",
    "type",
    "length",
    "attribute",
    "fingerprint",
    "too-many",
}


def head(length: int, kind: int = 1) -> bytes:
    return struct.pack("!HHI", kind, length, 0x2112A442) + TID


def message(*attributes: tuple[int, bytes]) -> bytes:
    """Without FINGERPRINT or signature, padded with what the padding must not mean."""
    body = b"".join(
        struct.pack("!HH", kind, len(value)) + value + b"\xff" * (-len(value) & 3)
        for kind, value in attributes
    )
    return head(len(body)) + body


def touch(parsed: Message) -> None:
    """Read everything a message has."""
    for name in dir(type(parsed)):
        if not name.startswith("_"):
            getattr(parsed, name)
    for kind in Attribute:
        parsed.attributes(kind)
    parsed.verify(KEY)
    repr(parsed)


class HostileTests(SynchronousTestCase):
    def refused(self, data: bytes, reason: str) -> None:
        error = self.assertRaises(StunError, parse, data)
        self.assertEqual(error.reason, reason)

    def test_truncation_at_every_byte(self) -> None:
        for data in SAMPLES:
            parse(data).verify(KEY)
            for size in range(len(data)):
                self.assertIn(self.assertRaises(StunError, parse, data[:size]).reason, REASONS)

    def test_truncation_with_a_length_that_fits(self) -> None:
        for data in SAMPLES:
            for size in range(20, len(data), 4):
                cut = data[:2] + (size - 20).to_bytes(2, "big") + data[4:size]
                try:
                    touch(parse(cut))
                except StunError as error:
                    self.assertIn(error.reason, REASONS)

    def test_every_bit_flipped(self) -> None:
        """What still parses can be read, and no flip of a signed bit verifies.

        A flip in FINGERPRINT's own type makes it another attribute behind the signature.
        """
        for data in SAMPLES:
            for bit in range(len(data) * 8):
                flipped = bytearray(data)
                flipped[bit >> 3] ^= 128 >> (bit & 7)
                try:
                    parsed = parse(bytes(flipped))
                except StunError as error:
                    self.assertIn(error.reason, REASONS)
                else:
                    touch(parsed)
                    if parsed.verify(KEY):
                        self.assertGreaterEqual(bit >> 3, len(data) - 8)
                        self.assertFalse(parsed.has_fingerprint)

    def test_random_bytes_behind_a_good_header(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for _ in range(3000):
            length = random.randrange(0, 160, 4)
            data = head(length, random.randrange(0x4000)) + random.randbytes(length)
            try:
                touch(parse(data))
            except StunError as error:
                self.assertIn(error.reason, REASONS, f"seed {seed}")

    def test_random_attributes(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        kinds = [int(kind) for kind in Attribute] + [0x7FFF, 0x8FFF]
        for _ in range(3000):
            attributes = [
                (random.choice(kinds), random.randbytes(random.choice((0, 4, 8, 20, 21))))
                for _ in range(random.randrange(6))
            ]
            try:
                touch(parse(message(*attributes)))
            except StunError as error:
                self.assertIn(error.reason, REASONS, f"seed {seed}")

    def test_header(self) -> None:
        self.refused(b"", "truncated")
        self.refused(head(0)[:19], "truncated")
        self.refused(head(0, kind=0x4001), "type")
        self.refused(b"\x00\x01\x00\x00\x21\x12\xa4\x43" + TID, "cookie")

    def test_the_length_equals_the_datagram(self) -> None:
        self.refused(head(4), "length")
        self.refused(head(0) + bytes(4), "length")
        self.refused(head(3) + bytes(3), "length")

    def test_an_attribute_does_not_reach_over_the_end(self) -> None:
        self.refused(head(8) + struct.pack("!HHI", 0x8000, 5, 0), "attribute")
        self.refused(head(4) + struct.pack("!HH", 0x8000, 0xFFFF), "attribute")
        self.refused(
            message((0x0008, bytes(20)))[:-4].replace(b"\0\x18", b"\0\x14", 1), "attribute"
        )

    def test_strict_lengths_of_values(self) -> None:
        for kind, lengths in {
            Attribute.PRIORITY: (0, 3, 5, 8),
            Attribute.USE_CANDIDATE: (1, 4),
            Attribute.ICE_CONTROLLED: (4, 7, 9),
            Attribute.ICE_CONTROLLING: (4, 7, 9),
            Attribute.MESSAGE_INTEGRITY: (0, 16, 19, 21, 32),
            Attribute.MESSAGE_INTEGRITY_SHA256: (0, 12, 15, 17, 36),
            Attribute.ERROR_CODE: (0, 3, 768),
            Attribute.UNKNOWN_ATTRIBUTES: (1, 3),
            Attribute.XOR_MAPPED_ADDRESS: (0, 1, 4, 7, 9, 20),
            Attribute.MAPPED_ADDRESS: (0, 1, 4, 7, 9, 20),
            Attribute.CHANGE_REQUEST: (0, 3, 5, 8),
            Attribute.CHANNEL_NUMBER: (0, 2, 5),
            Attribute.LIFETIME: (0, 3, 5, 8),
            Attribute.REQUESTED_ADDRESS_FAMILY: (0, 1, 5),
            Attribute.ADDITIONAL_ADDRESS_FAMILY: (0, 1, 5),
            Attribute.EVEN_PORT: (0, 2, 4),
            Attribute.REQUESTED_TRANSPORT: (0, 1, 5),
            Attribute.DONT_FRAGMENT: (1, 4),
            Attribute.USERHASH: (0, 16, 20, 31, 33),
            Attribute.RESERVATION_TOKEN: (0, 7, 9),
            Attribute.RESPONSE_PORT: (0, 1, 3, 5),
            Attribute.ICMP: (0, 4, 7, 9),
            Attribute.PASSWORD_ALGORITHM: (0, 1, 3, 4, 6),
            Attribute.PASSWORD_ALGORITHMS: (1, 3, 4, 6),
            Attribute.ADDRESS_ERROR_CODE: (0, 3, 768),
            Attribute.XOR_PEER_ADDRESS: (0, 1, 4, 7, 9, 20),
            Attribute.XOR_RELAYED_ADDRESS: (0, 1, 4, 7, 9, 20),
            Attribute.ALTERNATE_SERVER: (0, 1, 4, 7, 9, 20),
            Attribute.RESPONSE_ORIGIN: (0, 1, 4, 7, 9, 20),
            Attribute.OTHER_ADDRESS: (0, 1, 4, 7, 9, 20),
            Attribute.ALTERNATE_DOMAIN: (256,),
            Attribute.USERNAME: (514,),
            Attribute.REALM: (764,),
            Attribute.NONCE: (764,),
            Attribute.SOFTWARE: (764,),
        }.items():
            for length in lengths:
                self.refused(message((kind, b"\x01" * length)), "attribute")
        self.refused(message((Attribute.FINGERPRINT, bytes(8))), "fingerprint")

    def test_addresses_have_a_known_family(self) -> None:
        for kind in (Attribute.MAPPED_ADDRESS, Attribute.XOR_MAPPED_ADDRESS):
            self.refused(message((kind, bytes((0, 3, 0, 1, 1, 2, 3, 4)))), "attribute")
            self.refused(message((kind, bytes((0, 2, 0, 1, 1, 2, 3, 4)))), "attribute")
            self.refused(message((kind, bytes((0, 1)) + bytes(18))), "attribute")

    def test_error_codes_have_a_class_and_a_number(self) -> None:
        for value in ((0, 0, 2, 0), (0, 0, 7, 0), (0, 0, 4, 100)):
            self.refused(message((Attribute.ERROR_CODE, bytes(value))), "attribute")

    def test_texts_are_utf8(self) -> None:
        for kind in (Attribute.USERNAME, Attribute.REALM, Attribute.NONCE, Attribute.SOFTWARE):
            self.refused(message((kind, b"abc\xff")), "attribute")

    def test_fingerprint_is_the_last_and_right(self) -> None:
        good = encode_indication(TID)
        self.refused(good[:-1] + bytes((good[-1] ^ 1,)), "fingerprint")
        self.refused(head(16) + good[20:] + struct.pack("!HHI", 0x8000, 4, 0), "fingerprint")

    def test_many_attributes_are_refused(self) -> None:
        """Unknown, repeated or behind the signature: each costs time."""
        parse(message(*[(0x9000 + n, b"") for n in range(MAX_ATTRIBUTES)]))
        for attributes in (
            [(0x9000 + n, b"") for n in range(16_000)],
            [(0x8FFF, b"")] * 16_000,
            [(Attribute.USE_CANDIDATE, b"")] * 16_000,
            [(Attribute.MESSAGE_INTEGRITY, bytes(20))] * 2_000,
        ):
            self.refused(message(*attributes), "too-many")

    def test_is_stun_tells_stun_from_what_shares_the_port(self) -> None:
        """RFC 7983: DTLS, RTP and TURN channels begin with other bytes."""
        for data in SAMPLES:
            self.assertTrue(is_stun(data))
            self.assertFalse(is_stun(data[:19]))
            self.assertFalse(is_stun(b"\x16" + data[1:]))
            self.assertFalse(is_stun(b"\x80" + data[1:]))
            self.assertFalse(is_stun(data[:7] + b"\x43" + data[8:]))
        self.assertFalse(is_stun(b""))


class AttributeRuleTests(SynchronousTestCase):
    def test_the_first_of_equal_attributes_counts(self) -> None:
        """RFC 8489 section 14."""
        parsed = parse(
            message(
                (Attribute.PRIORITY, bytes((0, 0, 0, 1))),
                (Attribute.USERNAME, b"first"),
                (Attribute.PRIORITY, bytes((0, 0, 0, 2))),
                (Attribute.USERNAME, b"second"),
            )
        )
        self.assertEqual((parsed.priority, parsed.username), (1, "first"))

    def test_padding_may_be_anything(self) -> None:
        self.assertEqual(parse(message((Attribute.USERNAME, b"abcde"))).username, "abcde")

    def test_unknown_required_attributes_are_listed_once(self) -> None:
        """What the agent answers 420 with (RFC 8489 section 6.3.1)."""
        parsed = parse(message((0x7FFF, b"x"), (0x8FFF, b"y"), (0x0004, b"abcd"), (0x7FFF, b"z")))
        self.assertEqual(parsed.unknown_required, (0x7FFF, 0x0004))
        self.assertEqual(parsed.attribute(0x7FFF), b"x")
        self.assertEqual(parsed.attribute(0x8FFF), b"y")
        self.assertIsNone(parsed.attribute(0x7FFE))

    def test_what_follows_the_signature_is_ignored(self) -> None:
        """RFC 8489 section 14.5: nobody vouches for it, so it can neither nominate nor be 420."""
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
        builder.add(Attribute.USERNAME, b"abcd:efgh")
        signed = builder.build(KEY, fingerprint=False)
        added = signed[20:] + struct.pack("!HHHHI", 0x0025, 0, 0x7FFF, 4, 0)
        added += struct.pack("!HHI", Attribute.PRIORITY, 4, 7)
        body = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
        parsed = parse(body._head(len(added)) + added)
        self.assertTrue(parsed.verify(KEY))
        self.assertFalse(parsed.use_candidate)
        self.assertIsNone(parsed.priority)
        self.assertIsNone(parsed.attribute(0x7FFF))
        self.assertEqual(parsed.unknown_required, ())

    def test_a_bad_value_behind_the_signature_is_ignored_too(self) -> None:
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
        signed = builder.build(KEY, fingerprint=False)
        added = signed[20:] + struct.pack("!HHI", Attribute.USERNAME, 4, 0xFFFFFFFF)
        parsed = parse(builder._head(len(added)) + added)
        self.assertTrue(parsed.verify(KEY))
        self.assertIsNone(parsed.username)
