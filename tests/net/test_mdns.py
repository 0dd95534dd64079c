"""`.local` names: who is asked, how often, and whose answers count."""

from __future__ import annotations

import random
import struct
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.names.dns import Message, RRHeader, UnknownRecord
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.mdns import GIVE_UP, MAX_HOSTS, MAX_NAMES, SETTLE, MdnsResolver
from refreeze.net.mdnsgroup import MAX_MESSAGE, Link, MdnsGroup, encode, links_of
from refreeze.net.resolve import ResolveError
from tests.net.links import (
    AAAA,
    FLUSH,
    NSEC,
    A,
    FakeLinks,
    address_record,
    answer,
    question,
    questions,
    somebody,
)

FOUR, SIX, OTHER = Link("eth0", 4), Link("eth0", 6), Link("wlan0", 4)
NAME = "6a2f5dd0-d6e5-4e5c-a5d4-0a5c4e5b1f11.local"


def nsec(name: str, data: bytes = b"\xc0\x0c\0\1\x40") -> RRHeader:
    """There is an IPv4 address, and no IPv6 one."""
    unknown: Any = UnknownRecord
    return RRHeader(name, NSEC, FLUSH, 120, unknown(data))


class MdnsCase(SynchronousTestCase):
    """A resolver on two interfaces."""

    def setUp(self) -> None:
        self.clock, self.links = Clock(), FakeLinks()
        self.found = [
            ("lo", "127.0.0.1"),
            ("eth0", "192.0.2.1"),
            ("eth0", "fe80::1%eth0"),
            ("eth0:1", "192.0.2.100"),
            ("wlan0", "198.51.100.1"),
        ]
        self.group = MdnsGroup(opener=self.links, hosts=lambda: self.found, clock=self.clock)
        self.resolver = MdnsResolver(group=self.group, clock=self.clock)

    def hear(self, data: bytes, link: Link = FOUR, source: tuple[str, int] = somebody()) -> None:
        """It was sent to the group of *link*."""
        self.links.port(link).receive((data, source))

    def reason(self, asked: Deferred[tuple[str, ...]]) -> str:
        error = self.failureResultOf(asked, ResolveError).value
        assert isinstance(error, ResolveError)
        return error.reason


