"""The policy table of one session, row by row."""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import (
    AbandonRound,
    Cause,
    CheckNetwork,
    Circuit,
    GatherMore,
    PolicySettings,
    RequestGrant,
    ResendOffer,
    RoundOutcome,
    SendRestartPlease,
    StartRound,
    WatchState,
    WithdrawGrant,
)

from .driving import Driver


class InitialTests(SynchronousTestCase):
    """Row: the first connection."""

    def test_the_offerer_begins_as_soon_as_signaling_and_the_peer_are_there(self) -> None:
        driver = Driver()
        driver.policy.opened(driver.now)
        driver.drain()
        self.assertIs(driver.state, WatchState.WAITING)
        driver.signaling()
        self.assertEqual(driver.of(StartRound), [StartRound(Cause.INITIAL, 1)])
        self.assertIs(driver.state, WatchState.ROUND)

    def test_an_absent_peer_is_not_offered_to(self) -> None:
        driver = Driver()
        driver.online(False)
        driver.signaling()
        driver.policy.opened(driver.now)
        driver.wait(10_000)
        self.assertEqual(driver.of(StartRound), [])
        self.assertEqual(driver.policy.snapshot().held_reason, "peer-offline")
        driver.online()
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_the_other_side_asks_at_once(self) -> None:
        driver = Driver(offerer=False)
        driver.open()
        self.assertEqual(driver.of(SendRestartPlease), [SendRestartPlease(Cause.INITIAL)])
        self.assertIs(driver.state, WatchState.ASKING)
        driver.offer()
        driver.connect()
        self.assertIs(driver.state, WatchState.WATCHING)

    def test_failed_before_the_first_connection_waits_5_s_for_late_candidates(self) -> None:
        driver = Driver()
        driver.open()
        driver.answer()
        start = driver.now
        driver.wait(1)
        driver.ice("failed")
        driver.wait(4.9)
        self.assertEqual(driver.of(AbandonRound), [])
        driver.wait(0.2)
        self.assertEqual(
            driver.of(AbandonRound), [AbandonRound(1, "checks-failed", RoundOutcome.FAILED)]
        )
        self.assertAlmostEqual(driver.times(AbandonRound)[0], start + 6)

    def test_the_grace_is_never_longer_than_15_s(self) -> None:
        driver = Driver(settings=PolicySettings(round_timeout=60.0))
        driver.open()
        driver.answer()
        start = driver.now
        for _ in range(5):
            driver.ice("failed")
            driver.wait(4)
            driver.ice("checking")
        driver.wait(4)
        self.assertEqual(driver.times(AbandonRound)[0], start + 15)

    def test_a_failure_reported_as_the_end_of_the_round_has_the_grace_too(self) -> None:
        driver = Driver()
        driver.open()
        driver.answer()
        driver.ice("failed")
        driver.end(RoundOutcome.FAILED, "ice-failed")
        before = driver.now
        driver.wait(30)
        self.assertGreaterEqual(driver.times(StartRound)[1], before + 5)

    def test_two_restarts_then_held_never_connected_which_is_probed(self) -> None:
        driver = Driver()
        driver.open()
        driver.fail_rounds()
        self.assertEqual(
            [(each.cause, each.attempt, each.relay_only) for each in driver.of(StartRound)],
            [
                (Cause.INITIAL, 1, False),
                (Cause.FAILED, 2, False),
                (Cause.FAILED, 3, True),
            ],
        )
        self.assertIs(driver.state, WatchState.HELD)
        self.assertEqual(driver.policy.snapshot().held_reason, "never-connected")
        driver.wait(360)
        self.assertEqual(driver.of(StartRound)[-1].cause, Cause.PROBE)
        driver.connect()
        self.assertIs(driver.state, WatchState.WATCHING)

    def test_a_first_connection_that_dies_young_is_not_a_failed_attempt(self) -> None:
        driver = Driver().established(stable=False)
        driver.wait(3)
        driver.ice("failed")
        driver.wait(0.5)
        self.assertEqual(driver.of(StartRound), [StartRound(Cause.FAILED, 1)])


