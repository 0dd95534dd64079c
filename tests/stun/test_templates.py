"""The fast path says exactly what the builder says."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    RequestTemplate,
    encode_indication,
    encode_success,
    parse,
    short_term_key,
)
from refreeze.stun.attributes import encode_address, xor_address

KEY = short_term_key("0123456789abcdefghijkl")
TID = bytes(range(100, 112))


class TemplateTests(SynchronousTestCase):
    def test_a_check_equals_the_built_one(self) -> None:
        for controlling, nominate, user in product(
            (True, False), (True, False), ("a" * n + ":b" for n in range(4, 9))
        ):
            template = RequestTemplate(
                username=user, key=KEY, priority=77, controlling=controlling, tie_breaker=2**63
            )
            role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
            builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, TID)
            builder.add(Attribute.USERNAME, user.encode())
            builder.add(Attribute.PRIORITY, (77).to_bytes(4, "big"))
            builder.add(role, (2**63).to_bytes(8, "big"))
            if nominate:
                builder.add(Attribute.USE_CANDIDATE, b"")
            data = template.encode(TID, nominate)
            self.assertEqual(data, builder.build(KEY))
            parsed = parse(data)
            self.assertTrue(parsed.verify(KEY))
            self.assertEqual(parsed.use_candidate, nominate)
            self.assertEqual(parsed.ice_controlling, 2**63 if controlling else None)
            self.assertEqual(parsed.ice_controlled, None if controlling else 2**63)

    def test_only_the_transaction_id_differs(self) -> None:
        template = RequestTemplate(
            username="a:b", key=KEY, priority=1, controlling=True, tie_breaker=2
        )
        one, two = template.encode(TID), template.encode(bytes(12))
        self.assertEqual(one[:8] + one[20:-32], two[:8] + two[20:-32])
        self.assertNotEqual(one[-28:-8], two[-28:-8])

    def test_numbers_that_do_not_fit_are_refused(self) -> None:
        for priority, breaker in ((2**32, 0), (-1, 0), (0, 2**64)):
            with self.assertRaises(OverflowError):
                RequestTemplate(
                    username="a:b",
                    key=KEY,
                    priority=priority,
                    controlling=True,
                    tie_breaker=breaker,
                )

    def test_a_success_equals_the_built_one(self) -> None:
        for address in (("192.0.2.1", 4711), ("2001:db8::7", 1)):
            for tid in (TID, bytes(12)):
                builder = MessageBuilder(Method.BINDING, MessageClass.SUCCESS, tid)
                value = xor_address(encode_address(address), tid)
                builder.add(Attribute.XOR_MAPPED_ADDRESS, value)
                self.assertEqual(encode_success(tid, address, KEY), builder.build(KEY))

    def test_a_keepalive_is_an_indication_with_a_fingerprint_alone(self) -> None:
        """Rule 48."""
        data = encode_indication(TID)
        parsed = parse(data)
        self.assertEqual(len(data), 28)
        self.assertIs(parsed.message_class, MessageClass.INDICATION)
        self.assertEqual(parsed.method, Method.BINDING)
        self.assertTrue(parsed.has_fingerprint)
        self.assertFalse(parsed.has_integrity)
