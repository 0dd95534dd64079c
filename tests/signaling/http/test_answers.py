"""Answers of a client to the daemon's offers, posted to the events of its resource."""

from __future__ import annotations

import json

from refreeze.signaling import EnvelopeKind
from refreeze.signaling.http.resources import JSON, SDP
from tests.signaling.http.kit import CANDIDATE, fragment, sdp
from tests.signaling.http.test_resources import ResourceTests

OFFER = EnvelopeKind.OFFER


class AnswerTests(ResourceTests):
    """The answer to an offer of the daemon's."""

    def setUp(self) -> None:
        super().setUp()
        self.place, self.etag = self.kit.begin()

    def test_an_answer_is_200_with_another_entity_tag(self) -> None:
        offer = self.kit.script.offer()
        reply = self.client.say(self.place, offer.id, sdp("client2", "active"))
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, JSON))
        self.assertEqual(json.loads(reply.body), {"etag": reply.headers["etag"]})
        self.assertNotEqual(reply.headers["etag"], self.etag)
        (answer,) = self.kit.script.of(EnvelopeKind.ANSWER)
        self.assertEqual((answer.offer, answer.sdp), (offer.id, sdp("client2", "active")))
        body = fragment("client2", f"a={CANDIDATE}")
        self.assertEqual(self.client.patch(self.place, body, self.etag).status, 412)
        self.assertEqual(self.client.patch(self.place, body, reply.headers["etag"]).status, 204)
        found = self.kit.script.of(EnvelopeKind.CANDIDATE)[0]
        self.assertEqual(found.generation, answer.generation)

    def test_what_was_an_answer_becomes_an_offer_when_the_client_restarts(self) -> None:
        """It leaves the role in DTLS to us again."""
        offer = self.kit.script.offer()
        self.client.say(self.place, offer.id, sdp("client2", "active"))
        self.assertEqual(self.client.patch(self.place, fragment("client3")).status, 200)
        offer = self.kit.script.of(OFFER)[-1].sdp or ""
        self.assertEqual(sorted(offer.splitlines()), sorted(sdp("client3").splitlines()))

    def test_an_offer_that_is_answered_replaced_or_given_up_is_409(self) -> None:
        first, second = self.kit.script.offer(), self.kit.script.offer()
        answer = sdp("client2", "active")
        self.assertEqual(self.client.say(self.place, first.id, answer).problem["status"], 409)
        self.assertEqual(self.client.say(self.place, second.id, answer).status, 200)
        other = sdp("client3", "active")
        self.assertEqual(self.client.say(self.place, second.id, other).problem["status"], 409)
        third = self.kit.script.offer()
        self.kit.stands = False
        self.assertEqual(self.client.say(self.place, third.id, answer).problem["status"], 409)
        self.assertEqual(len(self.kit.script.of(EnvelopeKind.ANSWER)), 1)

    def test_an_answer_that_the_session_refuses_is_422_and_the_old_one_counts(self) -> None:
        offer = self.kit.script.offer()
        self.kit.script.judging = lambda answer: self.kit.refuse("answer", "a=mid:0 is wanted")
        reply = self.client.say(self.place, offer.id, sdp("client2", "active"))
        self.assertEqual((reply.status, reply.problem["detail"]), (422, "a=mid:0 is wanted"))
        body = fragment("client1", f"a={CANDIDATE}")
        self.assertEqual(self.client.patch(self.place, body, self.etag).status, 204)
        found = self.kit.script.of(EnvelopeKind.CANDIDATE)[0]
        self.assertEqual(found.generation, self.kit.script.of(OFFER)[0].generation)

    def test_an_answer_to_a_resource_that_goes_is_404(self) -> None:
        offer = self.kit.script.offer()
        self.kit.script.judging = lambda answer: self.kit.carrier.leave()
        reply = self.client.say(self.place, offer.id, sdp("client2", "active"))
        self.assertEqual(reply.problem["status"], 404)

    def test_an_answer_of_which_nothing_is_heard_has_been_taken(self) -> None:
        """The session says nothing of one that began no round."""
        offer = self.kit.script.offer()
        self.kit.script.judging = lambda answer: None
        reply = self.client.say(self.place, offer.id, sdp("client2", "active"))
        self.assertEqual(reply.status, 200)

    def test_an_answer_that_is_said_again_changes_nothing(self) -> None:
        """The first response was lost, before or after the session took the answer."""
        offer, answer = self.kit.script.offer(), sdp("client2", "active")
        self.kit.script.judging = lambda envelope: None
        body = json.dumps({"type": "answer", "offer": offer.id, "sdp": answer})
        first = self.client.start("POST", f"{self.place}/events", body, Content_Type=JSON)
        self.kit.advance(0.1)
        replies = [self.client.say(self.place, offer.id, answer) for _ in range(2)]
        self.assertEqual([reply.status for reply in replies], [200, 200])
        self.assertEqual(len({reply.headers["etag"] for reply in replies}), 1)
        self.assertEqual(len(self.kit.script.of(EnvelopeKind.ANSWER)), 1)
        lost = first.take()
        assert lost is not None
        self.assertEqual(lost.status, 409)
        self.kit.script.offer()
        self.assertEqual(self.client.say(self.place, offer.id, answer).status, 409)

    def test_what_is_no_answer_is_refused_and_the_offer_stays_outstanding(self) -> None:
        offer = self.kit.script.offer()
        good = {"type": "answer", "offer": offer.id, "sdp": sdp("client2", "active")}
        for body, status in (
            ("", 400),
            ("[]", 400),
            ('"answer"', 400),
            ("{" * 60000, 400),
            ("[" * 60000, 400),
            ("1" * 5000, 400),
            (json.dumps({**good, "sdp": None}), 400),
            (json.dumps({**good, "sdp": "v=0"}), 400),
            (json.dumps({**good, "sdp": good["sdp"] + "a=\ud800\r\n"}), 400),
            (json.dumps({**good, "offer": 7}), 400),
            (json.dumps({**good, "type": "offer"}), 422),
            (json.dumps({**good, "offer": "\x00"}), 409),
        ):
            reply = self.client.ask("POST", f"{self.place}/events", body, Content_Type=JSON)
            self.assertEqual(reply.problem["status"], status, body[:80])
        reply = self.client.ask("POST", f"{self.place}/events", "{}", Content_Type=SDP)
        self.assertEqual((reply.status, reply.headers["accept-post"]), (415, JSON))
        self.assertEqual(self.kit.script.of(EnvelopeKind.ANSWER), [])
        self.assertEqual(self.client.say(self.place, offer.id, good["sdp"]).status, 200)
