"""Answers that we refuse: the round is over at once, and the path that there is goes on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Negotiator, OperationError
from refreeze.sessions.session import Session
from refreeze.signaling import Envelope, EnvelopeKind
from refreeze.watchdog import RoundOutcome
from tests.simulation.accounts import losses
from tests.simulation.scene import SESSION, Scene


class RefusedAnswerTests(SynchronousTestCase):
    """Bob gets no offer of alice's; somebody who cannot restart answers in his place."""

    def setUp(self) -> None:
        self.scene = Scene(1)
        self.addCleanup(self.scene.end)
        self.scene.flow(10.0)
        self.alice, self.bob = self.session("alice"), self.session("bob")
        self.route = self.scene.route("alice")
        received = Session.envelope_received

        def unless_offer(session: Session, envelope: Envelope) -> None:
            if session is not self.bob or envelope.kind is not EnvelopeKind.OFFER:
                received(session, envelope)

        self.patch(Session, "envelope_received", unless_offer)

    def session(self, name: str) -> Session:
        found = self.scene.session(name)
        assert found is not None
        return found

    def answer(self, sdp: str) -> None:
        """Alice's operator restarts, and that is the answer."""
        self.scene.running["alice"].supervisor.restart(SESSION, reason="", force=False)
        conversation = self.bob.conversation
        self.scene.world.reactor.run_until(lambda: self.alice.conversation.offer_id, 1.0)
        offer_id = self.alice.conversation.offer_id
        assert offer_id is not None
        self.alice.envelope_received(
            Envelope(
                id="old",
                from_="bob",
                to="alice",
                session=SESSION,
                epoch=conversation.epoch,
                generation=conversation.generation + 1,
                kind=EnvelopeKind.ANSWER,
                offer=offer_id,
                sdp=sdp,
            )
        )
        self.scene.advance(0.001)

    def check_over(self, detail: str) -> None:
        """That failed, and nothing else did."""
        ended = self.alice.book.ended[-1]
        self.assertEqual((ended.outcome, ended.detail), (RoundOutcome.FAILED, detail))
        self.assertIsNone(self.alice.book.current)
        self.assertEqual(self.alice.connection.signalingState, "stable")
        self.assertIs(self.scene.route("alice"), self.route)
        (refused,) = self.scene.of("alice", "signal.refused")
        self.assertEqual(refused.fields["what"], "answer")
        self.scene.flow(30.0)
        self.assertEqual(losses(self.scene), [])
        self.assertEqual(self.alice.policy.counters.failed, {detail: 1})

    def test_old_credentials_say_that_the_peer_cannot_restart_rule_23(self) -> None:
        description = self.bob.connection.localDescription
        assert description is not None
        self.answer(description.sdp)
        self.check_over("peer-cannot-restart")

    def test_one_that_is_none_is_bad(self) -> None:
        self.answer("v=0\r\n")
        self.check_over("bad-answer")


class NoOfferTests(SynchronousTestCase):
    """Our own offer cannot be made, for a while."""

    def test_the_round_fails_and_the_path_goes_on(self) -> None:
        scene = Scene(1)
        self.addCleanup(scene.end)
        scene.flow(10.0)
        alice, route = scene.session("alice"), scene.route("alice")
        assert alice is not None

        def refuse(_negotiator: Negotiator, ice_restart: bool = False) -> None:
            raise OperationError("no section is left")

        self.patch(Negotiator, "create_offer", refuse)
        scene.running["alice"].supervisor.restart(SESSION, reason="", force=False)
        scene.advance(0.5)
        ended = alice.book.ended[-1]
        self.assertEqual((ended.outcome, ended.detail), (RoundOutcome.FAILED, "no-offer"))
        self.assertIs(scene.route("alice"), route)
        self.assertEqual(alice.counters["internal-errors"], 0)
        self.assertEqual(losses(scene), [])
