"""Two transports in virtual time: connect, lose, restart, cut over, drain."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import IceRole, IceState
from refreeze.ice.events import ConsentLost
from refreeze.ice.generation import (
    CutOver,
    Ending,
    GenerationEnded,
    GenerationFailed,
    OutwardState,
)
from refreeze.ice.outward import outward_state
from tests.ice.duel import Duel, Side


def states(side: Side) -> list[tuple[float, str]]:
    """The outward states with their times."""
    return [(at, e.state.value) for at, e in side.events if isinstance(e, OutwardState)]


def at_state(side: Side, state: str) -> float:
    """When that state was first reached."""
    return next(at for at, seen in states(side) if seen == state)


class ConnectTests(SynchronousTestCase):
    """The first generation."""

    def test_both_sides_select_the_same_pair(self) -> None:
        duel = Duel(pairs=2)
        duel.restart(duel.a)
        duel.run(1.0)
        route_a, route_b = duel.a.transport.route, duel.b.transport.route
        self.assertEqual(route_a.base, route_b.remote_address)
        self.assertEqual(route_b.base, route_a.remote_address)
        for side in (duel.a, duel.b):
            self.assertEqual(side.transport.state, IceState.COMPLETED)

    def test_the_first_check_and_the_nomination_do_not_wait_for_ta(self) -> None:
        """One round trip for the check, one for the nomination."""
        duel = Duel(delay=0.02)
        duel.restart(duel.a)
        duel.run(0.2)
        self.assertLessEqual(at_state(duel.a, "completed") - 100.0, 4 * 0.02 + 0.005)

    def test_equal_roles_are_settled_by_the_tie_breaker(self) -> None:
        """rule 43, T27: one conflict, one change, no flapping."""
        duel = Duel()
        one = duel.stage(duel.a, IceRole.CONTROLLING)
        two = duel.stage(duel.b, IceRole.CONTROLLING)
        duel.answer(duel.a, one, two)
        duel.answer(duel.b, two, one)
        duel.run(2.0)
        roles = {duel.a.transport.role, duel.b.transport.role}
        self.assertEqual(roles, {IceRole.CONTROLLING, IceRole.CONTROLLED})
        self.assertEqual(duel.a.transport.state, IceState.COMPLETED)

    def test_checks_before_the_answer_are_answered_and_acted_upon_later(self) -> None:
        """The answerer's checks overtake its answer."""
        duel = Duel()
        one = duel.stage(duel.a, IceRole.CONTROLLING)
        two = duel.stage(duel.b, IceRole.CONTROLLED)
        duel.answer(duel.b, two, one)
        duel.run(0.3)
        self.assertEqual(duel.a.transport.state, IceState.NEW)
        duel.answer(duel.a, one, two)
        duel.run(0.3)
        self.assertEqual(duel.a.transport.state, IceState.COMPLETED)

    def test_no_failure_before_the_pac_timer_is_over(self) -> None:
        """rules 60 and 68: 39.5 s, however dead the network is."""
        duel = Duel()
        duel.cut_all = True
        duel.restart(duel.a)
        duel.run(39.0)
        self.assertEqual(duel.a.transport.state, IceState.CHECKING)
        duel.run(2.0)
        self.assertEqual(duel.a.transport.state, IceState.FAILED)

    def test_a_lossy_line_connects(self) -> None:
        for seed in range(20):
            duel = Duel(pairs=2, loss=0.3, seed=seed)
            duel.restart(duel.a)
            duel.run(35.0)
            self.assertIsNotNone(duel.a.transport.route, f"seed {seed}")
            self.assertIsNotNone(duel.b.transport.route, f"seed {seed}")


