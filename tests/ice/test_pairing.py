"""Candidates, pairs, their order, and what is never paired."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.basics import Address
from refreeze.ice import (
    AgentSettings,
    Candidate,
    CandidateType,
    IceRole,
    PairState,
    candidate_foundation,
    candidate_priority,
)
from refreeze.ice.candidate import pair_priority
from refreeze.ice.checklist import Checklist
from refreeze.ice.pair import Pair, make_pair
from tests.ice.duo import A1, A2, B1, B2, host, reflexive, relay, signaled
from tests.ice.solo import Solo, make_solo

LOOPBACK = AgentSettings(allow_loopback=True)


class PriorityTests(SynchronousTestCase):
    """Rule 78: RFC 8445 sections 5.1.1.3, 5.1.2 and 6.1.2.3."""

    def test_the_priority_of_a_single_host_candidate(self) -> None:
        """rule 78"""
        self.assertEqual(candidate_priority(CandidateType.HOST), 2130706431)

    def test_types_rank_host_prflx_srflx_relay(self) -> None:
        """rule 78"""
        kinds = (
            CandidateType.HOST,
            CandidateType.PRFLX,
            CandidateType.SRFLX,
            CandidateType.RELAY,
        )
        values = [candidate_priority(kind) for kind in kinds]
        self.assertEqual(values, sorted(values, reverse=True))
        self.assertEqual([v >> 24 for v in values], [126, 110, 100, 0])

    def test_equal_foundations_need_equal_type_base_server_and_transport(self) -> None:
        """rule 78"""
        same = candidate_foundation(CandidateType.HOST, "10.0.0.1")
        self.assertEqual(same, candidate_foundation(CandidateType.HOST, "10.0.0.1"))
        others = {
            candidate_foundation(CandidateType.SRFLX, "10.0.0.1"),
            candidate_foundation(CandidateType.HOST, "10.0.0.2"),
            candidate_foundation(CandidateType.HOST, "10.0.0.1", server_host="192.0.2.1"),
            candidate_foundation(CandidateType.HOST, "10.0.0.1", transport="tcp"),
        }
        self.assertEqual(len(others - {same}), 4)

    def test_both_sides_compute_the_same_pair_priority(self) -> None:
        """rule 78"""
        local, remote = host(A1), reflexive(B1, B2)
        ours = make_pair(local, remote, IceRole.CONTROLLING).priority
        theirs = make_pair(remote, local, IceRole.CONTROLLED).priority
        self.assertEqual(ours, theirs)
        g, d = local.priority, remote.priority
        self.assertEqual(ours, (min(g, d) << 32) + 2 * max(g, d) + (1 if g > d else 0))
        self.assertEqual(pair_priority(3, 2), (2 << 32) + 7)


class PairingTests(SynchronousTestCase):
    """RFC 8445 sections 6.1.2.2 to 6.1.2.5."""

    def setUp(self) -> None:
        self.solo = make_solo(remote=False, candidates=False)
        self.agent = self.solo.agent

    def _pairs(self, *locals_: Candidate, remotes: tuple[Candidate, ...]) -> list[Pair]:
        for local in locals_:
            self.agent.add_local_candidate(local, self.solo.now)
        for remote in remotes:
            self.agent.add_remote_candidate(signaled(remote), self.solo.now)
        self.agent.set_remote(self.solo.peer, self.solo.now)
        return list(self.agent.pairs)

    def test_a_local_reflexive_candidate_is_replaced_by_its_base(self) -> None:
        pairs = self._pairs(host(A1), reflexive(("192.0.2.1", 999), A1), remotes=(host(B1),))
        self.assertEqual([(p.base, p.remote_address) for p in pairs], [(A1, B1)])
        self.assertIs(pairs[0].local.type, CandidateType.HOST)

    def test_without_its_host_candidate_a_reflexive_one_is_checked_from_its_base(self) -> None:
        pairs = self._pairs(reflexive(("192.0.2.1", 999), A1), remotes=(host(B1),))
        self.assertEqual([(p.base, p.remote_address) for p in pairs], [(A1, B1)])

    def test_the_better_of_two_redundant_pairs_stays(self) -> None:
        """RFC 8445 section 6.1.2.4, when the host candidate comes later."""
        checklist = Checklist(100)
        remote = signaled(host(B1))
        checklist.pair_local(reflexive(("192.0.2.1", 9), A1), [remote], IceRole.CONTROLLING)
        checklist.pair_local(host(A1), [remote], IceRole.CONTROLLING)
        (pair,) = checklist.pairs
        self.assertIs(pair.local.type, CandidateType.HOST)
        self.assertEqual(pair.local_priority, host(A1).priority)

    def test_families_do_not_mix_and_link_local_only_meets_link_local(self) -> None:
        six, link = ("2001:db8::1", 5), ("fe80::1%eth0", 6)
        other_six, other_link = ("2001:db8::2", 7), ("fe80::2", 8)
        pairs = self._pairs(
            host(A1),
            host(six),
            host(link),
            remotes=(host(B1), host(other_six), host(other_link)),
        )
        self.assertEqual(
            {(p.base, p.remote_address) for p in pairs},
            {(A1, B1), (six, other_six), (link, ("fe80::2%eth0", 8))},
        )

    def test_relayed_pairs_come_last(self) -> None:
        pairs = self._pairs(
            relay(("10.9.0.9", 1)),
            host(A1),
            remotes=(relay(("10.9.0.8", 2)), host(B1)),
        )
        self.assertEqual(
            [(p.local.type.value, p.remote.type.value) for p in pairs],
            [("host", "host"), ("host", "relay"), ("relay", "host"), ("relay", "relay")],
        )

    def test_a_candidate_of_the_same_address_is_added_once(self) -> None:
        pairs = self._pairs(host(A1), host(A1, 5), remotes=(host(B1), host(B1, 5)))
        self.assertEqual(len(pairs), 1)
        self.assertEqual(len(self.agent.remote_candidates), 1)


def _many(count: int, *, start: int = 1) -> list[Candidate]:
    return [
        signaled(host((f"10.9.{i // 250}.{i % 250 + 1}", 7000), 65535 - i))
        for i in range(start, start + count)
    ]


class LimitTests(SynchronousTestCase):
    """Rule 52: at most 100 pairs, failed ones make room first, then the least."""

    def test_no_more_than_a_hundred_pairs(self) -> None:
        solo = make_solo(remote=False, candidates=False)
        agent = solo.agent
        agent.add_local_candidate(host(A1), solo.now)
        agent.add_local_candidate(host(A2, 65534), solo.now)
        for candidate in _many(90):
            agent.add_remote_candidate(candidate, solo.now)
        agent.set_remote(solo.peer, solo.now)
        self.assertEqual(len(agent.pairs), 100)
        self.assertEqual(agent.checklist.dropped, 80)
        # The hundred are the best of the 180.
        kept = [p.priority for p in agent.pairs]
        self.assertEqual(kept, sorted(kept, reverse=True))
        self.assertGreater(min(kept), 0)
        best = _many(1)[0].address
        self.assertIsNotNone(agent.checklist.find(A1, best))
        self.assertIsNotNone(agent.checklist.find(A2, best))

    def test_the_hundred_and_first_remote_candidate_is_refused(self) -> None:
        solo = make_solo(remote=False, candidates=False)
        reasons = [solo.agent.add_remote_candidate(c, solo.now) for c in _many(101)]
        self.assertEqual(reasons, [None] * 100 + ["too-many"])

    def test_a_failed_pair_makes_room_before_a_waiting_one(self) -> None:
        """rule 52"""
        checklist = Checklist(3)
        remotes = _many(3)
        for remote in remotes:
            checklist.pair_remote([host(A1)], remote, IceRole.CONTROLLING)
        best = checklist.pairs[0]
        best.state = PairState.FAILED
        low = evolve(_many(1, start=50)[0], priority=5)
        checklist.pair_remote([host(A1)], low, IceRole.CONTROLLING)
        self.assertNotIn(best, checklist.pairs)
        self.assertIsNotNone(checklist.find(A1, low.address))

    def test_a_worse_pair_than_all_is_not_formed(self) -> None:
        """rule 52"""
        checklist = Checklist(3)
        for remote in _many(3):
            checklist.pair_remote([host(A1)], remote, IceRole.CONTROLLING)
        low = evolve(_many(1, start=50)[0], priority=5)
        checklist.pair_remote([host(A1)], low, IceRole.CONTROLLING)
        self.assertIsNone(checklist.find(A1, low.address))

    def test_a_pair_that_the_peer_checks_takes_the_place_of_an_idle_one(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, settings=AgentSettings(max_pairs=3), remote=False)
        for candidate in _many(5):
            solo.agent.add_remote_candidate(candidate, solo.now)
        solo.agent.set_remote(solo.peer, solo.now)
        solo.check(source=("198.51.100.7", 7), priority=5)
        self.assertIsNotNone(solo.agent.checklist.find(A1, ("198.51.100.7", 7)))
        self.assertEqual(len(solo.agent.pairs), 3)


class FreezingTests(SynchronousTestCase):
    """RFC 8445 sections 6.1.2.6, 6.1.4.2 and 7.2.5.3.3; RFC 8838 section 12."""

    def _checklist(self) -> tuple[Checklist, list[Pair]]:
        """Three pairs of one foundation, one of another."""
        checklist = Checklist(100)
        same = [evolve(c, foundation="1") for c in _many(3)]
        for remote in (*same, evolve(_many(1, start=9)[0], foundation="2")):
            checklist.pair_remote([host(A1)], remote, IceRole.CONTROLLING)
        return checklist, list(checklist.pairs)

    def test_one_pair_of_each_foundation_waits_the_others_are_frozen(self) -> None:
        _, pairs = self._checklist()
        self.assertEqual([p.state.value for p in pairs], ["waiting", "frozen", "frozen", "waiting"])

    def test_waiting_pairs_go_by_priority_then_frozen_ones_of_idle_foundations(self) -> None:
        checklist, pairs = self._checklist()
        order = []
        while (pair := checklist.next_ordinary()) is not None:
            order.append(pair)
            pair.state = PairState.IN_PROGRESS
        self.assertEqual(order, [pairs[0], pairs[3]])
        pairs[0].state = PairState.FAILED
        self.assertIs(checklist.next_ordinary(), pairs[1])

    def test_a_success_thaws_its_foundation(self) -> None:
        checklist, pairs = self._checklist()
        pairs[0].state = PairState.SUCCEEDED
        checklist.unfreeze(pairs[0].foundation)
        self.assertEqual([p.state.value for p in pairs[1:3]], ["waiting", "waiting"])

    def test_a_trickled_pair_of_a_proven_foundation_waits_at_once(self) -> None:
        checklist, pairs = self._checklist()
        pairs[0].state = PairState.SUCCEEDED
        late = evolve(_many(1, start=30)[0], foundation="1")
        checklist.pair_remote([host(A1)], late, IceRole.CONTROLLING)
        pair = checklist.find(A1, late.address)
        assert pair is not None
        self.assertIs(pair.state, PairState.WAITING)


class HostileTests(SynchronousTestCase):
    """DESIGN, Trust: remote candidates cannot aim us."""

    def _refusal(self, address: Address, solo: Solo | None = None) -> str | None:
        solo = solo or make_solo()
        return solo.agent.add_remote_candidate(signaled(host(address)), solo.now)

    def test_addresses_that_are_never_checked(self) -> None:
        expected = {
            ("224.0.0.1", 5): "multicast",
            ("ff02::1", 5): "multicast",
            ("255.255.255.255", 5): "broadcast",
            ("0.0.0.0", 5): "unspecified",
            ("0.1.2.3", 5): "unspecified",
            ("::", 5): "unspecified",
            ("10.0.0.9", 0): "port-0",
            ("127.0.0.1", 5): "loopback",
            ("127.3.2.1", 5): "loopback",
            ("::1", 5): "loopback",
            ("240.0.0.1", 5): "reserved",
            ("::ffff:127.0.0.1", 5): "family",
            ("::ffff:224.0.0.1", 5): "family",
            ("example.net", 5): "family",
        }
        found = {address: self._refusal(address) for address in expected}
        self.assertEqual(found, expected)

    def test_a_refused_candidate_leaves_no_trace(self) -> None:
        solo = make_solo(candidates=False)
        self.assertEqual(self._refusal(("224.0.0.1", 5), solo), "multicast")
        self.assertEqual((solo.agent.remote_candidates, list(solo.agent.pairs)), ([], []))

    def test_loopback_only_when_allowed(self) -> None:
        self.assertIsNone(self._refusal(("127.0.0.1", 5), make_solo(settings=LOOPBACK)))

    def test_another_transport_or_component_is_refused(self) -> None:
        solo = make_solo()
        tcp = evolve(signaled(host(B2)), transport="tcp")
        second = evolve(signaled(host(B2)), component=2)
        self.assertEqual(solo.agent.add_remote_candidate(tcp, solo.now), "transport")
        self.assertEqual(solo.agent.add_remote_candidate(second, solo.now), "component")

    def test_a_check_from_such_an_address_is_answered_but_not_returned(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, candidates=False)
        solo.agent.add_local_candidate(host(A1), solo.now)
        solo.check(source=("127.0.0.1", 99))
        self.assertEqual(len(solo.sent()), 1)
        self.assertEqual(solo.agent.answers.counters.refused_source, 1)
        self.assertEqual(list(solo.agent.pairs), [])


class PrivateTests(SynchronousTestCase):
    """A relay in public does not reach a private address of another network."""

    def pairs(self, relayed: str, remote: str) -> int:
        checklist = Checklist(100)
        local, peer = relay((relayed, 3000)), signaled(host((remote, 6001)))
        checklist.pair_local(local, [peer], IceRole.CONTROLLING)
        return len(checklist.pairs)

    def test_a_public_relay_is_not_paired_with_a_private_address(self) -> None:
        for relayed, remote in (
            ("203.0.113.9", "10.0.0.2"),
            ("203.0.113.9", "172.31.0.2"),
            ("203.0.113.9", "192.168.1.2"),
            ("203.0.113.9", "100.100.0.2"),
            ("2001:db8::9", "fd00::2"),
        ):
            self.assertEqual(self.pairs(relayed, remote), 0, remote)

    def test_a_relay_in_a_private_network_is(self) -> None:
        self.assertEqual(self.pairs("10.9.0.9", "10.0.0.2"), 1)
        self.assertEqual(self.pairs("fd00::9", "fd01::2"), 1)

    def test_public_ones_are_paired_with_each_other(self) -> None:
        self.assertEqual(self.pairs("203.0.113.9", "198.51.100.2"), 1)
        self.assertEqual(self.pairs("2001:db8::9", "2001:db8:1::2"), 1)
