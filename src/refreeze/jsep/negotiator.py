"""The signaling machine (RFC 9429 section 4, webrtc-pc section 4.4): descriptions to effects.

The states are in :mod:`refreeze.jsep.states`. What an exchange asks of the transport:

=====================  ===========================  =======================================
step                   offering side                answering side
=====================  ===========================  =======================================
offer applied          Stage if its credentials     RemoteCredentialsPending if the offer
                       are new                      restarts; candidates wait
(pr)answer applied     Start if the offer was new,  Stage and Start if the offer restarts,
                       then candidates              then the candidates that waited
the same, no restart   new candidates               nothing; candidates were added at once
rolled back            Abandon if it was staged     ForgetRemote if it restarts
glare (rule 28)        Abandon, then as answering   -
=====================  ===========================  =======================================

The generation in force is touched by none of it (rules 7, 25, 26).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

from refreeze.basics import Randomness
from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials, new_credentials
from refreeze.jsep.descriptions import (
    Applied,
    Description,
    DescriptionType,
    DtlsIdentity,
    SectionSpec,
)
from refreeze.jsep.dtls import DtlsNegotiation, check_setup, own_tls_id
from refreeze.jsep.effects import (
    AbandonGeneration,
    Effect,
    Fire,
    ForgetRemote,
    IceDropped,
    RemoteCredentialsPending,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.errors import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
)
from refreeze.jsep.held import HeldDescriptions
from refreeze.jsep.needs import Needs
from refreeze.jsep.remote import RemoteCandidates
from refreeze.jsep.roles import ice_controlling
from refreeze.jsep.sections import check_answer, take, transport_credentials
from refreeze.jsep.states import Side, SignalingState, after
from refreeze.jsep.trickle import Gathered, Trickle
from refreeze.jsep.unrestarted import check_unchanged
from refreeze.jsep.writer import ICE_OPTIONS, Writer, ice_lines
from refreeze.sdp import SdpError, SessionDescription

_STATE_CHANGE: Final = Fire("signalingstatechange")
_OFFER, _PRANSWER = DescriptionType.OFFER, DescriptionType.PRANSWER
_ANSWER, _ROLLBACK = DescriptionType.ANSWER, DescriptionType.ROLLBACK


def _ignore(_event: str) -> None:
    """Nobody listens yet."""


@define(eq=False, repr=False, kw_only=True)
class Negotiator(HeldDescriptions):
    """One peer connection's signaling. Creating a description changes nothing (rule 7).

    Every method that raises leaves all as it was (rules 28 and 35).
    """

    random: Randomness
    queue_task: Callable[[Callable[[], None]], None]
    fingerprints: Sequence[tuple[str, str]]
    sections: Sequence[SectionSpec] = (SectionSpec(),)
    session_id: int | None = None
    """Of our o= lines; drawn when None."""
    lite: bool = False
    """Whether we are an ICE lite agent."""
    hold_early: bool = True
    """Hold candidates of generations never heard of (T2); False: W3C's OperationError."""
    on_fire: Callable[[str], None] = _ignore
    """Told of events that are fired from queued tasks: ``negotiationneeded``."""
    signaling_state: SignalingState = field(default=SignalingState.STABLE, init=False)
    needs: Needs = field(init=False)
    """The restart slot and the negotiation-needed flag; told of the operations chain."""
    can_trickle: bool | None = field(default=None, init=False)
    """canTrickleIceCandidates (rule 21)."""
    _writer: Writer = field(init=False)
    _remote: RemoteCandidates = field(init=False)
    _gathered: Gathered = field(factory=Gathered, init=False)
    _created: dict[DescriptionType, tuple[str, DtlsIdentity]] = field(factory=dict, init=False)
    """[[LastCreatedOffer]] and [[LastCreatedAnswer]]."""
    _ours: Applied | None = field(default=None, init=False)
    """The last completed exchange that had ICE: our credentials in force..."""
    _peer: Applied | None = field(default=None, init=False)
    """...and the peer's. Answers without ICE leave them alone."""
    _started: tuple[Credentials, Credentials] | None = field(default=None, init=False)
    """Local and remote credentials with which a provisional answer started a generation."""
    _ice_lost: bool = field(default=False, init=False)
    _configuration: bool = field(default=False, init=False)
    """JSEP's needs-ice-restart bit (rule 15); what it was before the pending offer, beside it."""
    _configuration_before: bool = field(default=False, init=False)
    _dtls: DtlsNegotiation = field(init=False)

    def __attrs_post_init__(self) -> None:
        identity = self.random.getrandbits(62) if self.session_id is None else self.session_id
        self._writer = Writer(identity, self.lite)
        self._dtls = DtlsNegotiation(self.random, self.fingerprints)
        self._remote = RemoteCandidates(self.hold_early)
        self.needs = Needs(
            self.queue_task,
            lambda: self.signaling_state is SignalingState.STABLE,
            lambda: self.on_fire("negotiationneeded"),
        )

    # Creating

    def create_offer(self, ice_restart: bool = False) -> Description:
        """Rules 6, 8 and 18: new credentials when anything asks for a restart, else the same."""
        if self.signaling_state not in {SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER}:
            raise InvalidStateError(f"no offer can be made in the state {self.signaling_state}")
        wished = ice_restart or self._configuration or self._ice_lost or self._dtls.wished
        restart = wished or bool(self.needs.to_replace)
        # A first offer that is only replaced keeps its credentials, and what was gathered.
        basis = self._ours or self._pending_local
        known = None if basis is None or restart else basis.credentials
        ice = self._ice(known or new_credentials(self.random))
        current = self._current_local
        identity = self._dtls.to_offer(restart=known is None)
        dtls = identity.lines("actpass")
        if current is None:
            sdp = self._writer.first_offer(self.sections, ice, dtls)
        else:
            options = ICE_OPTIONS if known is None else current.parsed.ice_options
            sdp = self._writer.next_offer(current.parsed, self.sections, ice, dtls, options)
        self._created[_OFFER] = sdp, identity
        return Description(_OFFER, sdp)

    def create_answer(self) -> Description:
        """New credentials exactly when the offer restarts (rules 11, 18 and 19, T8)."""
        state = self.signaling_state
        offer = self._pending_remote
        if offer is None or state not in {
            SignalingState.HAVE_REMOTE_OFFER,
            SignalingState.HAVE_LOCAL_PRANSWER,
        }:
            raise InvalidStateError(f"no answer can be made in the state {state}")
        current = self._current_local.parsed if self._current_local is not None else None
        taken = take(offer.parsed, self.sections, current)
        basis = self._pending_local or (None if self._restarts(offer) else self._ours)
        known = basis.credentials if basis is not None else None
        ice = self._ice(known or new_credentials(self.random))
        identity = self._dtls.to_answer(offer, self._peer, restart=self._restarts(offer))
        dtls = self._dtls.answer_lines(offer, self._peer, identity)
        sdp = self._writer.answer(offer.parsed, taken, ice, dtls)
        self._created[_ANSWER] = sdp, identity
        return Description(_ANSWER, sdp)

    def _ice(self, credentials: Credentials) -> list[str]:
        """Our ICE lines, with what that generation has gathered so far (RFC 9429 5.2.2)."""
        known = {a.ufrag for a in (self._ours, self._pending_local) if a is not None}
        gathered = self._gathered.of(credentials.ufrag).lines if credentials.ufrag in known else ()
        return ice_lines(credentials, gathered)

    def _restarts(self, remote: Applied) -> bool:
        """A changed ufrag or pwd, or both, is a restart (rules 19 and 23, T6)."""
        return self._peer is None or self._peer.credentials != remote.credentials

    def _is_new(self, local: Applied) -> bool:
        """Whether applying it restarts, or begins, ICE on our side."""
        ours = self._ours.credentials if self._ours is not None else None
        return local.credentials is not None and local.credentials != ours

    # Applying ours

    def set_local(self, description: Description | None = None) -> list[Effect]:
        """Apply a description of ours; None makes the one that the state calls for (rule 12)."""
        if description is None:
            description = self._implied()
        kind = description.type
        following = after(self.signaling_state, Side.LOCAL, kind)
        if kind is _ROLLBACK:
            return [*self._rollback(), *self._enter(following)]
        created = self._created.get(_OFFER if kind is _OFFER else _ANSWER)
        if created is None or description.sdp not in {created[0], ""}:
            raise InvalidModificationError("only the description created last can be applied")
        applied = self._read_local(kind, *created)
        if kind is _OFFER:
            return [*self._local_offer(applied), *self._enter(following)]
        return [*self._local_answer(applied), *self._enter(following)]

    def _implied(self) -> Description:
        offering = self.signaling_state in {
            SignalingState.STABLE,
            SignalingState.HAVE_LOCAL_OFFER,
            SignalingState.HAVE_REMOTE_PRANSWER,
        }
        return self.create_offer() if offering else self.create_answer()

    def _read_local(self, kind: DescriptionType, sdp: str, identity: DtlsIdentity) -> Applied:
        """Its candidates are taken out of the text: :meth:`Applied.describe` adds them."""
        parsed = SessionDescription.parse(sdp)
        section = parsed.tagged
        credentials = transport_credentials(parsed, section)
        if section is not None:
            gone = ("a=candidate:", "a=end-of-candidates")
            section.lines = [line for line in section.lines if not line.startswith(gone)]
        trickle = Trickle() if credentials is None else self._gathered.of(credentials.ufrag)
        return Applied(kind, parsed, section, credentials, trickle=trickle, identity=identity)

    def _local_offer(self, applied: Applied) -> list[Effect]:
        effects: list[Effect] = []
        replaced = self._pending_local
        if replaced is None:
            self._configuration_before = self._configuration
        elif self._is_new(replaced) and replaced.credentials != applied.credentials:
            effects.append(AbandonGeneration(replaced.ufrag or ""))
        fresh = replaced is None or replaced.credentials != applied.credentials
        self._pending_local = applied
        self._forget_gathered()
        if fresh and self._is_new(applied) and applied.credentials is not None:
            self._configuration = False
            effects.append(StageGeneration(applied.credentials))
        return effects

    def _local_answer(self, applied: Applied) -> list[Effect]:
        offer = self._pending_remote
        assert offer is not None, "the states see to it"
        effects: list[Effect] = []
        local, remote = applied.credentials, offer.credentials
        if local is None or remote is None:
            effects += self._drop_ice() if applied.type is _ANSWER else ()
        elif self._is_new(applied) and self._started is None:
            self._configuration = False
            lite = offer.parsed.ice_lite
            role = ice_controlling(self._peer, lite, lite=self.lite, offering=False)
            effects += [
                StageGeneration(local),
                StartGeneration(local.ufrag, remote, lite, role),
                *self._remote.started(offer),
            ]
            self._started = local, remote
        effects += self._dtls.agree(applied, offer, answered_by_us=True)
        if applied.type is _PRANSWER:
            self._pending_local = applied
            return effects
        return [*effects, *self._complete(applied, offer)]

    # Applying the peer's

    def set_remote(self, description: Description) -> list[Effect]:
        """Apply the peer's description; an offer in glare rolls ours back first (rule 28)."""
        kind = description.type
        following = after(self.signaling_state, Side.REMOTE, kind)
        if kind is _ROLLBACK:
            return [*self._rollback(), *self._enter(following)]
        try:
            parsed = SessionDescription.parse(description.sdp)
        except SdpError as error:
            raise InvalidAccessError(str(error), error.line) from None
        if kind is _OFFER:
            effects = self._remote_offer(self._read_offer(parsed))
        else:
            effects = self._remote_answer(self._read_answer(kind, parsed))
        self._show_trickle()
        return [*effects, *self._enter(following)]

    def _read_offer(self, parsed: SessionDescription) -> Applied:
        current = self._current_local.parsed if self._current_local is not None else None
        taken = take(parsed, self.sections, current)
        section = taken[0].offered if taken else None
        credentials = transport_credentials(parsed, section)
        if section is not None and credentials is None:
            raise InvalidAccessError("the offer has no ICE credentials")
        check_setup(section)
        offered = [each.offered for each in taken]
        tls_id = own_tls_id(section, self._current_local)
        applied = Applied(_OFFER, parsed, section, credentials, offered, tls_id=tls_id)
        if credentials is not None:
            self._continue(applied)
        return applied

    def _continue(self, applied: Applied) -> None:
        """Without a restart it is about the generation in force; little may change then."""
        if self._peer is not None and not self._restarts(applied):
            sent = self._current_local.parsed.ice_options if self._current_local else ()
            check_unchanged(self._peer, applied, frozenset(sent))
            applied.trickle = Trickle(seen=self._peer.trickle.seen)
            applied.live = True

    def _remote_offer(self, applied: Applied) -> list[Effect]:
        effects: list[Effect] = []
        before = self._pending_remote
        if self.signaling_state is SignalingState.HAVE_LOCAL_OFFER:
            effects += self._rollback()
        elif before is not None and before.credentials != applied.credentials:
            effects += self._forget(before)
        self._pending_remote = applied
        known = before is not None and before.credentials == applied.credentials
        if applied.credentials is not None and not known and self._restarts(applied):
            effects.append(RemoteCredentialsPending(applied.credentials))
        return [*effects, *self._remote.described(applied)]

    def _forget(self, offer: Applied) -> list[Effect]:
        if offer.ufrag is None or not self._restarts(offer):
            return []
        if self._peer is None or self._peer.ufrag != offer.ufrag:
            self._remote.early.pass_by(offer.ufrag)
        return [ForgetRemote(offer.ufrag)]

    def _read_answer(self, kind: DescriptionType, parsed: SessionDescription) -> Applied:
        """Rule 23: it restarts exactly if our offer does."""
        offer = self._pending_local
        assert offer is not None, "the states see to it"
        check_answer(parsed, offer.parsed)
        section = parsed.tagged
        credentials = transport_credentials(parsed, section)
        live = [media for media in parsed.media if not media.rejected]
        check_setup(section)
        tls_id = own_tls_id(section, offer)
        applied = Applied(kind, parsed, section, credentials, live, tls_id=tls_id)
        if applied.credentials is None:
            if self._peer is None and section is not None:
                raise InvalidAccessError("the answer has no ICE credentials")
            return applied
        if self._is_new(offer) and not self._restarts(applied):
            raise InvalidAccessError("the answer to an ICE restart has the old credentials")
        if not self._is_new(offer) and self._restarts(applied):
            raise InvalidAccessError("the answer restarts ICE although the offer did not")
        self._continue(applied)
        started = self._pending_remote
        if started is not None and started.credentials == applied.credentials:
            applied.trickle = Trickle(seen=started.trickle.seen)
        return applied

    def _remote_answer(self, applied: Applied) -> list[Effect]:
        offer = self._pending_local
        assert offer is not None, "the states see to it"
        effects: list[Effect] = []
        local, remote = offer.credentials, applied.credentials
        if remote is None or local is None:
            if applied.type is _ANSWER:
                effects += self._abandon(offer)
                effects += self._drop_ice()
        elif self._is_new(offer) and self._started != (local, remote):
            if self._started is not None:
                # Another provisional answer's checks are void (rule 23).
                effects += [AbandonGeneration(local.ufrag), StageGeneration(local)]
            lite = applied.parsed.ice_lite
            role = ice_controlling(self._peer, lite, lite=self.lite, offering=True)
            effects.append(StartGeneration(local.ufrag, remote, lite, role))
            self._started = local, remote
        applied.live = True
        effects += self._remote.described(applied)
        effects += self._dtls.agree(offer, applied, answered_by_us=False)
        if applied.type is _PRANSWER:
            self._pending_remote = applied
            return effects
        return [*effects, *self._complete(offer, applied)]

    def _show_trickle(self) -> None:
        latest = self._pending_remote or self._current_remote
        if latest is not None and latest.section is not None:
            self.can_trickle = "trickle" in latest.section.ice_options

    # What both share

    def _drop_ice(self) -> list[Effect]:
        """Rule 37: what is in force stays, and our next offer restarts."""
        if self._peer is None:
            return []
        self._ice_lost = True
        return [IceDropped()]

    def _abandon(self, local: Applied) -> list[Effect]:
        return [AbandonGeneration(local.ufrag)] if local.ufrag and self._is_new(local) else []

    def _complete(self, local: Applied, remote: Applied) -> list[Effect]:
        """An answer was applied: what was pending is current."""
        self._current_local, self._current_remote = local, remote
        if local.credentials is not None and remote.credentials is not None:
            before, self._ours, self._peer = self._peer, local, remote
            self._ice_lost = False
            self._dtls.completed(local)
            if before is not None and before.ufrag is not None and before.ufrag != remote.ufrag:
                self._remote.early.pass_by(before.ufrag)
        self.needs.answered(local.credentials)
        self._reset()
        return []

    def _rollback(self) -> list[Effect]:
        """Rule 26: everything is as at the last stable state; the wish to restart stays (10)."""
        effects: list[Effect] = []
        local, remote = self._pending_local, self._pending_remote
        if local is not None:
            effects += self._abandon(local)
        if remote is not None and remote.type is _OFFER:
            effects += self._forget(remote)
        if local is not None and local.type is _OFFER:
            self._configuration |= self._configuration_before
        self._dtls.rolled_back()
        self._reset()
        return effects

    def _reset(self) -> None:
        """Nothing is pending any more."""
        self._pending_local = self._pending_remote = self._started = None
        self._configuration_before = False
        self._created.clear()
        self._forget_gathered()

    def _forget_gathered(self) -> None:
        """Generations that are in no description of ours have no candidates to show."""
        ours = (self._ours, self._current_local, self._pending_local)
        self._gathered.keep({a.ufrag for a in ours if a is not None and a.ufrag is not None})

    def _enter(self, state: SignalingState) -> list[Effect]:
        changed = state is not self.signaling_state
        self.signaling_state = state
        if state is SignalingState.STABLE:
            self.needs.stable()
        return [_STATE_CHANGE] if changed else []

    # Candidates

    def add_remote_candidate(
        self,
        candidate: str,
        sdp_mid: str | None = None,
        sdp_mline_index: int | None = None,
        username_fragment: str | None = None,
    ) -> list[Effect]:
        """Rules 55 and 56; an empty candidate ends those of its generation."""
        if candidate and sdp_mid is None and sdp_mline_index is None:
            raise TypeError("a candidate needs sdpMid or sdpMLineIndex")
        self._check_open()
        applied = [a for a in (self._pending_remote, self._current_remote) if a is not None]
        return self._remote.signaled(
            candidate, sdp_mid, sdp_mline_index, username_fragment, applied
        )

    def local_candidate(self, candidate: Candidate) -> None:
        """A gathered one appears in the descriptions of its generation only (rule 54)."""
        if candidate.ufrag is not None:
            self._gathered.add(candidate, candidate.ufrag)

    def local_end_of_candidates(self, ufrag: str) -> None:
        """Gathering for that generation is over (rule 53)."""
        self._gathered.of(ufrag).end()

    # The wish to restart

    def restart_ice(self) -> list[Effect]:
        """Rule 1: remember the credentials in force; the next offer has others. Never raises."""
        known = (self._current_local, self._pending_local)
        self.needs.replace(a.credentials for a in known if a is not None and a.credentials)
        return []

    def renew_dtls(self, fingerprints: Sequence[tuple[str, str]] | None = None) -> None:
        """The next offer, or the next answer to a restart, begins a new DTLS association.

        *fingerprints*: of another certificate. Such an offer restarts ICE (RFC 8842 section 5.2).
        """
        self._dtls.renew(fingerprints)

    def configuration_changed(self) -> None:
        """Rule 15: the next offer restarts, if gathering has begun; nothing announces it (14)."""
        self._check_open()
        if self._current_local is not None or self._pending_local is not None:
            self._configuration = True

    def close(self) -> None:
        """No call has an effect any more, and no event follows (rules 2 and 65)."""
        self.signaling_state = SignalingState.CLOSED
        self.needs.closed = True

    def _check_open(self) -> None:
        if self.signaling_state is SignalingState.CLOSED:
            raise InvalidStateError("the connection is closed")
