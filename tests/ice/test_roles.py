"""Roles, the tie-breaker, 487 (RFC 8445 sections 7.2.5.1, 7.3.1.1 and 16.1)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import IceRole, IceState
from refreeze.ice.events import RoleChanged
from refreeze.stun import parse
from tests.ice.duo import A1, B1, Duo, host, is_request, make_duo
from tests.ice.solo import make_solo

CONTROLLING, CONTROLLED = IceRole.CONTROLLING, IceRole.CONTROLLED


class ConflictTests(SynchronousTestCase):
    """Rule 43, the table of 7.3.1.1."""

    def _after(self, role: IceRole, own: int, theirs: int) -> tuple[str, int | None]:
        solo = make_solo(role, tie_breaker=own)
        solo.sent()
        solo.check(controlling=role is CONTROLLING, tie_breaker=theirs)
        code = solo.parsed()[0].error_code
        return solo.agent.role.value, None if code is None else code[0]

    def test_controlling_keeps_its_role_with_the_greater_or_equal_tie_breaker(self) -> None:
        """rule 43"""
        self.assertEqual(self._after(CONTROLLING, 10, 9), ("controlling", 487))
        self.assertEqual(self._after(CONTROLLING, 10, 10), ("controlling", 487))
        self.assertEqual(self._after(CONTROLLING, 10, 11), ("controlled", None))

    def test_controlled_becomes_controlling_with_the_greater_or_equal_tie_breaker(self) -> None:
        """rule 43"""
        self.assertEqual(self._after(CONTROLLED, 10, 9), ("controlling", None))
        self.assertEqual(self._after(CONTROLLED, 10, 10), ("controlling", None))
        self.assertEqual(self._after(CONTROLLED, 10, 11), ("controlled", 487))

    def test_the_487_is_signed(self) -> None:
        solo = make_solo(CONTROLLING, tie_breaker=10)
        solo.sent()
        solo.check(controlling=True, tie_breaker=1)
        self.assertTrue(solo.parsed()[0].verify(solo.agent.local_key))

    def test_a_487_switches_the_role_with_a_new_tie_breaker_and_asks_again(self) -> None:
        """rule 43"""
        solo = make_solo(CONTROLLING, tie_breaker=10)
        (check,) = solo.checks()
        solo.answer(check, code=487)
        self.assertIs(solo.agent.role, CONTROLLED)
        self.assertNotEqual(solo.agent.tie_breaker, 10)
        self.assertEqual(solo.of(RoleChanged), [RoleChanged(CONTROLLED)])
        (again,) = solo.checks()
        self.assertNotEqual(again.transaction, check.transaction)
        self.assertEqual(parse(again.data).ice_controlled, solo.agent.tie_breaker)
        self.assertIsNone(parse(again.data).ice_controlling)

    def test_one_tie_breaker_is_in_all_checks(self) -> None:
        """rule 43"""
        duo = make_duo(5)
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        duo.run(20)
        seen = {m.ice_controlling for _, m, _ in duo.a.requests()}
        self.assertEqual(seen, {duo.a.agent.tie_breaker})

    def test_pair_priorities_follow_the_role(self) -> None:
        """rule 43"""
        solo = make_solo(CONTROLLING)
        pair = solo.agent.pairs[0]
        pair.remote_priority -= 1
        pair.rank(CONTROLLING)
        before = pair.priority
        (check,) = solo.checks()
        solo.answer(check, code=487)
        self.assertEqual(pair.priority, before - 1)


class StaleTests(SynchronousTestCase):
    """T26: the role of an attempt is remembered."""

    def test_a_487_from_before_a_role_swap_does_not_swap_back(self) -> None:
        """T26"""
        solo = make_solo(CONTROLLING, tie_breaker=10)
        (check,) = solo.checks()
        solo.check(controlling=True, tie_breaker=11)
        self.assertIs(solo.agent.role, CONTROLLED)
        tie_breaker = solo.agent.tie_breaker
        solo.answer(check, code=487)
        self.assertIs(solo.agent.role, CONTROLLED)
        self.assertEqual(solo.agent.tie_breaker, tie_breaker)
        self.assertEqual(len(solo.of(RoleChanged)), 1)

    def test_a_nominating_check_of_a_role_given_up_selects_nothing(self) -> None:
        """T26"""
        solo = make_solo(CONTROLLING, tie_breaker=10)
        (check,) = solo.checks()
        solo.answer(check)
        (nominating,) = solo.checks()
        solo.check(controlling=True, tie_breaker=11)
        self.assertIs(solo.agent.role, CONTROLLED)
        solo.answer(nominating)
        self.assertIsNone(solo.agent.selected)
        solo.check(nominated=True)
        self.assertIsNotNone(solo.agent.selected)

    def test_a_487_to_a_consent_check_changes_the_role_and_keeps_the_pair(self) -> None:
        solo = make_solo(CONTROLLING)
        solo.connect()
        consent = next(t for t in solo.wait(6.1) if t.transaction is not None)
        solo.answer(consent, code=487)
        self.assertIs(solo.agent.role, CONTROLLED)
        self.assertIsNotNone(solo.agent.selected)
        self.assertIsNot(solo.agent.state, IceState.FAILED)

    def test_a_peer_that_answers_487_for_ever_is_not_followed_for_ever(self) -> None:
        """T27"""
        solo = make_solo(CONTROLLING)
        for _ in range(50):
            checks = solo.checks()
            if not checks:
                break
            solo.answer(checks[0], code=487)
        self.assertLessEqual(solo.agent.role_changes, 8)
        self.assertEqual(solo.agent.pairs[0].state.value, "failed")


class AgreementTests(SynchronousTestCase):
    """T27: a conflict resolves once; rule 42: nothing else changes a role."""

    def _agree(self, duo: Duo) -> None:
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        roles = {side.agent.role for side in duo.sides}
        self.assertEqual(roles, {CONTROLLING, CONTROLLED})
        changes = sum(len(side.of(RoleChanged)) for side in duo.sides)
        self.assertEqual(changes, 1)
        duo.run(60)
        self.assertEqual(sum(len(side.of(RoleChanged)) for side in duo.sides), 1)
        duo.check_transitions()

    def test_both_controlling(self) -> None:
        """T27"""
        for seed, ties in enumerate([(1, 2), (2, 1), (None, None)]):
            self._agree(make_duo(seed, roles=(CONTROLLING, CONTROLLING), ties=ties))

    def test_both_controlled(self) -> None:
        """T27"""
        for seed, ties in enumerate([(1, 2), (2, 1), (None, None)]):
            self._agree(make_duo(seed, roles=(CONTROLLED, CONTROLLED), ties=ties))

    def test_with_loss_and_jitter_too(self) -> None:
        """T27"""
        for seed in range(30):
            roles = (CONTROLLING, CONTROLLING) if seed % 2 else (CONTROLLED, CONTROLLED)
            duo = make_duo(seed, roles=roles, jitter=0.08, loss=0.2)
            duo.add(duo.a, host(A1))
            duo.add(duo.b, host(B1))
            duo.introduce()
            duo.connect(60)
            duo.run(5)
            found = {side.agent.role for side in duo.sides}
            self.assertEqual(found, {CONTROLLING, CONTROLLED}, f"seed {seed}")
            for side in duo.sides:
                self.assertLessEqual(len(side.of(RoleChanged)), 2, f"seed {seed}")

    def test_a_conflict_costs_no_retransmission_timeout(self) -> None:
        duo = make_duo(4, roles=(CONTROLLING, CONTROLLING), ties=(1, 2))
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        started = duo.now
        duo.introduce()
        duo.connect()
        self.assertLess(duo.now - started, 0.2)

    def test_agreed_roles_stay(self) -> None:
        """rule 42"""
        duo = make_duo(4)
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        duo.run(60)
        self.assertEqual([s.of(RoleChanged) for s in duo.sides], [[], []])

    def test_a_lost_487_only_delays(self) -> None:
        duo = make_duo(4, roles=(CONTROLLING, CONTROLLING), ties=(2, 1))
        lost: list[bytes] = []

        def first_answers(_side: object, _base: object, _remote: object, data: bytes) -> bool:
            if not is_request(data) and len(lost) < 2:
                lost.append(data)
                return True
            return False

        duo.drop = first_answers
        duo.add(duo.a, host(A1))
        duo.add(duo.b, host(B1))
        duo.introduce()
        duo.connect()
        self.assertEqual(len(lost), 2)
