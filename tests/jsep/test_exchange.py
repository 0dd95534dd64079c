"""Two negotiators exchange descriptions: restart, rollback, glare, by the rules."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import (
    AbandonGeneration,
    Description,
    DescriptionType,
    IceDropped,
    InvalidAccessError,
    InvalidStateError,
    Negotiator,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.effects import Effect
from refreeze.sdp import SessionDescription

ROLLBACK = Description(DescriptionType.ROLLBACK)


class Peer:
    """A negotiator, its queued tasks, and what it fired."""

    def __init__(self, seed: int) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.fired: list[str] = []
        self.negotiator = Negotiator(
            random=random.Random(seed),
            queue_task=self.tasks.append,
            fingerprints=[("sha-256", f"AA:BB:{seed:02X}")],
            on_fire=self.fired.append,
        )

    def run_tasks(self) -> None:
        """Until there is none."""
        while self.tasks:
            self.tasks.pop(0)()

    def credentials(self, description: Description | None) -> object:
        """Those of the section whose transport is used."""
        assert description is not None
        tagged = SessionDescription.parse(description.sdp).tagged
        assert tagged is not None
        return tagged.credentials


def kinds(effects: list[Effect]) -> list[type]:
    """What there is to do, without values."""
    return [type(effect) for effect in effects]


class ExchangeTests(SynchronousTestCase):
    """Both sides of RFC 9429's machine."""

    def setUp(self) -> None:
        self.a, self.b = Peer(1), Peer(2)

    def exchange(self, offerer: Peer, answerer: Peer, *, restart: bool = False) -> list[Effect]:
        """A whole exchange; the offerer's effects."""
        one, two = offerer.negotiator, answerer.negotiator
        effects = one.set_local(one.create_offer(restart))
        two.set_remote(one.local_description)
        two.set_local()
        return effects + one.set_remote(two.local_description)

    def test_the_first_exchange_stages_and_starts(self) -> None:
        """rule 22: gathering begins when our description is applied, checks with the answer."""
        effects = self.exchange(self.a, self.b)
        self.assertIn(StageGeneration, kinds(effects))
        self.assertIn(StartGeneration, kinds(effects))
        self.assertEqual(self.a.negotiator.signaling_state, "stable")

    def test_creating_an_offer_changes_nothing(self) -> None:
        """rule 7, T7: two restart offers that are never applied."""
        self.exchange(self.a, self.b)
        before = self.a.negotiator.current_local
        self.a.negotiator.create_offer(True)
        self.a.negotiator.create_offer(True)
        self.assertEqual(self.a.negotiator.current_local, before)
        self.assertEqual(self.a.negotiator.signaling_state, "stable")

    def test_a_restart_offer_has_other_credentials_and_no_restart_has_the_same(self) -> None:
        """rules 6 and 18: ufrag and pwd change together, or not at all."""
        self.exchange(self.a, self.b)
        old = self.a.credentials(self.a.negotiator.current_local)
        self.assertEqual(self.a.credentials(self.a.negotiator.create_offer()), old)
        new = self.a.credentials(self.a.negotiator.create_offer(True))
        self.assertNotEqual((new.ufrag, new.pwd), (old.ufrag, old.pwd))
        self.assertNotEqual(new.ufrag, old.ufrag)
        self.assertNotEqual(new.pwd, old.pwd)

    def test_the_answer_to_a_restart_has_new_credentials_too(self) -> None:
        """rules 18 and 19, T8; a re-offer without one repeats them."""
        self.exchange(self.a, self.b)
        first = self.b.credentials(self.b.negotiator.current_local)
        self.exchange(self.a, self.b)
        self.assertEqual(self.b.credentials(self.b.negotiator.current_local), first)
        self.exchange(self.a, self.b, restart=True)
        self.assertNotEqual(self.b.credentials(self.b.negotiator.current_local), first)

    def test_a_changed_ufrag_or_a_changed_pwd_is_a_restart(self) -> None:
        """T6: either-or on input."""
        for changed in ("ufrag", "pwd"):
            self.setUp()
            self.exchange(self.a, self.b)
            old = self.a.credentials(self.a.negotiator.current_local)
            offer = self.a.negotiator.create_offer(True)
            new = self.a.credentials(offer)
            kept = "pwd" if changed == "ufrag" else "ufrag"
            sdp = offer.sdp.replace(getattr(new, kept), getattr(old, kept))
            self.b.negotiator.set_remote(Description(DescriptionType.OFFER, sdp))
            self.assertIn(StageGeneration, kinds(self.b.negotiator.set_local()), changed)

    def test_rollback_leaves_all_as_it_was(self) -> None:
        """rule 26: the old credentials are in force, the staged generation is abandoned."""
        self.exchange(self.a, self.b)
        before = self.a.negotiator.current_local
        self.a.negotiator.set_local(self.a.negotiator.create_offer(True))
        effects = self.a.negotiator.set_local(ROLLBACK)
        self.assertIn(AbandonGeneration, kinds(effects))
        self.assertEqual(self.a.negotiator.local_description, before)
        self.assertRaises(InvalidStateError, self.a.negotiator.set_local, ROLLBACK)

    def test_both_descriptions_are_served_while_an_offer_is_out(self) -> None:
        """rule 25: current stays beside pending."""
        self.exchange(self.a, self.b)
        current = self.a.negotiator.current_local
        self.a.negotiator.set_local(self.a.negotiator.create_offer(True))
        self.assertEqual(self.a.negotiator.current_local, current)
        self.assertNotEqual(self.a.negotiator.pending_local, None)

    def test_an_offer_in_have_local_offer_rolls_ours_back(self) -> None:
        """rule 28, T11: and a malformed one leaves the state."""
        self.exchange(self.a, self.b)
        self.a.negotiator.set_local(self.a.negotiator.create_offer(True))
        bad = Description(DescriptionType.OFFER, "v=0\r\nnonsense\r\n")
        self.assertRaises(InvalidAccessError, self.a.negotiator.set_remote, bad)
        self.assertEqual(self.a.negotiator.signaling_state, "have-local-offer")
        self.b.negotiator.set_local(self.b.negotiator.create_offer(True))
        effects = self.a.negotiator.set_remote(self.b.negotiator.local_description)
        self.assertIn(AbandonGeneration, kinds(effects))
        self.assertEqual(self.a.negotiator.signaling_state, "have-remote-offer")

    def test_an_answer_must_restart_when_the_offer_did_and_only_then(self) -> None:
        """rule 23."""
        self.exchange(self.a, self.b)
        old = self.b.negotiator.current_local
        self.a.negotiator.set_local(self.a.negotiator.create_offer(True))
        self.assertRaises(InvalidAccessError, self.a.negotiator.set_remote, old)

    def test_an_answer_without_ice_makes_the_next_offer_restart(self) -> None:
        """rule 37: the session is not dropped."""
        self.exchange(self.a, self.b)
        old = self.a.credentials(self.a.negotiator.current_local)
        self.a.negotiator.set_local(self.a.negotiator.create_offer(True))
        answer = self.b.negotiator.current_local.sdp
        bare = "".join(
            line for line in answer.splitlines(keepends=True) if not line.startswith("a=ice-")
        )
        effects = self.a.negotiator.set_remote(Description(DescriptionType.ANSWER, bare))
        self.assertIn(IceDropped, kinds(effects))
        self.assertNotEqual(self.a.credentials(self.a.negotiator.create_offer()), old)

    def test_restart_ice_is_announced_once_and_survives_a_rollback(self) -> None:
        """rules 1 to 5, 9 and 10."""
        self.a.negotiator.restart_ice()
        self.a.run_tasks()
        self.assertEqual(self.a.fired, [])  # rule 2: nothing was exchanged yet
        self.exchange(self.a, self.b)
        old = self.a.credentials(self.a.negotiator.current_local)
        self.a.negotiator.restart_ice()
        self.a.negotiator.restart_ice()
        self.a.run_tasks()
        self.assertEqual(self.a.fired, ["negotiationneeded"])
        self.a.negotiator.set_local()
        self.a.negotiator.set_local(ROLLBACK)
        self.a.run_tasks()
        self.assertEqual(self.a.fired, ["negotiationneeded"] * 2)
        self.assertNotEqual(self.a.credentials(self.a.negotiator.create_offer()), old)
        self.exchange(self.a, self.b)
        self.a.run_tasks()
        self.assertEqual(len(self.a.fired), 2)

    def test_a_peer_that_was_started_again_is_answered(self) -> None:
        """New o=, ufrag and fingerprint in one offer: a restart, legal in stable."""
        self.exchange(self.a, self.b)
        reborn = Peer(3)
        self.exchange(reborn, self.b)
        self.assertEqual(self.b.negotiator.signaling_state, "stable")
        self.exchange(self.b, Peer(4), restart=True)

    def test_a_changed_fingerprint_without_a_restart_is_refused(self) -> None:
        """rule 30."""
        self.exchange(self.a, self.b)
        offer = self.a.negotiator.create_offer()
        sdp = offer.sdp.replace("AA:BB", "CC:DD")
        self.assertRaises(
            InvalidAccessError,
            self.b.negotiator.set_remote,
            Description(DescriptionType.OFFER, sdp),
        )

    def test_no_password_in_what_is_printed(self) -> None:
        """repr of a description; the text of a refusal."""
        offer = self.a.negotiator.create_offer()
        pwd = self.a.credentials(offer).pwd
        self.assertNotIn(pwd, repr(offer))
        broken = Description(DescriptionType.OFFER, offer.sdp.replace(pwd, "x" + pwd[:10]))
        error = self.assertRaises(InvalidAccessError, self.b.negotiator.set_remote, broken)
        self.assertNotIn(pwd[:10], str(error))
