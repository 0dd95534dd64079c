"""Candidates and generations (rules 49 to 51, 53 to 56; T1 to T3, T13)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    AddRemoteCandidate,
    Description,
    EndOfRemoteCandidates,
    InvalidStateError,
    OperationError,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.trickle import MAX_EARLY_CANDIDATES, MAX_EARLY_UFRAGS
from refreeze.sdp import MAX_CANDIDATES

from .both import read
from .sides import (
    ROLLBACK,
    Side,
    candidate,
    connected,
    exchange,
    kinds,
    line,
    only,
    replaced,
    ufrag,
)


class GenerationTests(SynchronousTestCase):
    """Which generation a candidate is of."""

    def test_during_a_remote_restart_both_generations_take_theirs_rule_56(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        offer = one.offer(restart=True)
        two.take(offer)
        self.assertEqual(len(only(two.add(line(1, old)), AddRemoteCandidate)), 1)
        # The new one waits for our answer: before it nothing could check.
        self.assertEqual(two.add(line(2, ufrag(offer))), [])
        effects = two.did(two.jsep.set_local())
        self.assertEqual(
            kinds(effects), ["StageGeneration", "StartGeneration", "AddRemoteCandidate", "Fire"]
        )
        self.assertEqual(two.received, [(old, 1), (ufrag(offer), 2)])

    def test_an_old_one_never_enters_the_new_list_T1(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        two.take(one.offer(restart=True))
        two.add(line(1, old))
        two.did(two.jsep.set_local())
        self.assertEqual(two.received, [(old, 1)])
        assert two.jsep.current_remote is not None
        self.assertNotIn(" 1 typ", two.jsep.current_remote.sdp)

    def test_after_the_exchange_the_old_ufrag_is_an_error_rule_56_T1(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        exchange(one, two, restart=True)
        for fragment in (None, old):
            self.assertRaises(OperationError, two.add, line(1, old), "0", fragment)

    def test_rolled_back_the_new_ufrag_is_an_error_again_rule_56(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        two.take(offer)
        two.did(two.jsep.set_local(ROLLBACK))
        self.assertRaises(OperationError, two.add, line(1, ufrag(offer)))

    def test_one_of_another_generation_inside_a_description_is_left_out_T1(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        offer = one.offer(restart=True)
        lines = f"a={line(1, old)}\r\na={line(2, ufrag(offer))}\r\na={line(3)}\r\n"
        two.take(replaced(offer, "a=sctp-port", lines + "a=sctp-port"))
        two.did(two.jsep.set_local())
        self.assertEqual([port for _, port in two.received], [2, 3])

    def test_one_that_comes_before_its_offer_is_held_and_applied_with_it_T2(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        self.assertEqual(two.add(line(1, ufrag(offer))), [])
        self.assertEqual(two.add("", "0", ufrag(offer)), [])
        self.assertEqual(two.received, [])
        two.take(offer)
        effects = two.did(two.jsep.set_local())
        self.assertEqual(kinds(effects)[1:], ["StartGeneration", *kinds(effects)[2:4], "Fire"])
        self.assertEqual(kinds(effects)[2:4], ["AddRemoteCandidate", "EndOfRemoteCandidates"])
        assert two.jsep.current_remote is not None
        self.assertIn(f"a={line(1, ufrag(offer))}\r\n", two.jsep.current_remote.sdp)

    def test_one_that_comes_before_its_answer_is_held_too_T2(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        answer = two.answer()
        one.add(line(1, ufrag(answer)))
        self.assertEqual(kinds(one.take(answer)), ["StartGeneration", "AddRemoteCandidate", "Fire"])

    def test_what_is_held_is_bounded_T2(self) -> None:
        one, two = connected()
        offer = one.offer(restart=True)
        for port in range(1, 3 * MAX_EARLY_CANDIDATES):
            two.add(line(port, ufrag(offer)))
        two.take(offer)
        two.did(two.jsep.set_local())
        self.assertEqual(len(two.received), MAX_EARLY_CANDIDATES)
        one.take(two.jsep.current_local or self.fail())
        last = one.offer(restart=True)
        two.add(line(1, ufrag(last)))
        for number in range(MAX_EARLY_UFRAGS):
            two.add(line(1, f"stranger{number}"))
        two.take(last)
        effects = two.did(two.jsep.set_local())
        self.assertEqual(kinds(effects), ["StageGeneration", "StartGeneration", "Fire"])

    def test_w3cs_letter_refuses_what_it_has_not_heard_of_rule_55(self) -> None:
        one, two = Side(1), Side(2, hold_early=False)
        self.assertRaises(InvalidStateError, two.add, line(1, "abcd"))
        exchange(one, two)
        self.assertRaises(OperationError, two.add, line(1, "abcd"))

    def test_one_without_ufrag_is_of_the_latest_generation_rule_55_T3(self) -> None:
        one, two = connected()
        first = ufrag(one.jsep.current_local)
        two.add(line(1))
        offer = one.offer(restart=True)
        two.take(offer)
        self.assertEqual(two.add(line(2)), [])
        self.assertEqual(two.add(""), [])
        two.did(two.jsep.set_local())
        self.assertEqual(two.received, [(first, 1), (ufrag(offer), 2)])
        self.assertEqual(two.add(line(3)), [])

    def test_the_end_without_ufrag_leaves_the_old_generation_open_T3(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        two.take(one.offer(restart=True))
        two.add("", None)
        self.assertEqual(len(two.add(line(7, old))), 1)


class SectionTests(SynchronousTestCase):
    """A peer that has not agreed to the bundle yet: each section has a transport of its own."""

    def offered(self, *, service: bool) -> tuple[Side, str]:
        """Who has such an offer; the first section's ufrag is used."""
        one, two = Side(1), Side(2, hold_early=service)
        one.jsep.add_transceiver("audio")
        offer = one.offer()
        own = "a=ice-ufrag:othr\r\na=ice-pwd:" + "o" * 24 + "\r\n"
        sdp = offer.sdp.replace("a=mid:1\r\n", f"a=mid:1\r\n{own}")
        sdp = sdp.replace("a=bundle-only\r\n", "").replace("m=application 0", "m=application 9")
        two.take(Description(offer.type, sdp))
        return two, ufrag(offer)

    def shown(self, side: Side) -> list[list[str]]:
        """Ports of candidates, and the end, by section."""
        assert side.jsep.pending_remote is not None
        _, _, said = read(side.jsep.pending_remote.sdp)
        return [list(each) for each in said]

    def test_each_candidate_shows_in_its_section_and_one_transports_are_used_rule_55(self) -> None:
        two, first = self.offered(service=False)
        for port, mid, name in ((1, "0", first), (2, "1", "othr"), (3, "0", None), (4, "1", None)):
            two.add(line(port), mid, name)
        self.assertRaises(OperationError, two.add, line(5), "0", "othr")
        self.assertRaises(OperationError, two.add, line(5), "1", first)
        self.assertEqual(self.shown(two), [["1", "3"], ["2", "4"]])
        two.did(two.jsep.set_local())
        self.assertEqual(two.received, [(first, 1), (first, 3)])

    def test_the_end_is_that_of_a_section_or_of_all_rule_55(self) -> None:
        two, _ = self.offered(service=False)
        two.add("", "1", "othr")
        self.assertEqual(self.shown(two), [[], ["end"]])
        two.add("", None)
        self.assertEqual(self.shown(two), [["end"], ["end"]])
        effects = two.did(two.jsep.set_local())
        self.assertEqual(kinds(effects).count("EndOfRemoteCandidates"), 1)

    def test_one_that_is_of_no_use_shows_all_the_same_rule_55(self) -> None:
        """Of another type: how many there are is bounded, and none is dealt out."""
        two, first = self.offered(service=False)
        for port in range(1, 300):
            two.add(line(port).replace("typ host", "typ other"), "0", first)
        self.assertEqual(len(self.shown(two)[0]), MAX_CANDIDATES)
        two.did(two.jsep.set_local())
        self.assertEqual(two.received, [])

    def test_a_service_takes_those_that_name_another_section_of_its_transport(self) -> None:
        two, first = self.offered(service=True)
        two.add(line(1), "1", first)
        two.add(line(2), "1")
        two.add(line(3), "1", "othr")
        two.did(two.jsep.set_local())
        self.assertEqual(two.received, [(first, 1), (first, 2)])


