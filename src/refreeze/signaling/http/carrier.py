"""The sessions of ``signaling = "http"``: who is there, and what goes to whom.

A client is *online* while its event stream is open, and for 30 s after it was last heard of. Its
life goes on without a stream: the path needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Randomness
from refreeze.jsep import Description, DescriptionType, JsepError, Negotiator
from refreeze.sdp import SdpError, SessionDescription
from refreeze.sdp.fragment import Fragment
from refreeze.signaling.attachment import Attachment, Attachments
from refreeze.signaling.carrier import Carrier, CarrierReceiver
from refreeze.signaling.envelope import Envelope, EnvelopeKind
from refreeze.signaling.http.life import Life
from refreeze.signaling.http.problems import Problem, busy

PATIENCE: Final = (0.1, 0.4, 1.0, 1.5, 2.0)
"""Seconds between two deliveries of an offer that got no answer yet; 5 in all."""
TAKING: Final = 1.0
"""Seconds after which an answer that was not refused has been taken."""
LINGER: Final = 30.0
"""Seconds that a client counts as there without a stream or a request."""

_ID_BITS: Final = 160


class Stream(Protocol):
    """An event stream of a client."""

    def send(self, envelope: Envelope) -> None:
        """What the session says; whoever does not read is closed."""
        ...

    def end(self, reason: str) -> None:
        """The resource is gone."""
        ...


@define(eq=False, repr=False)
class _Question:
    """An offer of the client's that waits for the session's answer."""

    offer: Envelope
    answered: Deferred[SessionDescription]
    tries: int = 0
    again: IDelayedCall | None = None


@define(eq=False, repr=False)
class _Answer:
    """An answer of the client's, of which the session has said nothing yet."""

    life: Life
    taken: Deferred[None]
    timer: IDelayedCall


