"""What goes between a session and its client, beside what the resources show."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling import EnvelopeKind
from tests.signaling.http.kit import CANDIDATE, SESSION, Kit, Script, fragment, sdp

OFFER = EnvelopeKind.OFFER


class CarrierTests(SynchronousTestCase):
    """One session by script."""

    def setUp(self) -> None:
        self.kit = Kit()
        self.script = self.kit.script

    def test_a_session_may_speak_before_anybody_comes_and_nobody_hears_it(self) -> None:
        carrier = self.script.carrier
        self.assertEqual((carrier.up, carrier.problem), (True, "nobody posted an offer yet"))
        self.script.offer()
        self.assertEqual(self.script.told, [True, ("browser", False)])
        self.kit.begin()
        self.assertEqual(carrier.problem, "")
        assert self.kit.carrier.life is not None
        self.assertEqual(self.kit.carrier.life.outstanding(), [])

    def test_a_session_is_attached_once(self) -> None:
        signaling, other = self.kit.signaling, Script(self.kit.reactor)
        self.assertRaises(ValueError, signaling.attach, SESSION, "browser", other)
        self.script.carrier.detach()
        self.script.carrier.detach()
        self.assertIsNone(signaling.find(SESSION))
        again = signaling.attach(SESSION, "browser", other)
        self.script.carrier.detach()
        self.assertIs(signaling.find(SESSION), again)

    def test_a_session_that_is_closed_before_it_was_greeted_hears_nothing(self) -> None:
        kit, other = Kit(), Script(self.kit.reactor)
        kit.signaling.attach("other", "browser", other).detach()
        kit.advance(1.0)
        self.assertEqual((other.told, kit.reactor.getDelayedCalls()), ([], []))

    def test_epochs_are_of_the_wall_clock_and_grow_when_it_does_not(self) -> None:
        wall = self.kit.reactor.wall()
        for _ in range(3):
            self.kit.begin()
        self.kit.carrier.wall = lambda: wall - 86400.0
        self.kit.begin()
        epochs = [offer.epoch for offer in self.script.of(OFFER)]
        self.assertEqual(epochs, sorted(set(epochs)))
        self.assertGreaterEqual(epochs[0], int(wall * 1000))

    def test_a_session_that_knows_a_later_epoch_is_heeded(self) -> None:
        """The clock was set back while the daemon did not run."""
        known = int(self.kit.reactor.wall() * 1000) + 1_000_000

        def judge(offer: object) -> str | None:
            latest = self.script.of(OFFER)[-1]
            if latest.epoch > known:
                return sdp("daemon", "passive")
            self.script.say(EnvelopeKind.STALE, offer=latest.id, reason="epoch", known=known)
            return None

        self.script.answering = judge
        place, etag = self.kit.begin()
        self.kit.client.patch(place, fragment("client1", f"a={CANDIDATE}"), etag)
        self.assertEqual(self.script.of(EnvelopeKind.CANDIDATE)[0].epoch, known + 1)
        self.script.say(EnvelopeKind.STALE, offer="x", reason="epoch", known=7)
        self.assertEqual(self.kit.carrier.life and self.kit.carrier.life.epoch, known + 1)

    def test_an_answer_is_taken_once_and_of_the_offer_that_waits(self) -> None:
        place, etag = self.kit.begin()
        for offer in (self.script.of(OFFER)[0].id, "another"):
            self.script.say(EnvelopeKind.ANSWER, sdp=sdp("late", "passive"), offer=offer)
        self.assertEqual(self.kit.client.patch(place, fragment(), etag).status, 204)

    def test_an_answer_that_cannot_be_read_is_500_and_not_repeated(self) -> None:
        self.script.answering = lambda offer: "v=0\r\n"
        reply = self.kit.client.post(sdp())
        self.assertEqual(reply.problem["detail"], "the session's answer cannot be read")
        self.assertEqual((reply.status, len(self.script.of(OFFER))), (500, 1))

    def test_a_session_that_fails_harms_nobody_else(self) -> None:
        self.script.fails = True
        self.assertEqual(self.kit.client.post(sdp()).status, 503)
        self.assertGreater(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_events_of_other_sessions_and_of_other_kinds_are_nothing(self) -> None:
        self.script.answering = lambda offer: None
        waiting = self.kit.client.start(
            "POST", f"/sessions/{SESSION}", sdp(), Content_Type="application/sdp"
        )
        self.kit.advance(0.2)
        refusal = {"id": "other", "what": "offer", "why": "x"}
        self.kit.signaling.heed("signal.refused", refusal)
        self.kit.signaling.heed("round.done", {"id": SESSION})
        self.kit.signaling.heed("signal.refused", {**refusal, "id": SESSION, "what": "answer"})
        self.kit.signaling.heed("net.change", {"why": "x"})
        self.kit.advance(0.2)
        self.assertIsNone(waiting.take())
        self.kit.refuse("offer", "y")
        self.kit.advance(0.2)
        reply = waiting.take()
        assert reply is not None
        self.assertEqual(reply.problem["detail"], "y")
