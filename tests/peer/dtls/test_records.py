"""Records: what is cut out of datagrams, and how they are put into them (RFC 6347 section 4.1)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from refreeze.peer.dtls.records import (
    ALERT,
    APPLICATION,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    HEADER,
    MAX_FRAGMENT,
    cut,
    pack,
    split,
)
from tests.peer.dtls.forge import TYPES, fragment, record

RECORDS = st.builds(
    record,
    st.sampled_from(TYPES),
    st.binary(min_size=1, max_size=300),
    epoch=st.integers(0, 65535),
    number=st.integers(0, 2**48 - 1),
)


class SplitTests(SynchronousTestCase):
    """Whatever comes: records in order, and a rest that is none."""

    @given(st.lists(RECORDS, max_size=8))
    def test_what_was_put_together_is_taken_apart(self, records: list[bytes]) -> None:
        found, rest = split(b"".join(records))
        self.assertEqual([each.data for each in found], records)
        self.assertEqual([each.type for each in found], [each[0] for each in records])
        self.assertEqual(
            [each.epoch for each in found], [int.from_bytes(each[3:5], "big") for each in records]
        )
        self.assertEqual(rest, 0)

    @given(st.binary(max_size=200) | st.builds(lambda a, b: a + b, RECORDS, st.binary(max_size=99)))
    def test_no_byte_is_lost_or_made(self, datagram: bytes) -> None:
        found, rest = split(datagram)
        whole = b"".join(each.data for each in found)
        self.assertEqual(whole + datagram[len(whole) :], datagram)
        self.assertEqual(len(whole) + rest, len(datagram))

    def test_a_length_past_the_end_and_a_length_of_nothing(self) -> None:
        whole = record(APPLICATION, b"payload")
        for bad in (whole[:-1], whole[:HEADER], record(APPLICATION, b""), b"", b"\x17"):
            self.assertEqual(split(bad), ([], len(bad)))
            found, rest = split(whole + bad)
            self.assertEqual(([each.data for each in found], rest), ([whole], len(bad)))

    def test_the_longest_fragment(self) -> None:
        self.assertEqual(len(split(record(APPLICATION, bytes(MAX_FRAGMENT)))[0]), 1)
        self.assertEqual(split(record(APPLICATION, bytes(MAX_FRAGMENT + 1)))[0], [])

    def test_types_and_versions_that_are_not_dtls(self) -> None:
        whole = record(APPLICATION, b"x")
        for kind in (0, 19, 24, 63, 64, 255):
            self.assertEqual(split(bytes([kind]) + whole[1:])[0], [], kind)
        for version in (b"\x03\x03", b"\xfe\xfc", b"\xff\xfd", b"\x00\x00"):
            self.assertEqual(split(whole[:1] + version + whole[3:])[0], [], version)
        for version in (b"\xfe\xff", b"\xfe\xfd"):
            self.assertEqual(len(split(whole[:1] + version + whole[3:])[0]), 1, version)

    def test_how_long_a_message_wants_to_be(self) -> None:
        (found,) = split(record(HANDSHAKE, fragment(11, b"part", length=70000)))[0]
        self.assertEqual(found.message_length, 70000)

    def test_an_alert_that_is_fatal_and_alone(self) -> None:
        for body, fatal in (
            (b"\x02\x28", True),
            (b"\x01\x00", False),
            (b"\x02\x28\x02\x28", False),
        ):
            (found,) = split(record(ALERT, body))[0]
            self.assertEqual(found.is_fatal_alert, fatal, body)


class PackTests(SynchronousTestCase):
    """Flights in as few datagrams as their order allows."""

    @given(st.lists(RECORDS, max_size=12), st.integers(20, 700))
    def test_order_is_kept_and_datagrams_are_whole_records(
        self, records: list[bytes], mtu: int
    ) -> None:
        datagrams = pack(records, mtu)
        self.assertEqual(b"".join(datagrams), b"".join(records))
        for datagram in datagrams:
            found, rest = split(datagram)
            self.assertEqual(rest, 0)
            self.assertTrue(len(datagram) <= mtu or len(found) == 1)
        for one, other in pairwise(datagrams):
            first = split(other)[0][0].data
            self.assertGreater(len(one) + len(first), mtu, "it had room for one more")

    def test_a_change_of_keys_and_what_follows_share_a_datagram(self) -> None:
        records = [record(CHANGE_CIPHER_SPEC, b"\x01"), record(HANDSHAKE, bytes(40), epoch=1)]
        self.assertEqual(pack(records, 1200), [b"".join(records)])


class CutTests(SynchronousTestCase):
    """The records of many payloads out of one stream."""

    @given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
    def test_by_known_lengths_or_by_their_headers_it_is_the_same(self, lengths: list[int]) -> None:
        overhead = HEADER + 24
        records = [record(APPLICATION, bytes(length + 24), epoch=1) for length in lengths]
        stream = b"".join(records)
        self.assertEqual(cut(stream, lengths, overhead), records)
        self.assertEqual(cut(stream, lengths, overhead - 8), records, "a suite nobody told us of")
