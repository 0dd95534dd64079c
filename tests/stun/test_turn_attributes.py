"""What TURN (RFC 8656), NAT discovery (RFC 5780) and redirection (RFC 8489) put into messages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.stun import (
    Attribute,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    StunError,
    long_term_key,
    parse,
)
from refreeze.stun.attributes import (
    decode_address_error,
    encode_address,
    encode_address_error,
    encode_family,
    xor_address,
)

TID = bytes(range(12))
KEY = long_term_key("user", "realm", "pass")


def xored(address: Address) -> bytes:
    return xor_address(encode_address(address), TID)


def allocate_response(*attributes: tuple[int, bytes]) -> Message:
    builder = MessageBuilder(Method.ALLOCATE, MessageClass.SUCCESS, TID)
    for kind, value in attributes:
        builder.add(kind, value)
    return parse(builder.build(KEY))


class TurnAttributeTests(SynchronousTestCase):
    def test_one_relayed_address_of_each_family(self) -> None:
        """RFC 8656 section 7.3: an Allocate response may hold two."""
        four, six = ("192.0.2.15", 50000), ("2001:db8::15", 50002)
        parsed = allocate_response(
            (Attribute.XOR_RELAYED_ADDRESS, xored(four)),
            (Attribute.LIFETIME, (600).to_bytes(4, "big")),
            (Attribute.XOR_RELAYED_ADDRESS, xored(six)),
        )
        self.assertEqual(parsed.xor_relayed_addresses, (four, six))
        self.assertEqual(parsed.lifetime, 600)
        self.assertTrue(parsed.verify(KEY))

    def test_a_second_address_that_is_none_is_left_out(self) -> None:
        parsed = allocate_response(
            (Attribute.XOR_RELAYED_ADDRESS, xored(("192.0.2.15", 50000))),
            (Attribute.XOR_RELAYED_ADDRESS, b"nonsense!"),
        )
        self.assertEqual(parsed.xor_relayed_addresses, (("192.0.2.15", 50000),))

    def test_repeated_values_end_at_the_signature(self) -> None:
        """RFC 8489 section 14.5: nobody vouches for what follows it."""
        signed = MessageBuilder(Method.CREATE_PERMISSION, MessageClass.REQUEST, TID)
        for host in ("192.0.2.1", "192.0.2.2"):
            signed.add(Attribute.XOR_PEER_ADDRESS, xored((host, 0)))
        before = signed.build(KEY, fingerprint=False)[20:]
        whole = MessageBuilder(Method.CREATE_PERMISSION, MessageClass.REQUEST, TID)
        whole._body += before
        whole.add(Attribute.XOR_PEER_ADDRESS, xored(("192.0.2.3", 0)))
        parsed = parse(whole.build(fingerprint=False))
        self.assertTrue(parsed.verify(KEY))
        self.assertEqual(parsed.xor_peer_addresses, (("192.0.2.1", 0), ("192.0.2.2", 0)))
        self.assertEqual(parsed.xor_peer_address, ("192.0.2.1", 0))

    def test_a_data_indication(self) -> None:
        for payload in (b"", b"x", b"\x00" * 1500):
            builder = MessageBuilder(Method.DATA, MessageClass.INDICATION, TID)
            builder.add(Attribute.XOR_PEER_ADDRESS, xored(("2001:db8::9", 7)))
            builder.add(Attribute.DATA, payload)
            parsed = parse(builder.build())
            self.assertEqual(parsed.data, payload)
            self.assertEqual(parsed.xor_peer_address, ("2001:db8::9", 7))
            self.assertEqual(parsed.unknown_required, ())

    def test_a_channel_number_is_the_first_half_of_the_value(self) -> None:
        parsed = allocate_response((Attribute.CHANNEL_NUMBER, b"\x40\x01\xff\xff"))
        self.assertEqual(parsed.channel_number, 0x4001)

    def test_plain_addresses(self) -> None:
        parsed = allocate_response(
            (Attribute.ALTERNATE_SERVER, encode_address(("192.0.2.1", 1))),
            (Attribute.OTHER_ADDRESS, encode_address(("192.0.2.2", 2))),
            (Attribute.RESPONSE_ORIGIN, encode_address(("2001:db8::3", 3))),
            (Attribute.ALTERNATE_DOMAIN, b"turn.example.org"),
        )
        self.assertEqual(parsed.alternate_server, ("192.0.2.1", 1))
        self.assertEqual(parsed.other_address, ("192.0.2.2", 2))
        self.assertEqual(parsed.response_origin, ("2001:db8::3", 3))
        self.assertEqual(parsed.alternate_domain, "turn.example.org")

    def test_why_one_of_two_addresses_is_missing(self) -> None:
        """RFC 8656 section 18.12."""
        parsed = allocate_response(
            (Attribute.ADDRESS_ERROR_CODE, encode_address_error(6, 440, "No IPv6"))
        )
        self.assertEqual(parsed.address_error, (6, 440, "No IPv6"))
        for value in (b"\x03\x00\x04\x28", b"\x00\x00\x04\x28", b"\x01\x00\x02\x00"):
            self.assertRaises(StunError, decode_address_error, value)

    def test_families(self) -> None:
        self.assertEqual(encode_family(4), b"\x01\x00\x00\x00")
        self.assertEqual(encode_family(6), b"\x02\x00\x00\x00")
        self.assertRaises(ValueError, encode_family, 1)

    def test_what_is_absent_is_none(self) -> None:
        parsed = allocate_response()
        self.assertEqual(parsed.xor_relayed_addresses, ())
        self.assertEqual(parsed.attributes(Attribute.XOR_PEER_ADDRESS), ())
        for name in (
            "xor_peer_address",
            "lifetime",
            "data",
            "channel_number",
            "alternate_server",
            "alternate_domain",
            "other_address",
            "response_origin",
            "password_algorithms",
            "address_error",
        ):
            self.assertIsNone(getattr(parsed, name))
