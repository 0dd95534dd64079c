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

from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials
from refreeze.jsep.creating import Created, DescriptionMaker
from refreeze.jsep.descriptions import Applied, Description, DescriptionType
from refreeze.jsep.dtls import check_setup, own_tls_id
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
    NotRestarted,
)
from refreeze.jsep.media import MEDIA_KINDS, Direction, Part
from refreeze.jsep.remote import RemoteCandidates
from refreeze.jsep.roles import ice_controlling
from refreeze.jsep.sections import (
    Taken,
    check_answer,
    check_offer,
    check_own_answer,
    read_description,
    take,
    transport_credentials,
)
from refreeze.jsep.states import Side, SignalingState, after
from refreeze.jsep.trickle import Trickle
from refreeze.jsep.unrestarted import check_unchanged
from refreeze.sdp import SessionDescription

_STATE_CHANGE: Final = Fire("signalingstatechange")
_OFFER, _PRANSWER = DescriptionType.OFFER, DescriptionType.PRANSWER
_ANSWER, _ROLLBACK = DescriptionType.ANSWER, DescriptionType.ROLLBACK


@define(eq=False, repr=False, kw_only=True)
class Negotiator(DescriptionMaker):
    """One peer connection's signaling.

    Every method that raises leaves all as it was (rules 28 and 35).
    """

    hold_early: bool = True
    """Hold candidates of generations never heard of (T2); False: W3C's OperationError."""
    follows_peers: bool = False
    """Whether an offer of another session (o=) is that of a peer connection in the place of the
    one before: W3C's object has one peer for all its life, a service's peer may begin anew."""
    can_trickle: bool | None = field(default=None, init=False)
    """canTrickleIceCandidates (rule 21)."""
    _remote: RemoteCandidates = field(init=False)
    _started: tuple[Credentials, Credentials] | None = field(default=None, init=False)
    """Local and remote credentials with which a provisional answer started a generation."""
    _configuration_before: bool = field(default=False, init=False)
    """JSEP's needs-ice-restart bit before the pending offer."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._remote = RemoteCandidates(self.hold_early)

    # Applying ours

    def set_local(self, description: Description | None = None) -> list[Effect]:
        """Apply a description of ours; None makes the one that the state calls for (rule 12)."""
        if description is None:
            description = self._implied()
        self._check_open()
        kind = description.type
        if kind is _ROLLBACK:
            following = after(self.signaling_state, Side.LOCAL, kind)
            return [*self._rollback(), *self._enter(following)]
        created = self._last_created(_OFFER if kind is _OFFER else _ANSWER, description.sdp)
        following = after(self.signaling_state, Side.LOCAL, kind)
        applied = self._read_local(kind, created)
        if kind is _OFFER:
            self.media.bind(created.places)
            effects = self._local_offer(applied)
        else:
            effects = self._local_answer(applied)
        self._unused.discard(_OFFER if kind is _OFFER else _ANSWER)
        return [*effects, *self._enter(following)]

    def _last_created(self, kind: DescriptionType, sdp: str) -> Created:
        """Looked at before the state is (webrtc-pc 4.4.2); no text means whatever was created."""
        if not sdp and kind not in self._created:
            self.create_offer() if kind is _OFFER else self.create_answer()
        created = self._created.get(kind)
        if created is None or sdp not in {created.sdp, ""}:
            raise InvalidModificationError("only the description created last can be applied")
        return created

    def _implied(self) -> Description:
        offering = self.signaling_state in {
            SignalingState.STABLE,
            SignalingState.HAVE_LOCAL_OFFER,
            SignalingState.HAVE_REMOTE_PRANSWER,
        }
        return self.implied(_OFFER if offering else _ANSWER)

    def _read_local(self, kind: DescriptionType, created: Created) -> Applied:
        """Its candidates are taken out of the text: :meth:`Applied.describe` adds them."""
        # What we repeat of the peer's may make it too long.
        parsed = read_description(created.sdp, media=False)
        section = parsed.tagged
        credentials = transport_credentials(parsed, section)
        if section is not None:
            gone = ("a=candidate:", "a=end-of-candidates")
            section.lines = [line for line in section.lines if not line.startswith(gone)]
        trickle = Trickle() if credentials is None else self._gathered.of(credentials.ufrag)
        return Applied(
            kind, parsed, section, credentials, trickle=trickle, identity=created.identity
        )

    def _local_offer(self, applied: Applied) -> list[Effect]:
        effects: list[Effect] = []
        replaced = self._pending_local
        if replaced is None:
            self._configuration_before = self._configuration
        elif self._is_new(replaced) and replaced.credentials != applied.credentials:
            effects.append(AbandonGeneration(replaced.ufrag or ""))
            self._configuration |= self._configuration_before
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
        check_own_answer(applied.parsed, offer.parsed)
        effects: list[Effect] = []
        local, remote = applied.credentials, offer.credentials
        if local is not None and remote is not None:
            self._check_restart(self._restarts(offer), self._is_new(applied))
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
        self.media.answered(applied.parsed.media, local=True, offered=offer.parsed.media)
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
        parsed = read_description(description.sdp, media=self.accepts_media)
        if kind is _OFFER:
            self._check_places(parsed)
            glare = self.signaling_state is SignalingState.HAVE_LOCAL_OFFER
            taken = take(parsed, self.media, glare=glare)
            effects = self._remote_offer(self._read_offer(parsed, taken), taken)
        else:
            effects = self._remote_answer(self._read_answer(kind, parsed))
        self._show_trickle()
        return [*effects, *self._enter(following)]

    def _check_places(self, offer: SessionDescription) -> None:
        """Sections stay where they are; another peer connection of the peer's has its own."""
        before, owner = self._pending_remote, self.media.at
        if before is None:
            before, owner = self._current_remote, self.media.stable_at
        if before is None:
            return
        another = offer.origin[0] != before.parsed.origin[0]
        if not (another and self.follows_peers):
            check_offer(offer, before.parsed, owner)

    def _read_offer(self, parsed: SessionDescription, taken: Sequence[Taken]) -> Applied:
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

    def _remote_offer(self, applied: Applied, taken: Sequence[Taken]) -> list[Effect]:
        effects: list[Effect] = []
        before = self._pending_remote
        if self.signaling_state is SignalingState.HAVE_LOCAL_OFFER:
            effects += self._rollback()
        elif before is not None and before.credentials != applied.credentials:
            effects += self._forget(before)
        self._pending_remote = applied
        new = [each for each in taken if each.part is None or each.part.index != each.index]
        self.media.offered(applied.parsed.media, {each.index: each.spec for each in new})
        if applied.credentials is not None and self._restarts(applied):
            if before is not None and before.credentials == applied.credentials:
                # The same generation offered again: what was trickled for it still waits.
                applied.trickle = Trickle(seen=before.trickle.seen)
                applied.waiting = before.waiting
            else:
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
        self._check_restart(self._is_new(offer), self._restarts(applied))
        self._continue(applied)
        started = self._pending_remote
        if started is not None and started.credentials == applied.credentials:
            applied.trickle = Trickle(seen=started.trickle.seen)
        return applied

    @staticmethod
    def _check_restart(offer: bool, answer: bool) -> None:
        """Both restart, or neither."""
        if offer and not answer:
            raise NotRestarted("the answer to an ICE restart has the old credentials")
        if answer and not offer:
            raise InvalidAccessError("the answer restarts ICE although the offer did not")

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
        self.media.answered(applied.parsed.media, local=False, offered=offer.parsed.media)
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
        pairs = list(zip(local.parsed.media, remote.parsed.media, strict=True))
        self.media.completed({i for i, (a, b) in enumerate(pairs) if a.rejected or b.rejected})
        remote.taken = [b for a, b in pairs if not a.rejected and any(b is t for t in remote.taken)]
        self.needs.answered(local.credentials)
        self._created.clear()
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
        self.media.rolled_back()
        self._reset()
        return effects

    def _reset(self) -> None:
        """Nothing is pending any more."""
        self._pending_local = self._pending_remote = self._started = None
        self._configuration_before = False
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
        place = sdp_mid, sdp_mline_index, username_fragment
        return self._remote.signaled(candidate, *place, *self._remotes())

    def wants_candidate(self, mid: str | None, index: int | None, ufrag: str | None) -> bool:
        """Whether :meth:`add_remote_candidate` had anything to do, and its first errors."""
        return self._remote.wanted(mid, index, ufrag, *self._remotes())[0]

    def _remotes(self) -> tuple[list[Applied], Callable[[int], bool]]:
        self._check_open()
        applied = [a for a in (self._pending_remote, self._current_remote) if a is not None]
        return applied, self.media.is_stopped

    def local_candidate(self, candidate: Candidate) -> None:
        """A gathered one appears in the descriptions of its generation only (rule 54)."""
        if candidate.ufrag is not None:
            self._gathered.add(candidate, candidate.ufrag)

    def local_end_of_candidates(self, ufrag: str) -> None:
        """Gathering for that generation is over (rule 53)."""
        self._gathered.of(ufrag).end()

    def place_of(self, ufrag: str) -> tuple[str | None, int]:
        """mid and index of the section with that generation's ICE lines (rule 53)."""
        held = (self._pending_local, self._current_local)
        found = next((each for each in held if each is not None and each.ufrag == ufrag), None)
        if found is None or found.section is None:
            return None, 0
        places = enumerate(found.parsed.media)
        return found.section.mid, next(i for i, each in places if each is found.section)

    # What is wished

    def want_data(self) -> None:
        """createDataChannel(): the first one needs a section."""
        self._check_open()
        if not self.media.data_wanted:
            self.media.want_data()
            self.needs.update()

    def add_transceiver(self, kind: str, direction: Direction = Direction.SENDRECV) -> Part:
        """addTransceiver(); TypeError for what is neither audio nor video."""
        if kind not in MEDIA_KINDS:
            raise TypeError(f"kind: audio or video, not {kind!r}")
        self._check_open()
        part = self.media.add(kind, direction)
        self.needs.update()
        return part

    def set_direction(self, part: Part, direction: Direction) -> None:
        """RTCRtpTransceiver.direction."""
        self._check_open()
        if part.stopping:
            raise InvalidStateError("the transceiver is stopped")
        if direction is Direction.STOPPED:
            raise TypeError("direction: a transceiver is stopped by stop()")
        if part.direction is not direction:
            part.direction = direction
            self.needs.update()

    def stop_transceiver(self, part: Part) -> None:
        """RTCRtpTransceiver.stop(): the next exchange rejects its section, if it has one."""
        self._check_open()
        if part.stopping:
            return
        part.stopping, part.direction = True, Direction.STOPPED
        self.needs.update()

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
