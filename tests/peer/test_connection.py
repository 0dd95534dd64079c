"""RTCPeerConnection over whole transports: rounds, roles, events, and what goes wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import IceRole
from refreeze.jsep import (
    Description,
    DescriptionType,
    InvalidStateError,
    OperationError,
    RTCError,
)
from tests.peer.pair import GOOD, ROLLBACK, Side, Two


class Case(SynchronousTestCase):
    """Two that know nothing of each other yet."""

    def setUp(self) -> None:
        self.two = Two()
        self.alice, self.bob = self.two.alice, self.two.bob
        self.addCleanup(self.two.close)

    def assertConnected(self) -> None:
        self.assertIn(self.alice.state, GOOD)
        self.assertIn(self.bob.state, GOOD)

    def ufrag(self, side: Side) -> str:
        """The local one in force."""
        description = side.connection.localDescription
        assert description is not None
        line = next(x for x in description.sdp.splitlines() if x.startswith("a=ice-ufrag:"))
        return line.partition(":")[2]


class RoundTests(Case):
    """Offer, answer, restart."""

    def test_they_connect_and_data_goes_both_ways(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.assertConnected()
        self.assertEqual(self.alice.send(b"\x80a", b"\x80b"), 2)
        self.bob.send(b"\x80c")
        self.two.advance(0.1)
        self.assertEqual(
            (self.bob.received, self.alice.received), ([b"\x80a", b"\x80b"], [b"\x80c"])
        )

    def test_a_restart_of_either_side_has_new_credentials_on_both_rules_6_18(self) -> None:
        self.two.exchange(self.alice, self.bob)
        seen = [(self.ufrag(self.alice), self.ufrag(self.bob))]
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            self.two.exchange(one, other, restart=True)
            seen.append((self.ufrag(self.alice), self.ufrag(self.bob)))
            self.assertConnected()
        for each in zip(*seen, strict=True):
            self.assertEqual(len(set(each)), 3)

    def test_roles_survive_a_restart_of_the_other_side_rule_42(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.two.exchange(self.bob, self.alice, restart=True)
        self.assertEqual(self.alice.transport.role, IceRole.CONTROLLING)
        self.assertEqual(self.bob.transport.role, IceRole.CONTROLLED)

    def test_who_took_the_first_offer_back_does_not_control_by_it(self) -> None:
        """T11: the first exchange that completes decides, not the first offer."""
        self.two.offer(self.alice)
        self.two.now(self.alice.connection.setLocalDescription(ROLLBACK))
        self.two.exchange(self.bob, self.alice)
        self.assertConnected()
        self.assertEqual(self.alice.transport.role, IceRole.CONTROLLED)
        self.assertEqual(self.bob.transport.role, IceRole.CONTROLLING)

    def test_glare_in_the_first_exchange_leaves_one_who_controls(self) -> None:
        """T11, rule 28: the offer that gave way leaves nothing of its role."""
        self.two.offer(self.alice)
        offer = self.two.offer(self.bob)
        self.two.now(self.bob.connection.setRemoteDescription(self.two.answer(self.alice, offer)))
        self.two.advance(2.0)
        self.assertConnected()
        self.assertEqual(self.alice.transport.role, IceRole.CONTROLLED)

    def test_a_restart_before_the_first_connection_replaces_what_checks_T14(self) -> None:
        self.two.network.blackhole("alice", "bob")
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.alice.state, "checking")
        self.two.network.heal()
        self.two.exchange(self.alice, self.bob, restart=True)
        self.assertConnected()
        self.assertEqual(len(list(self.alice.transport.generations())), 1)

    def test_an_answer_without_ice_leaves_the_old_path_and_restarts_next_rule_37(self) -> None:
        self.two.exchange(self.alice, self.bob)
        route, before = self.alice.transport.route, self.ufrag(self.alice)
        answer = self.two.answer(self.bob, self.two.offer(self.alice, restart=True))
        lines = [x for x in answer.sdp.splitlines() if "ice-" not in x and "candidate" not in x]
        plain = "".join(line + "\r\n" for line in lines)
        said = Description(DescriptionType.ANSWER, plain)
        self.two.now(self.alice.connection.setRemoteDescription(said))
        self.two.advance(1.0)
        self.assertIs(self.alice.transport.route, route)
        self.assertIsNone(self.alice.transport.pending)
        offer = self.two.now(self.alice.connection.createOffer())
        self.assertNotIn(f"a=ice-ufrag:{before}\r\n", offer.sdp)

    def test_writes_during_a_round_are_no_error_T20(self) -> None:
        """Before, during, after; with a pair or without one: a number, and a reason counted."""
        door = self.alice.connection.iceTransport.datagrams
        self.assertEqual(self.alice.send(b"\x80nobody"), 0)
        self.two.exchange(self.alice, self.bob)
        offer = self.two.offer(self.alice, restart=True)
        self.assertEqual(self.alice.send(b"\x80offered"), 1)
        answer = self.two.answer(self.bob, offer)
        self.assertEqual(self.bob.send(b"\x80answered"), 1)
        self.two.now(self.alice.connection.setRemoteDescription(answer))
        for _ in range(300):
            self.alice.send(b"\x80during")
            self.two.advance(0.01)
        self.two.network.blackhole("alice", "bob")
        self.two.advance(60.0)
        self.assertEqual(self.alice.state, "failed")
        self.assertEqual(self.alice.send(b"\x80failed"), 0)
        self.alice.connection.close()
        self.assertEqual(self.alice.send(b"\x80closed"), 0)
        counters = door.counters
        self.assertEqual(counters.offered, counters.handed + counters.dropped.total())
        self.assertEqual(counters.dropped, {"no-path": 3})
        self.assertEqual(self.bob.received.count(b"\x80during"), 300)


class EventTests(Case):
    """What a script sees, and when."""

    def test_a_wish_to_restart_fires_once_and_after_the_operation_rules_3_5(self) -> None:
        """A listener that is attached right after the call still gets the event."""
        self.two.exchange(self.alice, self.bob)
        late: list[str] = []
        self.alice.connection.restartIce()
        self.alice.connection.restartIce()
        self.alice.connection.addEventListener("negotiationneeded", lambda e: late.append(e.type))
        self.assertEqual(late, [])
        self.two.advance(0.1)
        self.assertEqual(late, ["negotiationneeded"])

    def test_a_rolled_back_restart_is_needed_again_rules_10_26(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.alice.fired.clear()
        self.alice.connection.restartIce()
        self.two.advance(0.1)
        self.two.offer(self.alice)
        self.two.advance(0.1)
        self.assertEqual(self.alice.fired.count("negotiationneeded"), 1)
        self.two.now(self.alice.connection.setLocalDescription(ROLLBACK))
        self.two.advance(0.1)
        self.assertEqual(self.alice.fired.count("negotiationneeded"), 2)

    def test_a_restart_gathers_again_rule_62(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.alice.fired.count("icegatheringstatechange"), 2)
        self.two.exchange(self.alice, self.bob, restart=True)
        self.assertEqual(self.alice.fired.count("icegatheringstatechange"), 4)
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.alice.fired.count("icegatheringstatechange"), 4)

    def test_the_state_shows_in_a_task_and_never_after_close_rule_65(self) -> None:
        self.two.exchange(self.alice, self.bob)
        before = list(self.alice.fired)
        self.alice.connection.close()
        self.assertEqual((self.alice.state, self.alice.connection.signalingState), ("closed",) * 2)
        self.two.advance(60.0)
        self.assertEqual(self.alice.fired, before)

    def test_a_failed_path_says_so_and_a_restart_leads_out_of_it_rule_61_T41(self) -> None:
        self.two.exchange(self.alice, self.bob)
        hole = self.two.network.blackhole("alice", "bob")
        states: list[str] = []
        self.alice.connection.addEventListener(
            "iceconnectionstatechange", lambda _: states.append(self.alice.state)
        )
        self.two.advance(15.0)
        self.assertEqual(states, ["disconnected", "failed"])
        hole.end()
        self.two.exchange(self.alice, self.bob, restart=True)
        self.assertEqual(states[2], "checking")
        self.assertIn(states[-1], GOOD)


class RefusalTests(Case):
    """Errors reject; they change nothing (rules 28, 35)."""

    def test_an_answer_nobody_asked_for(self) -> None:
        self.two.exchange(self.alice, self.bob)
        answer = self.alice.connection.remoteDescription
        assert answer is not None
        refused = self.alice.connection.setRemoteDescription(answer)
        self.two.advance(0)
        self.failureResultOf(refused, InvalidStateError)
        self.assertConnected()

    def test_a_description_that_is_none(self) -> None:
        self.two.exchange(self.alice, self.bob)
        broken = Description(DescriptionType.OFFER, "v=0\r\nm=audio")
        refused = self.alice.connection.setRemoteDescription(broken)
        self.two.advance(0)
        self.failureResultOf(refused, RTCError)
        self.assertEqual(self.alice.connection.signalingState, "stable")
        self.assertEqual(self.alice.send(b"\x80still"), 1)

    def test_candidates_of_the_old_generation_after_the_exchange_rule_56(self) -> None:
        self.two.exchange(self.alice, self.bob)
        old = self.ufrag(self.bob)
        self.two.exchange(self.alice, self.bob, restart=True)
        line = "candidate:1 1 udp 2130706431 192.0.2.77 5000 typ host"
        before = len(self.alice.connection.iceTransport.getRemoteCandidates())
        late = {"candidate": line, "sdpMid": "0", "usernameFragment": old}
        refused = self.alice.connection.addIceCandidate(late)
        self.two.advance(0)
        self.failureResultOf(refused, OperationError)
        self.assertEqual(len(self.alice.connection.iceTransport.getRemoteCandidates()), before)

    def test_a_candidate_without_a_section_is_a_type_error_rule_55(self) -> None:
        self.two.exchange(self.alice, self.bob)
        line = "candidate:1 1 udp 2130706431 192.0.2.77 5000 typ host"
        self.failureResultOf(self.alice.connection.addIceCandidate({"candidate": line}), TypeError)