class RemoteTests(SynchronousTestCase):
    """addIceCandidate."""

    def test_mid_index_and_state_are_checked_in_order_rule_55(self) -> None:
        one, two = Side(1), Side(2)
        self.assertRaises(TypeError, two.add, line(1), None)
        self.assertRaises(InvalidStateError, two.add, line(1))
        two.take(one.offer())
        self.assertRaises(OperationError, two.add, line(1), "9")
        by_index = two.jsep.add_remote_candidate
        for index in (1, -1):
            self.assertRaises(OperationError, by_index, line(1), None, index)
        by_index(line(1), None, 0)
        by_index(line(2), "0", 99)
        self.assertRaises(OperationError, two.add, "candidate:nonsense")
        self.assertRaises(OperationError, two.add, line(1) + "\r\na=ice-lite")

    def test_each_is_delivered_once_and_in_order_rule_49(self) -> None:
        one, two = connected()
        name = ufrag(one.jsep.current_local)
        for port in (1, 2, 1, 2, 3):
            two.add(line(port, name))
        self.assertEqual([port for _, port in two.received], [1, 2, 3])

    def test_a_later_description_brings_only_new_ones_rule_49(self) -> None:
        one, two = connected()
        name = ufrag(one.jsep.current_local)
        two.add(line(1, name))
        one.jsep.local_candidate(candidate(1, name))
        one.jsep.local_candidate(candidate(2, name))
        exchange(one, two)
        self.assertEqual([port for _, port in two.received], [1, 2])

    def test_another_foundation_does_not_make_another_candidate_rule_49(self) -> None:
        """libwebrtc may number its foundations anew in a later description."""
        one, two = connected()
        name = ufrag(one.jsep.current_local)
        two.add(line(1, name))
        two.add(line(1, name).replace("candidate:", "candidate:9", 1))
        self.assertEqual([port for _, port in two.received], [1])

    def test_after_the_end_no_more_count_rule_51(self) -> None:
        one, two = connected()
        name = ufrag(one.jsep.current_local)
        self.assertEqual(two.add("", "0", name), [EndOfRemoteCandidates(name)])
        self.assertEqual(two.add("", "0", name), [])
        self.assertEqual(two.add(line(1, name)), [])
        exchange(one, two, restart=True)
        two.add(line(1, ufrag(one.jsep.current_local)))
        self.assertEqual(len(two.received), 1)

    def test_they_appear_in_their_description_only_rules_54_55(self) -> None:
        one, two = connected()
        old = ufrag(one.jsep.current_local)
        offer = one.offer(restart=True)
        two.take(offer)
        two.add(line(1, old))
        two.add(line(2, ufrag(offer)))
        two.add("", "0", old)
        current, pending = two.jsep.current_remote, two.jsep.pending_remote
        assert current is not None
        assert pending is not None
        self.assertTrue(current.sdp.endswith(f"a={line(1, old)}\r\na=end-of-candidates\r\n"))
        self.assertTrue(pending.sdp.endswith(f"a={line(2, ufrag(offer))}\r\n"))

    def test_names_are_accepted_and_ignored_rule_76(self) -> None:
        _, two = connected()
        self.assertEqual(two.add(line(1).replace("192.0.2.1", "x.example")), [])

    def test_a_name_of_multicast_dns_is_dealt_out_once_for_somebody_to_resolve(self) -> None:
        """Rule 76 ignores names; `.local` came later. The description keeps what was signaled."""
        _, two = connected()
        named = line(1).replace("192.0.2.1", "x.local")
        (added,) = only(two.add(named), AddRemoteCandidate)
        self.assertEqual(added.candidate.address, ("x.local", 1))
        self.assertEqual(two.add(named.replace("x.local", "X.Local")), [])
        remote = two.jsep.current_remote
        assert remote is not None
        self.assertEqual(remote.sdp.count("x.local"), 1)

    def test_their_number_is_bounded(self) -> None:
        _, two = connected()
        for port in range(1, MAX_CANDIDATES + 50):
            two.add(line(port))
        self.assertEqual(len(two.received), MAX_CANDIDATES)
        assert two.jsep.current_remote is not None
        self.assertEqual(two.jsep.current_remote.sdp.count("a=candidate"), MAX_CANDIDATES)