class SuspectTests(SynchronousTestCase):
    """Rows: connected -> disconnected, and back."""

    def test_disconnected_makes_no_offer_lesson_1(self) -> None:
        driver = Driver().established()
        driver.ice("disconnected")
        driver.wait(10_000)
        self.assertIs(driver.state, WatchState.SUSPECT)
        self.assertEqual(driver.of(StartRound), [])

    def test_an_early_restart_after_8_s_can_be_switched_on(self) -> None:
        driver = Driver(settings=PolicySettings(early_restart_after=8.0)).established()
        driver.ice("disconnected")
        driver.wait(7.9)
        self.assertEqual(driver.of(StartRound), [])
        driver.wait(0.7)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_connected_again_clears_it_and_counts_a_flap(self) -> None:
        driver = Driver(settings=PolicySettings(early_restart_after=8.0)).established()
        driver.ice("disconnected")
        driver.wait(5)
        driver.ice("connected")
        driver.wait(100)
        self.assertIs(driver.state, WatchState.WATCHING)
        self.assertEqual(driver.of(StartRound), [])
        self.assertEqual((driver.policy.counters.flaps, driver.policy.snapshot().flaps), (1, 1))

    def test_more_than_six_flaps_in_five_minutes_are_one_event_T39(self) -> None:
        driver = Driver().established()
        for _ in range(12):
            driver.ice("disconnected")
            driver.wait(1)
            driver.ice("connected")
            driver.wait(10)
        self.assertEqual(list(driver.notes("watchdog.flapping")), [{"flaps": 7}])
        self.assertEqual(driver.of(StartRound), [])
        self.assertEqual(driver.policy.counters.flaps, 12)


