"""addIceCandidate() as browsers are tested for it: rule 55, each of (a) to (k), and rule 56."""

from __future__ import annotations

from typing import Any

from refreeze.jsep import Description, DescriptionType
from tests.peer.pair import ROLLBACK
from tests.peer.scripts import ScriptCase, candidate, ufrag


def init(port: int, mid: str | None = "0", **more: Any) -> dict[str, Any]:
    """RTCIceCandidateInit."""
    return {"candidate": candidate(port), "sdpMid": mid, **more}


class CandidateCase(ScriptCase):
    """Bob has alice's offer."""

    def setUp(self) -> None:
        super().setUp()
        self.offer = self.offered()
        self.two.now(self.b.setRemoteDescription(self.offer))

    def offered(self, *, restart: bool = False) -> Description:
        """An offer of alice's, who has perhaps more candidates than it says."""
        offer: Description = self.two.now(self.a.createOffer(iceRestart=restart))
        self.two.now(self.a.setLocalDescription(offer))
        return Description(offer.type, offer.sdp.replace("a=end-of-candidates\r\n", ""))

    def texts(self) -> tuple[str, str]:
        """Of bob's pending and current remote descriptions."""
        held = self.b.pendingRemoteDescription, self.b.currentRemoteDescription
        pending, current = ("" if each is None else each.sdp for each in held)
        return pending, current

    def complete(self) -> None:
        """Bob answers."""
        answer = self.two.now(self.b.createAnswer())
        self.two.now(self.b.setLocalDescription(answer))
        self.two.now(self.a.setRemoteDescription(answer))


class RefusedTests(CandidateCase):
    """What is an error, which, and when."""

    def test_a_candidate_of_no_section_is_a_type_error_at_once_rule_55(self) -> None:
        """(a), even where nothing else could be done with it."""
        for each in ({"candidate": candidate(1)}, init(1, None), {"candidate": "x"}):
            self.failureResultOf(self.b.addIceCandidate(each), TypeError)
        self.b.close()
        self.failureResultOf(self.b.addIceCandidate({"candidate": candidate(1)}), TypeError)

    def test_members_of_another_kind_are_a_type_error_at_once_rule_55(self) -> None:
        for each in (
            7,
            [candidate(1)],
            init(1) | {"candidate": 7},
            init(1) | {"sdpMid": 0},
            init(1) | {"sdpMLineIndex": "0"},
            init(1) | {"usernameFragment": b"abcd"},
        ):
            self.failureResultOf(self.b.addIceCandidate(each), TypeError)

    def test_without_a_remote_description_it_is_invalid_state_rule_55(self) -> None:
        """(b), whatever it says; and so it is on a closed connection."""
        for each in (init(1), init(1, "no"), None, {"candidate": "nonsense", "sdpMid": "0"}):
            self.refused(self.a.addIceCandidate(each), "InvalidStateError")
        self.a.close()
        self.refused(self.a.addIceCandidate(init(1)), "InvalidStateError")

    def test_it_waits_for_the_description_that_is_being_set_rule_55(self) -> None:
        """(b), chained."""
        answered = self.two.answer(self.bob, self.offer)
        done = self.a.setRemoteDescription(answered)
        added = self.a.addIceCandidate(init(1, usernameFragment=ufrag(answered)))
        self.tasks()
        self.successResultOf(done)
        self.successResultOf(added)

    def test_an_unknown_section_is_an_operation_error_rule_55(self) -> None:
        """(c): the index counts only without a mid."""
        for each in (
            init(1, "7"),
            init(1, "7", sdpMLineIndex=0),
            init(1, None, sdpMLineIndex=1),
            init(1, None, sdpMLineIndex=65535),
        ):
            self.refused(self.b.addIceCandidate(each), "OperationError")
        self.two.now(self.b.addIceCandidate(init(1, "0", sdpMLineIndex=99)))
        self.two.now(self.b.addIceCandidate(init(2, None, sdpMLineIndex=0)))
        self.assertEqual(self.texts()[0].count("192.0.2.77"), 2)

    def test_an_unknown_generation_is_an_operation_error_rule_55(self) -> None:
        """(e)"""
        for each in (
            init(1, usernameFragment="never"),
            {"candidate": "", "sdpMid": "0", "usernameFragment": "never"},
        ):
            self.refused(self.b.addIceCandidate(each), "OperationError")

    def test_what_cannot_be_parsed_is_an_operation_error_from_a_task_rule_55(self) -> None:
        """(f)"""
        for text in ("nonsense", "candidate:", "candidate:1 1 udp 1 192.0.2.77"):
            added = self.b.addIceCandidate({"candidate": text, "sdpMid": "0"})
            self.assertNoResult(added)
            self.refused(added, "OperationError")
        self.assertNotIn("192.0.2.77", self.texts()[0])

    def test_the_old_generation_is_an_error_after_the_exchange_rule_56(self) -> None:
        self.complete()
        old = ufrag(self.b.remoteDescription)
        self.two.exchange(self.alice, self.bob, restart=True)
        self.refused(self.b.addIceCandidate(init(1, usernameFragment=old)), "OperationError")

    def test_a_refused_one_leaves_the_chain_to_the_next_rule_55(self) -> None:
        bad = self.b.addIceCandidate(init(1, "7"))
        good = self.b.addIceCandidate(init(2))
        self.refused(bad, "OperationError")
        self.successResultOf(good)


