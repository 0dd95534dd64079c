"""The table of shapes makes parsing faster and nothing else."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    RequestTemplate,
    StunError,
    encode_success,
    parse,
    shapes,
    short_term_key,
)

KEY = short_term_key("0123456789abcdefghijkl")
TID = bytes(range(12))


def check(user: str = "abcd:efgh", priority: int = 1, controlling: bool = True) -> bytes:
    template = RequestTemplate(
        username=user, key=KEY, priority=priority, controlling=controlling, tie_breaker=9
    )
    return template.encode(TID)


def reading(data: bytes) -> object:
    """All that parsing *data* tells."""
    try:
        parsed = parse(data)
    except StunError as error:
        return error.reason
    names = [name for name in dir(Message) if not name.startswith("_") and name != "verify"]
    found = [getattr(parsed, name) for name in names if not name.startswith("attribute")]
    values = [(parsed.attribute(kind), parsed.attributes(kind)) for kind in Attribute]
    return found, values, parsed.verify(KEY)


class ShapeTests(SynchronousTestCase):
    def setUp(self) -> None:
        kept = dict(shapes._known)
        shapes._known.clear()

        def restore() -> None:
            shapes._known.clear()
            shapes._known.update(kept)

        self.addCleanup(restore)

    def cold(self, data: bytes) -> object:
        shapes._known.clear()
        return reading(data)

    def test_only_a_right_signature_teaches(self) -> None:
        data = check()
        self.assertFalse(parse(data).verify(short_term_key("wrong")))
        self.assertIsNone(shapes.shapes_of_size(len(data)))
        self.assertTrue(parse(data).verify(KEY))
        self.assertEqual(len(shapes.shapes_of_size(len(data)) or ()), 1)

    def test_a_known_shape_is_not_learnt_again(self) -> None:
        data = check()
        first, second = parse(data), parse(data)
        self.assertTrue(first.verify(KEY) and second.verify(KEY) and parse(data).verify(KEY))
        self.assertEqual(len(shapes.shapes_of_size(len(data)) or ()), 1)

    def test_both_roles_have_their_shape(self) -> None:
        for controlling in (True, False):
            data = check(controlling=controlling)
            self.assertEqual(self.cold(data), reading(data))
        self.assertEqual(parse(check(controlling=False)).ice_controlled, 9)
        self.assertEqual(parse(check(controlling=True)).ice_controlling, 9)

    def test_values_are_looked_at_in_every_message(self) -> None:
        """Same shape, other values: right, malformed, and with a wrong fingerprint."""
        self.assertTrue(parse(check()).verify(KEY))
        other = check("wxyz:1234", priority=5)
        self.assertEqual((parse(other).username, parse(other).priority), ("wxyz:1234", 5))
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
        builder.add(Attribute.USERNAME, b"\xff" * 9)
        builder.add(Attribute.PRIORITY, bytes(4)).add(Attribute.ICE_CONTROLLING, bytes(8))
        bad = builder.build(KEY)
        self.assertEqual(len(bad), len(other))
        self.assertEqual(self.assertRaises(StunError, parse, bad).reason, "attribute")
        bad = other[:-1] + bytes((other[-1] ^ 1,))
        self.assertEqual(self.assertRaises(StunError, parse, bad).reason, "fingerprint")

    def test_warm_and_cold_agree_on_every_flipped_bit(self) -> None:
        for data in (check(), encode_success(TID, ("2001:db8::1", 3), KEY)):
            for bit in range(len(data) * 8):
                flipped = bytearray(data)
                flipped[bit >> 3] ^= 128 >> (bit & 7)
                cold = self.cold(bytes(flipped))
                self.assertTrue(parse(data).verify(KEY))
                self.assertEqual(reading(bytes(flipped)), cold)

    def test_warm_and_cold_agree_on_random_messages(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        values = {
            Attribute.USERNAME: b"abcd:efgh",
            Attribute.PRIORITY: bytes(4),
            Attribute.ICE_CONTROLLED: bytes(8),
            Attribute.USE_CANDIDATE: b"",
            Attribute.SOFTWARE: b"x",
            0x7FF0: b"unknown",
        }
        for _ in range(300):
            builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, random.randbytes(12))
            for kind in random.choices(list(values), k=random.randrange(6)):
                builder.add(kind, values[kind])
            data = builder.build(KEY)
            cold = self.cold(data)
            self.assertEqual(reading(data), cold, f"seed {seed}")

    def test_the_table_is_bounded(self) -> None:
        for size in range(300):
            for kind in range(6):
                builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
                builder.add(0x8F00 + kind, bytes(size))
                self.assertTrue(parse(builder.build(KEY)).verify(KEY))
        self.assertEqual(len(shapes._known), shapes.SIZES)
        self.assertTrue(all(len(each) <= shapes.PER_SIZE for each in shapes._known.values()))
        self.assertTrue(all(size <= shapes.LARGEST for size in shapes._known))

    def test_it_holds_no_value(self) -> None:
        self.assertTrue(parse(check("user:name")).verify(KEY))
        self.assertNotIn("user", repr(shapes._known))
