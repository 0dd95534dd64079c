"""Which pair is selected, and when (RFC 8445 section 8)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import IceRole, IceState, PairState
from refreeze.ice.events import PairSelected, PairValid, RemoteActive
from refreeze.stun import parse
from tests.ice.duo import A1, A2, B1, B2, START, host, make_duo, relay, signaled
from tests.ice.solo import Solo, make_solo

R1 = ("10.0.9.9", 3000)


class ControllingTests(SynchronousTestCase):
    def test_a_direct_pair_is_nominated_as_soon_as_it_is_valid(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        self.assertFalse(parse(check.data).use_candidate)
        solo.answer(check)
        (nominating,) = solo.checks()
        self.assertTrue(parse(nominating.data).use_candidate)
        self.assertIsNone(solo.agent.selected)
        solo.answer(nominating)
        self.assertTrue(solo.agent.pairs[0].nominated)

    def test_only_one_pair_is_nominated(self) -> None:
        """rule 41"""
        duo = make_duo(2)
        duo.add(duo.a, host(A1), host(A2, 65534))
        duo.add(duo.b, host(B1), host(B2, 65534))
        duo.introduce()
        duo.connect()
        duo.run(10)
        nominated = {(t.base, t.remote) for _, m, t in duo.a.requests() if m.use_candidate}
        self.assertEqual(len(nominated), 1)
        for side in duo.sides:
            self.assertEqual(len(side.of(PairSelected)), 1)
            self.assertEqual(sum(p.nominated for p in side.agent.pairs), 1)

    def test_a_nomination_that_fails_lets_another_pair_be_nominated(self) -> None:
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2, 65000)), solo.now)
        (first,) = solo.checks()
        (second,) = [t for t in solo.wait(0.06) if t.transaction is not None]
        solo.answer(first)
        (nominating,) = solo.checks()
        solo.answer(second)
        self.assertEqual(solo.checks(), [])
        solo.answer(nominating, code=500)
        (other,) = solo.checks()
        self.assertEqual((other.remote, parse(other.data).use_candidate), (B2, True))
        solo.answer(other)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B2)

    def test_a_nomination_that_nobody_answers_is_given_up_by_liveness(self) -> None:
        """Not after 39.5 s: the pair is dead long before."""
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2, 65000)), solo.now)
        (first,) = solo.checks()
        (second,) = [t for t in solo.wait(0.06) if t.transaction is not None]
        solo.answer(first)
        solo.answer(second)
        solo.sent()
        nominated = {
            (t.remote, round(solo.now - START))
            for t in solo.wait(12)
            if t.transaction is not None and parse(t.data).use_candidate
        }
        self.assertEqual({remote for remote, _ in nominated}, {B1, B2})
        self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)

    def test_consent_repeats_a_nomination_that_was_lost(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        solo.answer(check)
        (nominating,) = solo.checks()
        sent = [t for t in solo.wait(6.1) if t.transaction is not None]
        consent = next(t for t in sent if t.transaction != nominating.transaction)
        self.assertTrue(parse(consent.data).use_candidate)
        solo.answer(consent)
        self.assertIsNotNone(solo.agent.selected)
        self.assertFalse(solo.agent.checks.busy)

    def test_the_peers_check_has_a_lost_nomination_repeated_at_once(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        solo.answer(check)
        (nominating,) = solo.checks()
        solo.wait(0.6)
        solo.check()
        again = [t for t in solo.wait(0.02) if t.transaction is not None]
        self.assertEqual([t.data for t in again], [nominating.data])

    def test_after_the_nomination_the_other_checks_stop(self) -> None:
        """RFC 8445 section 8.1.2"""
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2, 65000)), solo.now)
        solo.connect()
        later = [t for t in solo.wait(60) if t.transaction is not None]
        self.assertEqual({t.remote for t in later}, {B1})
        self.assertFalse(solo.agent.checks.busy)

    def test_no_candidate_is_paired_after_the_nomination(self) -> None:
        """rule 51"""
        solo = make_solo()
        solo.connect()
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.agent.add_local_candidate(host(A2), solo.now)
        self.assertEqual(len(solo.agent.pairs), 1)


class RelayTests(SynchronousTestCase):
    """A relayed pair waits for better ones: all failed, or max(500 ms, 3 RTT)."""

    def _relay_only(self) -> Solo:
        solo = make_solo(candidates=False)
        solo.agent.add_local_candidate(relay(R1), START)
        solo.agent.add_remote_candidate(signaled(host(B1)), START)
        return solo

    def _with_direct(self) -> Solo:
        """The direct pair is out, the relayed one follows."""
        solo = make_solo()
        solo.agent.add_local_candidate(relay(R1), START)
        return solo

    def test_alone_it_is_nominated_at_once(self) -> None:
        solo = self._relay_only()
        (check,) = solo.checks()
        solo.answer(check)
        self.assertEqual([parse(t.data).use_candidate for t in solo.checks()], [True])

    def test_it_waits_for_the_second_check_of_a_better_one(self) -> None:
        """The first one through a NAT that filters is often lost, and opens the way."""
        solo = self._with_direct()
        check = next(t for t in solo.wait(0.06) if t.base == R1)
        solo.answer(check)
        early = [t for t in solo.wait(0.99) if t.transaction and parse(t.data).use_candidate]
        self.assertEqual(early, [])
        late = [t for t in solo.wait(0.06) if t.transaction and parse(t.data).use_candidate]
        self.assertEqual([t.base for t in late], [R1])

    def test_it_waits_three_round_trips_on_a_slow_path(self) -> None:
        solo = self._with_direct()
        check = next(t for t in solo.wait(0.06) if t.base == R1)
        solo.now = START + 0.05 + 1.0
        solo.answer(check)
        early = [t for t in solo.wait(2.99) if t.transaction and parse(t.data).use_candidate]
        self.assertEqual(early, [])
        late = [t for t in solo.wait(0.02) if t.transaction and parse(t.data).use_candidate]
        self.assertEqual([t.base for t in late], [R1])

    def test_it_does_not_wait_once_all_better_ones_failed(self) -> None:
        solo = self._with_direct()
        direct = solo.checks()[0]
        check = next(t for t in solo.wait(0.06) if t.base == R1)
        solo.answer(check)
        solo.answer(direct, code=500)
        nominating = [t for t in solo.checks() if parse(t.data).use_candidate]
        self.assertEqual([t.base for t in nominating], [R1])

    def test_a_direct_pair_in_that_time_wins(self) -> None:
        solo = self._with_direct()
        direct = solo.checks()[0]
        check = next(t for t in solo.wait(0.06) if t.base == R1)
        solo.answer(check)
        solo.wait(0.2)
        solo.answer(direct)
        nominating = [t for t in solo.checks() if parse(t.data).use_candidate]
        self.assertEqual([t.base for t in nominating], [A1])
        self.assertIsNone(solo.agent.nomination.wait_until)

    def test_data_may_flow_over_the_relay_meanwhile(self) -> None:
        solo = self._with_direct()
        check = next(t for t in solo.wait(0.06) if t.base == R1)
        solo.answer(check)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.base, R1)
        self.assertIs(solo.agent.state, IceState.CONNECTED)


class ControlledTests(SynchronousTestCase):
    def test_a_nomination_of_a_valid_pair_selects_it(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIsNone(solo.agent.selected)
        solo.check(nominated=True)
        self.assertIsNotNone(solo.agent.selected)
        self.assertEqual(len(solo.of(RemoteActive)), 1)

    def test_a_nomination_before_our_check_succeeded_waits_for_it(self) -> None:
        """RFC 8445 section 7.3.1.5"""
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.check(nominated=True)
        self.assertIsNone(solo.agent.selected)
        solo.answer(check)
        self.assertIsNotNone(solo.agent.selected)
        self.assertEqual(len(solo.of(RemoteActive)), 1)

    def test_it_never_nominates(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check)
        sent = solo.wait(20)
        self.assertFalse(any(parse(t.data).use_candidate for t in sent if t.transaction))

    def test_use_candidate_counts_only_for_the_controlled(self) -> None:
        solo = make_solo(IceRole.CONTROLLING)
        (check,) = solo.checks()
        solo.answer(check)
        solo.check(nominated=True)
        self.assertIsNone(solo.agent.selected)

    def test_an_aggressive_nominators_best_nomination_stands(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        solo.agent.add_remote_candidate(signaled(host(B2, 65000)), solo.now)
        solo.agent.set_remote(solo.peer, solo.now)
        _first, second = [t for t in solo.wait(0.06) if t.transaction is not None]
        solo.answer(second)
        solo.check(source=B2, nominated=True)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B2)
        solo.check(source=B1, nominated=True)
        again = next(t for t in solo.checks() if t.remote == B1)
        solo.answer(again)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B1)
        solo.check(source=B2, nominated=True)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B1)
        self.assertEqual(sum(p.nominated for p in solo.agent.pairs), 1)

    def test_a_silent_pair_gives_way_to_any_other_nomination(self) -> None:
        """A peer that moves on its own (libwebrtc) is followed when our pair is in doubt."""
        solo = make_solo(IceRole.CONTROLLED)
        solo.agent.add_remote_candidate(signaled(host(B2, 65000)), solo.now)
        first, second = (t for t in solo.wait(0.06) if t.transaction is not None)
        solo.answer(first)
        solo.answer(second)
        solo.check(nominated=True)
        while solo.agent.state is not IceState.DISCONNECTED:
            solo.wait(0.05)
        solo.check(source=B2, nominated=True)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.remote_address, B2)
        self.assertIs(solo.agent.state, IceState.CONNECTED)
        solo.answering(20)
        self.assertIs(solo.agent.state, IceState.CONNECTED)

    def test_data_flows_on_a_valid_pair_before_the_nomination(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        self.assertIsNone(solo.agent.data_pair)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIs(solo.agent.data_pair, solo.agent.pairs[0])
        self.assertEqual(len(solo.of(PairValid)), 1)

    def test_a_pair_that_dies_before_the_nomination_is_no_disconnection(self) -> None:
        """rule 59: connected -> checking, while there are pairs."""
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIs(solo.agent.state, IceState.CONNECTED)
        solo.wait(10)
        self.assertIsNone(solo.agent.data_pair)
        self.assertIs(solo.agent.state, IceState.CHECKING)
        solo.check(nominated=True)
        (again,) = solo.checks()
        solo.answer(again)
        self.assertIs(solo.agent.state, IceState.CONNECTED)


class LiteTests(SynchronousTestCase):
    """A remote ice-lite peer: it answers, and never asks."""

    def test_we_control_a_lite_peer_and_nominate(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        solo.agent.set_remote(solo.peer, solo.now, lite=True)
        self.assertIs(solo.agent.role, IceRole.CONTROLLING)
        (check,) = solo.checks()
        self.assertIsNotNone(parse(check.data).ice_controlling)
        solo.answer(check)
        (nominating,) = solo.checks()
        self.assertTrue(parse(nominating.data).use_candidate)
        solo.answer(nominating)
        self.assertIsNotNone(solo.agent.selected)

    def test_a_lite_peer_only_has_to_answer_consent(self) -> None:
        solo = make_solo(remote=False)
        solo.agent.set_remote(solo.peer, solo.now, lite=True)
        solo.connect()
        solo.answering(120)
        self.assertIs(solo.agent.state, IceState.CONNECTED)