@define(eq=False, repr=False, kw_only=True)
class HttpCarrier:
    """One session's way to whoever posts to its resource."""

    attachment: Attachment
    daemon: str
    clock: IReactorTime
    wall: Callable[[], float]
    random: Randomness
    offers: Callable[[], bool]
    """Whether the daemon's offer stands when both have offered."""
    stands: Callable[[str], bool]
    """Whether the daemon's offer of that id still waits for its answer."""
    gone: Callable[[HttpCarrier], None]
    life: Life | None = field(default=None, init=False)
    detached: bool = field(default=False, init=False)
    _epoch: int = field(default=0, init=False)
    _stream: Stream | None = field(default=None, init=False)
    _question: _Question | None = field(default=None, init=False)
    _answer: _Answer | None = field(default=None, init=False)
    _linger: IDelayedCall | None = field(default=None, init=False)

    # signaling.Carrier

    @property
    def up(self) -> bool:
        return True

    @property
    def problem(self) -> str:
        return "" if self.life is not None else "nobody posted an offer yet"

    def send(self, envelope: Envelope) -> bool:
        """False when there is nobody."""
        life = self.life
        if life is None:
            return False
        match envelope.kind:
            case EnvelopeKind.ACK:
                pass  # A client asks nothing twice: it waits for its response.
            case EnvelopeKind.STALE:
                self._raise_epoch(life, envelope)
            case EnvelopeKind.BYE:
                self._end(envelope.reason or "bye")
            case EnvelopeKind.ANSWER:
                self._take_answer(life, envelope)
            case _:
                self._pass_on(life, envelope)
        return True

    def detach(self) -> None:
        self.detached = True
        self.gone(self)
        self._end("session-closed")

    # What the resource asks for

    def begin(self, sdp: str) -> Deferred[SessionDescription]:
        """A client comes; whoever was there is gone. SdpError or Problem for what is no offer."""
        epoch = max(self._epoch + 1, int(self.wall() * 1000))
        life = Life(
            id=self._new_id(),
            me=self.attachment.peer,
            peer=self.daemon,
            session=self.attachment.session,
            epoch=epoch,
            new_id=self._new_id,
        )
        offer = life.first_offer(sdp)
        self._check_first(sdp)
        self._end("replaced")
        self.life, self._epoch = life, epoch
        return self._ask(offer).addErrback(self._not_begun, life)

    def trickle(self, life: Life, fragment: Fragment) -> None:
        """Candidates of the client."""
        self._heard_of()
        for envelope in life.candidates(fragment):
            self.attachment.deliver(envelope)

    def restart(self, life: Life, fragment: Fragment) -> Deferred[SessionDescription]:
        """The client restarts ICE; Problem when an offer of ours stands instead."""
        self._heard_of()
        if self._waits(life) and self.offers():
            raise _glare()
        return self._ask(life.restart_offer(fragment))

    def answer(self, life: Life, offer_id: str, sdp: str) -> Deferred[None]:
        """The client answers our offer; Problem when it is not outstanding any more, or later
        when the session refuses the answer.
        """
        self._heard_of()
        if life.answered == (offer_id, sdp):
            return self._said_again()
        if not self._waits(life) or life.offer is None or life.offer.id != offer_id:
            raise Problem(409, "that offer is not outstanding any more")
        answer = life.answer(offer_id, sdp)
        self.answer_taken()
        timer = self.clock.callLater(TAKING, self.answer_taken)
        taken = Deferred[None]()
        self._answer = _Answer(life, taken, timer)
        self.attachment.deliver(answer)
        return taken

    def answer_taken(self) -> None:
        """The session goes by the client's answer."""
        answer = self._answered()
        if answer is not None:
            answer.taken.callback(None)

    def refused(self, what: str, why: str) -> None:
        """The session did not take the client's ``offer`` or ``answer``."""
        if what == "offer":
            self._drop_question(Problem(422, why))
            return
        answer = self._answered()
        if answer is not None:
            answer.life.answer_refused()
            answer.taken.errback(Problem(422, why))

    def leave(self) -> None:
        """The client is gone for good."""
        life = self.life
        if life is not None:
            self._end("deleted")
            self.attachment.deliver(life.bye("deleted"))

    def attend(self, stream: Stream) -> None:
        """A stream opens: it gets what is outstanding, and another one ends."""
        life = self.life
        assert life is not None, "streams are of resources that there are"
        if self._stream is not None:
            self._stream.end("another-stream")
        self._stream = stream
        self._heard_of()
        self._waits(life)
        for envelope in life.outstanding():
            stream.send(envelope)
            self._ack(life, envelope)

    def left(self, stream: Stream) -> None:
        """A stream ended."""
        if self._stream is stream:
            self._stream = None
            self._heard_of()

    # Inside

    def _check_first(self, sdp: str) -> None:
        """Problem for what no session answers: who is there already stays, and nobody waits.

        What is wrong with a first offer does not depend on the session.
        """
        nobody = Negotiator(
            random=self.random,
            queue_task=list[object]().append,
            fingerprints=(),
            accepts_media=False,
        )
        try:
            nobody.set_remote(Description(DescriptionType.OFFER, sdp))
        except JsepError as error:
            raise Problem(422, f"not to be answered: {error}") from None
        if SessionDescription.parse(nobody.create_answer().sdp).tagged is None:
            raise Problem(422, "no section of the offer is for data: there is nothing to answer")

    def _new_id(self) -> str:
        return f"{self.random.getrandbits(_ID_BITS):040x}"

    def _waits(self, life: Life) -> bool:
        """Whether an offer of ours does; it is forgotten once the session gave it up."""
        if life.offer is not None and not self.stands(life.offer.id):
            life.offer = None
            life.trickled.clear()
        return life.offer is not None

    def _not_begun(self, failure: Failure, life: Life) -> Failure:
        """A first offer that got no answer made no resource."""
        if self.life is life:
            self._end("not-answered")
        return failure

    def _answered(self) -> _Answer | None:
        answer, self._answer = self._answer, None
        if answer is not None and answer.timer.active():
            answer.timer.cancel()
        return answer

    def _said_again(self) -> Deferred[None]:
        """The answer is on its way, or was taken; the first response got lost."""
        if self._answer is None:
            return succeed(None)
        lost, self._answer.taken = self._answer.taken, Deferred()
        lost.errback(Problem(409, "the same answer was sent again"))
        return self._answer.taken

    def _ask(self, offer: Envelope) -> Deferred[SessionDescription]:
        self._drop_question(Problem(409, "a newer offer took the place of this one"))
        question = self._question = _Question(offer, Deferred())
        self._deliver(question)
        return question.answered

    def _deliver(self, question: _Question) -> None:
        """A session that is about to roll an offer of its own back takes ours a little later."""
        if question.tries >= len(PATIENCE):
            self._drop_question(busy("the session does not answer"))
            return
        question.again = self.clock.callLater(
            PATIENCE[question.tries], partial(self._deliver, question)
        )
        question.tries += 1
        self.attachment.deliver(question.offer)

    def _drop_question(self, problem: Problem) -> None:
        question, self._question = self._question, None
        if question is None:
            return
        if question.again is not None and question.again.active():
            question.again.cancel()
        question.answered.errback(problem)

    def _take_answer(self, life: Life, envelope: Envelope) -> None:
        question = self._question
        if question is None or question.offer.id != envelope.offer:
            return
        try:
            described = SessionDescription.parse(envelope.sdp or "")
        except SdpError:
            self._drop_question(Problem(500, "the session's answer cannot be read"))
            return
        self._question = None
        if question.again is not None and question.again.active():
            question.again.cancel()
        life.heard(envelope, described)
        life.restarts += 1
        self._heard_of()
        question.answered.callback(described)
        if self.life is life:
            for left in life.passed_over():
                self.clock.callLater(0, self.attachment.deliver, left)

    def _pass_on(self, life: Life, envelope: Envelope) -> None:
        if envelope.kind is EnvelopeKind.OFFER and self.offers():
            self._drop_question(_glare())
        if not life.knows(envelope):
            life.heard(envelope)
            if self._stream is not None:
                self._stream.send(envelope)
        self._ack(life, envelope)

    def _ack(self, life: Life, envelope: Envelope) -> None:
        """A stream has it, or had it before: what a stream does not get through ends the stream."""
        if self._stream is None:
            return
        if envelope.kind in {EnvelopeKind.OFFER, EnvelopeKind.RESTART_PLEASE}:
            self.clock.callLater(0, self._acked, life, envelope)

    def _acked(self, life: Life, envelope: Envelope) -> None:
        """In a turn of its own: the session is in the middle of saying it."""
        if self.life is life:
            self.attachment.deliver(life.ack(envelope))

    def _raise_epoch(self, life: Life, envelope: Envelope) -> None:
        """The session knows a later epoch of its peer's: our clock was set back."""
        if envelope.known is None or envelope.known < life.epoch:
            return
        life.epoch = self._epoch = envelope.known + 1
        if self._question is not None:
            self._question.offer = evolve(self._question.offer, epoch=life.epoch)

    def _end(self, reason: str) -> None:
        self._drop_question(Problem(404, "the resource is gone"))
        answer = self._answered()
        if answer is not None:
            answer.taken.errback(Problem(404, "the resource is gone"))
        stream, self._stream = self._stream, None
        self.life = None
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self.attachment.tell_presence(False)
        if stream is not None:
            stream.end(reason)

    def _heard_of(self) -> None:
        """The client is there; and for a while without a stream."""
        if self.life is None or not self.life.established:
            return
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        if self._stream is None:
            self._linger = self.clock.callLater(LINGER, self.attachment.tell_presence, False)
        self.attachment.tell_presence(True)