class LocalTests(SynchronousTestCase):
    """What was gathered, and where it shows."""

    def test_a_gathered_one_and_their_end_show_in_their_generation_only_rules_53_54(self) -> None:
        one, _ = connected()
        old = ufrag(one.jsep.current_local)
        new = ufrag(one.offer(restart=True))
        one.jsep.local_candidate(candidate(1, old))
        one.jsep.local_candidate(candidate(2, new))
        one.jsep.local_end_of_candidates(old)
        current, pending = one.jsep.current_local, one.jsep.pending_local
        assert current is not None
        assert pending is not None
        self.assertIn(f" 1 typ host ufrag {old}\r\na=end-of-candidates\r\n", current.sdp)
        self.assertIn(f" 2 typ host ufrag {new}\r\n", pending.sdp)
        self.assertNotIn(" 2 typ host", current.sdp)
        self.assertNotIn("end-of-candidates", pending.sdp)

    def test_one_gathered_before_its_description_waits_for_it_rule_54(self) -> None:
        one, _ = connected()
        offer = one.jsep.create_offer(ice_restart=True)
        one.jsep.local_candidate(candidate(1, ufrag(offer)))
        assert one.jsep.local_description is not None
        self.assertNotIn(" 1 typ", one.jsep.local_description.sdp)
        one.did(one.jsep.set_local(offer))
        self.assertIn(" 1 typ", one.jsep.local_description.sdp)

    def test_a_late_one_of_an_abandoned_generation_shows_nowhere_T13(self) -> None:
        one, two = connected()
        gone = ufrag(one.offer(restart=True))
        one.did(one.jsep.set_local(ROLLBACK))
        one.jsep.local_candidate(candidate(1, gone))
        one.jsep.local_end_of_candidates(gone)
        exchange(one, two, restart=True)
        assert one.jsep.current_local is not None
        self.assertNotIn("candidate", one.jsep.current_local.sdp)

    def test_generations_that_never_come_are_forgotten(self) -> None:
        one, _ = connected()
        name = ufrag(one.jsep.current_local)
        one.jsep.local_candidate(candidate(1, name))
        for _ in range(30):
            one.offer(restart=True)
        assert one.jsep.current_local is not None
        self.assertIn(" 1 typ", one.jsep.current_local.sdp)

    def test_the_effects_of_an_answer_stage_before_they_start_rule_22(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        effects = two.jsep.set_local()
        self.assertIsInstance(effects[0], StageGeneration)
        self.assertIsInstance(effects[1], StartGeneration)
