"""What is refreshed, when, and what becomes of it when nobody answers."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import MessageClass, Method
from refreeze.turn import (
    Allocated,
    AllocationLost,
    AllocationState,
    PermissionRefused,
    TurnProblem,
    TurnSettings,
)
from refreeze.turn.timing import believed_lifetime, refresh_time
from tests.turn.duet import DATA, PEER, Duet
from tests.turn.server import ModelServer

OTHER = ("203.0.113.6", 6000)


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


class AllocationRefreshTests(SynchronousTestCase):
    def test_it_is_refreshed_well_before_its_end_and_never_at_the_same_time(self) -> None:
        duet = Duet().ready()
        duet.run(6000.0)
        between = gaps(duet.server.times(Method.REFRESH))
        self.assertGreater(len(between), 10)
        self.assertTrue(all(359.0 < each < 481.0 for each in between), between)
        self.assertEqual(len(set(between)), len(between))
        self.assertEqual(duet.told, [Allocated()])

    def test_absurd_lifetimes(self) -> None:
        """0, 2^32 - 1: neither a flood nor a sleep of a century."""
        for granted, low, high in ((0, 6.0, 9.0), (1, 6.0, 9.0), (2**32 - 1, 2160.0, 2880.1)):
            duet = Duet(server=ModelServer(lifetime=granted)).ready()
            duet.run(20_000.0 if granted > 10 else 100.0)
            between = gaps(duet.server.times(Method.REFRESH))
            self.assertGreater(len(between), 4)
            self.assertTrue(all(low - 0.1 <= each <= high + 0.1 for each in between), between)

    def test_what_is_believed(self) -> None:
        settings = TurnSettings()
        for granted, believed in (
            (None, 600.0),
            (0, 10.0),
            (600, 600.0),
            (3600, 3600.0),
            (2**32 - 1, 3600.0),
        ):
            self.assertEqual(believed_lifetime(granted, settings), believed)

    def test_the_jitter_has_its_bounds(self) -> None:
        seed = Random().getrandbits(32)
        random = Random(seed)
        for _ in range(1000):
            at = refresh_time(1000.0, 300.0, random)
            self.assertTrue(1180.0 <= at <= 1240.0, f"seed {seed}")

    def test_a_refresh_that_nobody_answers_loses_it(self) -> None:
        """T33: a partition is noticed without outside help."""
        duet = Duet().ready(PEER)
        duet.server.silent.add(int(Method.REFRESH))
        duet.run(700.0)
        asked = duet.server.times(Method.REFRESH)[0]
        at, event = duet.events[-1]
        self.assertEqual(event, AllocationLost("unanswered"))
        self.assertTrue(39.4 < at - asked <= 39.5, at - asked)
        self.assertEqual(len([m for _, m in duet.server.seen if m.method == Method.REFRESH]), 7)

    def test_a_server_that_was_restarted(self) -> None:
        """T33: it knows nothing of the allocation, nor of the nonce."""
        duet = Duet().ready(PEER)
        duet.server.forget()
        duet.server.new_nonce()
        duet.run(600.0)
        self.assertEqual(duet.told[-1], AllocationLost("mismatch"))

    def test_a_lost_response_costs_nothing(self) -> None:
        """The request is sent again under its id, and the server answers again."""
        duet = Duet().ready(PEER)
        drops = iter([True] * 6)
        duet.fate = lambda: [] if next(drops, False) else [0.02]
        duet.allocation.verify(duet.now)
        duet.run(2.9)
        self.assertEqual(duet.told, [Allocated()])


class VerifyTests(SynchronousTestCase):
    def test_an_answer_keeps_it(self) -> None:
        duet = Duet().ready()
        duet.allocation.verify(duet.now)
        duet.run(5.0)
        self.assertEqual(duet.server.count(Method.REFRESH), 1)
        self.assertEqual(duet.told, [Allocated()])

    def test_no_answer_loses_it_soon(self) -> None:
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        start = duet.now
        duet.allocation.verify(start)
        duet.run(10.0)
        self.assertEqual(duet.events[-1], (start + 3.0, AllocationLost("unanswered")))

    def test_asked_often_it_asks_once(self) -> None:
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        start = duet.now
        for _ in range(20):
            duet.allocation.verify(duet.now)
            duet.run(0.1)
        self.assertEqual(duet.server.count(Method.REFRESH), 1)
        duet.run(10.0)
        self.assertEqual(duet.events[-1][0], start + 3.0)

    def test_a_refresh_under_way_gets_less_patience(self) -> None:
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        while not duet.server.count(Method.REFRESH):
            duet.run(1.0)
        start = duet.now
        duet.allocation.verify(start)
        duet.run(10.0)
        self.assertEqual(duet.events[-1], (start + 3.0, AllocationLost("unanswered")))

    def test_before_it_is_ready_there_is_nothing_to_verify(self) -> None:
        duet = Duet()
        duet.allocation.verify(duet.now)
        duet.start(0.01)
        duet.allocation.verify(duet.now)
        duet.run(0.5)
        self.assertEqual(duet.server.count(Method.REFRESH), 0)

    def test_a_process_that_was_stopped_looks_before_it_gives_up(self) -> None:
        """T37: the answer lay in the socket while the process did not run."""
        duet = Duet().ready()
        duet.allocation.verify(duet.now)
        duet.collect()
        _, _, _, request = duet._wire.pop()
        (answer,) = duet.server.receive(request, duet.now)
        duet.now += 60.0
        duet.allocation.handle_timeout(duet.now)
        duet.arrive(answer)
        duet.run(5.0)
        self.assertEqual(duet.told, [Allocated()])

    def test_a_process_that_was_stopped_does_not_look_for_ever(self) -> None:
        """T37."""
        duet = Duet().ready()
        duet.server.silent.add(int(Method.REFRESH))
        duet.allocation.verify(duet.now)
        duet.collect()
        duet.now += 60.0
        start = duet.now
        duet.run(5.0)
        self.assertEqual(duet.events[-1], (start + 1.0, AllocationLost("unanswered")))


class PermissionRefreshTests(SynchronousTestCase):
    def test_it_is_refreshed_when_idle(self) -> None:
        """T32: after more than 5 minutes without a packet the peer still gets through."""
        duet = Duet().ready(PEER)
        for _ in range(5):
            duet.run(330.0)
            duet.from_peer(b"still there")
        duet.run(1.0)
        self.assertEqual(len(duet.received), 5)
        between = gaps(duet.server.times(Method.CREATE_PERMISSION))
        self.assertTrue(all(179.0 < each < 241.0 for each in between), between)
        self.assertEqual(len(set(between)), len(between))

    def test_what_nobody_used_for_long_lapses(self) -> None:
        """Peers of sessions that are gone are not refreshed for ever."""
        duet = Duet().ready(PEER)
        duet.run(1900.0)
        asked = duet.server.count(Method.CREATE_PERMISSION)
        duet.run(3600.0)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), asked)
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertTrue(duet.send())
        duet.run(1.0)
        self.assertEqual(duet.at_peers, [(PEER, DATA, "indication")])
        self.assertEqual(duet.server.faults, [])

    def test_its_clock_is_its_own(self) -> None:
        """T32: a channel that is refreshed is no permission that is (RFC 8656 section 9)."""
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(100.0)
        duet.allocation.permit(OTHER[0], duet.now)
        duet.run(1200.0)
        asked = duet.server.count(Method.CREATE_PERMISSION)
        bound = duet.server.count(Method.CHANNEL_BIND)
        self.assertTrue(10 <= asked <= 14, asked)
        self.assertTrue(3 <= bound <= 4, bound)

    def test_a_refresh_that_fails_for_a_moment_is_asked_again(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.scripted[int(Method.CREATE_PERMISSION)] = [500, 508]
        duet.run(290.0)
        self.assertEqual(duet.told, [Allocated()])
        self.assertTrue(duet.send())
        duet.run(1.0)
        self.assertEqual(len(duet.at_peers), 1)

    def test_a_refresh_that_is_refused_ends_it(self) -> None:
        duet = Duet().ready(PEER, OTHER)
        duet.server.forbidden.add(PEER[0])
        while len(duet.told) == 1:
            duet.run(1.0)
        problem = TurnProblem(403, "forbidden")
        self.assertEqual(duet.told, [Allocated(), PermissionRefused(PEER[0], problem)])
        self.assertFalse(duet.send())
        self.assertTrue(duet.send(peer=OTHER))

    def test_one_that_ended_unseen_is_asked_for_before_data_flows(self) -> None:
        """T37: a process that slept for an hour sends nothing past its permissions."""
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        duet.send()
        duet.run(1.0)
        duet.server.expires_at = None
        duet.now += 3600.0
        duet.server.expires_at = duet.now + 600.0
        self.assertTrue(duet.send())
        duet.run(5.0)
        self.assertEqual(duet.server.faults, [])
        kinds = [kind for _, _, kind in duet.at_peers]
        self.assertEqual(kinds, ["indication", "channel", "indication"])


class ChannelRefreshTests(SynchronousTestCase):
    def test_it_is_refreshed_when_idle(self) -> None:
        """T32: after more than 10 minutes without a packet the channel is still bound."""
        duet = Duet().ready(PEER)
        duet.send()
        for _ in range(2):
            duet.run(700.0)
            self.assertTrue(duet.send())
        duet.run(1.0)
        kinds = [kind for _, _, kind in duet.at_peers]
        self.assertEqual(kinds, ["indication", "channel", "channel"])
        between = gaps(duet.server.times(Method.CHANNEL_BIND))
        self.assertTrue(all(359.0 < each < 481.0 for each in between), between)
        self.assertEqual(duet.server.faults, [])

    def test_a_refresh_that_is_refused_goes_back_to_indications(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(10.0)
        duet.server.always[int(Method.CHANNEL_BIND)] = 403
        for _ in range(1300):
            duet.run(1.0)
            self.assertTrue(duet.send())
        self.assertEqual(duet.at_peers[-1][2], "indication")
        self.assertEqual(duet.server.faults, [])

    def test_a_refresh_that_fails_for_a_moment_is_asked_again(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(10.0)
        duet.server.scripted[int(Method.CHANNEL_BIND)] = [500, 508]
        duet.run(590.0)
        duet.send()
        duet.run(1.0)
        self.assertEqual(duet.at_peers[-1][2], "channel")


class KeepaliveTests(SynchronousTestCase):
    def test_silence_is_broken_for_the_nats(self) -> None:
        """RFC 8445 section 11: an allocation that waits is reachable when it is needed."""
        duet = Duet().ready()
        duet.run(300.0)
        between = gaps([at for at, _ in duet.sent])
        self.assertTrue(all(each <= 15.1 for each in between), max(between))
        indications = [m for _, m in duet.server.seen if m.message_class is MessageClass.INDICATION]
        self.assertEqual(len(indications), 20)
        self.assertTrue(all(m.method == Method.BINDING for m in indications))

    def test_traffic_is_keepalive_enough(self) -> None:
        duet = Duet().ready(PEER)
        for _ in range(30):
            duet.send()
            duet.run(5.0)
        self.assertNotIn(Method.BINDING, {m.method for _, m in duet.server.seen})