@define(eq=False, repr=False, kw_only=True)
class HttpSignaling:
    """I attach the sessions of a daemon that are on HTTP."""

    name: str
    clock: IReactorTime
    wall: Callable[[], float]
    random: Randomness
    offers: Callable[[str], bool] = lambda session: True
    """Whether the daemon is the offerer of that session."""
    stands: Callable[[str, str], bool] = lambda session, offer: True
    """Whether that session's offer of that id still waits for its answer."""
    _attachments: Attachments = field(factory=Attachments, init=False)
    _carriers: dict[str, HttpCarrier] = field(factory=dict, init=False)

    _log: ClassVar[Logger] = Logger()

    def attach(self, session: str, peer: str, receiver: CarrierReceiver) -> Carrier:
        """See :class:`~refreeze.signaling.Signaling`."""
        attachment = self._attachments.add(session, peer, receiver)
        carrier = self._carriers[session] = HttpCarrier(
            attachment=attachment,
            daemon=self.name,
            clock=self.clock,
            wall=self.wall,
            random=self.random,
            offers=partial(self.offers, session),
            stands=partial(self.stands, session),
            gone=self._gone,
        )
        attachment.greet(self.clock, partial(_greet, attachment))
        return carrier

    def heed(self, topic: str, fields: Mapping[str, Any]) -> None:
        """An event of the daemon's: what became of what a client said."""
        carrier = self._carriers.get(fields.get("id", ""))
        if carrier is None:
            return
        if topic == "signal.refused":
            carrier.refused(fields["what"], fields["why"])
        elif topic == "round.answer":
            carrier.answer_taken()

    def find(self, session: str) -> HttpCarrier | None:
        """The carrier of a session that is open."""
        return self._carriers.get(session)

    @property
    def carriers(self) -> Mapping[str, HttpCarrier]:
        """By session."""
        return self._carriers

    def _gone(self, carrier: HttpCarrier) -> None:
        self._attachments.remove(carrier.attachment)
        if self._carriers.get(carrier.attachment.session) is carrier:
            del self._carriers[carrier.attachment.session]


def _glare() -> Problem:
    """409: once the daemon's offer is answered, there may be nothing left to restart for."""
    text = "the daemon offers a restart itself: answer that one"
    return Problem(409, text, {"Retry-After": "1"})


def _greet(attachment: Attachment) -> None:
    """Nobody is there before the first POST."""
    attachment.tell_up(True)
    attachment.tell_presence(False)
