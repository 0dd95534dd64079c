"""Who writes the envelopes of one session: this side's daemon, or a client over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from refreeze.signaling.envelope import CandidateInit, Envelope, EnvelopeKind


@define(eq=False, repr=False, kw_only=True)
class Author:
    """I fill in what all envelopes of one side have in common.

    *epoch* is this life's; *new_id* makes ids that were never used before and that no one can
    guess.
    """

    me: str
    peer: str
    session: str
    epoch: int
    new_id: Callable[[], str]

    def write(
        self,
        kind: EnvelopeKind,
        generation: int,
        *,
        sdp: str | None = None,
        offer: str | None = None,
        candidate: CandidateInit | None = None,
        reason: str | None = None,
    ) -> Envelope:
        """One envelope to the peer."""
        return Envelope(
            id=self.new_id(),
            from_=self.me,
            to=self.peer,
            session=self.session,
            epoch=self.epoch,
            generation=generation,
            kind=kind,
            offer=offer,
            sdp=sdp,
            candidate=candidate,
            reason=reason,
        )
