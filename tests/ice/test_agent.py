"""Whole stories of one generation, and the rules about its states."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import AgentSettings, Credentials, IceRole, IceState, PairState
from refreeze.ice.agent import Agent
from refreeze.ice.events import PairSelected
from tests.ice.duo import (
    A1,
    A2,
    B1,
    B2,
    START,
    Duo,
    Nat,
    host,
    make_duo,
    reflexive,
    relay,
    signaled,
)
from tests.ice.solo import make_solo


class StoryTests(SynchronousTestCase):
    """Two agents find a path."""

    def _assert_connected(self, duo: Duo) -> None:
        duo.run(5)
        a, b = (side.agent.selected for side in duo.sides)
        assert a is not None
        assert b is not None
        self.assertEqual({s.states[-1] for s in duo.sides}, {"completed"})
        duo.check_transitions()

    def test_over_one_host_candidate_each(self) -> None:
        duo = make_duo(1)
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        self._assert_connected(duo)
        self.assertEqual(duo.a.states, ["checking", "connected", "completed"])

    def test_the_controlling_side_is_done_in_two_round_trips(self) -> None:
        """performance.md: a restart's pair is nominated within 2 RTT + 5 ms of the answer."""
        duo = make_duo(1, delay=0.02)
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        self.assertLessEqual(duo.now - START, 2 * 0.04 + 0.005)

    def test_without_delay_nothing_waits_for_a_timer(self) -> None:
        """performance.md: the first check at once, nomination without a pacing wait."""
        duo = make_duo(1, delay=0.0)
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        self.assertEqual(duo.now, START)

    def test_the_controlled_side_may_know_first(self) -> None:
        for first in ("a", "b"):
            duo = make_duo(1)
            duo.add(duo.a, host(A1))
            duo.add(duo.b, host(B1))
            early, late = (duo.a, duo.b) if first == "a" else (duo.b, duo.a)
            early.agent.set_remote(late.agent.local, duo.now)
            duo.run(0.3)
            late.agent.set_remote(early.agent.local, duo.now)
            duo.end()
            duo.connect()
            self._assert_connected(duo)

    def test_with_trickled_candidates(self) -> None:
        duo = make_duo(1)
        duo.introduce(ended=False)
        self.assertEqual(duo.a.states, [])
        duo.run(2)
        duo.add(duo.a, host(A1))
        duo.run(1)
        duo.add(duo.b, host(B1))
        duo.connect()
        self.assertEqual(duo.a.states, ["checking", "connected"])
        duo.end()
        self._assert_connected(duo)

    def test_over_ipv6_and_link_local(self) -> None:
        for one, two in (
            (("2001:db8::1", 1), ("2001:db8::2", 2)),
            (("fe80::1%eth0", 1), ("fe80::2%eth0", 2)),
        ):
            duo = make_duo(1)
            duo.add(duo.a, host(one))
            duo.add(duo.b, host(two))
            duo.introduce()
            duo.connect()
            self._assert_connected(duo)

    def test_through_port_restricted_nats(self) -> None:
        duo = make_duo(1)
        for side, base, public in ((duo.a, A1, "198.51.100.1"), (duo.b, B1, "203.0.113.1")):
            nat = duo.nats[side.name] = Nat(public)
            mapped = nat.outbound(base, ("192.0.2.53", 3478))
            duo.add(side, host(base), reflexive(mapped, base))
        duo.introduce()
        duo.connect()
        self._assert_connected(duo)
        for side in duo.sides:
            pair = side.agent.selected
            assert pair is not None
            self.assertEqual((pair.local.type.value, pair.remote.type.value), ("srflx", "srflx"))
        self.assertLess(duo.now - START - 5, 0.6)

    def test_between_a_symmetric_nat_and_an_open_host(self) -> None:
        """The symmetric side becomes a prflx candidate on both sides."""
        duo = make_duo(1)
        nat = duo.nats["a"] = Nat("198.51.100.1", symmetric=True)
        duo.add(duo.a, host(A1), reflexive(nat.outbound(A1, ("192.0.2.53", 3478)), A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        self._assert_connected(duo)
        ours, theirs = duo.a.agent.selected, duo.b.agent.selected
        assert ours is not None
        assert theirs is not None
        self.assertEqual(ours.local.type.value, "prflx")
        self.assertEqual(theirs.remote.type.value, "prflx")
        self.assertEqual(ours.local.address, theirs.remote_address)

    def test_over_a_relay_when_nothing_else_works(self) -> None:
        duo = make_duo(1)
        relayed = ("10.0.9.9", 4000)
        duo.add(duo.a, host(A1), relay(relayed))
        duo.add(duo.b, host(B1))
        duo.dead |= {(A1, B1), (B1, A1)}
        duo.introduce()
        duo.connect()
        self.assertEqual(duo.a.agent.selected and duo.a.agent.selected.base, relayed)
        self.assertLess(duo.now - START, 1.5)

    def test_a_dead_pair_costs_one_ta_not_a_timeout(self) -> None:
        duo = make_duo(1)
        duo.add(duo.a, host(A1), host(A2, 65534))
        duo.add(duo.b, host(B1))
        duo.dead |= {(A1, B1), (B1, A1)}
        duo.introduce()
        duo.connect()
        self.assertLess(duo.now - START, 0.2)

    def test_with_heavy_loss(self) -> None:
        for seed in range(20):
            duo = make_duo(seed, loss=0.4)
            duo.add(duo.a, host(A1))
            duo.add(duo.b, host(B1))
            duo.introduce()
            duo.connect(39)
            duo.check_transitions()

    def test_secrets_are_in_no_repr(self) -> None:
        solo = make_solo()
        solo.connect()
        text = repr(solo.agent.local) + repr(solo.agent.remote) + repr(solo.agent.pairs)
        self.assertNotIn(solo.agent.local.pwd, text)
        self.assertNotIn(solo.peer.pwd, text)


class CredentialTests(SynchronousTestCase):
    """T4 and T5: remote credentials are set once."""

    def test_the_same_credentials_again_change_nothing(self) -> None:
        """T5"""
        solo = make_solo()
        (check,) = solo.checks()
        role, pac = solo.agent.role, solo.agent.next_deadline()
        solo.now += 0.2
        solo.agent.set_remote(solo.peer, solo.now, lite=True)
        self.assertEqual((solo.agent.role, solo.agent.next_deadline()), (role, pac))
        self.assertEqual(solo.checks(), [])
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_other_credentials_are_an_error_and_change_nothing(self) -> None:
        """T4"""
        solo = make_solo()
        (check,) = solo.checks()
        other = Credentials("othr", "z" * 24)
        self.assertRaises(ValueError, solo.agent.set_remote, other, solo.now)
        same_ufrag = Credentials(solo.peer.ufrag, "z" * 24)
        self.assertRaises(ValueError, solo.agent.set_remote, same_ufrag, solo.now)
        self.assertEqual(solo.agent.remote, solo.peer)
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_the_error_tells_no_secret(self) -> None:
        solo = make_solo()
        with self.assertRaises(ValueError) as caught:
            solo.agent.set_remote(Credentials("othr", "z" * 24), solo.now)
        self.assertNotIn("z" * 24, str(caught.exception))

    def test_a_restart_before_the_first_connection_is_just_another_agent(self) -> None:
        """T14"""
        old = make_solo(seed=1)
        old.agent.retire(old.now)
        new = make_solo(seed=2)
        new.connect()
        old.check(nominated=True)
        self.assertIsNone(old.agent.selected)
        self.assertIsNotNone(new.agent.selected)


class StateTests(SynchronousTestCase):
    """Rules 50, 59, 60 and 68."""

    def test_new_until_both_credentials_and_a_remote_candidate_are_there(self) -> None:
        """rule 59"""
        solo = make_solo(remote=False, candidates=False)
        agent = solo.agent
        agent.add_local_candidate(host(A1), solo.now)
        self.assertIs(agent.state, IceState.NEW)
        agent.set_remote(solo.peer, solo.now)
        self.assertIs(agent.state, IceState.NEW)
        agent.add_remote_candidate(signaled(host(B1)), solo.now)
        self.assertIs(agent.state, IceState.CHECKING)

    def test_a_learnt_remote_candidate_begins_checking_too(self) -> None:
        """rule 59"""
        solo = make_solo(IceRole.CONTROLLED, candidates=False)
        solo.agent.add_local_candidate(host(A1), solo.now)
        solo.check()
        self.assertIs(solo.agent.state, IceState.CHECKING)

    def test_completed_needs_the_end_of_candidates_of_both_sides(self) -> None:
        """rules 50 and 59"""
        solo = make_solo()
        solo.connect()
        self.assertIs(solo.agent.state, IceState.CONNECTED)
        solo.agent.end_of_local_candidates(solo.now)
        self.assertIs(solo.agent.state, IceState.CONNECTED)
        solo.agent.end_of_remote_candidates(solo.now)
        self.assertIs(solo.agent.state, IceState.COMPLETED)

    def _exhausted(self, *, local: bool, remote: bool) -> Agent:
        """All pairs failed, and PAC is over; *local* and *remote* ended."""
        solo = make_solo()
        (check,) = solo.checks()
        solo.answer(check, code=500)
        if local:
            solo.agent.end_of_local_candidates(solo.now)
        if remote:
            solo.agent.end_of_remote_candidates(solo.now)
        solo.wait(45)
        return solo.agent

    def test_failed_needs_both_ends_of_candidates(self) -> None:
        """rule 50"""
        for local, remote in ((False, False), (True, False), (False, True)):
            agent = self._exhausted(local=local, remote=remote)
            self.assertIs(agent.state, IceState.CHECKING)
        agent = self._exhausted(local=True, remote=True)
        self.assertEqual((agent.state, agent.failed_reason), (IceState.FAILED, "no-pair"))

    def test_failed_waits_for_pac_from_the_moment_the_peers_credentials_are_known(self) -> None:
        """rules 60 and 68: 39.5 s, even with zero candidates"""
        solo = make_solo(remote=False, candidates=False)
        agent = solo.agent
        agent.add_local_candidate(host(A1), solo.now)
        solo.wait(100)
        agent.set_remote(solo.peer, solo.now)
        agent.end_of_local_candidates(solo.now)
        agent.end_of_remote_candidates(solo.now)
        solo.wait(39.4)
        self.assertIs(agent.state, IceState.NEW)
        solo.wait(0.2)
        self.assertIs(agent.state, IceState.FAILED)

    def test_the_peers_check_within_pac_still_connects(self) -> None:
        """rule 68"""
        solo = make_solo(IceRole.CONTROLLED, candidates=False)
        agent = solo.agent
        agent.add_local_candidate(host(A1), solo.now)
        agent.end_of_local_candidates(solo.now)
        agent.end_of_remote_candidates(solo.now)
        solo.wait(35)
        solo.check(nominated=True)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIs(agent.state, IceState.COMPLETED)

    def test_without_local_candidates_there_is_nothing_to_wait_for(self) -> None:
        """rule 60"""
        solo = make_solo(candidates=False)
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        self.assertEqual(solo.agent.failed_reason, "no-candidates")

    def test_failed_is_final_for_a_generation(self) -> None:
        """rule 60: only a restart comes out of it."""
        solo = make_solo()
        (check,) = solo.checks()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.wait(45)
        solo.answer(check)
        solo.check(nominated=True)
        self.assertIs(solo.agent.state, IceState.FAILED)
        self.assertEqual(solo.checks(), [])

    def test_after_failed_the_pairs_tell_why(self) -> None:
        """T40"""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.wait(45)
        (pair,) = solo.agent.pairs
        self.assertIs(pair.state, PairState.FAILED)
        self.assertEqual(pair.counters.requests_sent, 7)
        self.assertEqual(pair.counters.responses_received, 0)
        self.assertEqual(len(solo.agent.remote_candidates), 1)

    def test_calls_after_failed_checks_are_harmless(self) -> None:
        """T38"""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.wait(45)
        agent, now = solo.agent, solo.now
        agent.set_remote(solo.peer, now)
        agent.add_local_candidate(host(A2), now)
        agent.add_remote_candidate(signaled(host(B2)), now)
        agent.end_of_local_candidates(now)
        agent.data_sent(now, 5)
        agent.send_failed(A1, B1, now)
        agent.handle_timeout(now)
        agent.base_gone(A1, now)
        agent.retire(now)
        agent.retire(now)
        agent.close(now)
        agent.close(now)
        agent.handle_timeout(now)
        self.assertIsNone(agent.next_deadline())
        self.assertEqual(agent.take_transmits(), [])


class TrickleTests(SynchronousTestCase):
    """Rule 51 (the agent's part) and rule 45."""

    def test_after_the_remote_end_candidates_are_refused(self) -> None:
        """rule 51"""
        solo = make_solo()
        solo.agent.end_of_remote_candidates(solo.now)
        refused = solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        self.assertEqual(refused, "ended")
        self.assertEqual(len(solo.agent.pairs), 1)

    def test_after_the_local_end_candidates_are_ignored(self) -> None:
        """rule 51"""
        solo = make_solo()
        solo.agent.end_of_local_candidates(solo.now)
        solo.agent.add_local_candidate(host(A2), solo.now)
        self.assertEqual(len(solo.agent.local_candidates), 1)

    def test_learnt_candidates_are_welcome_after_the_end(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        solo.agent.end_of_remote_candidates(solo.now)
        solo.check(source=B2, nominated=True)
        check = next(t for t in solo.checks() if t.remote == B2)
        solo.answer(check)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B2)

    def test_candidates_before_the_credentials_wait_for_them(self) -> None:
        solo = make_solo(remote=False)
        self.assertEqual((list(solo.agent.pairs), solo.checks()), ([], []))
        solo.agent.set_remote(solo.peer, solo.now)
        self.assertEqual(len(solo.checks()), 1)

    def test_data_is_received_on_every_candidate_of_the_exchange(self) -> None:
        """rule 45"""
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.connect()
        self.assertTrue(solo.agent.data_received(A1, B2, solo.now))

    def test_data_on_another_pair_reselects_nothing(self) -> None:
        """T24"""
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.connect()
        selected = solo.agent.selected
        solo.agent.data_received(A1, B2, solo.now)
        self.assertIs(solo.agent.selected, selected)
        self.assertEqual(len(solo.of(PairSelected)), 1)


class SettingsTests(SynchronousTestCase):
    def test_values_out_of_range_are_refused(self) -> None:
        """Rules 48, 66, 79: what the RFCs do not allow cannot be set."""
        for wrong in (
            {"rto": 0.1},
            {"consent_interval": 4.0},
            {"consent_expiry": 31.0},
            {"max_pairs": 101},
            {"ta": 0.001},
            {"rc": 0},
        ):
            self.assertRaises(ValueError, AgentSettings, **wrong)

    def test_the_message_names_the_setting(self) -> None:
        with self.assertRaises(ValueError) as caught:
            AgentSettings(rto=0.1)
        self.assertEqual(str(caught.exception), "rto must be 0.5 to 10, not 0.1")
