"""Answering the peer's checks: errors, early checks, learnt candidates."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import AgentSettings, CandidateType, IceRole, IceState
from refreeze.ice.events import PairSelected
from refreeze.stun import (
    Attribute,
    MessageBuilder,
    MessageClass,
    Method,
    encode_indication,
    parse,
    short_term_key,
)
from tests.ice.duo import A1, A2, B1, B2, host, make_duo, signaled
from tests.ice.solo import PRIORITY, Solo, make_solo

WRONG = short_term_key("w" * 24)


def _request(solo: Solo) -> MessageBuilder:
    username = f"{solo.agent.local.ufrag}:{solo.peer.ufrag}"
    builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, solo.random.randbytes(12))
    return builder.add(Attribute.USERNAME, username.encode())


class ErrorTests(SynchronousTestCase):
    """RFC 8489 sections 6.3.1 and 9.1.3; no larger than the request, and not often."""

    def setUp(self) -> None:
        self.solo = make_solo(IceRole.CONTROLLED)
        self.solo.sent()
        self.key = short_term_key(self.solo.agent.local.pwd)

    def _codes(self) -> list[int]:
        return [message.error_code[0] for message in self.solo.parsed() if message.error_code]

    def test_a_request_without_integrity_gets_400(self) -> None:
        data = _request(self.solo).add(Attribute.PRIORITY, bytes(4)).build()
        self.solo.deliver(data)
        self.assertEqual(self._codes(), [400])

    def test_a_wrong_integrity_gets_401(self) -> None:
        self.solo.check(key=WRONG)
        self.assertEqual(self._codes(), [401])

    def test_an_unknown_required_attribute_gets_420_and_its_name(self) -> None:
        builder = _request(self.solo).add(Attribute.PRIORITY, bytes(4)).add(0x7777, b"1234")
        self.solo.deliver(builder.build(self.key))
        (answer,) = self.solo.parsed()
        assert answer.error_code is not None
        self.assertEqual(answer.error_code[0], 420)
        self.assertEqual(answer.unknown_attributes, (0x7777,))
        self.assertTrue(answer.verify(self.key))

    def test_a_check_without_priority_gets_400(self) -> None:
        self.solo.deliver(_request(self.solo).build(self.key))
        self.assertEqual(self._codes(), [400])
        self.assertEqual(self.solo.agent.answers.counters.bad_request, 1)

    def test_an_error_is_never_larger_than_an_unsigned_request(self) -> None:
        tiny = MessageBuilder(Method.BINDING, MessageClass.REQUEST, bytes(12))
        self.solo.deliver(tiny.build(fingerprint=False))
        self.assertEqual(self._codes(), [])
        self.assertEqual(self.solo.agent.answers.counters.suppressed, 1)

    def test_errors_are_rate_limited(self) -> None:
        for _ in range(100):
            self.solo.check(key=WRONG)
        self.assertEqual(self._codes(), [401] * 10)
        self.solo.now += 1.0
        self.solo.check(key=WRONG)
        self.assertEqual(self._codes(), [401])
        self.assertEqual(self.solo.agent.answers.counters.unauthenticated, 101)

    def test_without_a_rate_there_are_no_error_answers(self) -> None:
        solo = make_solo(settings=AgentSettings(max_error_answers=0))
        solo.sent()
        solo.check(key=WRONG)
        self.assertEqual(solo.sent(), [])

    def test_nothing_unsigned_changes_any_state(self) -> None:
        """T28"""
        agent = self.solo.agent
        before = (agent.role, agent.tie_breaker, agent.state, len(agent.pairs))
        self.solo.check(key=WRONG, controlling=False, tie_breaker=1, source=B2, nominated=True)
        self.solo.check(key=WRONG, nominated=True)
        self.assertEqual((agent.role, agent.tie_breaker, agent.state, len(agent.pairs)), before)
        self.assertIsNone(agent.data_pair)
        self.assertEqual(self.solo.of(PairSelected), [])

    def test_another_method_gets_silence(self) -> None:
        data = MessageBuilder(Method.ALLOCATE, MessageClass.REQUEST, bytes(12)).build(self.key)
        self.solo.deliver(data)
        self.solo.deliver(encode_indication(bytes(12)))
        self.assertEqual(self.solo.sent(), [])


class AnswerTests(SynchronousTestCase):
    """RFC 8445 section 7.3."""

    def test_a_check_is_answered_with_its_source_and_our_pwd(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        solo.sent()
        solo.check()
        answer = solo.parsed()[0]
        self.assertIs(answer.message_class, MessageClass.SUCCESS)
        self.assertEqual(answer.xor_mapped_address, B1)
        self.assertTrue(answer.verify(short_term_key(solo.agent.local.pwd)))

    def test_checks_are_answered_on_all_pairs_after_the_nomination(self) -> None:
        """Rule 47, rule 45."""
        solo = make_solo()
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.connect()
        solo.sent()
        for source in (B1, B2):
            solo.check(source=source)
            (answer,) = [m for m in solo.parsed() if m.message_class is MessageClass.SUCCESS]
            self.assertEqual(answer.xor_mapped_address, source)
        self.assertEqual(solo.agent.selected and solo.agent.selected.remote_address, B1)

    def test_a_retired_agent_answers_and_does_nothing_else(self) -> None:
        """T21, T24, rule 67: the old generation, draining."""
        solo = make_solo(IceRole.CONTROLLED)
        solo.agent.add_remote_candidate(signaled(host(B2)), solo.now)
        solo.connect()
        solo.agent.retire(solo.now)
        solo.sent()
        events = len(solo.of(object))
        solo.check(nominated=True, source=B2)
        solo.check(nominated=True, source=("198.51.100.1", 9))
        solo.check(nominated=True)
        self.assertEqual([m.message_class for m in solo.parsed()], [MessageClass.SUCCESS] * 3)
        self.assertEqual(len(solo.of(object)), events)
        self.assertIsNone(solo.agent.data_pair)
        self.assertIsNone(solo.agent.next_deadline())
        self.assertTrue(solo.agent.data_received(A1, B1, solo.now))

    def test_a_conflict_in_a_retired_generation_is_nobodys_business(self) -> None:
        """T27: roles live in the new generation."""
        solo = make_solo(IceRole.CONTROLLED)
        solo.connect()
        solo.agent.retire(solo.now)
        solo.sent()
        solo.check(controlling=False, tie_breaker=1)
        self.assertEqual([m.message_class for m in solo.parsed()], [MessageClass.SUCCESS])
        self.assertIs(solo.agent.role, IceRole.CONTROLLED)

    def test_a_closed_agent_is_silent(self) -> None:
        solo = make_solo()
        solo.connect()
        solo.agent.close(solo.now)
        solo.check()
        self.assertEqual(solo.sent(), [])
        self.assertIsNone(solo.agent.next_deadline())
        self.assertFalse(solo.agent.data_received(A1, B1, solo.now))


class EarlyTests(SynchronousTestCase):
    """Checks that arrive before the answer: answered at once, triggered later, bounded."""

    def test_an_early_check_is_answered_and_returned_when_the_answer_is_here(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        solo.check(nominated=True)
        self.assertEqual(len(solo.sent()), 1)
        solo.agent.set_remote(solo.peer, solo.now)
        (check,) = solo.checks()
        solo.answer(check)
        self.assertIsNotNone(solo.agent.selected)

    def test_an_early_check_from_an_unknown_address_makes_a_candidate(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False, candidates=False)
        solo.agent.add_local_candidate(host(A1), solo.now)
        solo.check()
        solo.agent.set_remote(solo.peer, solo.now)
        (remote,) = solo.agent.remote_candidates
        self.assertEqual((remote.type, remote.address), (CandidateType.PRFLX, B1))
        self.assertEqual(len(solo.checks()), 1)
        self.assertIs(solo.agent.state, IceState.CHECKING)

    def test_early_checks_are_bounded(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        for port in range(1, 101):
            solo.check(source=("198.51.100.1", port))
        self.assertEqual(len(solo.sent()), 100)
        counters = solo.agent.answers.counters
        self.assertEqual((counters.early, counters.early_dropped), (32, 68))
        solo.agent.set_remote(solo.peer, solo.now)
        self.assertEqual(len(solo.agent.pairs), 33)

    def test_an_early_nomination_is_not_forgotten_by_a_later_check(self) -> None:
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        solo.check(nominated=True)
        solo.check(nominated=False)
        solo.agent.set_remote(solo.peer, solo.now)
        solo.answer(solo.checks()[0])
        self.assertIsNotNone(solo.agent.selected)

    def test_an_early_check_of_somebody_else_starts_nothing(self) -> None:
        """T4: what untagged or late messages claim must not poison the round."""
        solo = make_solo(IceRole.CONTROLLED, remote=False)
        solo.check(ufrag="somebodyelse", nominated=True, source=B2)
        solo.check(ufrag="somebodyelse", nominated=True, source=B1)
        solo.agent.set_remote(solo.peer, solo.now)
        self.assertEqual(solo.agent.answers.counters.foreign, 2)
        self.assertIsNone(solo.agent.checklist.find(A1, B2))

    def test_a_check_across_generations_gets_no_answer(self) -> None:
        """T23, T27: a restarting browser checks with its new ufrag and our old one.

        From its new socket and from its old one, before it has our answer.
        """
        solo = make_solo(IceRole.CONTROLLING, tie_breaker=5)
        solo.sent()
        for source in (B1, B2):
            solo.check(ufrag="itsnext", source=source, controlling=True, tie_breaker=99)
        self.assertEqual(solo.sent(), [])
        self.assertEqual(solo.agent.answers.counters.foreign, 2)
        self.assertIs(solo.agent.role, IceRole.CONTROLLING)
        self.assertIsNone(solo.agent.checklist.find(A1, B2))
        solo.check()
        self.assertEqual(len(solo.sent()), 1)

    def test_a_check_where_no_candidate_of_ours_is_waits_and_is_not_answered_rule_16(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        solo.sent()
        solo.check(base=A2, source=B2, nominated=True)
        self.assertEqual(solo.sent(), [])
        self.assertEqual(solo.agent.answers.counters.early, 1)
        solo.agent.add_local_candidate(host(A2), solo.now)
        check = next(t for t in solo.checks() if t.base == A2 and t.remote == B2)
        solo.answer(check)
        self.assertEqual(solo.agent.selected and solo.agent.selected.base, A2)

    def test_a_role_conflict_is_settled_before_the_answer(self) -> None:
        solo = make_solo(IceRole.CONTROLLING, remote=False, tie_breaker=5)
        solo.check(controlling=True, tie_breaker=99)
        self.assertIs(solo.agent.role, IceRole.CONTROLLED)


class PeerReflexiveTests(SynchronousTestCase):
    """Rule 52 and T25: learnt candidates, and the signaled ones that take their place."""

    def _learnt(self) -> Solo:
        solo = make_solo(IceRole.CONTROLLED, candidates=False)
        solo.agent.add_local_candidate(host(A1), solo.now)
        solo.check()
        return solo

    def test_the_learnt_candidate_has_the_priority_of_the_check(self) -> None:
        """RFC 8445 section 7.3.1.3"""
        solo = self._learnt()
        (remote,) = solo.agent.remote_candidates
        self.assertEqual((remote.type, remote.priority), (CandidateType.PRFLX, PRIORITY))

    def test_learnt_candidates_have_foundations_of_their_own(self) -> None:
        solo = self._learnt()
        solo.check(source=B2)
        foundations = {c.foundation for c in solo.agent.remote_candidates}
        self.assertEqual(len(foundations), 2)

    def test_the_signaled_candidate_replaces_it_and_the_pair_keeps_its_priority(self) -> None:
        """rule 52"""
        solo = self._learnt()
        pair = solo.agent.pairs[0]
        priority = pair.priority
        candidate = signaled(host(B1))
        solo.agent.add_remote_candidate(candidate, solo.now)
        self.assertEqual(solo.agent.remote_candidates, [candidate])
        self.assertEqual(list(solo.agent.pairs), [pair])
        self.assertIs(pair.remote, candidate)
        self.assertEqual(pair.priority, priority)

    def test_replacement_in_mid_check_does_not_disturb_the_check(self) -> None:
        """T25"""
        solo = self._learnt()
        (check,) = solo.checks()
        solo.agent.add_remote_candidate(signaled(host(B1)), solo.now)
        self.assertEqual(solo.checks(), [])
        solo.answer(check)
        self.assertTrue(solo.agent.pairs[0].valid)

    def test_replacement_of_a_nominated_one_does_not_disconnect(self) -> None:
        """T25"""
        solo = self._learnt()
        (check,) = solo.checks()
        solo.answer(check)
        solo.check(nominated=True)
        selected = solo.agent.selected
        assert selected is not None
        solo.sent()
        events = len(solo.events)
        solo.agent.add_remote_candidate(signaled(host(B1)), solo.now)
        self.assertIs(solo.agent.selected, selected)
        self.assertIs(selected.remote.type, CandidateType.HOST)
        self.assertEqual((solo.sent(), len(solo.events)), ([], events))

    def test_a_signaled_duplicate_of_a_signaled_candidate_changes_nothing(self) -> None:
        solo = make_solo()
        known = list(solo.agent.remote_candidates)
        again = evolve(known[0], priority=1, foundation="zz")
        self.assertIsNone(solo.agent.add_remote_candidate(again, solo.now))
        self.assertEqual(solo.agent.remote_candidates, known)

    def test_learnt_candidates_are_bounded(self) -> None:
        solo = make_solo(IceRole.CONTROLLED)
        for port in range(1, 301):
            solo.check(source=("198.51.100.1", port))
        self.assertLessEqual(len(solo.agent.remote_candidates), 100)
        self.assertLessEqual(len(solo.agent.pairs), 100)

    def test_two_agents_that_signal_nothing_but_one_address_connect(self) -> None:
        duo = make_duo(3)
        duo.add(duo.b, host(B1))
        duo.add(duo.a, host(A1), tell=False)
        duo.introduce()
        duo.connect()
        selected = duo.b.agent.selected
        assert selected is not None
        self.assertIs(selected.remote.type, CandidateType.PRFLX)

    def test_the_answers_use_the_source_as_parsed(self) -> None:
        """A check over IPv6 is answered with an IPv6 mapped address."""
        duo = make_duo(3)
        duo.add(duo.a, host(("2001:db8::a", 1)))
        duo.add(duo.b, host(("2001:db8::b", 2)))
        duo.introduce()
        duo.connect()
        mapped = {parse(t.data).xor_mapped_address for _, _, t in duo.b.answers()}
        self.assertEqual(mapped, {("2001:db8::a", 1)})
