"""One life of a client on a session: what it says over HTTP, as envelopes.

RFC 9725 knows no envelopes: a client posts an offer once, and a restart of its is a fragment of new
credentials. Here they become what a daemon on the other end would have sent; what the session says
becomes what a client expects. No HTTP in here, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field

from refreeze.ice.credentials import Credentials
from refreeze.sdp import MediaSection, SessionDescription, attribute_name
from refreeze.sdp.fragment import Fragment, fragment_of
from refreeze.signaling.author import Author
from refreeze.signaling.envelope import CandidateInit, Envelope, EnvelopeKind

MAX_TRICKLED: Final = 128
"""Candidates of ours that wait for a stream; the peer would not take more."""

_ICE: Final = frozenset({"ice-ufrag", "ice-pwd", "candidate", "end-of-candidates"})


@define(eq=False, repr=False, kw_only=True)
class Life(Author):
    """From a POST to its DELETE, or to the next POST. The client is the author, we the peer."""

    id: str
    restarts: int = field(default=0, init=False)
    """ICE sessions so far; the entity tag counts them (RFC 9725 section 4.3)."""
    established: bool = field(default=False, init=False)
    offer: Envelope | None = field(default=None, init=False)
    """The daemon's, not answered yet..."""
    please: Envelope | None = field(default=None, init=False)
    """...or its wish that the client restarts."""
    trickled: list[Envelope] = field(factory=list, init=False)
    """Candidates of the daemon's that belong to its latest description."""
    answered: tuple[str, str] | None = field(default=None, init=False)
    """The daemon's offer that was answered last, and how: a client that lost our response asks
    again."""
    _generation: int = field(default=0, init=False)
    _theirs: SessionDescription | None = field(default=None, init=False)
    """What the client said last, whole..."""
    _described: int = field(default=0, init=False)
    """...and the generation in which it did."""
    _mid: str | None = field(default=None, init=False)
    """The section whose transport both of us use, once we have answered: where the client's first
    one is audio, which we reject, all of its ICE is meant for another one of its bundle."""
    _proposed: SessionDescription | None = field(default=None, init=False)
    """Its restart that has no answer yet, and may never have one (rule 72)."""
    _before: tuple[SessionDescription | None, int] = field(default=(None, 0), init=False)
    """What its latest answer took the place of, and the generation of that."""

    @property
    def etag(self) -> str:
        """A strong entity tag of the ICE session in force."""
        return f'"{self.id[:8]}-{self.restarts}"'

    # What the client says

    def first_offer(self, sdp: str) -> Envelope:
        """SdpError when it is no description."""
        self._theirs = SessionDescription.parse(sdp)
        return self._describe(EnvelopeKind.OFFER, sdp)

    def restart_offer(self, fragment: Fragment) -> Envelope:
        """A whole offer: the client's last description with the fragment's ICE."""
        assert self._theirs is not None, "a life begins with an offer"
        sdp = restarted(self._theirs, fragment, self._mid)
        self._proposed = SessionDescription.parse(sdp)
        self._generation += 1
        return self.write(EnvelopeKind.OFFER, self._generation, sdp=sdp)

    def answer(self, offer_id: str, sdp: str) -> Envelope:
        """The answer to the daemon's offer; SdpError when it is no description."""
        described = SessionDescription.parse(sdp)
        self._before = self._theirs, self._described
        self._theirs, self._proposed = described, None
        self.offer = None
        self.answered = offer_id, sdp
        self.restarts += 1
        return self._describe(EnvelopeKind.ANSWER, sdp, offer=offer_id)

    def answer_refused(self) -> None:
        """The session did not take it: what was said before is in force."""
        self._theirs, self._described = self._before
        self.answered = None
        self.restarts -= 1

    def candidates(self, fragment: Fragment) -> Iterator[Envelope]:
        """Those of a fragment that restarts nothing."""
        ufrag = None if fragment.credentials is None else fragment.credentials.ufrag
        for section in fragment.sections:
            mid = self._meant(section.mid)
            for line in section.candidates:
                init = CandidateInit(line, sdp_mid=mid, username_fragment=ufrag)
                yield self.write(EnvelopeKind.CANDIDATE, self._described, candidate=init)
            if section.ended:
                end = CandidateInit("", sdp_mid=mid, username_fragment=ufrag)
                yield self.write(EnvelopeKind.END_OF_CANDIDATES, self._described, candidate=end)

    def passed_over(self) -> Iterator[Envelope]:
        """Candidates of its latest offer that stand in the section of its bundle that we reject."""
        theirs = self._theirs
        if theirs is None or theirs.tagged is None or self._mid in {None, theirs.tagged.mid}:
            return
        used = theirs.by_mid(self._mid or "")
        if used is not None and not used.candidates and self._meant(theirs.tagged.mid) == used.mid:
            yield from self.candidates(fragment_of(theirs))

    def bye(self, reason: str) -> Envelope:
        """The client is gone."""
        return self.write(EnvelopeKind.BYE, self._generation, reason=reason)

    def ack(self, envelope: Envelope) -> Envelope:
        """The stream took it."""
        return self.write(EnvelopeKind.ACK, self._generation, offer=envelope.id)

    def is_restart(self, fragment: Fragment) -> bool:
        """Whether it names other credentials than those in force (rule 71)."""
        old, new = self._credentials, fragment.credentials
        return old is not None and new is not None and new != old

    def changes(self, fragment: Fragment) -> str | None:
        """What a restart may not change, and this one does (rule 71); None: nothing."""
        theirs = self._theirs
        tagged = None if theirs is None else theirs.tagged
        if theirs is None or tagged is None:
            return None
        if fragment.options is not None and fragment.options != tagged.ice_options:
            return "ice-options"
        if fragment.pacing is not None and fragment.pacing != theirs.ice_pacing:
            return "ice-pacing"
        return "ice-lite" if fragment.lite and not theirs.ice_lite else None

    def half_changed(self, fragment: Fragment) -> bool:
        """Whether one of ufrag and pwd alone is new: both are, or none (rule 18)."""
        old, new = self._credentials, fragment.credentials
        if old is None or new is None:
            return False
        return (old.ufrag == new.ufrag) != (old.pwd == new.pwd)

    # What the session says

    def heard(self, envelope: Envelope, described: SessionDescription | None = None) -> None:
        """Keep what a stream that opens later has to be told; *described* is an answer, read."""
        if envelope.sdp is not None:
            self.answered = None
        if envelope.kind is EnvelopeKind.OFFER:
            self.trickled.clear()
            self.offer, self.please = envelope, None
        elif envelope.kind is EnvelopeKind.ANSWER:
            self.offer = self.please = None
            self.trickled.clear()
            self.established = True
            if described is not None and described.tagged is not None:
                self._mid = described.tagged.mid
            if self._proposed is not None:
                self._theirs, self._described = self._proposed, self._generation
                self._proposed = None
        elif envelope.kind is EnvelopeKind.RESTART_PLEASE:
            self.please = envelope
        elif len(self.trickled) < MAX_TRICKLED:
            self.trickled.append(envelope)

    def knows(self, envelope: Envelope) -> bool:
        """Whether it is said again, as to somebody whose signaling loses things."""
        known = [each.id for each in (self.offer, self.please, *self.trickled) if each is not None]
        return envelope.id in known

    def outstanding(self) -> Sequence[Envelope]:
        """For a stream that is new."""
        asked = self.offer or self.please
        return [*([asked] if asked is not None else []), *self.trickled]

    # Inside

    @property
    def _credentials(self) -> Credentials | None:
        """The client's, in force."""
        if self._theirs is None:
            return None
        used = _used(self._theirs, self._mid), self._theirs.tagged
        return next((each.credentials for each in used if each and each.credentials), None)

    def _meant(self, mid: str | None) -> str | None:
        """The section that the candidates of section *mid* are for."""
        bundle = () if self._theirs is None else self._theirs.bundle
        return self._mid if {mid, self._mid} <= set(bundle) else mid

    def _describe(self, kind: EnvelopeKind, sdp: str, offer: str | None = None) -> Envelope:
        self._generation += 1
        self._described = self._generation
        return self.write(kind, self._generation, sdp=sdp, offer=offer)


