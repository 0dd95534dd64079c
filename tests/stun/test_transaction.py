"""One request: when it is sent again, when it is given up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import ClientTransaction, RetransmissionSchedule


def transaction(reliable: bool = False, **schedule: float) -> ClientTransaction:
    return ClientTransaction(
        transaction_id=bytes(12),
        request=b"request",
        reliable=reliable,
        schedule=RetransmissionSchedule(**schedule),  # type: ignore[arg-type]  # counts and seconds
    )


class TransactionTests(SynchronousTestCase):
    def run_to_the_end(self, one: ClientTransaction, now: float) -> tuple[list[float], float]:
        """When it was sent, and when it expired."""
        sent = []
        while not one.expired(now):
            if one.due(now) is not None:
                sent.append(now)
            self.assertIsNone(one.due(now))
            deadline = one.next_deadline()
            assert deadline is not None
            self.assertGreater(deadline, now)
            now = deadline
        return sent, now

    def test_the_schedule_of_udp(self) -> None:
        """RFC 8489 section 6.2.1: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, and the end at 39.5."""
        sent, end = self.run_to_the_end(transaction(), 100.0)
        self.assertEqual(sent, [100.0, 100.5, 101.5, 103.5, 107.5, 115.5, 131.5])
        self.assertEqual(end, 139.5)

    def test_a_reliable_transport_gets_it_once(self) -> None:
        """RFC 8489 section 6.2.2: Ti is as long."""
        sent, end = self.run_to_the_end(transaction(reliable=True), 5.0)
        self.assertEqual((sent, end), ([5.0], 44.5))

    def test_it_is_due_before_the_first_send_and_never_expired(self) -> None:
        one = transaction()
        self.assertIsNone(one.next_deadline())
        self.assertFalse(one.expired(1e9))
        self.assertEqual(one.due(1e9), b"request")

    def test_a_long_stop_neither_gives_up_nor_bursts(self) -> None:
        """T37: a process that was stopped for an hour goes on where it was."""
        one = transaction()
        one.due(0.0)
        self.assertFalse(one.expired(3600.0))
        self.assertEqual(one.due(3600.0), b"request")
        self.assertIsNone(one.due(3600.0))
        self.assertEqual(one.next_deadline(), 3601.0)

    def test_a_short_schedule(self) -> None:
        sent, end = self.run_to_the_end(transaction(rto=1.0, rc=2, rm=3), 0.0)
        self.assertEqual((sent, end), ([0.0, 1.0], 4.0))

    def test_a_round_trip_is_known_only_without_a_second_send(self) -> None:
        one = transaction()
        self.assertIsNone(one.rtt(0.0))
        one.due(1.0)
        self.assertEqual(one.rtt(1.25), 0.25)
        one.due(1.5)
        self.assertIsNone(one.rtt(1.75))

    def test_its_repr_has_no_byte_of_the_request(self) -> None:
        self.assertNotIn("request", repr(transaction()))