class LivenessTests(SynchronousTestCase):
    """DESIGN's figures: 3 / 7 s under traffic, 7 / 9 s when idle."""

    def silence(self, traffic: float | None) -> tuple[float, float]:
        """Seconds from the cut to `disconnected` and `failed`, the later side's."""
        duel = Duel()
        duel.restart(duel.a)
        duel.run(20.0, traffic=traffic)
        duel.cut_all = True
        start = duel.now
        duel.run(15.0, traffic=traffic)
        sides = (duel.a, duel.b)
        return (
            max(at_state(side, "disconnected") for side in sides) - start,
            max(at_state(side, "failed") for side in sides) - start,
        )

    def test_silent_loss_under_traffic(self) -> None:
        disconnected, failed = self.silence(0.02)
        self.assertLessEqual(disconnected, 3.0)
        self.assertLessEqual(failed, 7.5)

    def test_silent_loss_when_idle(self) -> None:
        disconnected, failed = self.silence(None)
        self.assertLessEqual(disconnected, 7.0)
        self.assertLessEqual(failed, 9.5)

    def test_an_idle_pair_costs_a_check_per_five_seconds(self) -> None:
        """rule 66: consent, liveness and keepalive are one stream."""
        duel = Duel()
        duel.restart(duel.a)
        duel.run(1.0)
        before = duel.a.transport.route.counters.requests_sent
        duel.run(100.0)
        sent = duel.a.transport.route.counters.requests_sent - before
        self.assertTrue(16 <= sent <= 25, sent)

    def test_consent_ends_sending_after_thirty_seconds(self) -> None:
        """rule 66, T19: nothing more is sent on the pair, and `failed` came long before."""
        duel = Duel()
        duel.restart(duel.a)
        duel.run(1.0)
        duel.cut_all = True
        duel.run(29.0)
        self.assertIsNotNone(duel.a.transport.route)
        duel.run(2.0)
        self.assertIsNone(duel.a.transport.route)
        self.assertEqual(len(duel.a.of(ConsentLost)), 1)

    def test_a_held_up_process_does_not_expire_everything(self) -> None:
        """T37: a minute's suspend of one side, then the path is still there."""
        duel = Duel()
        duel.restart(duel.a)
        duel.run(3.0)
        duel.now += 60.0
        duel.run(3.0)
        self.assertIsNotNone(duel.a.transport.route)
        self.assertNotIn("failed", [state for _, state in states(duel.a)])


