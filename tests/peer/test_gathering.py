"""Candidates that are found over time, as a peer connection shows them."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.ice import Candidate, CandidateType, candidate_foundation, candidate_priority
from refreeze.net.gathering import Gathering, GatherReceiver, host_candidate
from refreeze.net.servers import ServerProblem
from refreeze.peer import Event, RTCIceCandidate, RTCPeerConnectionIceErrorEvent
from tests.peer.pair import ROLLBACK, Two


@define(eq=False)
class Scripted:
    """A gathering that a test leads."""

    ufrag: str
    receiver: GatherReceiver
    finished: int = 0
    cancelled: int = 0

    def finish(self) -> None:
        self.finished += 1
        self.receiver.gathering_ended()

    def cancel(self) -> None:
        self.cancelled += 1

    def find(self, address: Address, base: Address) -> None:
        kind = CandidateType.SRFLX
        candidate = Candidate(
            type=kind,
            address=address,
            priority=candidate_priority(kind),
            foundation=candidate_foundation(kind, base[0], server_host="192.0.2.53"),
            base=base,
            related=base,
            ufrag=self.ufrag,
        )
        self.receiver.candidate_found(candidate, candidate)


@define(eq=False)
class ScriptedGatherer:
    """Host candidates at once, the rest as the test says."""

    base: Address | None = None
    gatherings: list[Scripted] = field(factory=list)

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        made = Scripted(ufrag, receiver)
        self.gatherings.append(made)
        assert self.base is not None
        candidate = host_candidate(self.base, 0, ufrag)
        receiver.candidate_found(candidate, candidate)
        return made


class TrickleTests(SynchronousTestCase):
    """Alice finds candidates while time passes."""

    def setUp(self) -> None:
        self.gatherer = ScriptedGatherer()
        self.two = Two(gatherer=self.gatherer)
        self.addCleanup(self.two.close)
        self.alice, self.bob = self.two.alice, self.two.bob
        self.gatherer.base = self.alice.pool.lease("more").bases[0]
        self.announced: list[RTCIceCandidate] = []
        self.ends = 0
        self.errors: list[RTCPeerConnectionIceErrorEvent] = []
        self.alice.connection.addEventListener("icecandidate", self._candidate)
        self.alice.connection.addEventListener("icecandidateerror", self._error)

    def _candidate(self, event: Event) -> None:
        if event.candidate is None:
            self.ends += 1
            return
        assert isinstance(event.candidate, RTCIceCandidate)
        self.announced.append(event.candidate)

    def _error(self, event: Event) -> None:
        assert isinstance(event, RTCPeerConnectionIceErrorEvent)
        self.errors.append(event)

    @property
    def gathering(self) -> Scripted:
        return self.gatherer.gatherings[-1]

    def find(self, port: int) -> None:
        assert self.gatherer.base is not None
        self.gathering.find(("203.0.113.5", port), self.gatherer.base)

    def test_what_is_found_is_announced_and_stands_in_the_description_rules_53_54(self) -> None:
        self.two.offer(self.alice)
        self.find(4242)
        self.two.advance(0.0)
        description = self.alice.connection.localDescription
        assert description is not None
        self.assertIn("203.0.113.5 4242", description.sdp)
        self.assertNotIn("a=end-of-candidates", description.sdp)
        self.assertEqual([each.candidate.split()[7] for each in self.announced], ["host", "srflx"])
        self.gathering.finish()
        self.two.advance(0.0)
        description = self.alice.connection.localDescription
        assert description is not None
        self.assertIn("a=end-of-candidates", description.sdp)
        self.assertEqual(self.announced[-1].candidate, "")
        self.assertEqual(self.announced[-1].usernameFragment, self.gathering.ufrag)
        self.assertEqual(self.ends, 1)

    def test_the_gathering_state_goes_with_it_rule_62(self) -> None:
        states = [self.alice.connection.iceGatheringState]
        self.two.offer(self.alice)
        self.two.advance(0.0)
        states.append(self.alice.connection.iceGatheringState)
        self.gathering.finish()
        self.two.advance(0.0)
        states.append(self.alice.connection.iceGatheringState)
        self.assertEqual(states, ["new", "gathering", "complete"])

    def test_a_server_that_gives_nothing_is_an_error_event_rule_57(self) -> None:
        self.two.offer(self.alice)
        receiver = self.gathering.receiver
        receiver.server_failed(
            ServerProblem("turn:t.example", "unauthorized", "401", 401, ("10.0.0.1", 7000))
        )
        receiver.server_failed(ServerProblem("stun:s.example", "unreachable", "no answer"))
        receiver.server_failed(ServerProblem("turns:t.example", "x", "no code", None))
        self.two.advance(0.0)
        self.assertEqual([each.errorCode for each in self.errors], [401, 701, 701])
        self.assertEqual((self.errors[0].address, self.errors[0].port), ("10.0.0.1", 7000))
        self.assertEqual((self.errors[1].url, self.errors[1].address), ("stun:s.example", None))

    def test_the_nomination_ends_gathering_rule_51(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.gathering.finished, 1)
        self.assertEqual(self.alice.connection.iceGatheringState, "complete")
        self.find(4243)
        self.two.advance(0.0)
        self.assertNotIn("4243", "".join(each.candidate for each in self.announced))

    def test_the_end_of_an_old_generation_is_not_that_of_the_new_one_T13(self) -> None:
        self.two.offer(self.alice)
        first = self.gathering
        self.two.offer(self.alice, restart=True)
        first.receiver.gathering_ended()
        self.two.advance(0.0)
        self.assertGreaterEqual(first.cancelled, 1)
        self.assertEqual(self.alice.connection.iceGatheringState, "gathering")
        self.assertNotIn("", [each.candidate for each in self.announced])

    def test_a_rolled_back_first_offer_gathers_nothing_more_rule_62(self) -> None:
        self.two.offer(self.alice)
        self.two.now(self.alice.connection.setLocalDescription(ROLLBACK))
        self.two.advance(0.0)
        self.assertGreaterEqual(self.gathering.cancelled, 1)
        self.assertEqual(self.alice.connection.iceGatheringState, "new")

    def test_a_closed_connection_gathers_nothing_more_T34(self) -> None:
        self.two.offer(self.alice)
        self.announced.clear()
        self.alice.connection.close()
        self.find(4244)
        self.gathering.receiver.gathering_ended()
        self.two.advance(0.0)
        self.assertGreaterEqual(self.gathering.cancelled, 1)
        self.assertEqual(self.announced, [])