class FailedTests(SynchronousTestCase):
    """Rows: connected -> failed, consent expired; attempts exhausted."""

    def test_failed_restarts_within_half_a_second(self) -> None:
        delays = set()
        for seed in range(30):
            driver = Driver(seed=seed).established()
            failed = driver.now
            driver.ice("failed")
            driver.wait(1)
            self.assertEqual(driver.of(StartRound), [StartRound(Cause.FAILED, 1)])
            delays.add(driver.times(StartRound)[0] - failed)
        self.assertTrue(all(0 <= each <= 0.5 for each in delays))
        self.assertGreater(len(delays), 25)

    def test_lost_consent_restarts_with_its_own_cause(self) -> None:
        for by_state in (True, False):
            driver = Driver().established()
            if by_state:
                driver.ice("failed", "consent")
            else:
                driver.policy.consent_lost(driver.now)
            driver.wait(1)
            self.assertEqual(driver.of(StartRound), [StartRound(Cause.CONSENT, 1)])

    def test_the_same_seed_gives_the_same_times(self) -> None:
        logs = []
        for _ in range(2):
            driver = Driver(seed=7).established()
            driver.ice("failed")
            driver.fail_rounds()
            logs.append(driver.log)
        self.assertEqual(logs[0], logs[1])

    def test_five_failed_attempts_open_the_circuit_with_growing_delays_T39(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        ends = [driver.now]
        driver.fail_rounds()
        starts = driver.times(StartRound)
        self.assertEqual(len(starts), 5)
        ends += driver.times(AbandonRound)
        for attempt, (end, start) in enumerate(zip(ends, starts, strict=False), 1):
            longest = 0.5 if attempt == 1 else 2.0 ** (attempt - 1)
            shortest = 0.0 if attempt == 1 else longest / 2
            self.assertTrue(shortest <= start - end <= longest, (attempt, start - end))
        self.assertIs(driver.state, WatchState.OPEN)
        self.assertEqual(driver.policy.snapshot().circuit, Circuit.OPEN)
        notes = [note["state"] for note in driver.notes("watchdog.breaker")]
        self.assertEqual(notes, ["open"])

    def test_an_open_circuit_is_probed_after_5_min_then_10_up_to_an_hour(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.fail_rounds()
        for base in (300, 600, 1200, 2400, 3600, 3600):
            opened = driver.times(AbandonRound)[-1]
            probe_at = driver.policy.snapshot().probe_at
            assert probe_at is not None
            self.assertTrue(0.8 * base <= probe_at - opened <= 1.2 * base)
            driver.until(probe_at)
            self.assertEqual(driver.of(StartRound)[-1].cause, Cause.PROBE)
            driver.wait(30)
            self.assertIs(driver.state, WatchState.OPEN)

    def test_a_connection_that_lasts_60_s_resets_the_counters_lesson_5(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(17)
        self.assertEqual(driver.policy.snapshot().attempts, 1)
        driver.connect()
        driver.wait(59)
        self.assertEqual(driver.policy.snapshot().attempts, 1)
        driver.wait(2)
        self.assertEqual(driver.policy.snapshot().attempts, 0)

    def test_a_restarted_connection_that_dies_earlier_is_a_failed_attempt_lesson_5(self) -> None:
        driver = Driver().established()
        for _ in range(5):
            driver.ice("failed")
            driver.wait(17)
            if driver.state is WatchState.ROUND:
                driver.connect()
                driver.wait(1)
        driver.ice("failed")
        self.assertIs(driver.state, WatchState.OPEN)

    def test_recovery_cancels_a_queued_restart_T39(self) -> None:
        driver = Driver(seed=3).established()
        driver.ice("failed")
        self.assertIs(driver.state, WatchState.QUEUED)
        driver.ice("connected")
        driver.wait(100)
        self.assertEqual(driver.of(StartRound), [])
        self.assertEqual(next(driver.notes("watchdog.cancelled"))["why"], "recovered")

    def test_a_failed_path_heard_again_cancels_and_restarts_later(self) -> None:
        """The outward state stays `failed` until a generation connects."""
        driver = Driver().established()
        driver.ice("failed")
        driver.policy.recovered(driver.now)
        driver.drain()
        self.assertIs(driver.state, WatchState.WATCHING)
        driver.wait(9.9)
        self.assertEqual(driver.of(StartRound), [])
        driver.wait(1)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_recovery_lets_a_pending_round_go_on(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(1)
        driver.policy.recovered(driver.now)
        driver.drain()
        self.assertIs(driver.state, WatchState.ROUND)
        driver.connect()
        self.assertEqual(driver.policy.counters.succeeded, 2)

    def test_a_grant_is_withdrawn_with_the_restart_that_wanted_it(self) -> None:
        driver = Driver(grants=False)
        driver.open()
        driver.policy.granted(1, driver.now)
        driver.drain()
        driver.connect()
        driver.ice("failed")
        driver.wait(1)
        ticket = driver.of(RequestGrant)[-1].ticket
        driver.ice("connected")
        self.assertEqual(driver.of(WithdrawGrant), [WithdrawGrant(ticket)])
        self.assertFalse(driver.policy.granted(ticket, driver.now))

    def test_checking_during_a_restart_does_not_heal_a_failed_path(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(1)
        driver.ice("checking")
        driver.end(RoundOutcome.FAILED, "ice-failed")
        self.assertIs(driver.state, WatchState.QUEUED)

    def test_the_outage_is_told_when_it_ends(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(4)
        driver.connect()
        self.assertEqual(list(driver.notes("watchdog.recovered")), [{"seconds": 4.0}])

    def test_a_session_that_never_begins_the_round_is_not_waited_for_lesson_10(self) -> None:
        driver = Driver().established()
        driver.starts = False
        driver.ice("failed")
        driver.wait(10_000)
        self.assertGreater(len(driver.of(StartRound)), 5)
        self.assertEqual(driver.policy.counters.started, {"initial": 1})
        self.assertGreaterEqual(driver.policy.counters.suppressed["not-started"], 5)


class AskingTests(SynchronousTestCase):
    """Row: we are not the offerer (lesson 2: one fixed offerer, the other asks)."""

    def asking(self) -> Driver:
        driver = Driver(offerer=False).established()
        driver.ice("failed")
        driver.wait(0.5)
        driver.until(driver.times(SendRestartPlease)[0])
        return driver

    def test_it_asks_every_5_s_and_promotes_itself_after_10(self) -> None:
        driver = self.asking()
        asked = driver.times(SendRestartPlease)[0]
        driver.until(asked + 11)
        times = [round(at - asked, 6) for at in driver.times(SendRestartPlease)]
        self.assertEqual(times, [0.0, 5.0])
        self.assertAlmostEqual(driver.times(StartRound)[0], asked + 10)

    def test_the_peers_offer_ends_the_asking(self) -> None:
        driver = self.asking()
        driver.offer()
        driver.connect()
        self.assertIs(driver.state, WatchState.WATCHING)
        self.assertEqual(driver.of(StartRound), [])

    def test_it_promotes_itself_once_only(self) -> None:
        driver = self.asking()
        driver.fail_rounds()
        self.assertEqual(len(driver.of(StartRound)), 1)
        self.assertIs(driver.state, WatchState.OPEN)
        self.assertGreaterEqual(driver.policy.counters.suppressed["no-offer"], 4)

    def test_a_probe_may_promote_itself_again(self) -> None:
        driver = self.asking()
        driver.fail_rounds()
        driver.wait(400)
        self.assertEqual(len(driver.of(StartRound)), 2)

    def test_never_more_than_one_restart_please_in_5_s(self) -> None:
        driver = Driver(offerer=False, seed=5).established()
        for _ in range(40):
            driver.ice("failed")
            driver.wait(1)
            driver.ice("connected")
            driver.wait(0.2)
        times = driver.times(SendRestartPlease)
        self.assertGreater(len(times), 3)
        self.assertTrue(all(b - a >= 5 for a, b in itertools.pairwise(times)), times)


class PeerTests(SynchronousTestCase):
    """Rows: restart-please received; offer received; glare."""

    def test_a_restart_please_restarts_at_once_even_if_connected(self) -> None:
        for offerer in (True, False):
            driver = Driver(offerer=offerer).established()
            self.assertTrue(driver.please())
            self.assertEqual(driver.times(StartRound), [driver.now])
            self.assertEqual(driver.of(StartRound)[0].cause, Cause.PEER)

    def test_one_restart_please_in_5_s_starts_a_round(self) -> None:
        driver = Driver().established()
        first = driver.now
        for _ in range(30):
            driver.please()
            if driver.state is WatchState.ROUND:
                driver.connect()
            driver.wait(0.3)
        times = [at - first for at in driver.times(StartRound)]
        self.assertEqual([round(at, 6) for at in times], [0.0, 5.0])

    def test_a_wish_that_came_to_nothing_does_not_hold_up_the_next(self) -> None:
        """A process that was stopped reads an old wish and an old offer, then the true wish."""
        driver = Driver().established()
        driver.policy.restart_please_received(driver.now)
        driver.offer()
        self.assertEqual(driver.times(StartRound), [])
        driver.wait(0.5)
        driver.please()
        self.assertEqual(driver.times(StartRound), [driver.now])

    def test_a_restart_please_during_our_unanswered_offer_gets_it_again(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(0.6)
        for _ in range(5):
            self.assertTrue(driver.please())
        self.assertEqual(driver.of(ResendOffer), [ResendOffer(2)])
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_a_restart_please_after_the_answer_supersedes_the_round(self) -> None:
        """The peer's process began anew: what it answered is gone."""
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(0.6)
        driver.answer()
        driver.please()
        self.assertEqual(driver.policy.counters.superseded, 1)
        self.assertEqual(driver.of(StartRound)[-1].cause, Cause.PEER)
        self.assertEqual(driver.policy.counters.pending, 1)

    def test_a_held_session_refuses_a_restart_please_but_takes_an_offer(self) -> None:
        driver = Driver().established()
        driver.policy.hold(driver.now, None)
        self.assertFalse(driver.please())
        driver.offer()
        self.assertIs(driver.state, WatchState.ROUND)
        driver.connect()
        self.assertIs(driver.state, WatchState.HELD)

    def test_the_peers_offer_cancels_our_queued_restart(self) -> None:
        driver = Driver(seed=3).established()
        driver.ice("failed")
        driver.offer()
        driver.connect()
        driver.wait(100)
        self.assertEqual(driver.of(StartRound), [])
        self.assertEqual(driver.policy.counters.offers_received, 1)

    def test_an_offer_that_comes_to_nothing_does_not_leave_us_stuck_lesson_10(self) -> None:
        driver = Driver(seed=3).established()
        driver.ice("failed")
        driver.policy.offer_received(driver.now)
        driver.drain()
        driver.wait(6)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_the_peers_offer_closes_an_open_circuit_for_its_round(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.fail_rounds()
        driver.offer()
        self.assertIs(driver.policy.snapshot().circuit, Circuit.CLOSED)
        driver.wait(25)
        self.assertIs(driver.state, WatchState.OPEN)

    def test_lost_glare_requeues_only_if_still_needed(self) -> None:
        driver = Driver(offerer=False).established()
        driver.policy.operator_restart(driver.now)
        driver.drain()
        driver.log.clear()
        driver.end(RoundOutcome.SUPERSEDED, "glare")
        driver.offer()
        driver.connect()
        driver.wait(100)
        self.assertEqual(driver.of(StartRound) + driver.of(SendRestartPlease), [])
        self.assertEqual(driver.policy.counters.superseded, 1)

    def test_won_and_stale_offers_are_counted_and_change_nothing(self) -> None:
        driver = Driver().established()
        driver.policy.offer_dropped("glare")
        driver.policy.offer_dropped("stale")
        counters = driver.policy.counters
        self.assertEqual((counters.offers_glare, counters.offers_stale), (1, 1))
        self.assertIs(driver.state, WatchState.WATCHING)

    def test_a_rebinding_restarts_at_once_and_once_in_5_s(self) -> None:
        driver = Driver().established()
        first = driver.now
        for _ in range(30):
            driver.policy.rebound(driver.now)
            driver.drain()
            if driver.state is WatchState.ROUND:
                driver.connect()
            driver.wait(0.3)
        self.assertEqual({each.cause for each in driver.of(StartRound)}, {Cause.REBIND})
        times = [round(at - first, 6) for at in driver.times(StartRound)]
        self.assertEqual(times, [0.0, 5.0])

    def test_a_rebinding_during_a_round_is_seen_by_its_checks(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.policy.rebound(driver.now)
        self.assertEqual(driver.policy.counters.suppressed["round-pending"], 1)

    def test_no_restart_after_the_peer_closed_until_it_is_heard_of(self) -> None:
        for wake in ("please", "offer", "online"):
            driver = Driver().established()
            driver.policy.peer_closed(driver.now, "bye")
            driver.ice("failed")
            driver.wait(10_000)
            self.assertEqual(driver.of(StartRound), [])
            self.assertIs(driver.state, WatchState.HELD)
            if wake == "please":
                driver.please()
            elif wake == "offer":
                driver.offer()
            else:
                driver.online(False)
                driver.online(True)
                driver.wait(1)
            self.assertIs(driver.state, WatchState.ROUND)


class AnswerTests(SynchronousTestCase):
    """Rows: offer sent, no answer; answer in, checks run; new pair nominated."""

    def test_the_same_offer_goes_again_at_2_5_and_10_s_and_fails_at_15(self) -> None:
        driver = Driver().established()
        driver.please()
        start = driver.now
        driver.wait(15)
        self.assertEqual([at - start for at in driver.times(ResendOffer)], [2, 5, 10])
        self.assertEqual(set(driver.of(ResendOffer)), {ResendOffer(2)})
        self.assertEqual(
            driver.of(AbandonRound), [AbandonRound(2, "no-answer", RoundOutcome.FAILED)]
        )
        self.assertEqual(driver.policy.counters.failed, {"no-answer": 1})

    def test_a_late_wake_up_sends_the_offer_once(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.now += 12
        driver.policy.handle_timeout(driver.now)
        driver.drain()
        self.assertEqual(len(driver.of(ResendOffer)), 1)

    def test_checks_have_20_s_from_the_start_then_the_round_is_abandoned(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.wait(14)
        driver.answer()
        driver.wait(5.9)
        self.assertEqual(driver.of(AbandonRound), [])
        driver.wait(0.2)
        self.assertEqual(
            driver.of(AbandonRound), [AbandonRound(2, "timeout", RoundOutcome.ABANDONED)]
        )
        self.assertIs(driver.state, WatchState.WATCHING)

    def test_the_old_pair_stays_when_a_round_fails_T18(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.wait(100)
        self.assertIs(driver.state, WatchState.WATCHING)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_a_round_of_the_peers_is_abandoned_after_20_s(self) -> None:
        driver = Driver(offerer=False).established()
        driver.ice("failed")
        driver.offer()
        driver.wait(20)
        self.assertEqual(driver.of(AbandonRound)[0].reason, "timeout")

    def test_a_session_that_does_not_end_the_round_is_not_waited_for_lesson_10(self) -> None:
        driver = Driver().established()
        driver.ends = False
        driver.ice("failed")
        driver.wait(21)
        self.assertEqual(driver.policy.counters.failed, {"no-answer": 1})
        self.assertEqual(driver.policy.counters.pending, 0)

    def test_an_undeliverable_offer_holds_until_the_peer_is_there(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(0.6)
        driver.policy.undeliverable(driver.now, "offline")
        driver.drain()
        self.assertIs(driver.state, WatchState.HELD)
        self.assertEqual(driver.policy.snapshot().held_reason, "peer-offline")
        self.assertEqual(driver.policy.counters.failed, {"peer-offline": 1})
        self.assertEqual(driver.policy.snapshot().attempts, 0)
        driver.online()
        driver.wait(0.6)
        self.assertIs(driver.state, WatchState.ROUND)

    def test_an_undeliverable_offer_is_tried_again_if_no_presence_tells(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.wait(0.6)
        for _ in range(20):
            driver.policy.undeliverable(driver.now, "offline")
            driver.drain()
            until = driver.policy.snapshot().held_until
            assert until is not None
            self.assertLessEqual(until - driver.now, 60)
            driver.until(until + 0.6)
            self.assertIs(driver.state, WatchState.ROUND)

    def test_a_peer_that_is_offline_is_not_offered_to_lesson_9(self) -> None:
        driver = Driver().established()
        driver.online(False)
        driver.ice("failed")
        driver.wait(100_000)
        self.assertEqual(driver.of(StartRound), [])
        driver.online(True)
        driver.wait(0.5)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_an_absence_ends_an_unanswered_round_but_not_an_answered_one(self) -> None:
        for answered in (False, True):
            driver = Driver().established()
            driver.ice("failed")
            driver.wait(0.6)
            if answered:
                driver.answer()
            driver.online(False)
            self.assertEqual(driver.policy.counters.pending, int(answered))

    def test_an_undeliverable_candidate_is_no_news(self) -> None:
        driver = Driver().established()
        driver.policy.undeliverable(driver.now, "offline")
        self.assertIs(driver.state, WatchState.WATCHING)


class LateTests(SynchronousTestCase):
    """T12: reports about another than the current round are ignored and counted."""

    def test_reports_on_an_older_round_are_inert_T12(self) -> None:
        driver = Driver().established()
        driver.please()
        old = driver.round
        driver.answer()
        new = driver.start(Cause.PEER, ours=False)
        policy, now = driver.policy, driver.now
        self.assertEqual(policy.counters.superseded, 1)
        policy.round_answered(old, now)
        policy.round_connected(old, now)
        policy.round_ended(old, RoundOutcome.FAILED, "late", now)
        policy.round_ended(old, RoundOutcome.SUCCEEDED, "late", now)
        self.assertEqual(policy.counters.late, 4)
        self.assertEqual(policy.snapshot().round_id, new)
        self.assertTrue(policy.counters.balanced())

    def test_the_older_rounds_timers_are_inert_T12(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.wait(14)
        driver.start(Cause.PEER, ours=False)
        driver.wait(10)
        self.assertEqual(driver.of(AbandonRound), [])

    def test_the_end_after_the_cut_over_is_not_late(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.connect()
        driver.end(RoundOutcome.SUCCEEDED, "connected")
        self.assertEqual(driver.policy.counters.late, 0)
        driver.end(RoundOutcome.FAILED, "odd")
        self.assertEqual(driver.policy.counters.late, 1)

    def test_a_round_told_twice_is_counted_once(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.policy.round_started(driver.round, cause=Cause.PEER, ours=True, now=driver.now)
        self.assertEqual((driver.policy.counters.late, driver.policy.counters.pending), (1, 1))


class NetworkTests(SynchronousTestCase):
    """Rows: local network changes, send errors; network or signaling down (lesson 6)."""

    def test_a_minor_change_gathers_more_after_a_second_and_restarts_nothing(self) -> None:
        driver = Driver().established()
        for _ in range(3):
            driver.network("minor")
            driver.wait(0.3)
        driver.wait(1)
        self.assertEqual(driver.of(GatherMore), [GatherMore()])
        self.assertEqual(driver.of(StartRound), [])

    def test_a_major_change_restarts_within_0_2_s(self) -> None:
        for seed in range(20):
            driver = Driver(seed=seed).established()
            driver.network("major")
            driver.wait(0.2)
            self.assertEqual(driver.of(StartRound), [StartRound(Cause.NETWORK, 1)])

    def test_repeated_major_changes_are_debounced_to_one_a_second(self) -> None:
        driver = Driver().established()
        for _ in range(30):
            driver.network("major")
            if driver.state is WatchState.ROUND:
                driver.connect()
            driver.wait(0.1)
        self.assertTrue(3 <= len(driver.of(StartRound)) <= 4, driver.of(StartRound))

    def test_a_major_change_during_a_round_supersedes_it(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.network("major")
        driver.wait(0.3)
        self.assertEqual(
            driver.of(AbandonRound), [AbandonRound(2, "network", RoundOutcome.SUPERSEDED)]
        )
        self.assertEqual(driver.of(StartRound)[-1].cause, Cause.NETWORK)
        self.assertEqual(driver.policy.counters.pending, 1)

    def test_a_major_change_is_spread_when_told_to(self) -> None:
        late = []
        for seed in range(50):
            driver = Driver(seed=seed).established()
            start = driver.now
            driver.policy.network("major", driver.now, spread=1.0)
            driver.wait(1.0)
            late.append(driver.times(StartRound)[0] - start)
        self.assertGreater(max(late), 0.8)

    def test_major_changes_close_the_circuit_three_times_in_five_minutes(self) -> None:
        driver = Driver().established()
        for number in range(5):
            driver.ice("failed")
            while driver.state is not WatchState.OPEN:
                driver.wait(1)
                if driver.state is WatchState.ROUND:
                    driver.end(RoundOutcome.FAILED, "test")
            driver.network("major")
            closed = driver.policy.snapshot().circuit is Circuit.CLOSED
            self.assertEqual(closed, number < 3, number)
        self.assertGreater(driver.policy.counters.suppressed["network-flapping"], 0)

    def test_a_clock_jump_over_2_s_restarts_like_a_major_change_T37(self) -> None:
        driver = Driver().established()
        driver.policy.clock_jump(1.9, driver.now)
        driver.wait(1)
        self.assertEqual(driver.of(StartRound), [])
        driver.policy.clock_jump(3600.0, driver.now)
        driver.wait(0.2)
        self.assertEqual(driver.of(StartRound), [StartRound(Cause.CLOCK, 1)])

    def test_a_send_error_is_a_hint_every_5_s(self) -> None:
        driver = Driver().established()
        for _ in range(100):
            driver.policy.send_error("ENETUNREACH", driver.now)
            driver.policy.send_error("EMSGSIZE", driver.now)
            driver.drain()
            driver.wait(0.1)
        self.assertEqual(driver.of(CheckNetwork), [CheckNetwork("ENETUNREACH")] * 2)
        self.assertEqual(driver.of(StartRound), [])

    def test_a_send_error_on_a_suspect_path_is_the_second_signal_lesson_1(self) -> None:
        driver = Driver().established()
        driver.ice("disconnected")
        driver.policy.send_error("ENETUNREACH", driver.now)
        driver.drain()
        driver.wait(0.6)
        self.assertEqual(driver.of(StartRound), [StartRound(Cause.NETWORK, 1)])

    def test_nothing_happens_while_signaling_is_down_and_all_is_spread_after(self) -> None:
        times = []
        for seed in range(30):
            driver = Driver(seed=seed).established()
            driver.signaling(False)
            driver.ice("failed")
            driver.wait(100_000)
            self.assertIs(driver.state, WatchState.WAITING)
            self.assertIsNone(driver.policy.next_deadline())
            self.assertEqual(driver.of(StartRound), [])
            up = driver.now
            driver.policy.signaling(True, up, spread=40.0)
            driver.drain()
            driver.wait(40)
            times.append(driver.times(StartRound)[0] - up)
        self.assertGreater(max(times) - min(times), 20)

    def test_an_unanswered_round_stands_still_and_is_offered_again(self) -> None:
        for what in ("signaling", "network"):
            driver = Driver().established()
            driver.please()
            driver.wait(3)
            driver.log.clear()
            driver.signaling(False) if what == "signaling" else driver.network("down")
            self.assertIs(driver.state, WatchState.WAITING)
            driver.wait(1000)
            self.assertEqual(driver.log, [])
            driver.signaling(True) if what == "signaling" else driver.network("up")
            self.assertIs(driver.state, WatchState.ROUND)
            self.assertEqual(len(driver.of(ResendOffer)), 1)
            driver.wait(11.9)
            self.assertEqual(driver.of(AbandonRound), [])
            driver.wait(0.2)
            self.assertEqual(len(driver.of(AbandonRound)), 1)

    def test_an_answered_round_needs_no_signaling(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.answer()
        driver.signaling(False)
        self.assertIs(driver.state, WatchState.ROUND)
        driver.connect()
        self.assertEqual(driver.policy.counters.succeeded, 2)

    def test_the_return_of_signaling_gives_a_fresh_budget_lesson_6(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.fail_rounds()
        driver.signaling(False)
        driver.signaling(True)
        driver.wait(0.6)
        self.assertIs(driver.state, WatchState.ROUND)
        self.assertEqual(driver.policy.snapshot().circuit, Circuit.CLOSED)

    def test_an_unknown_change_is_an_error(self) -> None:
        self.assertRaises(ValueError, Driver().policy.network, "sideways", 0.0)


class OperatorTests(SynchronousTestCase):
    """Rows: operator restart, hold, cancel, reset; close."""

    def test_an_operator_bypasses_backoff_and_breaker_from_either_side(self) -> None:
        for offerer in (True, False):
            driver = Driver(offerer=offerer).established()
            driver.ice("failed")
            driver.fail_rounds()
            driver.log.clear()
            self.assertIsNone(driver.policy.operator_restart(driver.now))
            driver.drain()
            self.assertEqual(driver.times(StartRound), [driver.now])
            self.assertEqual(driver.of(StartRound)[0].cause, Cause.OPERATOR)
            self.assertIs(driver.policy.snapshot().circuit, Circuit.CLOSED)

    def test_an_operator_does_not_bypass_a_pending_round_T14(self) -> None:
        driver = Driver()
        driver.open()
        for force in (False, True):
            refusal = driver.policy.operator_restart(driver.now, force=force)
            assert refusal is not None
            self.assertEqual(refusal.code, "round-pending")
        self.assertIs(driver.state, WatchState.ROUND)
        self.assertEqual(driver.policy.counters.suppressed["round-pending"], 2)

    def test_an_operators_own_budget_is_one_in_5_s(self) -> None:
        driver = Driver().established()
        self.assertIsNone(driver.policy.operator_restart(driver.now))
        driver.drain()
        driver.connect()
        driver.wait(2)
        refusal = driver.policy.operator_restart(driver.now)
        assert refusal is not None
        self.assertEqual((refusal.code, refusal.after), ("rate-limited", 3.0))
        driver.wait(3)
        self.assertIsNone(driver.policy.operator_restart(driver.now))

    def test_refusals_say_what_is_missing(self) -> None:
        def code(driver: Driver, *, force: bool = False) -> tuple[str, str | None]:
            refusal = driver.policy.operator_restart(driver.now, force=force)
            assert refusal is not None
            return refusal.code, refusal.reason

        self.assertEqual(code(Driver()), ("wrong-state", "not-open"))
        driver = Driver().established()
        driver.policy.hold(driver.now, None)
        self.assertEqual(code(driver), ("held", "operator"))
        driver.policy.release(driver.now)
        driver.online(False)
        self.assertEqual(code(driver), ("held", "peer-offline"))
        driver.signaling(False)
        self.assertEqual(code(driver, force=True), ("signalling-down", None))
        driver.network("down")
        self.assertEqual(code(driver, force=True), ("network-down", None))
        driver.policy.close(driver.now)
        self.assertEqual(code(driver), ("wrong-state", "closed"))

    def test_force_passes_a_hold_and_an_absent_peer(self) -> None:
        for hold in (True, False):
            driver = Driver().established()
            driver.policy.hold(driver.now, None) if hold else driver.online(False)
            self.assertIsNone(driver.policy.operator_restart(driver.now, force=True))
            driver.drain()
            self.assertIs(driver.state, WatchState.ROUND)

    def test_a_failed_operator_restart_of_a_good_path_counts_nothing_lesson_7(self) -> None:
        driver = Driver().established()
        driver.policy.operator_restart(driver.now)
        driver.drain()
        driver.wait(60)
        self.assertIs(driver.state, WatchState.WATCHING)
        self.assertEqual(driver.policy.snapshot().attempts, 0)

    def test_a_hold_stops_restarts_until_it_ends(self) -> None:
        driver = Driver().established()
        driver.policy.hold(driver.now, 600.0)
        driver.ice("failed")
        driver.wait(599)
        self.assertIs(driver.state, WatchState.HELD)
        self.assertEqual(driver.of(StartRound), [])
        driver.wait(2)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_a_hold_withdraws_a_queued_restart_and_leaves_a_pending_round(self) -> None:
        driver = Driver(grants=False)
        driver.open()
        driver.policy.hold(driver.now, None)
        driver.drain()
        self.assertEqual(driver.of(WithdrawGrant), [WithdrawGrant(1)])
        driver.policy.release(driver.now)
        driver.grants = True
        driver.drain()
        driver.wait(1)
        self.assertIs(driver.state, WatchState.ROUND)
        driver.policy.hold(driver.now, None)
        self.assertIs(driver.state, WatchState.ROUND)

    def test_cancel_puts_the_next_attempt_off(self) -> None:
        driver = Driver().established()
        self.assertFalse(driver.policy.cancel(driver.now))
        driver.ice("failed")
        self.assertTrue(driver.policy.cancel(driver.now))
        driver.drain()
        driver.wait(29)
        self.assertEqual(driver.of(StartRound), [])
        driver.wait(32)
        self.assertEqual(len(driver.of(StartRound)), 1)

    def test_cancel_abandons_a_pending_round(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.policy.cancel(driver.now)
        driver.drain()
        self.assertEqual(driver.policy.counters.abandoned, 1)
        self.assertEqual(driver.policy.snapshot().last_reason, "cancelled")
        self.assertIs(driver.state, WatchState.WATCHING)

    def test_a_cancelled_round_of_a_good_path_does_not_delay_the_next_failure(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.policy.cancel(driver.now)
        driver.drain()
        driver.ice("failed")
        driver.wait(0.6)
        self.assertEqual(len(driver.of(StartRound)), 2)

    def test_reset_closes_the_circuit_and_starts_over(self) -> None:
        driver = Driver().established()
        driver.ice("failed")
        driver.fail_rounds()
        driver.policy.reset(driver.now)
        driver.drain()
        driver.wait(0.6)
        self.assertIs(driver.state, WatchState.ROUND)
        self.assertEqual(driver.of(StartRound)[-1].attempt, 1)

    def test_close_is_final_and_accounts_for_the_round(self) -> None:
        driver = Driver().established()
        driver.please()
        driver.policy.close(driver.now)
        driver.drain()
        driver.log.clear()
        self.assertEqual(driver.policy.counters.abandoned, 1)
        driver.ice("failed")
        driver.please()
        driver.policy.opened(driver.now)
        driver.wait(10_000)
        self.assertEqual(driver.of(StartRound), [])
        self.assertIs(driver.state, WatchState.CLOSED)
        self.assertIsNone(driver.policy.next_deadline())

    def test_the_snapshot_says_why_and_when_next(self) -> None:
        driver = Driver(seed=3).established()
        driver.ice("failed")
        snapshot = driver.policy.snapshot()
        self.assertEqual(
            (snapshot.state, snapshot.cause, snapshot.path),
            (WatchState.QUEUED, Cause.FAILED, "bad"),
        )
        assert snapshot.next_action_at is not None
        self.assertTrue(0 < snapshot.next_action_at - driver.now <= 0.5)
