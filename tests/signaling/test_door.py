"""Who stands at the hub's door."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.door import WASTED_PER_SECOND, Door


class DoorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door(10, 4)

    def come(self, host: str, times: int) -> int:
        """How many of them may try."""
        admitted = 0
        for _ in range(times):
            if self.door.admits(host, 0.0):
                self.door.came(host)
                admitted += 1
        return admitted

    def test_one_origin_has_few_places_and_all_have_not_many(self) -> None:
        self.assertEqual([self.come(f"192.0.2.{n}", 6) for n in range(4)], [4, 4, 2, 0])

    def test_a_network_of_ipv6_is_one_origin(self) -> None:
        self.assertEqual(sum(self.come(f"2001:db8::{n}", 1) for n in range(1, 9)), 4)
        self.assertEqual(self.come("2001:db8:0:1::1", 1), 1)

    def test_ipv4_hosts_at_a_socket_of_ipv6_are_themselves(self) -> None:
        """A daemon that listens on all addresses has ``::``, and all of IPv4 in one /64."""
        self.assertEqual([self.come(f"::ffff:192.0.2.{n}", 6) for n in range(2)], [4, 4])
        self.assertEqual(self.come("192.0.2.1", 1), 0)

    def test_local_programs_are_limited_together_only(self) -> None:
        self.assertEqual(self.come("", 20), 10)

    def test_a_place_is_free_again_when_one_is_let_in_or_has_gone(self) -> None:
        self.come("192.0.2.1", 4)
        self.door.passed("192.0.2.1")
        self.door.wasted("192.0.2.1", 0.0)
        self.assertEqual(self.come("192.0.2.1", 6), 2)

    def test_who_comes_to_nothing_too_often_waits_for_the_next_second(self) -> None:
        for _ in range(WASTED_PER_SECOND):
            self.door.came("192.0.2.1")
            self.door.wasted("192.0.2.1", 5.0)
        self.assertFalse(self.door.admits("192.0.2.1", 5.9))
        self.assertTrue(self.door.admits("192.0.2.2", 5.9))
        self.assertTrue(self.door.admits("", 5.9))
        self.assertTrue(self.door.admits("192.0.2.1", 6.1))

    def test_local_programs_are_never_turned_away_for_that(self) -> None:
        for _ in range(WASTED_PER_SECOND * 2):
            self.door.came("")
            self.door.wasted("", 5.0)
        self.assertTrue(self.door.admits("", 5.1))

    def test_nothing_is_left_of_who_has_gone(self) -> None:
        self.come("192.0.2.1", 3)
        for _ in range(3):
            self.door.passed("192.0.2.1")
        self.assertEqual(len(self.door._origins), 0)