class AskingTests(MdnsCase):
    """Questions."""

    def test_nothing_is_opened_before_somebody_asks(self) -> None:
        self.assertEqual(self.links.opened, [])

    def test_every_link_is_asked_for_each_family_in_a_message_of_its_own(self) -> None:
        """Chromium's responder takes but one question of a message."""
        self.resolver.resolve(NAME.upper())
        for link in (FOUR, SIX, OTHER):
            sent = self.links.sent(link)
            self.assertEqual(questions(sent), [(NAME, A), (NAME, AAAA)])
            self.assertEqual([len(each.queries) for each in sent], [1, 1])
            self.assertEqual([each.id for each in sent], [0, 0])
        self.assertEqual(len(self.links.opened), 3)

    def test_asked_again_after_one_second_and_then_twice_as_long_until_given_up(self) -> None:
        asked, times = self.resolver.resolve(NAME), list[float]()
        while self.clock.seconds() < GIVE_UP:
            if self.links.sent(FOUR):
                times.append(self.clock.seconds())
            self.assertNoResult(asked)
            self.clock.advance(0.25)
        self.assertEqual(times, [0.0, 1.0, 3.0])
        self.assertEqual(self.reason(asked), "unresolved")
        self.assertEqual(self.resolver.pending, [])

    def test_all_who_ask_share_one_question(self) -> None:
        asked = [self.resolver.resolve(NAME) for _ in range(3)]
        self.assertEqual(len(self.links.sent(FOUR)), 2)
        self.hear(answer(address_record(NAME, "192.0.2.9"), nsec(NAME)))
        for each in asked:
            self.assertEqual(self.successResultOf(each), ("192.0.2.9",))

    def test_with_the_last_who_cancels_the_question_ends(self) -> None:
        first, second = self.resolver.resolve(NAME), self.resolver.resolve(NAME)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.resolver.pending, [NAME])
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.resolver.pending, [])
        self.clock.advance(60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_one_label_before_local_is_a_name_of_a_candidate(self) -> None:
        for bad in ("turn.example.org", "a.b.local", "local", ".local", "192.0.2.1", "a.local."):
            self.assertEqual(self.reason(self.resolver.resolve(bad)), "bad-name", bad)
        self.assertEqual(self.links.opened, [])

    def test_not_more_names_at_a_time_than_the_limit(self) -> None:
        asked = [self.resolver.resolve(f"a{each}.local") for each in range(MAX_NAMES)]
        self.assertEqual(self.reason(self.resolver.resolve("b.local")), "too-many")
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.assertNoResult(self.resolver.resolve("b.local"))

    def test_stop_answers_everybody_and_leaves_no_timer(self) -> None:
        asked = [self.resolver.resolve(NAME), self.resolver.resolve("b.local")]
        self.resolver.stop()
        self.assertEqual([self.reason(each) for each in asked], ["unresolved"] * 2)
        self.group.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AnswerTests(MdnsCase):
    """Answers."""

    def test_both_families_are_an_answer_at_once(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME.upper(), "192.0.2.9")))
        self.assertNoResult(asked)
        self.hear(answer(address_record(NAME, "2001:db8::9")))
        self.assertEqual(self.successResultOf(asked), ("192.0.2.9", "2001:db8::9"))

    def test_one_address_with_the_word_that_there_is_no_other_is_an_answer_at_once(self) -> None:
        asked = self.resolver.resolve(NAME)

        def additional(message: Message) -> None:
            message.additional = [nsec(NAME)]

        self.hear(answer(address_record(NAME, "192.0.2.9"), edit=additional))
        self.assertEqual(self.successResultOf(asked), ("192.0.2.9",))

    def test_one_family_alone_waits_a_moment_for_the_other_and_no_longer(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME, "192.0.2.9")))
        self.clock.advance(SETTLE / 2)
        self.hear(answer(address_record(NAME, "192.0.2.10")))
        self.assertNoResult(asked)
        self.clock.advance(SETTLE / 2)
        self.assertEqual(self.successResultOf(asked), ("192.0.2.9", "192.0.2.10"))

    def test_a_link_local_address_is_of_the_link_it_was_told_on(self) -> None:
        asked = self.resolver.resolve(NAME)
        only_six = nsec(NAME, b"\xc0\x0c\0\4\0\0\0\x08")
        told = answer(address_record(NAME, "fe80::9"), only_six)
        self.hear(told, SIX, ("fe80::9%eth0", 5353))
        self.assertEqual(self.successResultOf(asked), ("fe80::9%eth0",))

    def test_a_denial_alone_is_no_answer_and_is_remembered(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(nsec(NAME)))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)
        self.hear(answer(address_record(NAME, "192.0.2.9")))
        self.assertEqual(self.successResultOf(asked), ("192.0.2.9",))

    def test_a_denial_that_has_both_families_or_cannot_be_read_denies_nothing(self) -> None:
        asked = self.resolver.resolve(NAME)
        both, name = b"\0\4\x40\0\0\x08", b"\1a\5local\0"
        for data in (
            name + both,
            b"",
            b"\0",
            b"\xc0",
            b"\x3f",
            name + b"\1\1\x40",
            name + b"\0\2a",
        ):
            self.hear(answer(nsec(NAME, data)))
        self.hear(answer(address_record(NAME, "192.0.2.9"), nsec(NAME, b"\0" + both)))
        self.assertNoResult(asked)
        self.clock.advance(SETTLE)
        self.assertEqual(self.successResultOf(asked), ("192.0.2.9",))

    def test_a_goodbye_is_no_answer(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME, "192.0.2.9", ttl=0)))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)

    def test_not_more_addresses_of_one_name_than_are_of_use(self) -> None:
        asked = self.resolver.resolve(NAME)
        records = [address_record(NAME, f"192.0.2.{each}") for each in range(100)]
        self.hear(answer(*records, nsec(NAME)))
        self.assertEqual(len(self.successResultOf(asked)), MAX_HOSTS)

    def test_two_names_in_one_message(self) -> None:
        first, second = self.resolver.resolve(NAME), self.resolver.resolve("b.local")
        self.hear(answer(address_record(NAME, "192.0.2.9"), address_record("b.local", "192.0.2.8")))
        self.clock.advance(SETTLE)
        self.assertEqual(self.successResultOf(first), ("192.0.2.9",))
        self.assertEqual(self.successResultOf(second), ("192.0.2.8",))


