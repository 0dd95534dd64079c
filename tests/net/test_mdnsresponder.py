"""Our own names on the link: announced, answered for, taken back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.names.dns import ALL_RECORDS
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import is_mdns_name
from refreeze.net.mdns import MdnsResolver
from refreeze.net.mdnsgroup import Link, MdnsGroup
from refreeze.net.mdnsresponder import MAX_PUBLISHED, TTL, MdnsResponder
from refreeze.testing import SeededRandom
from tests.net.links import (
    AAAA,
    NSEC,
    A,
    FakeLinks,
    address_record,
    question,
    somebody,
)

FOUR, OTHER = Link("eth0", 4), Link("wlan0", 4)


class ResponderTests(SynchronousTestCase):
    """A responder on two links."""

    def setUp(self) -> None:
        self.clock, self.links = Clock(), FakeLinks()
        self.group = MdnsGroup(
            opener=self.links,
            hosts=lambda: [("eth0", "192.0.2.1"), ("wlan0", "198.51.100.1")],
            clock=self.clock,
        )
        self.responder = MdnsResponder(
            group=self.group, clock=self.clock, random=SeededRandom("names")
        )
        self.name = self.responder.publish(["192.0.2.1", "192.0.2.1"])

    def ask(self, data: bytes, link: Link = FOUR) -> None:
        """Somebody asks the group of *link*."""
        self.links.port(link).receive((data, somebody()))

    def quiet(self) -> None:
        """What was announced is over."""
        self.clock.advance(2.0)
        for link in (FOUR, OTHER):
            self.links.sent(link)

    def sent(self, link: Link = FOUR) -> list[tuple[str, int, int]]:
        """Name, type and TTL of every record in every answer."""
        return [
            (record.name.name.decode(), record.type, record.ttl)
            for message in self.links.sent(link)
            for record in message.answers
        ]

    def test_a_name_is_a_random_uuid_and_tells_nothing(self) -> None:
        other = self.responder.publish(["192.0.2.1"])
        self.assertNotEqual(other, self.name)
        for name in (self.name, other):
            self.assertTrue(is_mdns_name(name))
            self.assertEqual(len(name), 36 + len(".local"))

    def test_it_is_announced_twice_a_second_apart(self) -> None:
        announced = [(self.name, A, TTL)]
        self.assertEqual(self.sent(), announced)
        self.clock.advance(1.0)
        self.assertEqual((self.sent(), self.sent(OTHER)), (announced, announced * 2))
        self.clock.advance(60.0)
        self.assertEqual(self.sent(), [])

    def test_a_question_is_answered_on_its_link(self) -> None:
        self.quiet()
        self.ask(question(self.name.upper()))
        (message,) = self.links.sent(FOUR)
        self.assertEqual((message.answer, message.auth, message.id, message.queries), (1, 1, 0, []))
        self.assertEqual([record.type for record in message.answers], [A])
        self.assertEqual([record.type for record in message.additional], [NSEC])
        self.assertEqual(self.sent(OTHER), [])

    def test_what_there_is_not_is_denied(self) -> None:
        self.quiet()
        self.ask(question(self.name, AAAA))
        (message,) = self.links.sent(FOUR)
        self.assertEqual(message.answers, [])
        self.assertEqual([record.type for record in message.additional], [A, NSEC])

    def test_the_other_family_goes_along(self) -> None:
        name = self.responder.publish(["192.0.2.1", "2001:db8::1"])
        self.quiet()
        self.ask(question(name))
        (message,) = self.links.sent(FOUR)
        self.assertEqual([record.type for record in message.answers], [A])
        self.assertEqual([record.type for record in message.additional], [AAAA])

    def test_a_question_for_everything(self) -> None:
        self.quiet()
        name = self.responder.publish(["192.0.2.1", "fe80::1%eth0"])
        self.quiet()
        self.ask(question(name, ALL_RECORDS))
        self.assertEqual(self.sent(), [(name, A, TTL), (name, AAAA, TTL)])

    def test_names_types_and_classes_that_are_not_ours_get_silence(self) -> None:
        self.quiet()
        self.ask(question("other.local"))
        self.ask(question(self.name, 16))
        self.ask(question(self.name, A, 3))
        self.ask(question(f"x.{self.name}"))
        self.links.port(FOUR).receive((question(self.name), ("192.0.2.9", 40000)))
        self.assertEqual(self.links.sent(FOUR), [])

    def test_who_knows_the_answer_gets_none(self) -> None:
        """RFC 6762 section 7.1: unless it is half forgotten."""
        self.quiet()
        fresh = address_record(self.name, "192.0.2.1", ttl=TTL // 2)
        stale = address_record(self.name, "192.0.2.1", ttl=TTL // 2 - 1)
        self.ask(question(self.name, known=(fresh,)))
        self.assertEqual(self.sent(), [])
        self.ask(question(self.name, known=(stale,)))
        self.assertEqual(len(self.sent()), 1)

    def test_the_same_question_is_answered_once_a_second(self) -> None:
        self.quiet()
        for _ in range(50):
            self.ask(question(self.name))
        self.assertEqual(len(self.sent()), 1)
        for _ in range(2):
            self.clock.advance(1.0)
            self.ask(question(self.name))
            self.assertEqual(len(self.sent()), 1)

    def test_who_asks_too_soon_is_answered_when_the_second_is_over(self) -> None:
        """A browser asks once, and does not hear what was said before it began to listen."""
        self.quiet()
        self.ask(question(self.name))
        self.clock.advance(0.4)
        self.ask(question(self.name))
        self.ask(question(self.name))
        self.assertEqual(len(self.sent()), 1)
        self.clock.advance(0.5)
        self.assertEqual(self.sent(), [])
        self.clock.advance(0.11)
        self.assertEqual(self.sent(), [(self.name, A, TTL)])
        self.clock.advance(5.0)
        self.assertEqual(self.sent(), [])

    def test_no_answer_is_due_for_a_name_that_is_withdrawn(self) -> None:
        self.quiet()
        for _ in range(2):
            self.ask(question(self.name))
        self.responder.withdraw(self.name)
        self.sent()
        self.clock.advance(60.0)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_name_that_is_withdrawn_says_goodbye_and_answers_no_more(self) -> None:
        self.links.sent(FOUR)
        self.responder.withdraw(self.name)
        self.responder.withdraw(self.name)
        self.assertEqual(self.sent(), [(self.name, A, 0)])
        self.ask(question(self.name))
        self.assertEqual(self.sent(), [])
        self.clock.advance(60.0)
        self.assertEqual((self.group.links, self.clock.getDelayedCalls()), ([], []))

    def test_stop_withdraws_everything(self) -> None:
        self.responder.publish(["198.51.100.1"])
        self.links.sent(FOUR)
        self.responder.stop()
        self.assertEqual([ttl for _name, _type, ttl in self.sent()], [0, 0])
        self.assertEqual(self.responder.published, [])

    def test_the_number_of_names_is_bounded(self) -> None:
        for _ in range(MAX_PUBLISHED):
            self.responder.publish(["192.0.2.1"])
        self.assertEqual(len(self.responder.published), MAX_PUBLISHED)
        self.assertNotIn(self.name, self.responder.published)

    def test_our_resolver_finds_what_our_responder_publishes(self) -> None:
        name = self.responder.publish(["192.0.2.1", "2001:db8::1"])
        self.quiet()
        resolver = MdnsResolver(group=self.group, clock=self.clock)
        asked = resolver.resolve(name)
        port = self.links.port(FOUR)
        for _ in range(2):
            sent, port.sent = port.sent, []
            port.receive(*[(data, somebody("192.0.2.1")) for data, _remote, _tos in sent])
        self.assertEqual(self.successResultOf(asked), ("192.0.2.1", "2001:db8::1"))
