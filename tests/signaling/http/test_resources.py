"""The resources of RFC 9725 as clients see them (rules 69 to 74)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import Fragment
from refreeze.signaling import EnvelopeKind
from refreeze.signaling.http import resources
from refreeze.signaling.http.resources import FRAGMENT, JSON, SDP
from tests.signaling.http.kit import CANDIDATE, PWD, SESSION, Kit, fragment, sdp

OFFER = EnvelopeKind.OFFER


class ResourceTests(SynchronousTestCase):
    """One listener, one session by script."""

    def setUp(self) -> None:
        self.kit = Kit()
        self.client = self.kit.client

    def ufrag(self, text: str) -> str:
        """Of a description."""
        tagged = SessionDescription.parse(text).tagged
        assert tagged is not None
        assert tagged.credentials is not None
        return tagged.credentials.ufrag


class PostTests(ResourceTests):
    """An offer makes a resource (rule 70)."""

    def test_an_offer_gets_an_answer_a_place_and_a_strong_entity_tag_rule_70(self) -> None:
        reply = self.client.post(sdp())
        self.assertEqual((reply.status, reply.text), (201, sdp("daemon", "passive")))
        self.assertEqual(reply.headers["content-type"], SDP)
        self.assertRegex(reply.headers["location"], r"^/sessions/screen/[0-9a-f]{40}$")
        self.assertRegex(reply.headers["etag"], r'^"[!-~]+"$')
        self.assertEqual(reply.headers["accept-patch"], FRAGMENT)
        self.assertEqual(
            reply.headers["link"],
            f"<{reply.headers['location']}/events>; "
            'rel="urn:ietf:params:whep:ext:core:server-sent-events"; '
            'events="offer,candidate,restart-please,gone"',
        )
        (offer,) = self.kit.script.of(OFFER)
        self.assertEqual((offer.sdp, offer.from_, offer.session), (sdp(), "browser", SESSION))

    def test_the_client_is_there_only_once_its_offer_has_been_answered(self) -> None:
        """Else the watchdog would offer too, as soon as somebody comes."""
        seen: list[object] = []
        self.kit.script.answering = lambda offer: seen.append(list(self.kit.script.told)) or sdp()
        self.kit.begin()
        self.assertEqual(seen, [[True, ("browser", False)]])
        self.assertEqual(self.kit.script.told[-1], ("browser", True))

    def test_another_post_takes_the_place_of_the_first(self) -> None:
        """As a page that is loaded again; the epoch of its envelopes is a later one."""
        first, etag = self.kit.begin()
        stream = self.client.stream(first)
        second, _ = self.kit.begin()
        self.assertNotEqual(first, second)
        self.assertEqual(self.client.patch(first, fragment(), etag).status, 404)
        self.kit.advance(1.0)
        self.assertEqual(stream.events, [("gone", {"reason": "replaced"})])
        self.assertTrue(stream.data.endswith(b"\r\n0\r\n\r\n"))
        one, two = self.kit.script.of(OFFER)
        self.assertGreater(two.epoch, one.epoch)

    def test_a_session_that_does_not_answer_is_503_after_five_seconds(self) -> None:
        self.kit.script.answering = lambda offer: None
        began = self.kit.reactor.seconds()
        reply = self.client.post(sdp())
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "1"))
        self.assertIn("does not answer", reply.problem["detail"])
        self.assertAlmostEqual(self.kit.reactor.seconds() - began, 5.0, places=1)
        self.assertIsNone(self.kit.carrier.life)
        self.assertFalse(self.kit.script.carrier.send(self.kit.script.offer()))

    def test_a_session_that_is_busy_for_a_moment_answers_when_asked_again(self) -> None:
        turns = [None, None, sdp("daemon", "passive")]
        self.kit.script.answering = lambda offer: turns.pop(0)
        self.assertEqual(self.client.post(sdp()).status, 201)
        self.assertEqual(len({offer.id for offer in self.kit.script.of(OFFER)}), 1)

    def test_an_offer_that_the_session_refuses_is_422_and_says_why(self) -> None:
        def refuse(offer: object) -> None:
            self.kit.refuse("offer", "a=fingerprint is wanted")

        self.kit.script.answering = refuse
        reply = self.client.post(sdp())
        self.assertEqual((reply.status, reply.problem["detail"]), (422, "a=fingerprint is wanted"))
        self.assertIsNone(self.kit.carrier.life)

    def test_what_is_no_description_leaves_whoever_is_there(self) -> None:
        place, etag = self.kit.begin()
        for text, status in (("", 400), ("v=1\r\n", 400), (sdp().replace("v=0", "v=7"), 400)):
            reply = self.client.post(text)
            self.assertEqual(reply.status, status)
            self.assertIn("line", reply.problem["detail"])
        self.assertEqual(self.client.patch(place, fragment(), etag).status, 204)

    def test_what_no_session_could_answer_leaves_whoever_is_there(self) -> None:
        """It is a description, and no offer: nobody is asked, and nobody waits."""
        place, etag = self.kit.begin()
        for old, new, why in (
            ("a=ice-", "a=x-", "the offer has no ICE credentials"),
            ("actpass", "holdconn", "holdconn"),
        ):
            reply = self.client.post(sdp().replace(old, new))
            self.assertEqual(reply.status, 422)
            self.assertIn(why, reply.problem["detail"])
        self.assertEqual(len(self.kit.script.of(OFFER)), 1)
        self.assertEqual(self.client.patch(place, fragment(), etag).status, 204)

    def test_other_bodies_are_415_and_name_what_is_wanted(self) -> None:
        for kind in (FRAGMENT, JSON, "", "application/sdpx"):
            reply = self.client.ask("POST", f"/sessions/{SESSION}", sdp(), Content_Type=kind)
            self.assertEqual((reply.status, reply.headers["accept-post"]), (415, SDP))
        kind = f"{SDP};charset=utf-8"
        reply = self.client.ask("POST", f"/sessions/{SESSION}", Content_Type=kind)
        self.assertEqual(reply.status, 400)

    def test_a_body_that_is_no_utf_8_is_400(self) -> None:
        reply = self.client.ask("POST", f"/sessions/{SESSION}", b"\xff\xfe", Content_Type=SDP)
        self.assertEqual((reply.status, reply.problem["detail"]), (400, "the body is no UTF-8"))

    def test_a_daemon_about_to_stop_takes_nobody(self) -> None:
        """503 says when to come again, as of any server under load (rule 74)."""
        self.kit.doorway.draining = lambda: True
        self.assertEqual(self.client.post(sdp()).headers["retry-after"], "5")

    def test_a_session_that_there_is_not_is_404(self) -> None:
        self.assertEqual(self.client.post(sdp(), session="other").status, 404)
        self.kit.script.carrier.detach()
        self.assertEqual(self.client.post(sdp()).status, 404)

    def test_a_session_that_is_closed_while_somebody_waits_is_404(self) -> None:
        self.kit.script.answering = lambda offer: self.kit.script.carrier.detach()
        self.assertEqual(self.client.post(sdp()).status, 404)


class TrickleTests(ResourceTests):
    """PATCH with the entity tag in force (rules 69 and 70)."""

    def setUp(self) -> None:
        super().setUp()
        self.place, self.etag = self.kit.begin()

    def test_candidates_are_204_without_an_entity_tag_rule_70(self) -> None:
        body = fragment("client1", f"a={CANDIDATE}", "a=end-of-candidates")
        reply = self.client.patch(self.place, body, self.etag)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertNotIn("etag", reply.headers)
        (found,) = self.kit.script.of(EnvelopeKind.CANDIDATE)
        (end,) = self.kit.script.of(EnvelopeKind.END_OF_CANDIDATES)
        assert found.candidate is not None
        init = found.candidate
        self.assertEqual(
            (init.candidate, init.sdp_mid, init.username_fragment), (CANDIDATE, "0", "client1")
        )
        (offer,) = self.kit.script.of(OFFER)
        self.assertEqual({found.generation, end.generation}, {offer.generation})

    def test_without_if_match_428_with_another_412_rule_70(self) -> None:
        body = fragment("client1", f"a={CANDIDATE}")
        self.assertEqual(self.client.patch(self.place, body, None).problem["status"], 428)
        for match in ('"other"', self.etag.strip('"'), f"W/{self.etag}", '"', ""):
            self.assertEqual(self.client.patch(self.place, body, match).problem["status"], 412)
        self.assertEqual(self.client.patch(self.place, body, f'"a", {self.etag}').status, 204)
        self.assertEqual(len(self.kit.script.of(EnvelopeKind.CANDIDATE)), 1)

    def test_other_credentials_with_the_entity_tag_are_of_no_session_that_we_know_rule_70(
        self,
    ) -> None:
        """A restart has the wildcard (rule 69): these may be late, or early."""
        reply = self.client.patch(self.place, fragment("client2", f"a={CANDIDATE}"), self.etag)
        self.assertEqual((reply.status, "If-Match: *" in reply.problem["detail"]), (412, True))
        self.assertEqual(self.kit.script.of(EnvelopeKind.CANDIDATE), [])
        self.assertEqual(len(self.kit.script.of(OFFER)), 1)

    def test_malformed_fragments_are_400_and_name_the_line(self) -> None:
        for body, wanted in (
            ("m=x\r\n", "line 1"),
            (fragment() + "a=candidate:?\r\n", "line 7"),
            ("a=ice-ufrag:abcd\r\n", "line 1"),
            ("\x00", "line 1"),
            ("a=mid:0\ud7ff\r\n" * 3000, ""),
        ):
            reply = self.client.patch(self.place, body, self.etag)
            self.assertEqual(reply.status, 400, body[:60])
            self.assertIn(wanted, reply.problem["detail"])
        self.assertEqual(self.kit.script.of(EnvelopeKind.CANDIDATE), [])

    def test_other_types_are_415_rule_70(self) -> None:
        reply = self.client.ask("PATCH", self.place, sdp(), If_Match="*", Content_Type=SDP)
        self.assertEqual((reply.status, reply.headers["accept-patch"]), (415, FRAGMENT))


class RestartTests(ResourceTests):
    """PATCH with other credentials (rules 69 to 73)."""

    def setUp(self) -> None:
        super().setUp()
        self.place, self.etag = self.kit.begin()
        self.kit.script.answering = lambda offer: sdp(
            "daemon2", "passive", f"a={CANDIDATE}", "a=end-of-candidates"
        )

    def test_a_restart_is_200_with_credentials_candidates_and_another_tag_rule_70(self) -> None:
        reply = self.client.patch(self.place, fragment("client2"))
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, FRAGMENT))
        found = Fragment.parse(reply.text)
        assert found.credentials is not None
        self.assertEqual(found.credentials.ufrag, "daemon2")
        self.assertEqual([list(each.candidates) for each in found.sections], [[CANDIDATE]])
        self.assertNotEqual(reply.headers["etag"], self.etag)
        self.assertRegex(reply.headers["etag"], r'^"[!-~]+"$')
        old = self.client.patch(self.place, fragment("client2"), self.etag)
        self.assertEqual(old.status, 412)
        new = self.client.patch(self.place, fragment("client2"), reply.headers["etag"])
        self.assertEqual(new.status, 204)

    def test_both_spellings_of_the_wildcard_are_taken_rule_69(self) -> None:
        for number, match in enumerate(("*", '"*"'), 2):
            reply = self.client.patch(self.place, fragment(f"client{number}"), match)
            self.assertEqual(reply.status, 200)

    def test_the_session_hears_a_whole_offer_that_differs_in_ice_alone_rule_71(self) -> None:
        body = fragment("client2", f"a={CANDIDATE}", "a=end-of-candidates")
        self.assertEqual(self.client.patch(self.place, body).status, 200)
        first, second = self.kit.script.of(OFFER)
        assert second.sdp is not None
        self.assertGreater(second.generation, first.generation)
        self.assertEqual(second.epoch, first.epoch)
        ice = {"a=ice-ufrag:client2", f"a=ice-pwd:{PWD[7:]}client2", f"a={CANDIDATE}"}
        lines = set(second.sdp.splitlines())
        self.assertEqual(lines - set(sdp().splitlines()), ice | {"a=end-of-candidates"})
        self.assertEqual(
            set(sdp().splitlines()) - lines, {"a=ice-ufrag:client1", f"a=ice-pwd:{PWD[7:]}client1"}
        )

    def test_all_candidates_are_those_of_the_new_generation_rule_71(self) -> None:
        """What was trickled before is no part of the new offer."""
        self.client.patch(self.place, fragment("client1", f"a={CANDIDATE}"), self.etag)
        reply = self.client.patch(self.place, fragment("client2"))
        self.assertNotIn("a=candidate", self.kit.script.of(OFFER)[-1].sdp or "")
        later = fragment("client2", f"a={CANDIDATE}")
        self.client.patch(self.place, later, reply.headers["etag"])
        offer, found = self.kit.script.of(OFFER)[-1], self.kit.script.of(EnvelopeKind.CANDIDATE)
        self.assertEqual(found[-1].generation, offer.generation)

    def test_what_a_restart_may_not_change_is_422_rule_71(self) -> None:
        for old, new, what in (
            ("a=ice-options:trickle", "a=ice-options:ice2", "ice-options"),
            ("a=ice-options:trickle", "a=ice-options:trickle\r\na=ice-lite", "ice-lite"),
            ("a=ice-options:trickle", "a=ice-options:trickle\r\na=ice-pacing:7", "ice-pacing"),
        ):
            body = fragment("client2").replace(old, new)
            self.assertIn(new, body)
            reply = self.client.patch(self.place, body)
            self.assertEqual((reply.status, what in reply.problem["detail"]), (422, True))
        self.assertEqual(len(self.kit.script.of(OFFER)), 1)

    def test_half_a_restart_is_400_rule_18(self) -> None:
        body = fragment("client2").replace(f"{PWD[7:]}client2", f"{PWD[7:]}client1")
        self.assertEqual(self.client.patch(self.place, body).problem["status"], 400)

    def test_a_failed_restart_leaves_everything_as_it_was_rule_72(self) -> None:
        self.kit.script.answering = lambda offer: None
        reply = self.client.patch(self.place, fragment("client2"))
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "1"))
        body = fragment("client1", f"a={CANDIDATE}")
        self.assertEqual(self.client.patch(self.place, body, self.etag).status, 204)
        found = self.kit.script.of(EnvelopeKind.CANDIDATE)[0]
        self.assertEqual(found.generation, self.kit.script.of(OFFER)[0].generation)

    def test_a_client_may_try_again_or_leave_after_a_failed_restart_rule_72(self) -> None:
        answering, self.kit.script.answering = self.kit.script.answering, lambda offer: None
        self.assertEqual(self.client.patch(self.place, fragment("client2")).status, 503)
        self.kit.script.answering = answering
        self.assertEqual(self.client.patch(self.place, fragment("client3")).status, 200)
        self.assertEqual(self.ufrag(self.kit.script.of(OFFER)[-1].sdp or ""), "client3")
        self.assertEqual(self.client.ask("DELETE", self.place).status, 200)

    def test_a_refused_restart_is_422_and_leaves_the_resource_rule_72(self) -> None:
        self.kit.script.answering = lambda offer: self.kit.refuse("offer", "no")
        reply = self.client.patch(self.place, fragment("client2"))
        self.assertEqual((reply.status, reply.problem["detail"]), (422, "no"))
        self.assertEqual(self.client.patch(self.place, fragment(), self.etag).status, 204)

    def test_of_two_restarts_the_last_one_counts_rule_73(self) -> None:
        self.kit.script.answering = lambda offer: (
            sdp("daemon3", "passive") if "client3" in (offer.sdp or "") else None
        )
        headers = {"Content_Type": FRAGMENT, "If_Match": "*"}
        first = self.client.start("PATCH", self.place, fragment("client2"), **headers)
        self.kit.advance(0.2)
        self.assertEqual(self.client.patch(self.place, fragment("client3")).status, 200)
        self.kit.advance(0.1)
        reply = first.take()
        assert reply is not None
        self.assertEqual((reply.status, reply.problem["title"]), (409, "Conflict"))

    def test_a_restart_against_the_daemons_own_offer_is_409(self) -> None:
        self.kit.script.offer()
        reply = self.client.patch(self.place, fragment("client2"))
        self.assertEqual((reply.problem["status"], reply.headers["retry-after"]), (409, "1"))
        self.assertEqual(len(self.kit.script.of(OFFER)), 1)

    def test_an_offer_that_the_daemon_gave_up_is_in_nobodys_way(self) -> None:
        self.kit.script.offer()
        self.kit.stands = False
        self.assertEqual(self.client.patch(self.place, fragment("client2")).status, 200)

    def test_where_the_client_is_the_offerer_its_restart_stands(self) -> None:
        self.kit.offers = False
        self.kit.script.offer()
        self.assertEqual(self.client.patch(self.place, fragment("client2")).status, 200)

    def test_the_daemons_offer_overtakes_a_restart_that_waits(self) -> None:
        self.kit.script.answering = lambda offer: None
        headers = {"Content_Type": FRAGMENT, "If_Match": "*"}
        waiting = self.client.start("PATCH", self.place, fragment("client2"), **headers)
        self.kit.advance(0.2)
        self.kit.script.offer()
        self.kit.advance(0.1)
        reply = waiting.take()
        assert reply is not None
        self.assertEqual(reply.status, 409)

    def test_a_client_that_goes_away_while_it_waits_harms_nobody(self) -> None:
        headers = {"Content_Type": FRAGMENT, "If_Match": "*"}
        waiting = self.client.start("PATCH", self.place, fragment("client2"), **headers)
        assert waiting.transport is not None
        waiting.transport.abortConnection()
        self.kit.advance(6.0)
        self.assertEqual(self.client.ask("DELETE", self.place).status, 200)


class MethodTests(ResourceTests):
    """The rest of RFC 9725 section 4."""

    def test_delete_needs_no_entity_tag_and_the_session_hears_a_bye_rule_70(self) -> None:
        place, _ = self.kit.begin()
        reply = self.client.ask("DELETE", place, If_Match='"whatever"')
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual([e.reason for e in self.kit.script.of(EnvelopeKind.BYE)], ["deleted"])
        self.assertEqual(self.kit.script.told[-1], ("browser", False))
        self.assertEqual(self.client.ask("DELETE", place).status, 404)

    def test_methods_that_are_reserved_are_405_and_say_which_are_not(self) -> None:
        place, _ = self.kit.begin()
        for path, allowed, others in (
            (f"/sessions/{SESSION}", "POST, OPTIONS", "GET HEAD PUT PATCH DELETE"),
            (place, "PATCH, DELETE, OPTIONS", "GET HEAD PUT POST"),
            (f"{place}/events", "GET, POST, OPTIONS", "HEAD PUT PATCH DELETE"),
        ):
            for method in others.split():
                reply = self.client.ask(method, path)
                self.assertEqual((reply.status, reply.headers["allow"]), (405, allowed))

    def test_options_says_what_can_be_sent_and_needs_no_token(self) -> None:
        place, _ = self.kit.begin()
        for path, name, kind in (
            (f"/sessions/{SESSION}", "accept-post", SDP),
            (place, "accept-patch", FRAGMENT),
            (f"{place}/events", "accept-post", JSON),
        ):
            reply = self.client.ask("OPTIONS", path)
            self.assertEqual((reply.status, reply.headers[name]), (204, kind))

    def test_paths_that_lead_nowhere_are_404(self) -> None:
        place, _ = self.kit.begin()
        for path in (
            *("/", "/sessions", "/sessions/", f"/sessions/{SESSION}/", "/favicon.ico", "//"),
            *("/sessions//x", f"{place}/events/", f"{place}/other"),
            *(f"{place}/events/more", "/%ff", f"/sessions/../sessions/{SESSION}"),
        ):
            for method in ("GET", "POST", "DELETE"):
                self.assertEqual(self.client.ask(method, path).status, 404, path)
        self.assertEqual(self.client.ask("DELETE", f"/sessions/{SESSION}/0").status, 404)

    def test_headers_that_are_no_text_are_400(self) -> None:
        place, _ = self.kit.begin()
        for name in ("Authorization", "Origin", "Content_Type", "If_Match", "Host"):
            headers = {"Content_Type": FRAGMENT, name: "\xff\xfe"}
            reply = self.client.ask("PATCH", place, fragment(), **headers)
            self.assertEqual(reply.problem["status"], 400, name)


class FailureTests(ResourceTests):
    """Mistakes of ours."""

    def test_a_mistake_is_500_and_one_line_in_the_log_and_tells_nothing(self) -> None:
        place, _ = self.kit.begin()

        def fail(*_: object) -> bool:
            raise RuntimeError("a-secret-of-ours")

        self.kit.doorway.draining = fail  # at once
        self.patch(resources, "fragment_of", fail)  # later
        for reply in (self.client.post(sdp()), self.client.patch(place, fragment("client2"))):
            self.assertEqual(reply.problem["detail"], "the daemon failed")
            self.assertEqual(reply.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
