"""What descriptions say of DTLS, and when an association begins (RFC 8842, RFC 8122, rule 30)."""

from __future__ import annotations

import os
import random
import re

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description, DtlsAgreed, Effect, InvalidAccessError, JsepError

from .sides import FINGERPRINT, PRANSWER, ROLLBACK, Side, connected, replaced

OTHER = FINGERPRINT.replace("AB", "CD")
SCHEDULES = int(os.environ.get("REFREEZE_SCHEDULES", "200"))


def said(description: Description, name: str) -> list[str]:
    """Every value of that attribute."""
    return re.findall(rf"a={name}:(\S+(?: \S+)?)\r\n", description.sdp)


def agreed(effects: list[Effect]) -> list[DtlsAgreed]:
    return [each for each in effects if isinstance(each, DtlsAgreed)]


def exchanged(offerer: Side, answerer: Side, *, restart: bool = True) -> list[list[DtlsAgreed]]:
    """What both sides' transports are told: the offerer's first."""
    answerer.take(offerer.offer(restart=restart))
    effects = answerer.jsep.set_local(answerer.jsep.create_answer())
    answerer.did(effects)
    assert answerer.jsep.local_description is not None
    return [agreed(offerer.take(answerer.jsep.local_description)), agreed(effects)]


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
        provisional = Description(PRANSWER, two.jsep.create_answer().sdp)
        self.assertEqual(len(agreed(two.did(two.jsep.set_local(provisional)))), 1)
        self.assertEqual(len(agreed(one.take(provisional))), 1)
        answer = two.answer()
        self.assertEqual(agreed(one.take(answer)), [])


class RandomTests(SynchronousTestCase):
    """Whatever was exchanged, lost or taken back: both sides mean one association when stable."""

    def test_both_sides_always_mean_the_same_association(self) -> None:
        seed = int(os.environ.get("REFREEZE_SEED", random.SystemRandom().getrandbits(32)))
        print(f"seed {seed}", end=" ")
        for number in range(seed, seed + SCHEDULES):
            self.play(random.Random(number), number)

    def play(self, draw: random.Random, number: int) -> None:
        sides = Side(number), Side(number + 1)
        told: list[DtlsAgreed | None] = [None, None]
        for _ in range(draw.randrange(2, 12)):
            here = draw.randrange(2)
            one, two = sides[here], sides[1 - here]
            if draw.random() < 0.3:
                one.jsep.renew_dtls([("sha-256", draw.choice((FINGERPRINT, OTHER)))])
            if draw.random() < 0.2:
                two.jsep.renew_dtls()
            offer = one.offer(restart=draw.random() < 0.6)
            if draw.random() < 0.2:
                one.did(one.jsep.set_local(ROLLBACK))  # nobody heard of it
                continue
            if draw.random() < 0.2:
                two.offer(restart=True)  # glare: it gives way
            try:
                two.take(offer)
            except JsepError:
                self.fail(f"seed {number}: an offer of ours was refused")
            effects = two.did(two.jsep.set_local(two.jsep.create_answer()))
            answer = two.jsep.local_description
            assert answer is not None
            for at, news in ((1 - here, agreed(effects)), (here, agreed(one.take(answer)))):
                told[at] = news[0] if news else told[at]
        ours, theirs = told
        if ours is None or theirs is None:
            self.assertEqual(told, [None, None], f"seed {number}")
            return
        self.assertEqual(ours.client, not theirs.client, f"seed {number}")
        self.assertEqual(ours.local_tls_id, theirs.remote_tls_id, f"seed {number}")
        self.assertEqual(ours.remote_tls_id, theirs.local_tls_id, f"seed {number}")
