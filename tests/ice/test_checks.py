"""Our own checks: pace, retransmission, triggers, and what responses mean."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import AgentSettings, CheckBucket, IceRole, IceState, PairState
from refreeze.ice.attempts import Attempts
from refreeze.ice.events import PairValid
from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    parse,
    short_term_key,
)
from refreeze.stun.attributes import encode_address, xor_address
from tests.ice.duo import A1, A2, B1, B2, START, host, make_agent, signaled
from tests.ice.solo import Solo, make_solo

STRICT = AgentSettings(strict_pacing=True)


def _with_remotes(count: int, settings: AgentSettings, bucket: CheckBucket | None = None) -> Solo:
    """An agent that has *count* pairs of different foundations to check."""
    solo = make_solo(remote=False, candidates=False, settings=settings)
    if bucket is not None:
        solo.agent.bucket = bucket
    solo.agent.add_local_candidate(host(A1), START)
    for i in range(count):
        solo.agent.add_remote_candidate(signaled(host((f"10.0.0.{i + 2}", 6001))), START)
    return solo


class PacingTests(SynchronousTestCase):
    """Rule 79, and DESIGN's Pacing and nomination."""

    def test_the_first_check_leaves_at_once_and_the_others_every_ta(self) -> None:
        """rule 79"""
        solo = _with_remotes(4, AgentSettings())
        solo.agent.set_remote(solo.peer, START)
        self.assertEqual(len(solo.checks()), 1)
        times = []
        for _ in range(3):
            at = solo.agent.next_deadline()
            assert at is not None
            solo.now = at
            solo.agent.handle_timeout(at)
            times.append(round(at - START, 6))
            self.assertEqual(len(solo.checks()), 1)
        self.assertEqual(times, [0.05, 0.1, 0.15])

    def test_a_triggered_check_does_not_wait_for_ta(self) -> None:
        solo = _with_remotes(4, AgentSettings())
        solo.agent.set_remote(solo.peer, START)
        solo.sent()
        solo.check(source=("10.0.0.5", 6001))
        self.assertEqual([t.remote for t in solo.checks()], [("10.0.0.5", 6001)])

    def test_triggered_checks_go_in_the_order_of_arrival_before_ordinary_ones(self) -> None:
        """RFC 8445 section 6.1.4.1"""
        solo = _with_remotes(4, STRICT)
        solo.agent.set_remote(solo.peer, START)
        solo.sent()
        solo.check(source=("10.0.0.5", 6001))
        solo.check(source=("10.0.0.4", 6001))
        self.assertEqual(solo.checks(), [])
        remotes = [t.remote for t in solo.wait(0.2) if t.transaction is not None]
        self.assertEqual([host[-1] for host, _ in remotes], ["5", "4", "3"])

    def test_strict_pacing_makes_the_nomination_wait_for_its_slot(self) -> None:
        solo = _with_remotes(2, STRICT)
        solo.agent.set_remote(solo.peer, START)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertEqual(solo.checks(), [])
        (nominating,) = [t for t in solo.wait(0.06) if t.transaction is not None]
        self.assertTrue(parse(nominating.data).use_candidate)

    def test_under_strict_pacing_a_hurried_check_takes_a_slot_too(self) -> None:
        solo = _with_remotes(2, STRICT)
        solo.agent.set_remote(solo.peer, START)
        (check,) = solo.checks()
        solo.now += 0.03
        solo.check(source=check.remote)
        times: list[tuple[float, bool]] = []
        for _ in range(2):
            solo.now = solo.agent.next_deadline() or 0.0
            solo.agent.handle_timeout(solo.now)
            for sent in solo.checks():
                times.append((round(solo.now - START, 6), sent.data == check.data))
        self.assertEqual(times, [(0.05, True), (0.1, False)])

    def test_the_bucket_paces_all_agents_together(self) -> None:
        """rule 79: across agents one bucket stands in for the 5 ms."""
        bucket = CheckBucket(rate=100, burst=2)
        agents = [_with_remotes(1, AgentSettings(), bucket) for _ in range(4)]
        for solo in agents:
            solo.agent.set_remote(solo.peer, START)
        self.assertEqual([len(solo.checks()) for solo in agents], [1, 1, 0, 0])
        due = [solo.agent.next_deadline() or 0.0 for solo in agents[2:]]
        self.assertEqual([round(at - START, 6) for at in due], [0.01, 0.02])
        for solo, at in zip(agents[2:], due, strict=True):
            solo.agent.handle_timeout(at)
            self.assertEqual(len(solo.checks()), 1)

    def test_the_strict_bucket_is_one_transaction_per_five_milliseconds(self) -> None:
        """rule 79"""
        bucket = CheckBucket.strict()
        times = [bucket.reserve(START) for _ in range(4)]
        self.assertEqual([round(at - START, 6) for at in times], [0, 0.005, 0.01, 0.015])

    def test_a_bucket_that_rested_is_full_and_no_fuller(self) -> None:
        bucket = CheckBucket(rate=10, burst=3)
        self.assertEqual([bucket.take(START) for _ in range(4)], [True, True, True, False])
        later = START + 1000
        self.assertEqual([bucket.take(later) for _ in range(4)], [True, True, True, False])
        self.assertTrue(bucket.take(bucket.next_at(later)))
        self.assertRaises(ValueError, CheckBucket, rate=0)

    def test_the_rto_grows_with_the_pairs_that_wait(self) -> None:
        """rule 79: max(500 ms, Ta * N)."""
        solo = _with_remotes(40, AgentSettings())
        solo.agent.set_remote(solo.peer, START)
        (check,) = solo.checks()
        assert check.transaction is not None
        attempt = solo.agent.checks.attempts.find(check.transaction)
        assert attempt is not None
        self.assertEqual(attempt.schedule.rto, 2.0)


