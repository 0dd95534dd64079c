"""Consent to send (RFC 7675): rules 66 and 67, T19, and bases that go away."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import PROFILES, AgentSettings, IceRole, IceState, PairState
from refreeze.ice.events import ConsentLost, PairValid, StateChanged
from refreeze.stun import parse
from tests.ice.duo import A1, A2, B1, B2, START, connected_duo, host, make_duo, signaled
from tests.ice.solo import make_solo


class ConsentTests(SynchronousTestCase):
    """Rule 66."""

    def test_each_check_has_an_id_of_its_own_and_is_sent_once(self) -> None:
        """rule 66"""
        solo = make_solo()
        solo.connect()
        sent = [t for t in solo.wait(12) if t.transaction is not None]
        self.assertEqual(len({t.transaction for t in sent}), len(sent))
        self.assertGreater(len(sent), 2)

    def test_it_is_authenticated(self) -> None:
        """rule 66"""
        solo = make_solo()
        solo.connect()
        sent = [parse(t.data) for t in solo.wait(7) if t.transaction is not None]
        assert solo.agent.remote_key is not None
        self.assertTrue(all(m.verify(solo.agent.remote_key) for m in sent))

    def test_it_expires_thirty_seconds_after_the_last_answer(self) -> None:
        """rule 66"""
        solo = make_solo()
        solo.connect()
        connected = solo.now
        self.assertEqual(solo.agent.consent_expires_at, connected + 30.0)
        solo.wait(29.9)
        self.assertIsNotNone(solo.agent.data_pair)
        solo.wait(0.2)
        self.assertIsNone(solo.agent.data_pair)
        self.assertIsNone(solo.agent.consent_expires_at)
        self.assertEqual(len(solo.of(ConsentLost)), 1)

    def test_an_answer_renews_it(self) -> None:
        """rule 66"""
        solo = make_solo()
        solo.connect()
        check = next(t for t in solo.wait(6.1) if t.transaction is not None)
        solo.answer(check)
        left = (solo.agent.consent_expires_at or 0.0) - solo.now
        self.assertTrue(30.0 <= left <= 30.05)

    def test_data_does_not_renew_it(self) -> None:
        """rule 66: what is not authenticated proves no consent."""
        solo = make_solo()
        solo.connect()
        while solo.now < START + 31:
            solo.wait(0.5)
            solo.agent.data_received(A1, B1, solo.now, 100)
        self.assertIsNone(solo.agent.data_pair)

    def test_an_unsigned_or_error_answer_does_not_renew_it(self) -> None:
        """rule 66; nor does an error end it at once."""
        solo = make_solo()
        solo.connect()
        expires = solo.agent.consent_expires_at
        check = next(t for t in solo.wait(6.1) if t.transaction is not None)
        solo.answer(check, pwd="y" * 24)
        solo.answer(check, code=403)
        self.assertEqual(solo.agent.consent_expires_at, expires)
        self.assertIsNotNone(solo.agent.data_pair)

    def test_a_late_answer_still_counts(self) -> None:
        solo = make_solo()
        solo.connect()
        check = next(t for t in solo.wait(6.1) if t.transaction is not None)
        solo.wait(10)
        self.assertIs(solo.agent.state, IceState.FAILED)
        solo.answer(check)
        self.assertGreater(solo.agent.consent_expires_at or 0, solo.now + 29)

    def test_after_its_end_the_credentials_are_never_used_there_again(self) -> None:
        """T19"""
        solo = make_solo()
        solo.connect()
        solo.wait(31)
        self.assertIsNone(solo.agent.data_pair)
        solo.check()
        solo.check(nominated=True)
        self.assertEqual([t for t in solo.wait(120) if t.transaction is not None], [])
        self.assertIsNone(solo.agent.data_pair)
        self.assertIs(solo.agent.state, IceState.FAILED)

    def test_consent_goes_on_while_another_generation_checks_beside(self) -> None:
        """T19, rules 25 and 67: with the credentials of its own generation."""
        old, new = make_solo(seed=1), make_solo(seed=2)
        old.connect()
        new.wait(0.3)
        sent = [parse(t.data) for t in old.wait(20) if t.transaction is not None]
        self.assertGreaterEqual(len(sent), 3)
        expected = f"{old.peer.ufrag}:{old.agent.local.ufrag}"
        self.assertEqual({m.username for m in sent}, {expected})

    def test_the_old_generation_may_expire_without_touching_the_new_one(self) -> None:
        """T19"""
        old, new = make_solo(seed=1), make_solo(seed=2)
        old.connect()
        old.wait(31)
        self.assertIsNone(old.agent.data_pair)
        self.assertIs(new.agent.state, IceState.CHECKING)
        self.assertEqual(new.agent.pairs[0].state, PairState.IN_PROGRESS)

    def test_a_valid_pair_that_is_not_nominated_needs_consent_too(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, settings=AgentSettings())
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIsNotNone(solo.agent.consent_expires_at)
        self.assertTrue(10 <= solo.answering(60) <= 15)
        self.assertIsNotNone(solo.agent.data_pair)

    def test_a_pair_that_was_valid_long_ago_is_checked_before_it_takes_over(self) -> None:
        """Its consent is over: valid is not for ever."""
        solo = make_solo(IceRole.CONTROLLED)
        solo.agent.add_local_candidate(host(A2, 5), solo.now)
        for check in [t for t in solo.wait(0.06) if t.transaction is not None]:
            solo.answer(check)
        solo.answering(40)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.base, A1)
        solo.agent.base_gone(A1, solo.now)
        self.assertIsNone(solo.agent.data_pair)
        (check,) = [t for t in solo.wait(0.01) if t.transaction is not None]
        solo.answer(check)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.base, A2)

    def test_without_an_answer_a_pair_that_was_never_nominated_loses_consent(self) -> None:
        """rule 66, under a profile that waits as long as it can."""
        solo = make_solo(IceRole.CONTROLLED, settings=AgentSettings(liveness=PROFILES["w3c"]))
        (check,) = solo.checks()
        solo.answer(check)
        solo.wait(30.1)
        self.assertEqual(len(solo.of(ConsentLost)), 1)
        self.assertIsNone(solo.agent.data_pair)
        self.assertIs(solo.agent.state, IceState.CHECKING)

    def test_a_retired_agent_asks_no_consent(self) -> None:
        solo = make_solo()
        solo.connect()
        solo.agent.retire(solo.now)
        self.assertEqual([t for t in solo.wait(60) if t.transaction is not None], [])

    def test_the_answer_to_consent_measures_the_round_trip(self) -> None:
        duo = connected_duo(1, delay=0.1)
        duo.run(60)
        for side in duo.sides:
            pair = side.agent.selected
            assert pair is not None
            self.assertAlmostEqual(pair.rtt or 0, 0.2, places=5)
            self.assertGreater(pair.counters.consent_sent, 9)
            self.assertGreater(pair.counters.requests_received, 9)
            self.assertEqual(pair.counters.responses_sent, pair.counters.requests_received)

    def test_data_is_counted_on_its_pair(self) -> None:
        duo = connected_duo(1)
        duo.traffic(1.0, every=0.1)
        for side in duo.sides:
            pair = side.agent.selected
            assert pair is not None
            self.assertEqual((pair.counters.packets_out, pair.counters.bytes_out), (10, 40))
            self.assertEqual((pair.counters.packets_in, pair.counters.bytes_in), (10, 40))

    def test_data_of_an_unknown_source_is_not_ours(self) -> None:
        solo = make_solo()
        solo.connect()
        self.assertTrue(solo.agent.data_received(A1, B1, solo.now))
        self.assertFalse(solo.agent.data_received(A1, B2, solo.now))
        self.assertFalse(solo.agent.data_received(A2, B1, solo.now))


class BaseGoneTests(SynchronousTestCase):
    """T35: a local address or socket went away."""

    def test_the_selected_pair_fails_at_once(self) -> None:
        """T35"""
        solo = make_solo()
        solo.connect()
        solo.agent.base_gone(A1, solo.now)
        self.assertEqual(solo.of(StateChanged)[-1], StateChanged(IceState.FAILED, "base-gone"))
        self.assertIsNone(solo.agent.data_pair)
        self.assertIsNone(solo.agent.next_deadline())
        self.assertEqual(len(solo.agent.pairs), 1)

    def test_another_base_does_not_matter(self) -> None:
        solo = make_solo()
        solo.agent.add_local_candidate(host(A2, 5), solo.now)
        solo.connect()
        events = len(solo.of(object))
        solo.agent.base_gone(A2, solo.now)
        self.assertEqual(len(solo.of(object)), events)
        self.assertIsNotNone(solo.agent.data_pair)

    def test_while_checking_the_other_pairs_go_on(self) -> None:
        duo = make_duo(1)
        duo.add(duo.a, host(A1), host(A2, 65534))
        duo.add(duo.b, host(B1))
        duo.dead.add((A1, B1))
        duo.introduce()
        duo.run(0.02)
        duo.a.agent.base_gone(A1, duo.now)
        duo.connect()
        self.assertEqual(duo.a.agent.selected and duo.a.agent.selected.base, A2)

    def test_the_last_base_of_a_checking_agent_ends_it_without_pac(self) -> None:
        """rule 60: no local candidates"""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.agent.base_gone(A1, solo.now)
        self.assertEqual(solo.agent.failed_reason, "no-candidates")

    def test_a_valid_pair_gives_way_to_the_next(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        solo.agent.add_local_candidate(host(A2, 5), solo.now)
        for check in [t for t in solo.wait(0.06) if t.transaction is not None]:
            solo.answer(check)
        self.assertEqual(len(solo.of(PairValid)), 2)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.base, A1)
        solo.agent.base_gone(A1, solo.now)
        self.assertEqual(solo.agent.data_pair and solo.agent.data_pair.base, A2)
        self.assertIs(solo.agent.state, IceState.CONNECTED)
        self.assertNotIn(A1, [c.base for c in solo.agent.local_candidates])

    def test_after_failed_it_changes_nothing(self) -> None:
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.connect()
        solo.wait(40)
        before = len(solo.of(object))
        solo.agent.base_gone(A1, solo.now)
        self.assertEqual(len(solo.of(object)), before)
