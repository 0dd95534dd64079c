"""What real stacks offer, posted to a whole daemon."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen
from twisted.trial.unittest import SynchronousTestCase

from refreeze.ice import Credentials
from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import Fragment, fragment_of
from tests.corpus import OFFERS, load
from tests.signaling.http.browser import Street
from tests.signaling.http.kit import CANDIDATE

DATA = [name for name in OFFERS if "m=application" in load(name)]
TAGGED_ALONE = ("gstreamer_media", "pion_media", "libdatachannel_media")
"""Offers whose only candidates are those of the audio section that all are bundled with."""


@frozen
class Posted:
    """One offer, and what came of it."""

    street: Street
    offer: SessionDescription
    reply: Any

    @property
    def place(self) -> str:
        return str(self.reply.headers["location"])

    @property
    def ice(self) -> Any:
        """The daemon's transport."""
        return self.street.session.connection.iceTransport

    def restart(self, credentials: Credentials, candidate: str) -> Any:
        """By a fragment of the section that the client offered as the tagged one."""
        mine = fragment_of(self.offer)
        section = evolve(mine.sections[0], credentials=credentials, candidates=[candidate])
        fragment = evolve(mine, sections=[section], credentials=credentials)
        return self.street.browser.client.patch(self.place, fragment.format())


class RealOfferTests(SynchronousTestCase):
    """Chromium, Firefox, libwebrtc, aiortc, pion, GStreamer, libdatachannel."""

    def post(self, name: str) -> Posted:
        """One of the corpus, to a daemon of its own."""
        street = Street()
        self.addCleanup(street.end)
        reply = street.browser.client.post(load(name))
        street.advance(0.1)
        return Posted(street, SessionDescription.parse(load(name)), reply)

    def test_each_with_data_gets_an_answer_and_restarts_by_a_fragment_rules_69_and_71(self) -> None:
        self.assertGreater(len(DATA), 15)
        for number, name in enumerate(DATA):
            posted = self.post(name)
            self.assertEqual(posted.reply.status, 201, name)
            answer = SessionDescription.parse(posted.reply.text)
            self.assertEqual(len(answer.media), len(posted.offer.media), name)
            self.assertEqual([m.kind for m in answer.media if not m.rejected], ["application"])
            for again in range(2):
                credentials = Credentials(f"new{again}", f"n{again}" * 12)
                candidate = CANDIDATE.replace("5000", str(5000 + number))
                reply = posted.restart(credentials, candidate)
                self.assertEqual(reply.status, 200, name)
                found = Fragment.parse(reply.text)
                self.assertEqual(posted.ice.getRemoteParameters().usernameFragment, f"new{again}")
                assert found.credentials is not None
                local = posted.ice.getLocalParameters().usernameFragment
                self.assertEqual(local, found.credentials.ufrag, name)
                self.assertIn(
                    5000 + number, [each.port for each in posted.ice.getRemoteCandidates()]
                )

    def test_candidates_of_a_bundled_section_that_we_reject_are_taken_all_the_same(self) -> None:
        """They are the bundle's: audio and data would use one transport."""
        for name in TAGGED_ALONE:
            posted = self.post(name)
            first = posted.ice.getRemoteCandidates()
            self.assertNotEqual(first, [], name)
            (section,) = fragment_of(posted.offer).sections
            wanted = len(first) + (not section.ended)  # after the end there is none
            section = evolve(section, candidates=[CANDIDATE])
            fragment = evolve(fragment_of(posted.offer), sections=[section])
            client, etag = posted.street.browser.client, posted.reply.headers["etag"]
            self.assertEqual(client.patch(posted.place, fragment.format(), etag).status, 204)
            posted.street.advance(0.1)
            self.assertEqual(len(posted.ice.getRemoteCandidates()), wanted, name)

    def test_an_offer_without_data_is_422_and_makes_no_resource(self) -> None:
        for name in sorted(set(OFFERS) - set(DATA)):
            posted = self.post(name)
            self.assertEqual(posted.reply.problem["status"], 422, name)
            self.assertEqual(posted.street.gate.supervisor.status()["http_clients"], 0)

    def test_and_it_leaves_whoever_is_there(self) -> None:
        posted = self.post("chromium_data")
        client, etag = posted.street.browser.client, posted.reply.headers["etag"]
        self.assertEqual(client.post(load("chromium_recvonly")).status, 422)
        body = fragment_of(posted.offer).format()
        self.assertEqual(client.patch(posted.place, body, etag).status, 204)

    def test_another_stack_takes_the_place_of_one_with_other_sections(self) -> None:
        """All of them, one after the other, to one daemon: the sections are the new client's."""
        street = Street()
        self.addCleanup(street.end)
        for name in DATA:
            reply = street.browser.client.post(load(name))
            self.assertEqual(reply.status, 201, name)
            answer = SessionDescription.parse(reply.text)
            offer = SessionDescription.parse(load(name))
            self.assertEqual([m.mid for m in answer.media], [m.mid for m in offer.media], name)
            street.advance(0.1)
