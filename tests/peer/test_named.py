"""Remote candidates behind `.local` names: resolved first, as if unreachable otherwise."""

from __future__ import annotations

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Candidate, CandidateType
from refreeze.jsep import Description
from refreeze.peer.named import MAX_WAITING, NamedCandidates, ResolveName
from tests.peer.pair import GOOD, Two

NAMES = {"one.local": ("192.0.2.1", "198.51.100.1"), "two.local": ("192.0.2.2", "198.51.100.2")}


def named(name: str, port: int = 5000) -> Candidate:
    """As the parser makes it of a browser's line."""
    return Candidate(CandidateType.HOST, (name, port), 1, "1")


@define(eq=False)
class Names:
    """Answers when a test says so."""

    asked: dict[str, Deferred[tuple[str, ...]]] = field(factory=dict)
    cancelled: list[str] = field(factory=list)

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        self.asked[name] = Deferred(lambda _: self.cancelled.append(name))
        return self.asked[name]


@define(eq=False)
class Generations:
    """What reached which generation; None is its end."""

    there: set[str] = field(factory=lambda: {"new", "old"})
    got: list[tuple[str, str | None]] = field(factory=list)

    def add_remote_candidate(self, remote_ufrag: str, candidate: Candidate | None) -> None:
        self.got.append((remote_ufrag, None if candidate is None else candidate.address[0]))

    def has_remote(self, remote_ufrag: str) -> bool:
        return remote_ufrag in self.there


class NamedCandidatesTests(SynchronousTestCase):
    """What waits for a name, and what does not."""

    def setUp(self) -> None:
        self.names, self.generations = Names(), Generations()
        self.candidates = NamedCandidates(self.generations, self.names.resolve)

    def test_a_numeric_one_and_its_end_go_through_at_once(self) -> None:
        self.candidates.add("new", named("192.0.2.1"))
        self.candidates.end("new")
        self.assertEqual(self.generations.got, [("new", "192.0.2.1"), ("new", None)])

    def test_every_address_of_a_name_is_a_candidate(self) -> None:
        self.candidates.add("new", named("a.local"))
        self.assertEqual(self.generations.got, [])
        self.names.asked["a.local"].callback(("192.0.2.1", "fe80::1%eth0"))
        self.assertEqual(self.generations.got, [("new", "192.0.2.1"), ("new", "fe80::1%eth0")])

    def test_the_end_waits_for_the_names_of_its_generation_only(self) -> None:
        self.candidates.add("old", named("a.local"))
        self.candidates.add("new", named("b.local"))
        self.candidates.add("new", named("c.local"))
        self.candidates.end("new")
        self.names.asked["b.local"].callback(("192.0.2.2",))
        self.assertEqual(self.generations.got, [("new", "192.0.2.2")])
        self.names.asked["c.local"].callback(("192.0.2.3",))
        self.assertEqual(self.generations.got[1:], [("new", "192.0.2.3"), ("new", None)])

    def test_an_answer_within_the_question_is_before_the_end(self) -> None:
        candidates = NamedCandidates(self.generations, lambda _: succeed(("192.0.2.1",)))
        candidates.add("new", named("a.local"))
        candidates.end("new")
        self.assertEqual(self.generations.got, [("new", "192.0.2.1"), ("new", None)])

    def test_a_name_that_does_not_resolve_is_an_unreachable_candidate_rule_55(self) -> None:
        self.candidates.add("new", named("a.local"))
        self.candidates.end("new")
        self.names.asked["a.local"].errback(ValueError("nobody answers"))
        self.assertEqual(self.generations.got, [("new", None)])

    def test_without_a_resolver_names_are_as_if_unreachable_rule_55(self) -> None:
        """What policy `relay` wants (55k): no question is asked of the link either."""
        candidates = NamedCandidates(self.generations, None)
        candidates.add("new", named("a.local"))
        candidates.end("new")
        self.assertEqual(self.generations.got, [("new", None)])

    def test_an_answer_for_a_generation_that_is_over_is_dropped(self) -> None:
        self.candidates.add("old", named("a.local"))
        self.candidates.end("old")
        self.generations.there.discard("old")
        self.names.asked["a.local"].callback(("192.0.2.1",))
        self.assertEqual(self.generations.got, [])

    def test_close_asks_nothing_more_and_adds_nothing(self) -> None:
        self.candidates.add("new", named("a.local"))
        self.candidates.add("new", named("b.local"))
        self.candidates.end("new")
        self.candidates.close()
        self.assertEqual(self.names.cancelled, ["a.local", "b.local"])
        self.assertEqual(self.generations.got, [])

    def test_candidates_that_no_agent_takes_are_not_asked_for(self) -> None:
        self.candidates.add("new", evolve(named("a.local"), transport="tcp"))
        self.candidates.add("new", evolve(named("b.local"), component=2))
        self.candidates.end("new")
        self.assertEqual(self.names.asked, {})
        self.assertEqual(self.generations.got, [("new", None)])

    def test_one_peer_has_us_ask_for_a_bounded_number_of_names(self) -> None:
        for each in range(200):
            self.candidates.add("new" if each % 2 else "old", named(f"a{each}.local"))
        self.assertEqual(len(self.names.asked), MAX_WAITING)
        self.names.asked["a0.local"].callback(("192.0.2.1",))
        self.candidates.add("new", named("b.local"))
        self.assertIn("b.local", self.names.asked)

    def test_a_cancelled_question_is_no_error_in_the_log(self) -> None:
        candidates = NamedCandidates(self.generations, lambda _: fail(CancelledError()))
        candidates.add("new", named("a.local"))
        self.assertEqual(self.flushLoggedErrors(), [])


class ConnectionTests(SynchronousTestCase):
    """Whole connections whose candidates hide, as those of two browsers on one LAN do."""

    def two(self, resolve: ResolveName | None) -> Two:
        made = Two(resolve_mdns=resolve)
        self.addCleanup(made.close)
        return made

    def hidden(self, description: Description) -> Description:
        """Without an address of anybody."""
        text = description.sdp
        for name, hosts in NAMES.items():
            for host in hosts:
                text = text.replace(f" {host} ", f" {name} ")
        return Description(description.type, text)

    def exchange(self, two: Two) -> None:
        """One round, in which only names are told."""
        answer = two.answer(two.bob, self.hidden(two.offer(two.alice)))
        two.now(two.alice.connection.setRemoteDescription(self.hidden(answer)))

    def test_they_connect_when_the_names_are_known(self) -> None:
        two = self.two(lambda name: succeed(NAMES[name]))
        self.exchange(two)
        two.advance(2.0)
        self.assertIn(two.alice.state, GOOD)
        self.assertIn(two.bob.state, GOOD)

    def test_a_name_that_is_late_is_waited_for(self) -> None:
        waiting = list[tuple[Deferred[tuple[str, ...]], str]]()

        def later(name: str) -> Deferred[tuple[str, ...]]:
            asked = Deferred[tuple[str, ...]]()
            waiting.append((asked, name))
            return asked

        two = self.two(later)
        self.exchange(two)
        two.advance(4.0)
        self.assertEqual({two.alice.state, two.bob.state}, {"new"})
        for asked, name in waiting:
            asked.callback(NAMES[name])
        two.advance(2.0)
        self.assertIn(two.alice.state, GOOD)

    def test_without_a_resolver_there_is_no_pair(self) -> None:
        two = self.two(None)
        self.exchange(two)
        two.advance(2.0)
        self.assertNotIn(two.alice.state, GOOD)
