"""Offers of real peers, answered (tests/corpus)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import AddRemoteCandidate, Description, Negotiator, StartGeneration
from refreeze.sdp import SessionDescription
from tests.corpus import OFFERS, load

from .sides import OFFER, Side, only

parse = SessionDescription.parse


def answered(jsep: Negotiator, sdp: str) -> tuple[SessionDescription, list[str]]:
    """Our answer, and what follows for ICE: the peer's ufrags."""
    jsep.set_remote(Description(OFFER, sdp))
    effects = jsep.set_local(jsep.create_answer())
    assert jsep.local_description is not None
    ufrags = [each.remote.ufrag for each in only(effects, StartGeneration)]
    told = {each.remote_ufrag for each in only(effects, AddRemoteCandidate)}
    assert told <= set(ufrags)
    return parse(jsep.local_description.sdp), ufrags


class OfferTests(SynchronousTestCase):
    """Every offer of the corpus is taken, and every answer could be sent."""

    def test_every_offer_is_answered_section_by_section(self) -> None:
        for name in OFFERS:
            answer, _ = answered(Side().jsep, load(name))
            offer = parse(load(name))
            self.assertEqual(
                [(media.kind, media.mid) for media in answer.media],
                [(media.kind, media.mid) for media in offer.media],
                name,
            )

    def test_data_is_taken_wherever_it_stands(self) -> None:
        for name in (name for name in OFFERS if "application" in load(name)):
            answer, ufrags = answered(Side().jsep, load(name))
            taken = [media for media in answer.media if not media.rejected]
            self.assertIn("application", [media.kind for media in taken], name)
            self.assertEqual(len(ufrags), 1, name)

    def test_a_restart_is_answered_with_new_credentials_rule_19(self) -> None:
        for name in (name for name in OFFERS if name.endswith("_restart")):
            side = Side()
            first, _ = answered(side.jsep, load(name.replace("restart", "data")))
            second, _ = answered(side.jsep, load(name))
            self.assertNotEqual(first.media[0].credentials, second.media[0].credentials, name)
