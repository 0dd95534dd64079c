"""Types, builders and round trips."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    encode_error,
    encode_success,
    parse,
    short_term_key,
)
from refreeze.stun.attributes import encode_address, xor_address
from refreeze.stun.message_type import decode_type, encode_type

TID = bytes(range(12))
KEY = short_term_key("0123456789abcdefghijkl")


class TypeTests(SynchronousTestCase):
    def test_every_type_of_14_bits(self) -> None:
        seen = set()
        for method in range(0x1000):
            for each in MessageClass:
                value = encode_type(method, each)
                self.assertEqual(decode_type(value), (method, each))
                seen.add(value)
        self.assertEqual(seen, set(range(0x4000)))

    def test_types_of_the_rfcs(self) -> None:
        """RFC 8489 section 5 and RFC 8656 section 17, as seen on the wire."""
        for method, message_class, value in (
            (Method.BINDING, MessageClass.REQUEST, 0x0001),
            (Method.BINDING, MessageClass.INDICATION, 0x0011),
            (Method.BINDING, MessageClass.SUCCESS, 0x0101),
            (Method.BINDING, MessageClass.ERROR, 0x0111),
            (Method.ALLOCATE, MessageClass.ERROR, 0x0113),
            (Method.REFRESH, MessageClass.REQUEST, 0x0004),
            (Method.SEND, MessageClass.INDICATION, 0x0016),
            (Method.DATA, MessageClass.INDICATION, 0x0017),
            (Method.CREATE_PERMISSION, MessageClass.SUCCESS, 0x0108),
            (Method.CHANNEL_BIND, MessageClass.REQUEST, 0x0009),
        ):
            self.assertEqual(encode_type(method, message_class), value)

    def test_an_unknown_method_parses(self) -> None:
        """It is the receiver's to refuse."""
        data = MessageBuilder(0xABC, MessageClass.ERROR, TID).build()
        parsed = parse(data)
        self.assertEqual((parsed.method, parsed.message_class), (0xABC, MessageClass.ERROR))


class RoundTripTests(SynchronousTestCase):
    def test_random_messages(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for _ in range(500):
            method, each = random.randrange(0x1000), random.choice(list(MessageClass))
            tid = random.randbytes(12)
            builder = MessageBuilder(method, each, tid)
            user = "".join(random.choices("ab\u00e9\u30de:+/", k=random.randrange(1, 40)))
            priority, breaker = random.getrandbits(32), random.getrandbits(64)
            host = random.choice((IPv4Address, IPv6Address))
            bits = 32 if host is IPv4Address else 128
            address = (host(random.getrandbits(bits)).compressed, random.randrange(0x10000))
            plain = encode_address(address)
            additions = [
                (Attribute.USERNAME, user.encode()),
                (Attribute.PRIORITY, priority.to_bytes(4, "big")),
                (Attribute.ICE_CONTROLLED, breaker.to_bytes(8, "big")),
                (Attribute.MAPPED_ADDRESS, plain),
                (Attribute.XOR_MAPPED_ADDRESS, xor_address(plain, tid)),
                (0x8FFE, random.randbytes(random.randrange(9))),
            ]
            random.shuffle(additions)
            for kind, value in additions:
                builder.add(kind, value)
            sha256 = random.random() < 0.5
            data = builder.build(KEY, fingerprint=random.random() < 0.5, sha256=sha256)
            self.assertEqual(len(data) % 4, 0)
            for _ in range(2):
                parsed = parse(data)
                self.assertTrue(parsed.verify(KEY), f"seed {seed}")
                found = (
                    parsed.method,
                    parsed.message_class,
                    parsed.transaction_id,
                    parsed.username,
                    parsed.priority,
                    parsed.ice_controlled,
                    parsed.mapped_address,
                    parsed.xor_mapped_address,
                    parsed.attribute(0x8FFE),
                    parsed.has_integrity_sha256,
                )
                wanted = (method, each, tid, user, priority, breaker, address, address)
                self.assertEqual(found, (*wanted, dict(additions)[0x8FFE], sha256), f"seed {seed}")

    def test_success_of_any_address(self) -> None:
        for address in (
            ("0.0.0.0", 0),
            ("255.255.255.255", 65535),
            ("127.0.0.1", 1),
            ("::", 0),
            ("::1", 5),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
        ):
            parsed = parse(encode_success(TID, address, KEY))
            self.assertEqual(parsed.xor_mapped_address, address)
            self.assertTrue(parsed.verify(KEY))

    def test_a_zone_stays_at_home(self) -> None:
        parsed = parse(encode_success(TID, ("fe80::1%eth0", 9), KEY))
        self.assertEqual(parsed.xor_mapped_address, ("fe80::1", 9))

    def test_what_is_no_address_is_refused(self) -> None:
        for address in (("example.org", 1), ("127.0.0.1", 65536), ("127.0.0.1", -1)):
            with self.assertRaises(ValueError):
                encode_success(TID, address, KEY)


class ErrorTests(SynchronousTestCase):
    def test_error_codes(self) -> None:
        for code in (300, 400, 401, 403, 420, 438, 487, 500, 699):
            for key in (None, KEY):
                parsed = parse(encode_error(TID, code, "Why\u00e9", key=key))
                self.assertIs(parsed.message_class, MessageClass.ERROR)
                self.assertEqual(parsed.error_code, (code, "Why\u00e9"))
                self.assertEqual(parsed.has_integrity, key is not None)
                self.assertEqual(parsed.verify(KEY), key is not None)

    def test_unknown_attributes_of_a_420(self) -> None:
        data = encode_error(TID, 420, "Unknown Attribute", unknown=(0x7FFF, 0x0003, 0x0002))
        self.assertEqual(parse(data).unknown_attributes, (0x7FFF, 0x0003, 0x0002))
        self.assertEqual(parse(encode_error(TID, 400, "")).unknown_attributes, ())

    def test_the_method_is_the_requests(self) -> None:
        parsed = parse(encode_error(TID, 437, "Mismatch", method=Method.ALLOCATE))
        self.assertEqual(parsed.method, Method.ALLOCATE)

    def test_codes_outside_stun_are_refused(self) -> None:
        """701 is W3C's own and never on the wire (rule 57)."""
        for code in (0, 299, 700, 701):
            with self.assertRaises(ValueError):
                encode_error(TID, code, "")
        with self.assertRaises(ValueError):
            encode_error(TID, 400, "x" * 764)


class BuilderTests(SynchronousTestCase):
    def test_building_twice_gives_the_same(self) -> None:
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
        builder.add(Attribute.USERNAME, b"abc")
        self.assertEqual(builder.build(KEY), builder.build(KEY))
        self.assertEqual(len(builder.build(fingerprint=False)), 28)

    def test_padding_is_zeros(self) -> None:
        for size in range(9):
            builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
            data = builder.add(0x8FFF, b"\xff" * size).build(fingerprint=False)
            self.assertEqual(data[24 + size :], bytes(-size & 3))

    def test_what_has_no_place_in_the_format_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            MessageBuilder(0x1000, MessageClass.REQUEST, TID)
        with self.assertRaises(ValueError):
            MessageBuilder(1, MessageClass.REQUEST, TID[:11])
        builder = MessageBuilder(1, MessageClass.REQUEST, TID)
        with self.assertRaises(ValueError):
            builder.add(0x10000, b"")
        with self.assertRaises(ValueError):
            builder.add(1, bytes(0xFFFD))
        builder.add(0x8FFF, bytes(0xFFF8))
        parse(builder.build(fingerprint=False))
        with self.assertRaises(ValueError):
            builder.build()