class RestartTests(SynchronousTestCase):
    """Generations side by side."""

    def connected(self, **options: object) -> Duel:
        """Two sides one second after their first exchange."""
        duel = Duel(**options)
        duel.restart(duel.a)
        duel.run(1.0)
        return duel

    def test_staging_touches_nothing(self) -> None:
        """rules 7 and 25, T7: only an answer lets a restart check."""
        duel = self.connected()
        route = duel.a.transport.route
        staged = duel.stage(duel.a, IceRole.CONTROLLING)
        duel.run(5.0, traffic=0.1)
        self.assertIs(duel.a.transport.route, route)
        self.assertTrue(duel.a.transport.rollback(staged.ufrag, duel.now))  # rule 26
        duel.flush(duel.a)
        duel.run(1.0)
        self.assertIs(duel.a.transport.route, route)
        self.assertEqual(duel.a.transport.state, IceState.COMPLETED)

    def test_no_packet_is_lost_over_a_restart_on_a_live_pair(self) -> None:
        """T17, T22: the same 5-tuple, another generation."""
        duel = self.connected()
        duel.run(1.0, traffic=0.001)
        duel.restart(duel.b)
        duel.run(1.0, traffic=0.001)
        duel.run(0.5)
        self.assertGreater(duel.sent, 3990)
        self.assertEqual(len(duel.a.data) + len(duel.b.data), duel.sent)
        self.assertEqual(len(duel.a.of(CutOver)), 2)

    def test_roles_survive_a_restart_by_the_other_side(self) -> None:
        """rules 41 and 42: offering and controlling are two things."""
        duel = self.connected()
        duel.restart(duel.b)
        duel.run(1.0)
        self.assertEqual(duel.a.transport.role, IceRole.CONTROLLING)

    def test_the_old_generation_drains_three_seconds_and_goes(self) -> None:
        """rules 36, 44 and 46, T21."""
        duel = self.connected()
        duel.restart(duel.a)
        duel.run(2.5)
        self.assertEqual(len(duel.a.transport.draining), 1)
        duel.run(1.0)
        self.assertEqual(duel.a.transport.draining, [])
        self.assertEqual([e.ending for e in duel.a.of(GenerationEnded)], [Ending.DRAINED])

    def test_another_pair_is_found_when_the_selected_one_dies(self) -> None:
        duel = self.connected(pairs=2)
        dead = duel.a.transport.route
        duel.cut.add(frozenset((dead.base, dead.remote_address)))
        duel.run(10.0, traffic=0.05)
        self.assertEqual(duel.a.transport.state, IceState.FAILED)
        duel.restart(duel.a)
        duel.run(1.0, traffic=0.05)
        route = duel.a.transport.route
        self.assertNotEqual((route.base, route.remote_address), (dead.base, dead.remote_address))
        self.assertEqual(duel.a.transport.state, IceState.COMPLETED)

    def test_a_failed_round_leaves_the_path_that_is_there(self) -> None:
        """T18, rule 35: a round whose peer never checks."""
        duel = self.connected()
        own = duel.stage(duel.a, IceRole.CONTROLLING)
        ghost = Duel(seed=9).stage(Duel(seed=9).b, IceRole.CONTROLLED)
        duel.a.transport.start(own.ufrag, ghost.agent.local, duel.now)
        duel.a.transport.end_of_remote_candidates(ghost.ufrag, duel.now)
        duel.flush(duel.a)
        duel.run(45.0, traffic=0.5)
        self.assertEqual(len(duel.a.of(GenerationFailed)), 1)
        self.assertEqual(duel.a.transport.state, IceState.COMPLETED)
        self.assertGreater(duel.b.data[-1][0], duel.now - 1.0)

    def test_a_newer_round_supersedes_the_pending_one(self) -> None:
        """T12: the older one's answer is inert."""
        duel = self.connected()
        old = duel.stage(duel.a, IceRole.CONTROLLING)
        new = duel.stage(duel.a, IceRole.CONTROLLING)
        self.assertFalse(duel.a.transport.start(old.ufrag, old.agent.local, duel.now))
        self.assertEqual([e.ending for e in duel.a.of(GenerationEnded)], [Ending.SUPERSEDED])
        self.assertIs(duel.a.transport.pending, new)

    def test_one_that_was_agreed_goes_on_until_its_successor_is_rules_25_26(self) -> None:
        """Never connected, it checks on beside an offer that is out, and is back when that goes."""
        for taken_back in (True, False):
            with self.subTest(taken_back=taken_back):
                duel = Duel()
                duel.cut_all = True
                duel.restart(duel.a)
                duel.run(1.0)
                first = duel.a.transport.pending
                staged = duel.stage(duel.a, IceRole.CONTROLLING)
                self.assertIs(duel.a.transport.before, first)
                duel.run(0.5)
                if taken_back:
                    duel.a.transport.rollback(staged.ufrag, duel.now)
                    self.assertIs(duel.a.transport.pending, first)
                duel.cut_all = False
                duel.run(5.0)
                self.assertIs(duel.a.transport.active, first)
                self.assertEqual(duel.a.transport.state, IceState.COMPLETED)

    def test_it_ends_when_its_successor_starts_T12(self) -> None:
        duel = Duel()
        duel.cut_all = True
        duel.restart(duel.a)
        first = duel.a.transport.pending
        duel.restart(duel.a)
        self.assertIs(duel.a.transport.before, None)
        self.assertEqual([e.generation for e in duel.a.of(GenerationEnded)], [first])

    def test_late_candidates_of_the_old_generation_go_nowhere(self) -> None:
        """T1: and those of the next are held (T2)."""
        duel = self.connected()
        old = duel.b.transport.active
        duel.restart(duel.a)
        duel.run(1.0)
        known = list(duel.a.transport.active.agent.remote_candidates)
        late = old.agent.local_candidates[0]
        duel.a.transport.add_remote_candidate(old.ufrag, late, duel.now)
        self.assertEqual(duel.a.transport.active.agent.remote_candidates, known)


class OutwardStateTests(SynchronousTestCase):
    """rule 61, T41: the one state of two generations."""

    def test_the_whole_table(self) -> None:
        live = [IceState.CHECKING, IceState.CONNECTED, IceState.COMPLETED, IceState.DISCONNECTED]
        after = {
            IceState.NEW: IceState.CHECKING,
            IceState.CHECKING: IceState.CHECKING,
            IceState.CONNECTED: IceState.CONNECTED,
            IceState.COMPLETED: IceState.CONNECTED,
            IceState.DISCONNECTED: IceState.CHECKING,
            IceState.FAILED: IceState.CHECKING,
        }
        for active, pending in product(after, [None, IceState.NEW, IceState.FAILED]):
            self.assertIs(outward_state(active, pending, begun=True), active)
        for active, pending in product(after, live):
            self.assertIs(outward_state(active, pending, begun=True), after[active])
        for pending in live:
            self.assertIs(outward_state(None, pending, begun=True), pending)
        self.assertIs(outward_state(None, None, begun=False), IceState.NEW)
        self.assertIs(outward_state(None, None, begun=True), IceState.FAILED)
