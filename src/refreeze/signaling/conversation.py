"""What one session believes of the envelopes it gets, and how it numbers those it sends.

Sans-IO: no clock, no socket; when to send again is the watchdog's business.

**Numbers.** An *epoch* is one life of one side's session; only a greater epoch replaces a known
one. A *generation* is taken from the sender's counter by every offer, answer and restart-please,
and is never used again, not even after a rollback. A candidate or an end-of-candidates carries
the generation of the description it belongs to, so one without usernameFragment is not ambiguous
either (T3); a bye carries the latest. Numbers of two owners are never compared with each other
(T10): an answer is tied to its offer by the offer's id.

**Epochs become known** by an offer or a restart-please. An answer or ack that names our current
offer (or an ack that names our current restart-please) introduces its sender's epoch too: the id
was made in this very round, so only a live peer can have read it. Without this the first offer
to a peer never heard of could not be answered.

**Acks.** An offer and a restart-please are acked when they arrive, before anything is made of
them. The ack means: the peer's session exists and has it; no answer yet does not mean that
nobody is there. Nothing is answered to an ack, a stale or an undeliverable, so nothing loops.

The verdict on every message is in :data:`.acceptance.TABLE`, by kind and standing.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TypeAlias

from attrs import define, evolve, field, frozen

from refreeze.signaling.acceptance import TABLE, Standing, Verdict
from refreeze.signaling.author import Author
from refreeze.signaling.envelope import (
    MAX_EPOCH,
    CandidateInit,
    Envelope,
    EnvelopeKind,
)

MAX_HELD = 64
"""Early candidates kept until their description comes; the oldest make room."""

MAX_TRICKLED = 128
"""Candidates of one generation that are sent again, and that are accepted, in one round."""

MAX_UFRAGS = 8

_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)

_OFFER = EnvelopeKind.OFFER
_ANSWER = EnvelopeKind.ANSWER
_CANDIDATE = EnvelopeKind.CANDIDATE
_END = EnvelopeKind.END_OF_CANDIDATES
_PLEASE = EnvelopeKind.RESTART_PLEASE
_BYE = EnvelopeKind.BYE
_ACK = EnvelopeKind.ACK
_STALE = EnvelopeKind.STALE
_LOST = EnvelopeKind.UNDELIVERABLE


@frozen
class Apply:
    """Act on this envelope: an offer, answer, candidate, end, restart-please, bye; or an
    undeliverable that is about our current offer or restart-please."""

    envelope: Envelope


@frozen
class Reply:
    """Send this envelope."""

    envelope: Envelope


@frozen
class Dropped:
    """Nothing is to be done; *reason* is a slug that is counted."""

    reason: str


@frozen
class Resend:
    """Our epoch was raised (store it): send everything of :meth:`Conversation.resend` again."""


Outcome: TypeAlias = Apply | Reply | Dropped | Resend


@define(eq=False, repr=False)
class _Description:
    """An offer, answer or restart-please of ours and the candidates that followed it."""

    envelope: Envelope
    trickled: list[Envelope] = field(factory=list)
    delivered: bool = False

    def all(self) -> list[Envelope]:
        return [self.envelope, *self.trickled]


@define(eq=False, repr=False)
class _Applied:
    """A description of the peer's and what it has got since."""

    envelope: Envelope
    candidate_ids: set[str] = field(factory=set)
    answer: _Description | None = None


