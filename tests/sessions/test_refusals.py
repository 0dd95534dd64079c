"""When a socket from which nothing may leave is opened again (T35, T36)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sessions.refusals import GAP, REBIND_EVERY, STORM, Refusals

BASE, OTHER = ("192.0.2.1", 5000), ("192.0.2.2", 5000)


class RefusalTests(SynchronousTestCase):
    """Told once a second."""

    def setUp(self) -> None:
        self.refusals = Refusals()

    def told(self, begin: float, end: float, sent: int = 7, every: float = 1.0) -> list[float]:
        """The times at which the socket is opened again."""
        times, at = list[float](), begin
        while at < end:
            if self.refusals.refused(BASE, sent, at):
                times.append(at)
            at += every
        return times

    def test_T36_a_short_while_of_it_is_none(self) -> None:
        self.assertEqual(self.told(0.0, STORM), [])

    def test_T35_a_storm_is_answered_once_and_then_once_a_minute(self) -> None:
        self.assertEqual(self.told(0.0, 2 * REBIND_EVERY), [STORM, STORM + REBIND_EVERY])

    def test_where_anything_leaves_there_is_no_storm(self) -> None:
        """One destination is refused, others are not."""
        at = 0.0
        for sent in range(100):
            self.assertFalse(self.refusals.refused(BASE, sent, at))
            at += 1.0

    def test_refusals_now_and_then_are_no_storm(self) -> None:
        self.assertEqual(self.told(0.0, 100.0, every=GAP + 0.5), [])

    def test_each_socket_for_itself_and_forgotten_with_it(self) -> None:
        self.told(0.0, STORM)
        self.assertFalse(self.refusals.refused(OTHER, 7, STORM))
        self.refusals.forget(BASE)
        self.refusals.forget(BASE)
        self.assertFalse(self.refusals.refused(BASE, 7, STORM))