class RetransmissionTests(SynchronousTestCase):
    """Rules 68 and 79: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s, over at 39.5."""

    def test_a_check_is_sent_seven_times_with_one_id(self) -> None:
        """rule 79"""
        solo = make_solo()
        times, ids = [0.0], {t.transaction for t in solo.checks()}
        while (at := solo.agent.next_deadline()) is not None and at < START + 39:
            solo.now = at
            solo.agent.handle_timeout(at)
            for transmit in solo.checks():
                times.append(round(at - START, 3))
                ids.add(transmit.transaction)
        self.assertEqual(times, [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
        self.assertEqual(len(ids), 1)
        self.assertIs(solo.agent.pairs[0].state, PairState.IN_PROGRESS)
        solo.wait(40 - (solo.now - START))
        self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)

    def test_only_a_check_that_was_sent_once_tells_the_round_trip(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.wait(0.6)
        solo.answer(check)
        self.assertIsNone(solo.agent.pairs[0].rtt)
        self.assertTrue(solo.agent.pairs[0].valid)
        other = make_solo(IceRole.CONTROLLED)
        (check,) = other.checks()
        other.now += 0.08
        other.answer(check)
        self.assertAlmostEqual(other.agent.pairs[0].rtt or 0, 0.08)

    def test_the_round_trip_is_smoothed(self) -> None:
        solo = make_solo()
        pair = solo.agent.pairs[0]
        pair.sample(0.1)
        pair.sample(0.9)
        self.assertAlmostEqual(pair.rtt or 0, 0.2)


class TriggerTests(SynchronousTestCase):
    """RFC 8445 section 7.3.1.4."""

    def test_the_peers_check_revives_a_failed_pair(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        solo.answer(check, code=500)
        self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)
        solo.check()
        (again,) = solo.checks()
        solo.answer(again)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_the_peers_check_pulls_the_retransmission_of_ours_forward(self) -> None:
        """Our first packet may have met a closed NAT."""
        solo = make_solo()
        (check,) = solo.checks()
        solo.now += 0.1
        solo.check()
        (again,) = [t for t in solo.wait(0.001) if t.transaction is not None]
        self.assertEqual(again.data, check.data)
        resent = [t for t in solo.wait(0.39) if t.transaction is not None]
        self.assertEqual(resent, [])
        self.assertEqual(len([t for t in solo.wait(0.02) if t.transaction]), 1)

    def test_a_check_that_just_left_gets_ten_milliseconds(self) -> None:
        """In a LAN both sides check at once: no third and fourth packet."""
        solo = make_solo()
        (check,) = solo.checks()
        solo.now += 0.001
        solo.check()
        self.assertEqual(solo.checks(), [])
        solo.now += 0.001
        solo.answer(check)
        self.assertEqual([t for t in solo.wait(0.4) if t.data == check.data], [])

    def test_a_pair_that_succeeded_is_not_checked_again(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check)
        solo.check()
        self.assertEqual(solo.checks(), [])


class ResponseTests(SynchronousTestCase):
    """RFC 8445 section 7.2.5, and the late-message table of ``checks``."""

    def test_a_response_from_another_address_fails_the_pair(self) -> None:
        """7.2.5.2.1, symmetric addresses"""
        for source, base in ((B2, A1), (B1, A2)):
            solo = make_solo()
            (check,) = solo.checks()
            solo.answer(check, source=source, base=base)
            self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)
            self.assertEqual(solo.agent.checks.counters.asymmetric, 1)

    def test_a_response_that_the_peer_did_not_sign_changes_nothing(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        for code in (None, 487, 401):
            solo.answer(check, pwd="x" * 24, code=code)
        self.assertIs(solo.agent.pairs[0].state, PairState.IN_PROGRESS)
        self.assertEqual(solo.agent.checks.counters.unauthenticated, 3)
        self.assertIs(solo.agent.role, IceRole.CONTROLLING)
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_a_response_of_another_generation_is_ignored(self) -> None:
        """T26: in flight since before the restart."""
        old, new = make_solo(seed=1), make_solo(seed=2)
        (check,) = old.checks()
        new.peer = old.peer
        new.sent()
        new.answer(check)
        self.assertEqual(new.agent.checks.counters.stale, 1)
        self.assertFalse(new.agent.pairs[0].valid)

    def test_a_response_twice_counts_once(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check)
        solo.answer(check)
        self.assertEqual(len(solo.of(PairValid)), 1)
        self.assertEqual(solo.agent.checks.counters.stale, 1)

    def test_an_error_fails_the_pair(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        solo.answer(check, code=420)
        self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)

    def test_a_success_that_names_no_address_is_no_answer(self) -> None:
        solo = make_solo()
        (check,) = solo.checks()
        assert check.transaction is not None
        key = short_term_key(solo.peer.pwd)
        bare = MessageBuilder(Method.BINDING, MessageClass.SUCCESS, check.transaction)
        solo.deliver(bare.build(key))
        self.assertEqual(solo.agent.checks.counters.malformed, 1)
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_a_success_that_demands_what_we_do_not_know_fails_the_pair(self) -> None:
        """RFC 8489 section 6.3.3"""
        solo = make_solo()
        (check,) = solo.checks()
        assert check.transaction is not None
        value = xor_address(encode_address(A1), check.transaction)
        odd = MessageBuilder(Method.BINDING, MessageClass.SUCCESS, check.transaction)
        odd.add(Attribute.XOR_MAPPED_ADDRESS, value).add(0x7777, b"")
        solo.deliver(odd.build(short_term_key(solo.peer.pwd)))
        self.assertIs(solo.agent.pairs[0].state, PairState.FAILED)

    def test_a_mapped_address_that_nobody_knew_is_a_local_prflx_candidate(self) -> None:
        """7.2.5.3.1; the valid pair is between it and the remote candidate (7.2.5.3.2)."""
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check, mapped=("192.0.2.77", 1234))
        pair = solo.agent.pairs[0]
        self.assertEqual(pair.local.address, ("192.0.2.77", 1234))
        self.assertEqual(pair.local.type.value, "prflx")
        self.assertIn(pair.local, solo.agent.local_candidates)
        self.assertEqual(pair.local.priority, parse(check.data).priority)
        self.assertEqual(pair.base, A1)

    def test_a_gathered_candidate_takes_the_place_of_the_learnt_local_one(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        (check,) = solo.checks()
        solo.answer(check, mapped=("192.0.2.77", 1234))
        gathered = evolve(solo.agent.pairs[0].local, priority=7, foundation="f")
        solo.agent.add_local_candidate(gathered, solo.now)
        self.assertIs(solo.agent.pairs[0].local, gathered)
        self.assertEqual(len(solo.agent.local_candidates), 2)


class SendErrorTests(SynchronousTestCase):
    """T36: all own checks fail locally (EPERM, no route)."""

    def test_the_peers_check_can_still_succeed(self) -> None:
        """T36"""
        solo = make_solo(IceRole.CONTROLLED)
        for _ in solo.checks():
            solo.agent.send_failed(A1, B1, solo.now)
        self.assertIs(solo.agent.state, IceState.CHECKING)
        self.assertEqual(solo.agent.pairs[0].counters.send_errors, 1)
        solo.wait(20)
        solo.check(nominated=True)
        check = [t for t in solo.wait(0.02) if t.transaction is not None][-1]
        solo.answer(check)
        self.assertIsNotNone(solo.agent.selected)

    def test_the_agent_waits_for_pac(self) -> None:
        """T36, rule 68"""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.agent.send_failed(A1, B1, solo.now)
        solo.wait(39.4)
        self.assertIs(solo.agent.state, IceState.CHECKING)
        solo.wait(0.2)
        self.assertIs(solo.agent.state, IceState.FAILED)
        self.assertEqual(solo.agent.failed_reason, "no-pair")


class AttemptsTests(SynchronousTestCase):
    """The table of outstanding transactions is bounded and forgets."""

    def test_consent_that_nobody_answers_does_not_pile_up(self) -> None:
        solo = make_solo(settings=AgentSettings())
        solo.connect()
        solo.wait(29.0)
        attempts = solo.agent.checks.attempts
        self.assertLessEqual(len(attempts), 32)
        solo.wait(5.0)
        self.assertEqual(len(attempts), 0)

    def test_nothing_is_due_in_an_empty_table(self) -> None:
        attempts = Attempts()
        self.assertIsNone(attempts.next_deadline())
        self.assertIsNone(attempts.pop_due(START))

    def test_an_agent_alone_has_no_deadline(self) -> None:
        solo = make_solo(remote=False)
        self.assertIsNone(solo.agent.next_deadline())
        agent = make_agent(solo.random, IceRole.CONTROLLED)
        self.assertIsNone(agent.next_deadline())