@define(eq=False, repr=False, kw_only=True)
class Conversation(Author):
    """I am one session's memory of what was said by both sides.

    *offerer* is true on the side that the configuration makes the offerer.
    """

    offerer: bool
    generation: int = field(default=0, init=False)
    peer_epoch: int | None = field(default=None, init=False)
    peer_generation: int = field(default=0, init=False)
    counters: Counter[str] = field(factory=Counter, init=False)
    """Envelopes by fate: ``applied``, ``replied``, ``held``, ``acked``, and the drop reasons."""
    _offer: _Description | None = field(default=None, init=False)
    _please: _Description | None = field(default=None, init=False)
    _latest: _Description | None = field(default=None, init=False)
    _applied: _Applied | None = field(default=None, init=False)
    _before: _Applied | None = field(default=None, init=False)
    _heard_please: Envelope | None = field(default=None, init=False)
    _held: list[Envelope] = field(factory=list, init=False)
    _ufrags: dict[str, _Description] = field(factory=dict, init=False)

    # What we say.

    def make_offer(self, sdp: str) -> Envelope:
        """A new offer; it is the current one from now on, and any earlier one is not (T12)."""
        self._offer = self._describe(_OFFER, sdp=sdp)
        self._please = None
        return self._offer.envelope

    def make_answer(self, sdp: str, offer_id: str) -> Envelope | None:
        """The answer to the peer's offer *offer_id*, kept to be repeated.

        None when that is not the last applied offer any more, or is answered: a completion that
        is not the current round's (T12). An offer of our own is no longer outstanding (T11).
        """
        applied = self._applied
        if applied is None or applied.answer or applied.envelope.kind is not _OFFER:
            return None
        if applied.envelope.id != offer_id:
            return None
        self._offer = None
        applied.answer = self._describe(_ANSWER, sdp=sdp, offer=offer_id)
        return applied.answer.envelope

    def make_candidate(self, candidate: CandidateInit) -> Envelope:
        """A candidate of ours; it belongs to the description that has its ufrag."""
        return self._trickle(_CANDIDATE, candidate)

    def make_end(self, username_fragment: str | None) -> Envelope:
        """The end of the candidates of that ufrag."""
        return self._trickle(_END, CandidateInit("", username_fragment=username_fragment))

    def make_restart_please(self, reason: str) -> Envelope:
        """Ask the offerer for a restart. It stays current until an offer comes."""
        self._please = _Description(self.write(_PLEASE, self._next(), reason=reason))
        return self._please.envelope

    def make_bye(self, reason: str) -> Envelope:
        """The session ends; what was outstanding is not any more."""
        self._offer = self._please = None
        return self.write(_BYE, self.generation, reason=reason)

    def withdraw_offer(self) -> None:
        """Our offer was rolled back or its round given up: an answer to it is late from now on."""
        self._offer = None

    # Again.

    def resend_offer(self) -> Envelope | None:
        """Our outstanding offer, with the same id and generation; None when there is none."""
        return self._current(self._offer.envelope) if self._offer else None

    def resend(self) -> list[Envelope]:
        """What is outstanding, same ids, with the candidates that followed it.

        Our offer; or else our restart-please; or else our answer to the peer's last offer,
        which the peer may not have.
        """
        answer = self._applied.answer if self._applied else None
        subject = self._offer or self._please or answer
        return [self._current(envelope) for envelope in subject.all()] if subject else []

    # Where we are.

    @property
    def offer_id(self) -> str | None:
        """The id of our outstanding offer."""
        return self._offer.envelope.id if self._offer else None

    @property
    def delivered(self) -> bool:
        """Whether the peer acked what is outstanding, our offer or else our restart-please."""
        outstanding = self._offer or self._please
        return outstanding is not None and outstanding.delivered

    def in_glare(self) -> bool:
        """Whether an offer of ours is outstanding, so that one of the peer's is glare (T11)."""
        return self._offer is not None

    def glare_winner(self) -> str:
        """The name of the side whose offer stands when both have offered: the offerer's."""
        return self.me if self.offerer else self.peer

    def ignore(self, offer: Envelope) -> None:
        """The session did not act on the peer's *offer* (it lost the glare).

        It is as if it had not come: its candidates are early and go nowhere unless it comes
        again once ours is withdrawn.
        """
        applied = self._applied
        if applied is not None and applied.envelope.id == offer.id and applied.answer is None:
            self._applied, self._before = self._before, None
            self.peer_generation = self._applied.envelope.generation if self._applied else 0

    # What we hear.

    def receive(self, envelope: Envelope) -> list[Outcome]:
        """Judge *envelope*; the outcomes are to be carried out in order."""
        if (envelope.from_, envelope.to, envelope.session) != (self.peer, self.me, self.session):
            return self._drop("not-ours")
        match TABLE[envelope.kind][self.standing(envelope)]:
            case Verdict.ADOPT:
                self._adopt(envelope)
                return self._apply(envelope)
            case Verdict.APPLY:
                return self._apply(envelope)
            case Verdict.IF_OURS:
                return self._if_ours(envelope)
            case Verdict.AGAIN:
                return self._again(envelope)
            case Verdict.HOLD:
                return self._hold(envelope)
            case Verdict.TELL:
                return [*self._tell(envelope), *self._drop("old-epoch")]
            case Verdict.RAISE:
                return self._raise(envelope)
            case Verdict.UNKNOWN_EPOCH:
                return self._drop("unknown-epoch")
            case Verdict.TOO_LATE:
                return self._late(envelope)

    def standing(self, envelope: Envelope) -> Standing:
        """Where *envelope* stands against what we know of the peer."""
        if self.peer_epoch is None or envelope.epoch > self.peer_epoch:
            return Standing.NEW_EPOCH
        if envelope.epoch < self.peer_epoch:
            return Standing.OLD_EPOCH
        if envelope.generation < self.peer_generation:
            return Standing.PAST
        if envelope.generation == self.peer_generation:
            return Standing.PRESENT
        return Standing.FUTURE

    # Verdicts.

    def _apply(self, envelope: Envelope) -> list[Outcome]:
        match envelope.kind:
            case EnvelopeKind.OFFER:
                return [self._ack(envelope), *self._describe_peer(envelope)]
            case EnvelopeKind.RESTART_PLEASE:
                return self._asked(envelope)
            case EnvelopeKind.CANDIDATE | EnvelopeKind.END_OF_CANDIDATES:
                return self._candidate(envelope)
            case _:
                return [self._accept(envelope)]

    def _describe_peer(self, envelope: Envelope) -> list[Outcome]:
        """A description of the peer's is applied, and then the candidates that came early."""
        self._before, self._applied = self._applied, _Applied(envelope)
        self.peer_generation = envelope.generation
        if envelope.kind is _OFFER:
            self._please = None
        outcomes: list[Outcome] = [self._accept(envelope)]
        early, self._held = self._held, []
        for held in early:
            if held.generation == envelope.generation:
                outcomes += self._candidate(held)
            elif held.generation > envelope.generation:
                self._held.append(held)
            else:
                outcomes += self._drop("old-generation")
        return outcomes

    def _candidate(self, envelope: Envelope) -> list[Outcome]:
        applied = self._applied
        if applied is None:
            return self._drop("no-description")
        if envelope.id in applied.candidate_ids:
            return self._drop("duplicate")
        if len(applied.candidate_ids) >= MAX_TRICKLED:
            return self._drop("too-many-candidates")
        applied.candidate_ids.add(envelope.id)
        return [self._accept(envelope)]

    def _asked(self, envelope: Envelope) -> list[Outcome]:
        heard = self._heard_please
        if heard is not None and envelope.generation <= heard.generation:
            repeated = [self._ack(envelope)] if envelope.id == heard.id else []
            return [*repeated, *self._drop("duplicate" if repeated else "old-generation")]
        self._heard_please = envelope
        return [self._ack(envelope), self._accept(envelope)]

    def _if_ours(self, envelope: Envelope) -> list[Outcome]:
        ours = self._named(envelope)
        if ours is None:
            return self._drop("not-current-offer")
        if envelope.kind is _LOST:
            return [self._accept(envelope)]
        if self.standing(envelope) is Standing.NEW_EPOCH:
            self._adopt(envelope)
        if envelope.kind is _ACK:
            ours.delivered = True
            self.counters["acked"] += 1
            return []
        self._offer = None
        return self._describe_peer(envelope)

    def _named(self, envelope: Envelope) -> _Description | None:
        """Our outstanding message that *envelope* is about; only an offer can be answered."""
        for ours in (self._offer, None if envelope.kind is _ANSWER else self._please):
            if ours is not None and ours.envelope.id == envelope.offer:
                return ours
        return None

    def _again(self, envelope: Envelope) -> list[Outcome]:
        applied = self._applied
        if applied is None or applied.envelope.id != envelope.id:
            return self._drop("old-generation")
        if applied.answer is None:
            return [self._ack(envelope), *self._drop("duplicate")]
        repeated = [Reply(self._current(answer)) for answer in applied.answer.all()]
        self.counters["replied"] += len(repeated)
        return [*repeated, *self._drop("duplicate")]

    def _hold(self, envelope: Envelope) -> list[Outcome]:
        if any(envelope.id == held.id for held in self._held):
            return self._drop("duplicate")
        self._held.append(envelope)
        self.counters["held"] += 1
        if len(self._held) <= MAX_HELD:
            return []
        del self._held[0]
        return self._drop("too-many-held")

    def _tell(self, envelope: Envelope) -> list[Outcome]:
        known = self.peer_epoch
        reply = self.write(_STALE, self.generation, offer=envelope.id, reason="epoch")
        return [self._reply(evolve(reply, known=known))]

    def _raise(self, envelope: Envelope) -> list[Outcome]:
        known = envelope.known
        if known is None or known < self.epoch:
            return self._drop("raised-already")
        if known >= MAX_EPOCH:
            return self._drop("epoch-exhausted")
        self.epoch = known + 1
        return [Resend()]

    def _late(self, envelope: Envelope) -> list[Outcome]:
        old = self.peer_epoch is not None and envelope.epoch < self.peer_epoch
        return self._drop("old-epoch" if old else "old-generation")

    # Small change.

    def _adopt(self, envelope: Envelope) -> None:
        """Another life of the peer: nothing that its earlier one said counts any more."""
        self.peer_epoch = envelope.epoch
        self.peer_generation = 0
        self._applied = self._before = self._heard_please = None
        self._held.clear()

    def _accept(self, envelope: Envelope) -> Apply:
        self.counters["applied"] += 1
        return Apply(envelope)

    def _ack(self, envelope: Envelope) -> Reply:
        return self._reply(self.write(_ACK, self.generation, offer=envelope.id))

    def _reply(self, envelope: Envelope) -> Reply:
        self.counters["replied"] += 1
        return Reply(envelope)

    def _drop(self, reason: str) -> list[Outcome]:
        self.counters[reason] += 1
        return [Dropped(reason)]

    def _next(self) -> int:
        self.generation += 1
        return self.generation

    def _describe(self, kind: EnvelopeKind, *, sdp: str, offer: str | None = None) -> _Description:
        description = _Description(self.write(kind, self._next(), sdp=sdp, offer=offer))
        self._latest = description
        for ufrag in _UFRAG.findall(sdp)[:MAX_UFRAGS]:
            self._ufrags.pop(ufrag, None)
            self._ufrags[ufrag] = description
        while len(self._ufrags) > MAX_UFRAGS:
            del self._ufrags[next(iter(self._ufrags))]
        return description

    def _trickle(self, kind: EnvelopeKind, candidate: CandidateInit) -> Envelope:
        owner = self._ufrags.get(candidate.username_fragment or "", self._latest)
        generation = owner.envelope.generation if owner else self.generation
        envelope = self.write(kind, generation, candidate=candidate)
        if owner is not None and len(owner.trickled) < MAX_TRICKLED:
            owner.trickled.append(envelope)
        return envelope

    def _current(self, envelope: Envelope) -> Envelope:
        return evolve(envelope, epoch=self.epoch)
