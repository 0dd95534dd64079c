"""What a session believes of its peer's envelopes, by the names of the pitfalls."""

from __future__ import annotations

from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.conversation import (
    MAX_HELD,
    MAX_TRICKLED,
    Conversation,
    Dropped,
    Reply,
    Resend,
)
from refreeze.signaling.envelope import MAX_EPOCH, Envelope, EnvelopeKind
from tests.signaling.talk import (
    BOB_EPOCH,
    applied,
    candidate,
    carry,
    life,
    pair,
    replies,
    round_of,
    sdp,
)


class RoundTests(SynchronousTestCase):
    def test_an_offer_to_a_peer_never_heard_of_is_acked_and_answered(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        self.assertFalse(alice.delivered)
        self.assertEqual(carry(offer, bob, alice), [offer])
        self.assertTrue(alice.delivered)
        self.assertEqual(alice.peer_epoch, BOB_EPOCH)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        self.assertEqual(carry(answer, alice, bob), [answer])
        self.assertIsNone(alice.resend_offer())

    def test_the_answer_alone_introduces_its_senders_epoch(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        assert answer is not None
        self.assertEqual(applied(alice.receive(answer)), [answer])
        self.assertEqual(alice.peer_epoch, BOB_EPOCH)

    def test_the_same_offer_is_sent_again_with_the_same_ids(self) -> None:
        alice, _ = pair()
        offer = alice.make_offer(sdp("aaaa"))
        self.assertEqual(alice.resend_offer(), offer)

    def test_the_last_applied_offer_sent_again_gets_the_stored_answer_again(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        trickled = bob.make_candidate(candidate("bbbb"))
        outcomes = bob.receive(offer)
        self.assertEqual(replies(outcomes), [answer, trickled])
        self.assertEqual(outcomes[-1], Dropped("duplicate"))
        self.assertEqual(bob.receive(offer), outcomes)

    def test_an_offer_sent_again_before_its_answer_is_only_acked_again(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        ack, dropped = bob.receive(offer)
        assert isinstance(ack, Reply)
        self.assertIs(ack.envelope.kind, EnvelopeKind.ACK)
        self.assertEqual(dropped, Dropped("duplicate"))

    def test_a_generation_is_never_used_again_not_even_after_a_rollback(self) -> None:
        alice, bob = pair()
        first = alice.make_offer(sdp("aaaa"))
        alice.withdraw_offer()
        second = alice.make_offer(sdp("cccc"))
        please = alice.make_restart_please("why")
        bob.receive(second)
        self.assertLess(first.generation, second.generation)
        self.assertLess(second.generation, please.generation)
        answers = bob.make_answer(sdp("bbbb"), second.id), bob.make_offer(sdp("dddd"))
        assert answers[0] is not None
        self.assertLess(answers[0].generation, answers[1].generation)

    def test_what_is_for_another_is_dropped(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        for change in ({"to": "carol"}, {"session": "other"}, {"from_": "carol"}):
            self.assertEqual(bob.receive(evolve(offer, **change)), [Dropped("not-ours")])

    def test_bye_ends_what_is_outstanding(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        alice.make_offer(sdp("aaaa"))
        bye = alice.make_bye("shutdown")
        self.assertEqual(carry(bye, bob, alice), [bye])
        self.assertEqual(alice.resend(), [])

    def test_a_bye_from_before_the_last_offer_is_too_late(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        bye = alice.make_bye("reload")
        round_of(alice, bob, "y")
        self.assertEqual(bob.receive(bye), [Dropped("old-generation")])

    def test_undeliverable_counts_only_for_what_is_outstanding(self) -> None:
        alice, _ = pair()
        offer = alice.make_offer(sdp("aaaa"))
        back = evolve(
            offer,
            id="u",
            from_="bob",
            to="alice",
            kind=EnvelopeKind.UNDELIVERABLE,
            sdp=None,
            offer=offer.id,
            reason="offline",
        )
        self.assertEqual(applied(alice.receive(back)), [back])
        self.assertIsNone(alice.peer_epoch)
        self.assertIsNotNone(alice.resend_offer())
        alice.withdraw_offer()
        self.assertEqual(alice.receive(back), [Dropped("not-current-offer")])


class EpochTests(SynchronousTestCase):
    """Lives of one side."""

    def test_a_restarted_peer_is_believed_from_its_offer_on(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=BOB_EPOCH + 1, offerer=False)
        offer = reborn.make_offer(sdp("rrrr"))
        self.assertEqual(offer.generation, 1)
        self.assertEqual(carry(offer, alice, reborn), [offer])
        self.assertEqual((alice.peer_epoch, alice.peer_generation), (BOB_EPOCH + 1, 1))

    def test_a_restarted_peer_is_believed_from_its_restart_please_on(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=BOB_EPOCH + 1, offerer=False)
        please = reborn.make_restart_please("started")
        self.assertEqual(carry(please, alice, reborn), [please])
        round_of(alice, reborn, "y")

    def test_a_restarted_peer_may_answer_the_offer_it_was_sent(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=BOB_EPOCH + 1, offerer=False)
        round_of(alice, reborn, "y")
        self.assertEqual(alice.peer_epoch, BOB_EPOCH + 1)

    def test_what_the_earlier_life_still_says_is_stale(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=BOB_EPOCH + 1, offerer=False)
        carry(reborn.make_restart_please("started"), alice, reborn)
        told = alice.receive(bob.make_offer(sdp("oooo")))
        self.assertEqual([e.known for e in replies(told)], [BOB_EPOCH + 1])
        self.assertEqual(
            alice.receive(bob.make_candidate(candidate("oooo"))), [Dropped("old-epoch")]
        )

    def test_a_machine_without_a_clock_is_not_shut_out(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=5, offerer=False)
        offer = reborn.make_offer(sdp("rrrr"))
        reborn.make_candidate(candidate("rrrr"))
        (got,) = carry(offer, alice, reborn)[:1]
        self.assertEqual((got.id, got.generation), (offer.id, offer.generation))
        self.assertEqual(reborn.epoch, BOB_EPOCH + 1)
        self.assertEqual(alice.peer_epoch, BOB_EPOCH + 1)
        self.assertEqual(alice.counters["applied"], 3)  # the answer, the offer, the candidate

    def test_a_restart_please_and_an_answer_are_sent_again_above_the_known_epoch_too(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        reborn = life("bob", epoch=5, offerer=False)
        (please,) = carry(reborn.make_restart_please("started"), alice, reborn)
        self.assertEqual(please.epoch, BOB_EPOCH + 1)
        late = life("bob", epoch=6, offerer=False)
        offer = alice.make_offer(sdp("cccc"))
        late.receive(offer)
        (answer,) = carry(late.make_answer(sdp("dddd"), offer.id), alice, late)
        self.assertEqual(answer.epoch, BOB_EPOCH + 2)

    def test_only_the_first_of_several_stales_raises_the_epoch(self) -> None:
        alice, _ = pair()
        alice.make_offer(sdp("aaaa"))
        stale = Envelope(
            id="s",
            from_="bob",
            to="alice",
            session="demo",
            epoch=9,
            generation=0,
            kind=EnvelopeKind.STALE,
            known=5000,
        )
        self.assertEqual(alice.receive(stale), [Resend()])
        self.assertEqual(alice.epoch, 5001)
        self.assertEqual(alice.receive(stale), [Dropped("raised-already")])
        self.assertEqual(
            alice.receive(evolve(stale, known=MAX_EPOCH)), [Dropped("epoch-exhausted")]
        )
        self.assertEqual([e.epoch for e in alice.resend()], [5001])

    def test_resending_never_brings_back_what_was_withdrawn(self) -> None:
        alice, _ = pair()
        alice.make_offer(sdp("aaaa"))
        alice.withdraw_offer()
        self.assertEqual(alice.resend(), [])


class PleaseTests(SynchronousTestCase):
    def test_a_restart_please_is_acked_and_applied_once(self) -> None:
        alice, bob = pair()
        please = bob.make_restart_please("failed")
        self.assertEqual(applied(alice.receive(please)), [please])
        again = alice.receive(please)
        self.assertEqual([e.kind for e in replies(again)], [EnvelopeKind.ACK])
        self.assertEqual(again[-1], Dropped("duplicate"))

    def test_a_restart_please_overtaken_by_a_newer_one_is_too_late(self) -> None:
        alice, bob = pair()
        first, second = bob.make_restart_please("one"), bob.make_restart_please("two")
        alice.receive(second)
        self.assertEqual(alice.receive(first), [Dropped("old-generation")])

    def test_a_restart_please_from_before_the_round_is_too_late(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        please = bob.make_restart_please("failed")
        round_of(alice, bob, "y")
        self.assertEqual(alice.receive(please), [Dropped("old-generation")])

    def test_an_offer_does_what_was_asked_for(self) -> None:
        alice, bob = pair()
        bob.make_restart_please("failed")
        self.assertEqual(len(bob.resend()), 1)
        carry(alice.make_offer(sdp("aaaa")), bob, alice)
        self.assertEqual(bob.resend(), [])

    def test_an_offer_made_before_the_restart_please_is_still_good(self) -> None:
        alice, bob = pair()
        offer, please = bob.make_offer(sdp("aaaa")), bob.make_restart_please("failed")
        alice.receive(please)
        self.assertEqual(applied(alice.receive(offer)), [offer])


class PitfallTests(SynchronousTestCase):
    """Lines of pitfalls.md, as far as envelopes can keep them out."""

    def test_T1_a_candidate_with_the_old_ufrag_after_the_restart_offer_is_dropped(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        carry(alice.make_offer(sdp("next")), bob, alice)
        late = alice.make_candidate(candidate("xA"))
        self.assertEqual(bob.receive(late), [Dropped("old-generation")])

    def test_T1_even_when_it_was_sent_before_the_offer_that_overtook_it(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        slow = alice.make_candidate(candidate("aaaa"))
        bob.receive(alice.make_offer(sdp("next")))
        self.assertEqual(bob.receive(slow), [Dropped("old-generation")])

    def test_T2_a_candidate_before_its_description_is_held_and_then_applied(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        offer = alice.make_offer(sdp("next"))
        early = [alice.make_candidate(candidate("next")), alice.make_end("next")]
        for envelope in early:
            self.assertEqual(bob.receive(envelope), [])
        self.assertEqual(applied(bob.receive(offer)), [offer, *early])

    def test_T2_held_candidates_are_bounded_and_the_newest_stay(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        offer = alice.make_offer(sdp("next"))
        early = [alice.make_candidate(candidate("next")) for _ in range(MAX_HELD + 5)]
        for envelope in early:
            bob.receive(envelope)
        self.assertEqual(bob.counters["too-many-held"], 5)
        self.assertEqual(applied(bob.receive(offer)), [offer, *early[5:]])

    def test_T2_held_candidates_of_a_description_that_never_came_are_dropped(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        alice.make_offer(sdp("lost"))
        bob.receive(alice.make_candidate(candidate("lost")))
        offer = alice.make_offer(sdp("next"))
        outcomes = bob.receive(offer)
        self.assertEqual(applied(outcomes), [offer])
        self.assertIn(Dropped("old-generation"), outcomes)

    def test_T3_a_candidate_without_ufrag_belongs_to_its_envelopes_generation(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        old = alice.make_candidate(candidate(None))
        end = alice.make_end(None)
        bob.receive(alice.make_offer(sdp("next")))
        new = alice.make_candidate(candidate(None))
        self.assertEqual(bob.receive(old), [Dropped("old-generation")])
        self.assertEqual(bob.receive(end), [Dropped("old-generation")])
        self.assertEqual(applied(bob.receive(new)), [new])

    def test_T5_duplicates_of_a_running_round_change_nothing(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        trickled = bob.make_candidate(candidate("bbbb"))
        assert answer is not None
        alice.receive(answer)
        self.assertEqual(applied(alice.receive(trickled)), [trickled])
        self.assertEqual(alice.receive(trickled), [Dropped("duplicate")])
        self.assertEqual(alice.receive(answer), [Dropped("old-generation")])
        forged = evolve(offer, id="other", sdp=sdp("evil"))
        self.assertEqual(bob.receive(forged), [Dropped("old-generation")])
        self.assertIsNone(bob.make_answer(sdp("cccc"), offer.id))

    def test_T5_more_candidates_than_a_round_may_have_are_dropped(self) -> None:
        alice, bob = pair()
        bob.receive(alice.make_offer(sdp("aaaa")))
        for _ in range(MAX_TRICKLED + 3):
            bob.receive(alice.make_candidate(candidate("aaaa")))
        self.assertEqual(bob.counters["too-many-candidates"], 3)
        self.assertEqual(len(alice.resend()), 1 + MAX_TRICKLED)

    def test_T10_generations_of_two_owners_and_two_lives_are_never_compared(self) -> None:
        alice, bob = pair()
        for number in range(7):
            round_of(alice, bob, f"x{number}")
        self.assertEqual((alice.generation, bob.generation), (7, 7))
        reborn = life("bob", epoch=BOB_EPOCH + 1, offerer=False)
        offer = reborn.make_offer(sdp("rrrr"))
        self.assertEqual(offer.generation, 1)
        self.assertEqual(applied(alice.receive(offer)), [offer])

    def test_T10_an_answer_is_tied_to_its_offer_by_id_not_by_number(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        assert answer is not None
        self.assertEqual(
            alice.receive(evolve(answer, offer="alice-0-1")), [Dropped("not-current-offer")]
        )

    def test_T11_in_glare_the_offerers_offer_stands_and_both_end_in_one_round(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        hers, his = alice.make_offer(sdp("hers")), bob.make_offer(sdp("his1"))
        his_candidate = bob.make_candidate(candidate("his1"))
        self.assertEqual(alice.glare_winner(), "alice")
        self.assertEqual(bob.glare_winner(), "alice")
        # Alice hears his, wins, ignores it and its candidates.
        self.assertTrue(alice.in_glare())
        self.assertEqual(applied(alice.receive(his)), [his])
        alice.ignore(his)
        self.assertEqual(applied(alice.receive(his_candidate)), [])
        # Bob hears hers, rolls back, answers.
        self.assertTrue(bob.in_glare())
        self.assertEqual(applied(bob.receive(hers)), [hers])
        bob.withdraw_offer()
        answer = bob.make_answer(sdp("bobs"), hers.id)
        assert answer is not None
        outcomes = alice.receive(answer)
        self.assertEqual(applied(outcomes), [answer])
        self.assertIn(Dropped("old-generation"), outcomes)  # the candidate of his offer
        # His own offer, late from the network once more, is stale.
        self.assertEqual(alice.receive(his), [Dropped("old-generation")])
        self.assertFalse(alice.in_glare() or bob.in_glare())

    def test_T11_an_ignored_offer_is_good_once_the_winners_own_is_withdrawn(self) -> None:
        alice, bob = pair()
        round_of(alice, bob, "x")
        alice.make_offer(sdp("hers"))
        his, trickled = bob.make_offer(sdp("his1")), bob.make_candidate(candidate("his1"))
        alice.receive(his)
        alice.ignore(his)
        alice.receive(trickled)
        alice.withdraw_offer()
        again = bob.resend_offer()
        assert again is not None
        self.assertEqual(applied(alice.receive(again)), [his, trickled])

    def test_T11_answering_ends_our_own_offer(self) -> None:
        alice, bob = pair()
        bob.make_offer(sdp("his1"))
        hers = alice.make_offer(sdp("hers"))
        bob.receive(hers)
        self.assertIsNotNone(bob.make_answer(sdp("bobs"), hers.id))
        self.assertIsNone(bob.offer_id)

    def test_T12_the_newest_of_our_offers_counts_and_the_answer_to_the_older_is_inert(self) -> None:
        alice, bob = pair()
        first = alice.make_offer(sdp("aaaa"))
        bob.receive(first)
        late = bob.make_answer(sdp("bbbb"), first.id)
        second = alice.make_offer(sdp("cccc"))
        assert late is not None
        self.assertEqual(alice.receive(late), [Dropped("not-current-offer")])
        self.assertEqual(alice.offer_id, second.id)

    def test_T12_an_answer_finished_after_a_newer_offer_came_is_not_sent(self) -> None:
        alice, bob = pair()
        first, second = alice.make_offer(sdp("aaaa")), alice.make_offer(sdp("cccc"))
        bob.receive(first)
        bob.receive(second)
        self.assertIsNone(bob.make_answer(sdp("bbbb"), first.id))
        self.assertIsNotNone(bob.make_answer(sdp("dddd"), second.id))

    def test_T12_an_answer_to_a_withdrawn_offer_is_inert(self) -> None:
        alice, bob = pair()
        offer = alice.make_offer(sdp("aaaa"))
        bob.receive(offer)
        answer = bob.make_answer(sdp("bbbb"), offer.id)
        alice.withdraw_offer()
        assert answer is not None
        self.assertEqual(alice.receive(answer), [Dropped("not-current-offer")])

    def test_T15_a_new_offer_during_an_unfinished_round_is_applied(self) -> None:
        alice, bob = pair()
        bob.receive(alice.make_offer(sdp("aaaa")))
        newer = alice.make_offer(sdp("cccc"))
        self.assertEqual(applied(bob.receive(newer)), [newer])

    def test_T15_and_nothing_loops(self) -> None:
        alice, bob = pair()
        hers, his = alice.make_offer(sdp("hers")), bob.make_offer(sdp("his1"))
        carry(hers, bob, alice)
        carry(his, alice, bob)
        sent = alice.generation + bob.generation
        for _ in range(5):
            carry(alice.resend_offer(), bob, alice)
            carry(bob.resend_offer(), alice, bob)
        self.assertEqual(alice.generation + bob.generation, sent)


class DisorderTests(SynchronousTestCase):
    """Whatever the carrier does, both sides agree in the end."""

    def test_loss_duplication_and_reordering_never_mix_rounds(self) -> None:
        print("seeds 0 to 59")
        for seed in range(60):
            alice, bob = pair()
            self._storm(Random(seed), alice, bob)
            round_of(alice, bob, "last")
            self.assertEqual(
                (alice.peer_generation, bob.peer_generation), (bob.generation, alice.generation)
            )

    def _storm(self, random: Random, alice: Conversation, bob: Conversation) -> None:
        """200 random acts; an applied answer is always to the offer that was current."""
        air: list[Envelope] = []
        for step in range(200):
            side = random.choice((alice, bob))
            match random.randrange(6):
                case 0:
                    air.append(side.make_offer(sdp(f"u{step}")))
                case 1:
                    air.append(side.make_candidate(candidate(None)))
                case 2:
                    air += side.resend()
                case 3:
                    air.append(side.make_restart_please("x"))
                case _ if air:
                    envelope = random.choice(air)
                    if random.random() < 0.7:
                        air.remove(envelope)
                    self._hear(alice if envelope.to == "alice" else bob, envelope, air, step)

    def _hear(self, side: Conversation, envelope: Envelope, air: list[Envelope], n: int) -> None:
        current = side.offer_id
        outcomes = side.receive(envelope)
        air += replies(outcomes)
        for got in applied(outcomes):
            if got.kind is EnvelopeKind.ANSWER:
                self.assertEqual(got.offer, current)
            if got.kind is EnvelopeKind.CANDIDATE:
                self.assertEqual(got.generation, side.peer_generation)
            if got.kind is EnvelopeKind.OFFER:
                answer = side.make_answer(sdp(f"a{n}"), got.id)
                assert answer is not None
                air.append(answer)