def restarted(theirs: SessionDescription, fragment: Fragment, mid: str | None = None) -> str:
    """*theirs* as an offer with other ICE (rules 69 and 71); all else is repeated.

    One section carries it: *mid*, or the BUNDLE-tagged one. What was an answer chose a role in
    DTLS; an offer leaves the choice to us.
    """
    used = _used(theirs, mid)
    lines = [line for line in theirs.session.lines if attribute_name(line) not in _ICE]
    for media in theirs.media:
        for line in media.lines:
            name = attribute_name(line)
            if name == "setup":
                lines.append("a=setup:actpass")
            elif name not in _ICE:
                lines.append(line)
        if media is used:
            lines += _ice_of(fragment)
    return "".join(f"{line}\r\n" for line in lines)


def _used(theirs: SessionDescription, mid: str | None) -> MediaSection | None:
    """The section *mid*, if it is of the BUNDLE group; else the tagged one."""
    found = theirs.by_mid(mid) if mid is not None and mid in theirs.bundle else None
    return found or theirs.tagged


def _ice_of(fragment: Fragment) -> Iterator[str]:
    assert fragment.credentials is not None, "a restart names them"
    yield f"a=ice-ufrag:{fragment.credentials.ufrag}"
    yield f"a=ice-pwd:{fragment.credentials.pwd}"
    for section in fragment.sections[:1]:
        yield from (f"a={line}" for line in section.candidates)
        if section.ended:
            yield "a=end-of-candidates"
