"""Rule 79: the numbers of the schedule."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import MIN_RTO, RetransmissionSchedule, check_rto, gathering_rto


class ScheduleTests(SynchronousTestCase):
    def test_rule_79_default_schedule(self) -> None:
        schedule = RetransmissionSchedule()
        self.assertEqual((schedule.rto, schedule.rc, schedule.rm), (0.5, 7, 16))
        self.assertEqual(schedule.send_times(), (0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5))
        self.assertEqual(schedule.timeout, 39.5)

    def test_rule_79_an_rto_is_never_below_500_ms(self) -> None:
        for rto in (0.0, -1.0, 0.499, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                RetransmissionSchedule(rto)

    def test_rule_79_rto_of_checks_grows_with_the_checklist(self) -> None:
        """max(500 ms, Ta x (Waiting + In-Progress))."""
        self.assertEqual(check_rto(0.05, 0), MIN_RTO)
        self.assertEqual(check_rto(0.05, 10), MIN_RTO)
        self.assertEqual(check_rto(0.05, 100), 5.0)

    def test_rule_79_rto_of_gathering_grows_with_the_candidates(self) -> None:
        self.assertEqual(gathering_rto(0.05, 3), MIN_RTO)
        self.assertEqual(gathering_rto(0.05, 40), 2.0)

    def test_longer_rto_scales_everything(self) -> None:
        schedule = RetransmissionSchedule(2.0, rc=3, rm=4)
        self.assertEqual(schedule.send_times(), (0, 2.0, 6.0))
        self.assertEqual(schedule.timeout, 14.0)

    def test_one_send_is_a_schedule_too(self) -> None:
        """Consent: no retransmission of a check (rule 66)."""
        schedule = RetransmissionSchedule(0.5, 1, 16)
        self.assertEqual(schedule.send_times(), (0,))
        self.assertEqual(schedule.timeout, 8.0)

    def test_schedules_without_sends_or_end_are_refused(self) -> None:
        for rc, rm in ((0, 16), (17, 16), (7, 0)):
            with self.assertRaises(ValueError):
                RetransmissionSchedule(0.5, rc, rm)
