"""Every flight of a handshake meets loss, reordering, duplication and delay, in virtual time."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import inf
from weakref import ref

from refreeze.peer.dtls import AssociationState, problems
from refreeze.testing import SeededRandom, openssl_time
from tests.peer.dtls.case import WireCase
from tests.peer.dtls.fates import (
    Which,
    arrive,
    bad_until,
    copied,
    lose,
    lose_from,
    lose_like,
    stall,
)
from tests.peer.dtls.wire import CLIENT, DELAY, SERVER, SIDES, Wire, good

FRAGMENTING = 300
"""An MTU in bytes at which every large flight is several datagrams."""
RTT = 2 * DELAY
REPEATED = 1.0
"""Seconds after which OpenSSL sends a flight again, for the first time."""


class ScheduleCase(WireCase):
    """Wires, and OpenSSL in their time."""

    def connects(self, wire: Wire, what: object = "") -> Wire:
        """It ends well, and data flows."""
        self.play(wire)
        with openssl_time(wire.clock):
            self.assertTrue(wire.connected, f"{what}: {wire.story()}")
            self.assertTrue(wire.flows(), f"{what}: {wire.story()}")
        return wire

    def datagrams(self, mtu: int) -> list[Which]:
        """All of an undisturbed handshake, in the order in which each side sends them."""
        wire = self.play(Wire(mtu=mtu))
        return [(end.name, number) for end in wire.ends for number in range(len(end.sent))]


class FlightTests(ScheduleCase):
    """Each datagram of each flight."""

    def test_a_good_wire_takes_two_round_trips(self) -> None:
        wire = self.connects(Wire())
        self.assertEqual(wire.client.at, 2 * RTT)
        self.assertEqual(wire.client.association.timeouts, 0)
        self.assertEqual(wire.server.association.timeouts, 0)

    def test_flights_are_packed_into_one_datagram_each(self) -> None:
        self.assertEqual(self.datagrams(1200), [(CLIENT, 0), (CLIENT, 1), (SERVER, 0), (SERVER, 1)])

    def test_a_datagram_that_is_lost_once_costs_a_second(self) -> None:
        for mtu in (1200, FRAGMENTING):
            for which in self.datagrams(mtu):
                wire = self.connects(Wire(lose(which), mtu=mtu), (mtu, which))
                ends = [end.at for end in wire.ends if end.at is not None]
                self.assertLess(max(ends), REPEATED + 3 * RTT, (mtu, which))

    def test_any_two_lost_datagrams_cost_a_few_seconds(self) -> None:
        for pair in combinations(self.datagrams(FRAGMENTING), 2):
            wire = self.connects(Wire(lose(*pair), mtu=FRAGMENTING), pair)
            self.assertLess(wire.now, 8.0, pair)

    def test_a_flight_that_is_lost_again_when_it_is_repeated(self) -> None:
        flights = self.play(Wire())
        for side, end in zip(SIDES, flights.ends, strict=True):
            for number, sample in enumerate(end.sent):
                for times in (2, 3):
                    wire = self.connects(
                        Wire(lose_like(side, sample, times)), (side, number, times)
                    )
                    self.assertEqual(wire.lost, times, wire.story())

    def test_duplicates_of_every_datagram_change_nothing(self) -> None:
        for mtu in (1200, FRAGMENTING):
            for copies in (2, 4):
                wire = self.connects(Wire(copied(copies), mtu=mtu))
                self.assertEqual(wire.client.at, 2 * RTT)

    def test_a_duplicate_that_comes_much_later_changes_nothing(self) -> None:
        for which in self.datagrams(FRAGMENTING):
            fate = arrive(which, DELAY, DELAY + 0.5, DELAY + 5.0)
            wire = self.connects(Wire(fate, mtu=FRAGMENTING), which)
            with openssl_time(wire.clock):
                wire.clock.advance(6.0)
                self.assertTrue(wire.connected, wire.story())
                self.assertTrue(wire.flows(), wire.story())

    def test_datagrams_of_a_flight_in_reverse_order(self) -> None:
        def fate(_sender: str, number: int, _datagram: bytes) -> Sequence[float]:
            return (DELAY + 0.01 * (8 - number % 8),)

        wire = self.connects(Wire(fate, mtu=FRAGMENTING))
        self.assertLess(wire.client.at or 99, REPEATED + 1.0, "a ChangeCipherSpec cannot wait")

    def test_a_flight_that_arrives_after_it_was_repeated(self) -> None:
        for which in self.datagrams(1200):
            for late in (1.5, 3.5, 8.0):
                self.connects(Wire(arrive(which, late)), (which, late))

    def test_a_round_trip_longer_than_the_timer(self) -> None:
        self.connects(Wire(lambda *_: (1.3,)))

    def test_data_that_overtakes_the_last_flight_waits_for_it(self) -> None:
        """The server is connected before the client, and may send at once."""
        wire = Wire(arrive((SERVER, 1), 0.5))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.run_until(lambda: wire.server.at is not None, 1.0)
            wire.server.send(b"first", b"second")
            wire.clock.advance(2 * DELAY)
            self.assertEqual(wire.client.received, [])
            wire.conclude()
            self.assertEqual(wire.client.received, [b"first", b"second"])
            self.assertTrue(wire.flows())


class MtuTests(ScheduleCase):
    """Paths that do not take what they should."""

    def test_flights_get_smaller_when_large_datagrams_are_lost(self) -> None:
        def fate(_sender: str, _number: int, datagram: bytes) -> Sequence[float]:
            return (DELAY,) if len(datagram) <= 600 else ()

        wire = self.connects(Wire(fate))
        self.assertGreater(wire.lost, 0)
        self.assertLess(max(end.at or 99 for end in wire.ends), 20.0, wire.story())

    def test_no_datagram_of_a_handshake_is_larger_than_asked_for(self) -> None:
        for mtu in (256, FRAGMENTING, 548, 1200):
            wire = self.connects(Wire(mtu=mtu))
            self.assertLessEqual(max(len(each) for end in wire.ends for each in end.sent), mtu)


class StallTests(ScheduleCase):
    """A flight that never comes."""

    def test_a_stall_in_any_flight_ends_after_thirty_seconds(self) -> None:
        for side, number in self.datagrams(1200):
            wire = self.play(Wire(stall(side, number)))
            for end in wire.ends:
                if end.state is AssociationState.FAILED:
                    self.assertEqual((end.reason, end.at), (problems.TIMEOUT, 30.0), wire.story())
                    self.assertTrue(end.association.problem.heals)  # type: ignore[union-attr]
            states = {end.state for end in wire.ends}
            self.assertIn(AssociationState.FAILED, states, wire.story())

    def test_both_silent(self) -> None:
        wire = self.play(Wire(lambda *_: ()))
        self.assertEqual([end.reason for end in wire.ends], [problems.TIMEOUT] * 2)

    def test_without_a_path_it_waits_and_has_its_thirty_seconds_afterwards(self) -> None:
        for heals in (True, False):
            wire = Wire(lambda *_: ())
            with openssl_time(wire.clock):
                wire.start()
                for _ in range(5):
                    wire.clock.advance(25.0)
                    for end in wire.ends:
                        end.association.wait(wire.now)
                        end.settle()
                if heals:
                    wire.fate = good
                    for end in wire.ends:
                        end.repeat()
                wire.conclude()
                self.assertEqual(wire.connected, heals, wire.story())
                if not heals:
                    self.assertEqual([end.reason for end in wire.ends], [problems.TIMEOUT] * 2)
                    self.assertEqual([end.at for end in wire.ends], [155.0] * 2)

    def test_a_flight_that_was_sent_too_often_for_openssl_is_a_timeout_too(self) -> None:
        wire = Wire(lambda *_: ())
        with openssl_time(wire.clock):
            wire.start()
            while wire.client.at is None and wire.now < 2000.0:
                wire.clock.advance(20.0)
                wire.client.association.wait(wire.now)
                wire.client.settle()
        self.assertEqual(wire.client.reason, problems.TIMEOUT, wire.story())
        self.assertGreater(wire.client.association.timeouts, 8)

    def test_nothing_is_sent_after_the_end(self) -> None:
        wire = self.play(Wire(lambda *_: ()))
        sent = dict(wire.carried)
        with openssl_time(wire.clock):
            wire.clock.advance(100.0)
        self.assertEqual(wire.carried, sent)
        self.assertEqual(wire.clock.getDelayedCalls(), [])


class RoleTests(ScheduleCase):
    """Sides that disagree about who begins."""

    def test_both_active_by_mistake_fails_at_once(self) -> None:
        wire = self.play(Wire(roles=(True, True)))
        for end in wire.ends:
            self.assertEqual(end.state, AssociationState.FAILED)
            self.assertIn(end.reason, (problems.HANDSHAKE, problems.ALERT), wire.story())
        self.assertLess(wire.now, 1.0)

    def test_both_passive_by_mistake_waits_in_vain(self) -> None:
        wire = self.play(Wire(roles=(False, False)))
        self.assertEqual([end.reason for end in wire.ends], [problems.TIMEOUT] * 2)
        self.assertEqual([end.at for end in wire.ends], [30.0] * 2)
        self.assertEqual(wire.carried.total(), 0)


class EndTests(ScheduleCase):
    """Somebody closes, or takes another path."""

    def after(self, wire: Wire, carried: int) -> None:
        """Until so many datagrams were sent."""
        wire.start()
        wire.clock.run_until(lambda: wire.carried.total() >= carried, 5.0)

    def test_a_close_in_any_flight_ends_both(self) -> None:
        for closer in range(2):
            for carried in range(5):
                wire = Wire()
                with openssl_time(wire.clock):
                    self.after(wire, carried)
                    wire.ends[closer].close()
                    wire.conclude()
                    wire.clock.advance(1.0)
                self.assertEqual(wire.ends[closer].state, AssociationState.CLOSED)
                other = wire.ends[1 - closer]
                if other.state is AssociationState.FAILED:
                    self.assertEqual(other.reason, problems.TIMEOUT, wire.story())

    def test_a_close_is_heard(self) -> None:
        for closer in range(2):
            wire = self.connects(Wire())
            with openssl_time(wire.clock):
                wire.ends[closer].close()
                wire.clock.advance(1.0)
            self.assertEqual([end.state for end in wire.ends], [AssociationState.CLOSED] * 2)
            self.assertEqual([end.reason for end in wire.ends], [None, None])

    def test_another_path_in_any_flight_costs_no_timeout(self) -> None:
        """Whatever was under way is lost, and sent again over the new path (repeat)."""
        for carried in range(4):
            wire = Wire(lose_from(carried))
            with openssl_time(wire.clock):
                wire.start()
                wire.clock.advance(0.2)
                wire.fate = good
                for end in wire.ends:
                    end.repeat()
                wire.conclude()
                self.assertTrue(wire.connected, wire.story())
                self.assertLess(wire.now, REPEATED, wire.story())
                self.assertTrue(wire.flows())


class EarlyTests(ScheduleCase):
    """The handshake is faster than signaling (RFC 8842, webrtc-pc section 5.5)."""

    def test_nothing_is_yielded_before_the_fingerprint_was_checked(self) -> None:
        wire = Wire(known=(False, True))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.advance(0.5)
            self.assertEqual(wire.server.state, AssociationState.CONNECTED)
            self.assertEqual(wire.client.state, AssociationState.CONNECTING)
            wire.server.send(b"early")
            wire.client.send(b"unauthenticated")
            wire.clock.advance(0.5)
            self.assertEqual((wire.client.received, wire.server.received), ([], []))
            wire.client.authenticate(wire.server_fingerprints)
            self.assertEqual(wire.client.received, [b"early"])
            self.assertTrue(wire.connected)
            self.assertTrue(wire.flows())

    def test_both_know_nothing_at_first(self) -> None:
        wire = Wire(known=(False, False))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.advance(5.0)
            self.assertFalse(wire.connected)
            wire.client.authenticate(wire.server_fingerprints)
            wire.server.authenticate(wire.client_fingerprints)
            self.assertTrue(wire.connected, wire.story())
            self.assertTrue(wire.flows())

    def test_the_description_in_the_middle_of_any_flight(self) -> None:
        for late in range(2):
            for carried in range(5):
                known = (late != 0, late != 1)
                wire = Wire(known=known)
                with openssl_time(wire.clock):
                    wire.start()
                    wire.clock.run_until(lambda w=wire, n=carried: w.carried.total() >= n, 5.0)
                    end = wire.ends[late]
                    named = wire.server_fingerprints if late == 0 else wire.client_fingerprints
                    end.authenticate(named)
                    wire.conclude()
                    self.assertTrue(wire.connected, (late, carried, wire.story()))
                    self.assertTrue(wire.flows())

    def test_the_last_flight_is_repeated_before_the_fingerprint_is_known(self) -> None:
        wire = Wire(lose((SERVER, 1)), known=(True, False))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.advance(REPEATED + 3 * RTT)
            self.assertEqual(wire.client.state, AssociationState.CONNECTED, wire.story())
            self.assertEqual(wire.server.state, AssociationState.CONNECTING)

    def test_a_description_that_names_another_certificate(self) -> None:
        wire = Wire(known=(True, False))
        with openssl_time(wire.clock):
            wire.start()
            wire.clock.advance(0.5)
            wire.client.send(b"early")
            wire.clock.advance(0.5)
            wire.server.authenticate(wire.server_fingerprints)
            self.assertEqual(wire.server.reason, problems.FINGERPRINT)
            self.assertEqual(wire.server.received, [])

    def test_a_description_that_never_comes(self) -> None:
        wire = self.play(Wire(known=(False, True)))
        self.assertEqual((wire.client.reason, wire.client.at), (problems.TIMEOUT, 30.0))


class RandomTests(ScheduleCase):
    """``REFREEZE_SCHEDULES`` says how many, ``REFREEZE_SEED`` which one alone."""

    CALM = 10.0
    """Seconds after which the wire is good."""

    def seeds(self) -> Iterator[int]:
        """Those to play."""
        alone = os.environ.get("REFREEZE_SEED")
        first = int(alone or 1)
        count = 1 if alone else int(os.environ.get("REFREEZE_SCHEDULES", "200"))
        print(f"seeds {first} to {first + count - 1}", file=sys.stderr)
        yield from range(first, first + count)

    def test_every_bad_wire_that_gets_good_connects(self) -> None:
        for seed in self.seeds():
            random = SeededRandom(f"dtls/{seed}/shape")
            mtu = (FRAGMENTING, 548, 1200)[int(random.random() * 3)]
            wire = Wire(mtu=mtu)
            wire.fate = bad_until(wire, self.CALM, SeededRandom(f"dtls/{seed}"))
            self.connects(wire, f"seed {seed}")

    def test_every_wire_that_stays_bad_ends(self) -> None:
        """Connected, or with the one reason that another attempt may heal."""
        for seed in self.seeds():
            wire = Wire(mtu=FRAGMENTING)
            wire.fate = bad_until(wire, inf, SeededRandom(f"dtls/{seed}"))
            self.play(wire)
            for end in wire.ends:
                good_end = end.state is AssociationState.CONNECTED
                self.assertTrue(good_end or end.reason == problems.TIMEOUT, (seed, wire.story()))


class LeakTests(ScheduleCase):
    """An association is gone with its owner."""

    def test_nobody_holds_an_association_that_is_over(self) -> None:
        for fate in (good, stall(SERVER, 0), stall(CLIENT, 1)):
            wire = self.play(Wire(fate))
            watched = [ref(end.association) for end in wire.ends]
            del wire
            gc.collect()
            self.assertEqual([each() for each in watched], [None, None])