class TakenTests(CandidateCase):
    """What is taken, and where it shows."""

    def test_of_a_stopped_transceivers_section_it_does_nothing_rule_55(self) -> None:
        """(d)"""
        self.a.addTransceiver("audio")
        self.two.now(self.b.setRemoteDescription(self.offered()))
        self.complete()
        self.a.getTransceivers()[0].stop()
        offer = self.offered()
        self.two.now(self.b.setRemoteDescription(offer))
        before = self.texts()
        for text in (candidate(1), "nonsense"):
            self.two.now(self.b.addIceCandidate({"candidate": text, "sdpMid": "1"}))
        self.assertEqual(self.texts(), before)

    def test_of_a_section_that_our_answer_rejected_it_does_nothing_rule_55(self) -> None:
        """(d), also where the offer had it alive: its transceiver was stopped by one between."""
        self.a.addTransceiver("audio")
        self.two.now(self.b.setRemoteDescription(self.offered()))
        self.complete()
        alive = self.offered()
        self.a.getTransceivers()[0].stop()
        self.two.now(self.b.setRemoteDescription(self.offered()))
        self.two.now(self.b.setRemoteDescription(alive))
        self.two.now(self.b.setLocalDescription())
        before = self.texts()
        for more in ({}, {"usernameFragment": "never"}):
            self.two.now(self.b.addIceCandidate(init(1, "1", **more)))
        self.assertEqual(self.texts(), before)
        self.two.now(self.b.addIceCandidate(init(1, "0")))
        self.assertIn("192.0.2.77 1 typ host", self.texts()[1])

    def test_without_a_fragment_it_is_of_the_latest_generation_rule_55(self) -> None:
        """(g)"""
        self.complete()
        self.two.now(self.b.setRemoteDescription(self.offered(restart=True)))
        self.two.now(self.b.addIceCandidate(init(1)))
        self.assertEqual([text.count("192.0.2.77") for text in self.texts()], [1, 0])

    def test_both_generations_take_theirs_during_a_restart_rule_56(self) -> None:
        self.complete()
        old = ufrag(self.b.remoteDescription)
        offer = self.offered(restart=True)
        self.two.now(self.b.setRemoteDescription(offer))
        self.two.now(self.b.addIceCandidate(init(1, usernameFragment=old)))
        self.two.now(self.b.addIceCandidate(init(2, usernameFragment=ufrag(offer))))
        pending, current = self.texts()
        self.assertIn("192.0.2.77 2 typ host", pending)
        self.assertNotIn("192.0.2.77 1 typ host", pending)
        self.assertIn("192.0.2.77 1 typ host", current)
        self.two.now(self.b.setRemoteDescription(ROLLBACK))
        late = self.b.addIceCandidate(init(3, usernameFragment=ufrag(offer)))
        self.refused(late, "OperationError")

    def test_the_end_is_of_its_generation_rule_55(self) -> None:
        """(h)"""
        self.complete()
        old = ufrag(self.b.remoteDescription)
        self.two.now(self.b.setRemoteDescription(self.offered(restart=True)))
        end = {"candidate": "", "sdpMid": "0", "usernameFragment": old}
        self.two.now(self.b.addIceCandidate(end))
        ends = [text.count("a=end-of-candidates") for text in self.texts()]
        self.assertEqual(ends, [0, 1])

    def test_null_and_nothing_and_no_section_are_the_end_of_all_rule_55(self) -> None:
        """(h): the default dictionary has an empty candidate."""
        for argument in ((), (None,), ({},), ({"candidate": ""},)):
            self.two.now(self.b.addIceCandidate(*argument))
        self.assertEqual(self.texts()[0].count("a=end-of-candidates"), 1)
        self.two.now(self.b.addIceCandidate(init(1)))
        self.assertNotIn("192.0.2.77", self.texts()[0])

    def test_it_shows_in_the_descriptions_of_its_generation_rule_55(self) -> None:
        """(i), also where both stand for it; a rollback leaves it in the current one."""
        self.complete()
        self.two.now(self.b.setRemoteDescription(self.offered()))
        self.two.now(self.b.addIceCandidate(init(1)))
        self.assertEqual([text.count("192.0.2.77") for text in self.texts()], [1, 1])
        self.two.now(self.b.setRemoteDescription(ROLLBACK))
        self.assertEqual([text.count("192.0.2.77") for text in self.texts()], [0, 1])

    def test_closed_meanwhile_it_never_settles_rule_55(self) -> None:
        """(j)"""
        pending = [self.b.addIceCandidate(init(port)) for port in (1, 2)]
        self.b.close()
        self.two.advance(1.0)
        for each in pending:
            self.assertNoResult(each)

    def test_where_we_do_not_connect_to_it_shows_and_no_more_rule_55(self) -> None:
        """(k): as if nobody answered there."""
        self.complete()
        shown = len(self.b.iceTransport.getRemoteCandidates())
        for address in ("224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.1"):
            text = candidate(9).replace("192.0.2.77", address)
            self.two.now(self.b.addIceCandidate({"candidate": text, "sdpMid": "0"}))
            self.assertIn(address, self.texts()[1])
        for text in (candidate(0), candidate(9).replace("192.0.2.77", "nobody.example")):
            self.two.now(self.b.addIceCandidate({"candidate": text, "sdpMid": "0"}))
        self.assertEqual(len(self.b.iceTransport.getRemoteCandidates()), shown)

    def test_in_every_state_with_a_remote_description_it_is_taken_rule_55(self) -> None:
        """Before and after an exchange, with a provisional answer, and in our own offer."""
        answer = self.two.now(self.b.createAnswer())
        provisional = Description(DescriptionType.PRANSWER, answer.sdp)
        self.two.now(self.b.addIceCandidate(init(1)))
        self.two.now(self.b.setLocalDescription(provisional))
        self.two.now(self.b.addIceCandidate(init(2)))
        self.two.now(self.a.setRemoteDescription(provisional))
        self.two.now(self.a.addIceCandidate(init(3)))
        self.complete()
        self.two.now(self.b.addIceCandidate(init(4)))
        self.two.offer(self.bob)
        self.two.now(self.b.addIceCandidate(init(5)))
        self.assertEqual(self.b.signalingState, "have-local-offer")
        self.assertEqual(self.texts()[1].count("192.0.2.77"), 4)