class HostileTests(MdnsCase):
    """What anybody on the link may send."""

    def test_an_answer_for_a_name_nobody_asked_is_ignored_and_counted(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record("other.local", "192.0.2.9")))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)
        self.assertEqual(self.group.counters.unasked, 1)
        self.hear(answer(address_record(NAME, "192.0.2.9"), nsec(NAME)))
        self.successResultOf(asked)
        self.hear(answer(address_record(NAME, "192.0.2.66")))
        self.assertEqual(self.group.counters.unasked, 2)

    def test_a_label_of_ours_in_another_name_is_no_answer(self) -> None:
        asked = self.resolver.resolve("b.local")
        for other in ("b.example", "b.b.local", "xb.local", "b.local.local"):
            self.hear(answer(address_record(other, "192.0.2.66")))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)

    def test_an_answer_from_another_port_is_dropped(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME, "192.0.2.66")), source=("192.0.2.66", 40000))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)
        self.assertEqual(self.group.counters.foreign, 1)

    def test_a_record_of_another_class_is_no_answer(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME, "192.0.2.66", cls=3)))
        self.clock.advance(SETTLE)
        self.assertNoResult(asked)

    def test_our_own_question_is_no_answer(self) -> None:
        asked = self.resolver.resolve(NAME)
        self.hear(question(NAME), source=somebody("192.0.2.1"))
        self.assertNoResult(asked)
        self.assertEqual(self.group.counters.unasked, 1)

    def test_an_error_or_another_operation_is_malformed(self) -> None:
        asked = self.resolver.resolve(NAME)
        good = bytearray(answer(address_record(NAME, "192.0.2.66"), nsec(NAME)))
        for at, bits in ((2, 0x28), (3, 0x03)):
            bad = bytearray(good)
            bad[at] |= bits
            self.hear(bytes(bad))
        self.hear(bytes(good[:11]))
        self.hear(bytes(good) + bytes(MAX_MESSAGE))
        self.assertNoResult(asked)
        self.assertEqual(self.group.counters.malformed, 4)

    def test_counts_that_promise_more_than_there_can_be(self) -> None:
        asked = self.resolver.resolve(NAME)
        good = bytearray(answer(address_record(NAME, "192.0.2.66")))
        struct.pack_into("!H", good, 6, 65535)
        self.hear(bytes(good))
        self.assertNoResult(asked)
        self.assertEqual(self.group.counters.malformed, 1)

    def test_a_name_that_points_at_itself_costs_nothing(self) -> None:
        self.resolver.resolve("b.local")
        loop = struct.pack("!6H", 0, 0x8400, 0, 40, 0, 0) + b"\x01b" + b"\xc0\x0e" * 40
        self.hear(loop)
        self.assertEqual(self.group.counters.malformed, 1)

    def test_damaged_answers_never_raise_and_never_log(self) -> None:
        seed = 20261125
        draw = random.Random(seed)
        good = answer(address_record(NAME, "192.0.2.9"), address_record(NAME, "fe80::9"))
        for _ in range(2000):
            asked = self.resolver.resolve(NAME)
            bad = bytearray(good)
            for _ in range(draw.randrange(1, 8)):
                bad[draw.randrange(len(bad))] = draw.randrange(256)
            self.hear(bytes(bad[: draw.randrange(len(bad) + 1)]))
            asked.addErrback(lambda _: None)
            asked.cancel()
        self.assertEqual(self.flushLoggedErrors(), [], f"seed {seed}")
        counters = self.group.counters
        self.assertEqual(counters.taken + counters.malformed + counters.unasked, 2000, seed)

    def test_many_foreign_messages_cost_no_decoding(self) -> None:
        self.resolver.resolve(NAME)
        for _ in range(100):
            self.hear(b"\0\0\x84\0\0\0\0\x01\0\0\0\0 not even a message")
        self.assertEqual(self.group.counters.unasked, 100)
        self.assertEqual(self.group.counters.malformed, 0)


class GroupTests(MdnsCase):
    """The sockets."""

    def test_links_are_told_by_interface_and_family_without_loopback(self) -> None:
        self.assertEqual(links_of(self.found), [FOUR, SIX, OTHER])

    def test_sockets_stay_for_the_next_name_and_close_when_idle(self) -> None:
        self.resolver.resolve(NAME).addErrback(lambda _: None)
        self.clock.advance(GIVE_UP)
        self.clock.advance(9.9)
        self.assertEqual(len(self.group.links), 3)
        self.resolver.resolve(NAME).addErrback(lambda _: None)
        self.assertEqual(len(self.links.opened), 3)
        self.clock.advance(GIVE_UP)
        self.clock.advance(10.0)
        self.assertEqual(self.group.links, [])
        self.assertTrue(all(port.closed for _link, port in self.links.opened))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_link_that_comes_is_asked_by_the_next_question(self) -> None:
        self.resolver.resolve(NAME).addErrback(lambda _: None)
        self.found.append(("eth1", "203.0.113.1"))
        self.clock.advance(1.0)
        self.assertEqual(len(self.links.sent(Link("eth1", 4))), 2)

    def test_a_link_that_goes_is_left_and_a_broken_one_joined_again(self) -> None:
        self.resolver.resolve(NAME).addErrback(lambda _: None)
        self.found.remove(("wlan0", "198.51.100.1"))
        broken = self.links.port(FOUR)
        broken.broken = "ENETDOWN"
        self.clock.advance(1.0)
        self.assertEqual(self.group.links, [SIX, FOUR])
        self.assertTrue(broken.closed)
        self.assertIsNot(self.links.port(FOUR), broken)

    def test_a_link_that_cannot_be_joined_does_not_stop_the_others(self) -> None:
        self.links.refused = {FOUR, SIX}
        asked = self.resolver.resolve(NAME)
        self.hear(answer(address_record(NAME, "198.51.100.9"), nsec(NAME)), OTHER)
        self.assertEqual(self.successResultOf(asked), ("198.51.100.9",))

    def test_what_is_encoded_is_never_cut(self) -> None:
        message = Message()
        for each in range(100):
            message.addQuery(f"name-number-{each}.local")
        self.assertEqual(message.trunc, 0)
        self.assertLessEqual(len(encode(message)), MAX_MESSAGE)
        self.assertEqual(message.trunc, 0)
