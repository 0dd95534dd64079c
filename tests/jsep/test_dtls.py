"""What descriptions say of DTLS, and when an association begins (RFC 8842, RFC 8122, rule 30)."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description, DtlsAgreed, Effect, InvalidAccessError, JsepError

from .sides import FINGERPRINT, PRANSWER, ROLLBACK, Side, connected, replaced, without

OTHER = FINGERPRINT.replace("AB", "CD")
Wire = Callable[[Description], Description]
SCHEDULES = int(os.environ.get("REFREEZE_SCHEDULES", "200"))


def said(description: Description, name: str) -> list[str]:
    """Every value of that attribute."""
    return re.findall(rf"a={name}:(\S+(?: \S+)?)\r\n", description.sdp)


def agreed(effects: list[Effect]) -> list[DtlsAgreed]:
    return [each for each in effects if isinstance(each, DtlsAgreed)]


def as_it_is(description: Description) -> Description:
    return description


def old(description: Description) -> Description:
    """As a browser writes it, and reads it."""
    return without(description, "tls-id")


def exchanged(
    offerer: Side, answerer: Side, *, restart: bool = True, wire: Wire = as_it_is
) -> list[list[DtlsAgreed]]:
    """What both sides' transports are told: the offerer's first."""
    answerer.take(wire(offerer.offer(restart=restart)))
    return answered(offerer, answerer, wire=wire)


def answered(
    offerer: Side, answerer: Side, *, provisional: bool = False, wire: Wire = as_it_is
) -> list[list[DtlsAgreed]]:
    """The second half of it."""
    answer = answerer.jsep.create_answer()
    if provisional:
        answer = Description(PRANSWER, answer.sdp)
    effects = answerer.did(answerer.jsep.set_local(answer))
    return [agreed(offerer.take(wire(answer))), agreed(effects)]


class DescriptionTests(SynchronousTestCase):
    """RFC 8842 section 5.1 to 5.3."""

    def test_an_offer_names_certificate_role_and_tls_id(self) -> None:
        offer = Side().offer()
        self.assertEqual(said(offer, "fingerprint"), [f"sha-256 {FINGERPRINT}"])
        self.assertEqual(said(offer, "setup"), ["actpass"])
        (tls_id,) = said(offer, "tls-id")
        self.assertGreaterEqual(len(tls_id) * 4, 120, "120 bits of randomness at least (5.1)")

    def test_every_offer_says_actpass_whatever_the_role_in_force(self) -> None:
        one, two = connected()
        for side in (one, two):
            for restart in (True, False):
                self.assertEqual(said(side.offer(restart=restart), "setup"), ["actpass"])
                side.did(side.jsep.set_local(ROLLBACK))

    def test_a_tls_id_is_kept_by_restarts_and_is_each_sides_own(self) -> None:
        one, two = connected()
        ids = set()
        for restart in (True, False, True):
            offer = one.offer(restart=restart)
            two.take(offer)
            answer = two.answer()
            one.take(answer)
            ids.add((said(offer, "tls-id")[0], said(answer, "tls-id")[0]))
        ((ours, theirs),) = ids
        self.assertNotEqual(ours, theirs)

    def test_creating_a_description_changes_nothing(self) -> None:
        one, two = connected()
        two.take(replaced(one.offer(restart=True), FINGERPRINT, OTHER))
        first = two.jsep.create_answer().sdp
        self.assertEqual(
            *(re.findall("a=tls-id:.*", sdp) for sdp in (first, two.jsep.create_answer().sdp))
        )

    def test_holdconn_is_refused_with_its_line(self) -> None:
        one, two = Side(1), Side(2)
        offer = replaced(one.offer(), "setup:actpass", "setup:holdconn")
        error = self.assertRaises(InvalidAccessError, two.take, offer)
        self.assertIn("holdconn", str(error))
        self.assertEqual(two.state, "stable")

    def test_nor_does_an_answer_say_holdconn(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        answer = replaced(two.answer(), "setup:active", "setup:holdconn")
        self.assertIn("holdconn", str(self.assertRaises(InvalidAccessError, one.take, answer)))
        self.assertEqual(one.state, "have-local-offer")

    def test_a_tls_id_answers_a_tls_id_only_section_5_3(self) -> None:
        one, two = Side(1), Side(2)
        two.take(old(one.offer()))
        self.assertEqual(said(two.answer(), "tls-id"), [])
        self.assertEqual(len(said(two.jsep.create_offer(), "fingerprint")), 1)

    def test_who_says_nothing_of_roles_offers_active_and_answers_passive_rfc_4145(self) -> None:
        one, two = Side(1), Side(2)
        two.take(without(one.offer(), "setup"))
        answer = two.answer()
        self.assertEqual(said(answer, "setup"), ["passive"])
        (ours,) = agreed(one.take(without(answer, "setup")))
        self.assertTrue(ours.client)

    def test_an_offer_that_has_chosen_gets_the_other_role(self) -> None:
        for chosen, other in (("active", "passive"), ("passive", "active")):
            one, two = Side(1), Side(2)
            two.take(replaced(one.offer(), "setup:actpass", f"setup:{chosen}"))
            self.assertEqual(said(two.answer(), "setup"), [other])


class AssociationTests(SynchronousTestCase):
    """When a new association begins, and when the one in force goes on (section 4)."""

    def test_the_first_answer_begins_one_with_opposite_roles(self) -> None:
        one, two = Side(1), Side(2)
        (ours,), (theirs,) = exchanged(one, two)
        self.assertEqual((ours.client, theirs.client), (False, True))
        self.assertEqual(ours.local_tls_id, theirs.remote_tls_id)
        self.assertEqual(ours.remote_tls_id, theirs.local_tls_id)
        self.assertEqual(ours.fingerprints, (f"sha-256 {FINGERPRINT}",))

    def test_an_ice_restart_alone_begins_none_rule_30(self) -> None:
        one, two = connected()
        for offerer, answerer in ((one, two), (two, one)):
            for restart in (True, False):
                self.assertEqual(exchanged(offerer, answerer, restart=restart), [[], []])

    def test_a_renewal_begins_one_under_a_new_tls_id_of_both(self) -> None:
        one, two = connected()
        before = said(one.offer(), "tls-id") + said(two.jsep.create_offer(), "tls-id")
        one.did(one.jsep.set_local(ROLLBACK))
        one.jsep.renew_dtls([("sha-256", OTHER)])
        (ours,), (theirs,) = exchanged(one, two, restart=False)
        self.assertEqual(theirs.fingerprints, (f"sha-256 {OTHER}",))
        self.assertNotIn(ours.local_tls_id, before)
        self.assertNotIn(ours.remote_tls_id, before)
        self.assertEqual(exchanged(one, two), [[], []], "and once only")

    def test_the_answerer_may_ask_for_one_too(self) -> None:
        one, two = connected()
        two.jsep.renew_dtls()
        self.assertEqual(exchanged(one, two, restart=False), [[], []], "not without a restart")
        (ours,), (theirs,) = exchanged(one, two)
        self.assertEqual(ours.remote_tls_id, theirs.local_tls_id)

    def test_a_wish_outlives_rollback_and_glare(self) -> None:
        one, two = connected()
        one.jsep.renew_dtls()
        one.offer()
        one.did(one.jsep.set_local(ROLLBACK))
        self.assertTrue(all(exchanged(one, two, restart=False)))
        two.jsep.renew_dtls()
        two.offer()
        self.assertTrue(all(exchanged(one, two)), "in glare it gives way, and its answer asks")

    def test_a_peer_that_was_killed_and_came_back_has_another(self) -> None:
        """With the same certificate: its tls-id tells. Either side may offer."""
        for we_offer in (True, False):
            one, _two = connected()
            reborn = Side(9)
            sides = (one, reborn) if we_offer else (reborn, one)
            self.assertTrue(all(exchanged(*sides)))
            self.assertEqual(exchanged(*sides), [[], []])

    def test_several_fingerprints_are_all_handed_on(self) -> None:
        one, two = Side(1), Side(2)
        more = f"sha-512 {':'.join(['0F'] * 64)}"
        line = f"a=fingerprint:sha-256 {FINGERPRINT}\r\n"
        two.take(replaced(one.offer(), line, f"{line}a=fingerprint:{more}\r\n"))
        (told,) = agreed(two.jsep.set_local(two.jsep.create_answer()))
        self.assertEqual(told.fingerprints, (f"sha-256 {FINGERPRINT}", more))

    def test_a_provisional_answer_begins_what_the_answer_confirms(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        self.assertEqual([len(each) for each in answered(one, two, provisional=True)], [1, 1])
        self.assertEqual(answered(one, two), [[], []])

    def test_what_a_provisional_answer_began_is_not_gone_on_with_after_a_rollback(self) -> None:
        one, two = connected()
        one.jsep.renew_dtls()
        two.take(one.offer())
        (given_up,), _ = answered(one, two, provisional=True)
        for side in (one, two):
            side.did(side.jsep.set_local(ROLLBACK))
        (ours,), (theirs,) = exchanged(one, two, restart=False)
        self.assertEqual(ours.local_tls_id, theirs.remote_tls_id)
        self.assertNotEqual(ours.local_tls_id, given_up.local_tls_id)

    def test_a_rollback_of_what_began_nothing_asks_for_nothing(self) -> None:
        one, two = connected()
        two.take(one.offer(restart=True))
        self.assertEqual(answered(one, two, provisional=True), [[], []])
        for side in (one, two):
            side.did(side.jsep.set_local(ROLLBACK))
        self.assertEqual(exchanged(one, two), [[], []])

    def test_a_wish_that_cannot_be_said_yet_leaves_roles_alone(self) -> None:
        one, two = connected()
        one.jsep.renew_dtls()  # the server of the two; the offer does not restart
        self.assertEqual(exchanged(two, one, restart=False), [[], []])
        self.assertTrue(all(exchanged(two, one)))

    def test_a_wish_between_offer_and_answer_is_of_the_next_exchange(self) -> None:
        one, two = Side(1), Side(2)
        two.take(one.offer())
        one.jsep.renew_dtls([("sha-256", OTHER)])
        answered(one, two)
        self.assertEqual(exchanged(two, one, restart=False), [[], []], "no restart, no change")
        _, (theirs,) = exchanged(one, two, restart=False)
        self.assertEqual(theirs.fingerprints, (f"sha-256 {OTHER}",))

    def test_a_wish_after_an_answer_was_made_is_not_fulfilled_by_it(self) -> None:
        one, two = connected()
        one.jsep.renew_dtls()
        two.take(one.offer())
        answer = two.jsep.create_answer()
        two.jsep.renew_dtls([("sha-256", OTHER)])
        two.did(two.jsep.set_local(answer))
        one.take(answer)
        self.assertEqual(said(two.offer(), "fingerprint"), [f"sha-256 {OTHER}"])


class OldPeerTests(SynchronousTestCase):
    """Peers that know no tls-id: fingerprints name the association (section 5.1)."""

    def test_their_association_goes_on_whoever_offers(self) -> None:
        """A restart begins none, as browsers have it, though 5.1 counts the ufrag."""
        for we_offer in (True, False):
            ours, theirs = Side(1), Side(2)
            sides = (ours, theirs) if we_offer else (theirs, ours)
            first = exchanged(*sides, wire=old)
            self.assertEqual([len(each) for each in first], [1, 1])
            for offerer, answerer in ((ours, theirs), (theirs, ours)):
                for restart in (True, False):
                    again = exchanged(offerer, answerer, restart=restart, wire=old)
                    self.assertEqual(again, [[], []])

    def test_another_fingerprint_of_theirs_begins_one(self) -> None:
        ours, theirs = Side(1), Side(2)
        exchanged(theirs, ours, wire=old)
        theirs.jsep.renew_dtls([("sha-256", OTHER)])
        (_, (told,)) = exchanged(theirs, ours, wire=old)
        self.assertEqual(told.fingerprints, (f"sha-256 {OTHER}",))

    def test_another_certificate_of_ours_begins_one_whoever_offers(self) -> None:
        for we_offer in (True, False):
            ours, theirs = Side(1), Side(2)
            exchanged(theirs, ours, wire=old)
            ours.jsep.renew_dtls([("sha-256", OTHER)])
            sides = (ours, theirs) if we_offer else (theirs, ours)
            self.assertTrue(all(exchanged(*sides, wire=old)))
            self.assertEqual(exchanged(*sides, wire=old), [[], []], "and once only")

    def test_a_renewal_that_they_cannot_see_keeps_their_role(self) -> None:
        """With the same certificate: it begins on our side only, and their role is what it was."""
        for we_offer in (True, False):
            ours, theirs = Side(1), Side(2)
            (first,), _ = exchanged(ours, theirs, wire=old)
            ours.jsep.renew_dtls()
            if we_offer:
                (told,), unseen = exchanged(ours, theirs, wire=old)
            else:
                unseen, (told,) = exchanged(theirs, ours, wire=old)
                assert ours.jsep.local_description is not None
                self.assertEqual(said(ours.jsep.local_description, "setup"), ["passive"])
            self.assertEqual((told.client, unseen), (first.client, []))

    def test_whoever_repeats_our_tls_id_has_none(self) -> None:
        """libdatachannel, in answers and in later offers; without a restart, too."""
        ours, theirs = Side(1), Side(2)
        offer = ours.offer()
        (tls_id,) = said(offer, "tls-id")

        def echo(description: Description) -> Description:
            return replaced(old(description), "a=setup", f"a=tls-id:{tls_id}\r\na=setup")

        theirs.take(old(offer))
        (told,) = agreed(ours.take(echo(theirs.answer())))
        self.assertIsNone(told.remote_tls_id)
        for restart in (False, True):
            for change in (echo, old):
                ours.take(change(theirs.offer(restart=restart)))
                effects = ours.did(ours.jsep.set_local(ours.jsep.create_answer()))
                self.assertEqual(agreed(effects), [])
                assert ours.jsep.local_description is not None
                theirs.take(old(ours.jsep.local_description))


class RandomTests(SynchronousTestCase):
    """Whatever was exchanged, lost or taken back: both sides mean one association when stable."""

    def test_both_sides_always_mean_the_same_association(self) -> None:
        self.play_all(as_it_is)

    def test_with_a_peer_that_knows_no_tls_id_too(self) -> None:
        self.play_all(old)

    def play_all(self, wire: Wire) -> None:
        seed = int(os.environ.get("REFREEZE_SEED", random.SystemRandom().getrandbits(32)))
        print(f"seed {seed}", end=" ")
        for number in range(seed, seed + SCHEDULES):
            try:
                self.play(random.Random(number), wire)
            except (JsepError, AssertionError) as error:
                self.fail(f"seed {number}: {error!r}")

    def play(self, draw: random.Random, wire: Wire) -> None:
        sides = Side(draw.getrandbits(32)), Side(draw.getrandbits(32))
        told: list[DtlsAgreed | None] = [None, None]
        for _ in range(draw.randrange(2, 12)):
            here = draw.randrange(2)
            one, two = sides[here], sides[1 - here]
            self.perhaps_renew(draw, one)
            offer = one.offer(restart=draw.random() < 0.6)
            self.perhaps_renew(draw, one)
            if draw.random() < 0.2:
                one.did(one.jsep.set_local(ROLLBACK))  # nobody heard of it
                continue
            if draw.random() < 0.2:
                two.offer(restart=True)  # glare: it gives way
            self.perhaps_renew(draw, two)
            two.take(wire(offer))
            for provisional in draw.choice(((False,), (True, False), (True,))):
                news = answered(one, two, provisional=provisional, wire=wire)
                for at, each in zip((here, 1 - here), news, strict=True):
                    told[at] = each[0] if each else told[at]
                self.perhaps_renew(draw, two)
            if one.state != "stable":
                for side in sides:
                    side.did(side.jsep.set_local(ROLLBACK))
        exchanged_last = exchanged(*sides, wire=wire)
        told = [
            each[0] if each else before for each, before in zip(exchanged_last, told, strict=True)
        ]
        self.check(told, wire)

    def perhaps_renew(self, draw: random.Random, side: Side) -> None:
        """With another certificate, or with the same."""
        match draw.randrange(12):
            case 0:
                value = ":".join([f"{draw.randrange(256):02X}"] * 32)
                side.jsep.renew_dtls([("sha-256", value)])
            case 1:
                side.jsep.renew_dtls()

    def check(self, told: list[DtlsAgreed | None], wire: Wire) -> None:
        ours, theirs = told
        assert ours is not None
        assert theirs is not None
        self.assertEqual(ours.client, not theirs.client)
        if wire is as_it_is:
            self.assertEqual(ours.local_tls_id, theirs.remote_tls_id)
            self.assertEqual(ours.remote_tls_id, theirs.local_tls_id)
