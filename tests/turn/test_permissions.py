"""Permissions: asked for before data flows, and what waits for them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import Method
from refreeze.turn import Allocated, AllocationState, PermissionRefused, TurnProblem, TurnSettings
from tests.turn.duet import DATA, PEER, Duet
from tests.turn.server import ModelServer


def host(number: int) -> str:
    return f"203.0.{number >> 8}.{number & 255}"


class WaitingTests(SynchronousTestCase):
    def test_data_waits_for_its_permission_and_keeps_its_order(self) -> None:
        duet = Duet().ready()
        for n in range(10):
            self.assertTrue(duet.send(b"\x80%d" % n))
        duet.run(1.0)
        self.assertEqual([data for _, data, _ in duet.at_peers], [b"\x80%d" % n for n in range(10)])

    def test_of_too_much_the_oldest_goes(self) -> None:
        duet = Duet().ready()
        for n in range(20):
            self.assertTrue(duet.send(b"\x80%d" % n))
        duet.run(1.0)
        expected = [b"\x80%d" % n for n in range(4, 20)]
        self.assertEqual([data for _, data, _ in duet.at_peers], expected)
        self.assertEqual(duet.allocation.dropped["waited-in-vain"], 4)

    def test_too_many_hosts_do_not_wait(self) -> None:
        duet = Duet(settings=TurnSettings(waiting_hosts=3)).ready()
        taken = [duet.send(peer=(host(n), 1)) for n in range(5)]
        self.assertEqual(taken, [True, True, True, False, False])
        self.assertEqual(duet.allocation.dropped["no-room-to-wait"], 2)
        duet.run(1.0)
        self.assertTrue(duet.send(peer=(host(4), 1)))
        duet.run(1.0)
        self.assertEqual(len(duet.at_peers), 4)

    def test_nothing_waits_when_nothing_may(self) -> None:
        duet = Duet(settings=TurnSettings(waiting_packets=0)).ready()
        self.assertFalse(duet.send())
        duet.run(1.0)
        self.assertTrue(duet.send())

    def test_nothing_is_kept_before_there_is_an_allocation(self) -> None:
        duet = Duet()
        self.assertFalse(duet.send())
        duet.start(0.01)
        self.assertFalse(duet.send())
        duet.run(1.0)
        self.assertEqual(duet.at_peers, [])
        self.assertEqual(duet.allocation.dropped["not-ready"], 2)

    def test_the_end_drops_what_waits(self) -> None:
        duet = Duet(server=ModelServer(silent={int(Method.CREATE_PERMISSION)})).ready()
        duet.send()
        duet.allocation.lost("closed", duet.now)
        self.assertEqual(duet.allocation.dropped["waited-in-vain"], 1)


class AskingTests(SynchronousTestCase):
    def test_asked_for_early_it_is_there_with_the_allocation(self) -> None:
        duet = Duet()
        duet.allocation.permit(PEER[0], duet.now)
        duet.start(1.0)
        self.assertIn(PEER[0], duet.server.permissions)
        self.assertTrue(duet.send())
        duet.run(0.03)
        self.assertEqual(duet.at_peers, [(PEER, DATA, "indication")])

    def test_asked_often_it_is_asked_once(self) -> None:
        duet = Duet().ready()
        for _ in range(10):
            duet.allocation.permit(PEER[0], duet.now)
            duet.send()
            duet.run(0.001)
        duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 1)

    def test_many_are_asked_for_a_few_at_a_time(self) -> None:
        """One host a request (T31), and no burst of a hundred datagrams."""
        duet = Duet().ready()
        before = len(duet.sent)
        for n in range(100):
            duet.allocation.permit(host(n), duet.now)
        duet.collect()
        self.assertEqual(len(duet.sent) - before, 16)
        duet.run(1.0)
        self.assertEqual(len(duet.server.permissions), 100)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 100)
        for _, message in duet.server.seen:
            self.assertLessEqual(len(message.xor_peer_addresses), 1)

    def test_a_silent_one_does_not_stop_the_queue(self) -> None:
        duet = Duet(settings=TurnSettings(in_flight=1)).ready()
        duet.server.silent.add(int(Method.CREATE_PERMISSION))
        duet.allocation.permit(host(1), duet.now)
        duet.run(20.0)
        duet.allocation.permit(host(2), duet.now)
        duet.server.silent.clear()
        duet.run(40.0)
        self.assertEqual(set(duet.server.permissions), {host(1), host(2)})

    def test_too_many_are_refused_by_name(self) -> None:
        duet = Duet(settings=TurnSettings(permissions=3)).ready()
        for n in range(4):
            duet.allocation.permit(host(n), duet.now)
        duet.run(1.0)
        refused = PermissionRefused(host(3), TurnProblem(None, "too-many-permissions"))
        self.assertEqual(duet.told, [Allocated(), refused])
        self.assertFalse(duet.send(peer=(host(3), 1)))

    def test_what_nobody_uses_makes_room(self) -> None:
        """And what is used does not: candidates of strangers push no live peer out."""
        duet = Duet(settings=TurnSettings(permissions=3)).ready()
        for n in range(3):
            duet.allocation.permit(host(n), duet.now)
        for _ in range(15):
            duet.run(5.0)
            duet.send(peer=(host(0), 1))
        for n in range(10, 20):
            duet.allocation.permit(host(n), duet.now)
        duet.run(1.0)
        self.assertTrue(duet.send(peer=(host(0), 1)))
        duet.run(1.0)
        self.assertEqual(duet.allocation.dropped["waited-in-vain"], 0)
        self.assertEqual(len(duet.server.permissions), 5)
        self.assertEqual(duet.server.faults, [])

    def test_one_that_made_room_before_its_turn_is_not_asked_for(self) -> None:
        """Two that nobody answers hold up the third until a fourth takes its place."""
        settings = TurnSettings(permissions=3, in_flight=1, passing_refusal=30.0)
        duet = Duet(settings=settings).ready()
        duet.server.silent.add(int(Method.CREATE_PERMISSION))
        for n in range(3):
            duet.allocation.permit(host(n), duet.now)
        duet.run(65.0)
        for n in (0, 1, 3):
            duet.allocation.permit(host(n), duet.now)
        duet.server.silent.clear()
        duet.run(60.0)
        self.assertEqual(set(duet.server.permissions), {host(1), host(3)})

    def test_what_cannot_be_a_peer(self) -> None:
        duet = Duet().ready()
        for each in ("", "example.org", "0.0.0.0", "224.0.0.1", "255.255.255.255", "010.1.1.1"):
            duet.allocation.permit(each, duet.now)
            self.assertFalse(duet.send(peer=(each, 5)))
            refused = PermissionRefused(each, TurnProblem(None, "bad-peer"))
            duet.collect()
            self.assertEqual(duet.told[-1], refused)
        self.assertFalse(duet.send(peer=(PEER[0], 0)))
        duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 0)
        self.assertEqual(duet.allocation.dropped["bad-peer"], 7)

    def test_a_released_allocation_asks_for_nothing(self) -> None:
        duet = Duet().ready()
        duet.allocation.release(duet.now)
        duet.allocation.permit(PEER[0], duet.now)
        self.assertFalse(duet.send())
        duet.run(5.0)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 0)
        self.assertIs(duet.allocation.state, AllocationState.OVER)
