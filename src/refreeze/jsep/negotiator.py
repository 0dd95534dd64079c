"""The signaling machine (RFC 9429 section 4, webrtc-pc section 4.4): descriptions to effects.

State and call, all else is InvalidStateError:

==================  =================================  ==================================
state               setLocalDescription                setRemoteDescription
==================  =================================  ==================================
stable              offer -> have-local-offer          offer -> have-remote-offer
have-local-offer    rollback -> stable                 answer -> stable; offer: implicit
                                                       rollback first (rule 28)
have-remote-offer   answer -> stable                   offer again; rollback -> stable
closed              nothing                            nothing
==================  =================================  ==================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from attrs import define, field

from refreeze.basics import Randomness
from refreeze.ice.candidate import Candidate
from refreeze.ice.credentials import Credentials, new_credentials
from refreeze.jsep.descriptions import (
    Applied,
    Description,
    DescriptionType,
    SectionSpec,
    Writer,
)
from refreeze.jsep.effects import (
    AbandonGeneration,
    AddRemoteCandidate,
    Effect,
    EndOfRemoteCandidates,
    Fire,
    ForgetRemote,
    IceDropped,
    StageGeneration,
    StartGeneration,
)
from refreeze.jsep.errors import InvalidAccessError, InvalidStateError, OperationError
from refreeze.sdp import SdpError, UnsupportedCandidate, format_candidate, parse_candidate


class SignalingState(StrEnum):
    """RTCSignalingState."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"
    HAVE_LOCAL_PRANSWER = "have-local-pranswer"
    HAVE_REMOTE_PRANSWER = "have-remote-pranswer"
    CLOSED = "closed"


_STATE_CHANGE: Final = Fire("signalingstatechange")
_ANSWERS: Final = {"active": "passive", "passive": "active", "actpass": "active"}


def _ignore(_event: str) -> None:
    """Nobody listens yet."""


@define(eq=False, repr=False, kw_only=True)
class Negotiator:
    """One peer connection's signaling. Creating a description changes nothing (rule 7)."""

    random: Randomness
    queue_task: Callable[[Callable[[], None]], None]
    fingerprints: Sequence[tuple[str, str]]
    sections: Sequence[SectionSpec] = (SectionSpec(),)
    on_fire: Callable[[str], None] = _ignore
    """Told of events that are fired from queued tasks."""
    signaling_state: SignalingState = field(default=SignalingState.STABLE, init=False)
    _writer: Writer = field(init=False)
    _current_local: Applied | None = field(default=None, init=False)
    _pending_local: Applied | None = field(default=None, init=False)
    _current_remote: Applied | None = field(default=None, init=False)
    _pending_remote: Applied | None = field(default=None, init=False)
    _created: Description | None = field(default=None, init=False)
    _to_replace: set[Credentials] = field(factory=set, init=False)
    """[[LocalIceCredentialsToReplace]]"""
    _must_restart: bool = field(default=False, init=False)
    _needed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._writer = Writer(self.random.getrandbits(62), self.fingerprints)

    # Descriptions

    @property
    def current_local(self) -> Description | None:
        """Since the last completed exchange."""
        return self._current_local.describe() if self._current_local else None

    @property
    def pending_local(self) -> Description | None:
        """While an exchange is under way."""
        return self._pending_local.describe() if self._pending_local else None

    @property
    def current_remote(self) -> Description | None:
        """Since the last completed exchange."""
        return self._current_remote.describe() if self._current_remote else None

    @property
    def pending_remote(self) -> Description | None:
        """While an exchange is under way."""
        return self._pending_remote.describe() if self._pending_remote else None

    @property
    def local_description(self) -> Description | None:
        """Pending, or else current."""
        return self.pending_local or self.current_local

    @property
    def remote_description(self) -> Description | None:
        """Pending, or else current."""
        return self.pending_remote or self.current_remote

    def create_offer(self, ice_restart: bool = False) -> Description:
        """Rules 6, 8 and 18: new credentials when anything asks for a restart, else the same."""
        self._check_open()
        current = self._current_local
        known = current.credentials if current is not None else None
        restart = ice_restart or bool(self._to_replace) or self._must_restart
        credentials = known if known is not None and not restart else new_credentials(self.random)
        if current is None:
            sdp = self._writer.first_offer(self.sections, credentials)
        else:
            sdp = self._writer.next_offer(current.parsed, credentials)
        self._created = Description(DescriptionType.OFFER, sdp)
        return self._created

    def create_answer(self) -> Description:
        """New credentials exactly when the offer restarts (rules 8, 18 and 19)."""
        self._check_open()
        offer = self._pending_remote
        if offer is None or self.signaling_state is not SignalingState.HAVE_REMOTE_OFFER:
            raise InvalidStateError("there is no remote offer to answer")
        known = self._current_local.credentials if self._current_local is not None else None
        if known is None or self._restarts(offer):
            known = new_credentials(self.random)
        tagged = offer.parsed.tagged
        offered = (tagged.setup if tagged is not None else None) or "actpass"
        setup = _ANSWERS.get(offered, "active")
        sdp = self._writer.answer(offer.parsed, known, setup)
        self._created = Description(DescriptionType.ANSWER, sdp)
        return self._created

    def _restarts(self, remote: Applied) -> bool:
        """A changed ufrag or pwd, or both, is a restart (rules 19 and 23, T6)."""
        before = self._current_remote
        return before is None or before.credentials != remote.credentials

    # Applying

    def set_local(self, description: Description | None = None) -> list[Effect]:
        """Apply a description of ours; None makes the one that the state calls for (rule 12)."""
        self._check_open()
        if description is None:
            answering = self.signaling_state is SignalingState.HAVE_REMOTE_OFFER
            description = self.create_answer() if answering else self.create_offer()
        if description.type is DescriptionType.ROLLBACK:
            return self._rollback()
        if description is not self._created and description != self._created:
            raise InvalidAccessError("only the description created last can be applied")
        if description.type is DescriptionType.OFFER:
            return self._local_offer(description)
        if description.type is DescriptionType.ANSWER:
            return self._local_answer(description)
        raise InvalidStateError("a provisional answer is not supported")

    def _local_offer(self, description: Description) -> list[Effect]:
        if self.signaling_state not in (SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER):
            raise InvalidStateError(f"a local offer in {self.signaling_state}")
        applied = Applied.read(description)
        effects: list[Effect] = []
        replaced = self._pending_local
        if replaced is not None and self._is_new(replaced) and replaced.ufrag != applied.ufrag:
            effects.append(AbandonGeneration(replaced.ufrag or ""))
        staged = self._is_new(applied) and (replaced is None or replaced.ufrag != applied.ufrag)
        self._pending_local = self._with_candidates(applied)
        if staged and applied.credentials is not None:
            effects.append(StageGeneration(applied.credentials))
        return effects + self._enter(SignalingState.HAVE_LOCAL_OFFER)

    def _local_answer(self, description: Description) -> list[Effect]:
        offer = self._pending_remote
        if self.signaling_state is not SignalingState.HAVE_REMOTE_OFFER or offer is None:
            raise InvalidStateError(f"a local answer in {self.signaling_state}")
        applied = Applied.read(description)
        effects: list[Effect] = []
        local, remote = applied.credentials, offer.credentials
        if local is not None and remote is not None and self._is_new(applied):
            effects += [
                StageGeneration(local),
                StartGeneration(local.ufrag, remote, offer.parsed.ice_lite),
            ]
        self._current_local = self._with_candidates(applied)
        self._current_remote = offer
        return effects + self._complete()

    def set_remote(self, description: Description) -> list[Effect]:
        """Apply the peer's description. Malformed or refused, it leaves all as it was (28)."""
        self._check_open()
        if description.type is DescriptionType.ROLLBACK:
            return self._rollback()
        try:
            applied = Applied.read(description)
            self._read_candidates(applied)
        except SdpError as error:
            raise InvalidAccessError(str(error)) from None
        if description.type is DescriptionType.OFFER:
            return self._remote_offer(applied)
        if description.type is DescriptionType.ANSWER:
            return self._remote_answer(applied)
        raise InvalidStateError("a provisional answer is not supported")

    def _remote_offer(self, applied: Applied) -> list[Effect]:
        if applied.credentials is None:
            raise InvalidAccessError("the offer has no ICE credentials")
        self._check_unrestarted(applied)
        effects: list[Effect] = []
        if self.signaling_state is SignalingState.HAVE_LOCAL_OFFER:
            effects += self._rollback()
        if self._pending_remote is not None and self._pending_remote.ufrag != applied.ufrag:
            effects.append(ForgetRemote(self._pending_remote.ufrag or ""))
        self._pending_remote = applied
        return [
            *effects,
            *self._candidates(applied),
            *self._enter(SignalingState.HAVE_REMOTE_OFFER),
        ]

    def _check_unrestarted(self, applied: Applied) -> None:
        """What may change only together with a restart (rules 30 and 31)."""
        before = self._current_remote
        if before is None or before.credentials != applied.credentials:
            return
        old, new = before.parsed.tagged, applied.parsed.tagged
        if before.parsed.ice_lite != applied.parsed.ice_lite:
            raise InvalidAccessError("ice-lite changed without an ICE restart")
        if old is None or new is None:
            return
        if old.fingerprints != new.fingerprints or old.tls_id != new.tls_id:
            raise InvalidAccessError("the DTLS identity changed without an ICE restart")

    def _remote_answer(self, applied: Applied) -> list[Effect]:
        offer = self._pending_local
        if self.signaling_state is not SignalingState.HAVE_LOCAL_OFFER or offer is None:
            raise InvalidStateError(f"a remote answer in {self.signaling_state}")
        effects: list[Effect] = []
        local, remote = offer.credentials, applied.credentials
        if remote is None:
            self._must_restart = True
            effects.append(IceDropped())
            if self._is_new(offer):
                effects.append(AbandonGeneration(offer.ufrag or ""))
        elif local is not None:
            changed = self._restarts(applied)
            if self._is_new(offer) and not changed:
                raise InvalidAccessError("the answer to an ICE restart has the old credentials")
            if not self._is_new(offer) and changed:
                raise InvalidAccessError("the answer restarts ICE although the offer did not")
            self._must_restart = False
            if changed:
                effects.append(StartGeneration(local.ufrag, remote, applied.parsed.ice_lite))
        self._current_local, self._current_remote = offer, applied
        return [*effects, *self._candidates(applied), *self._complete()]

    def _is_new(self, applied: Applied) -> bool:
        """Whether its credentials differ from those in force."""
        current = self._current_local
        return current is None or current.credentials != applied.credentials

    def _with_candidates(self, applied: Applied) -> Applied:
        """A description of a generation that is known keeps its candidates."""
        for known in (self._pending_local, self._current_local):
            if known is not None and known.ufrag == applied.ufrag:
                applied.candidates, applied.ended = list(known.candidates), known.ended
                break
        return applied

    def _complete(self) -> list[Effect]:
        self._pending_local = self._pending_remote = None
        current = self._current_local
        if current is not None and current.credentials not in self._to_replace:
            self._to_replace.clear()  # rule 9
        return self._enter(SignalingState.STABLE)

    def _rollback(self) -> list[Effect]:
        """Rule 26: everything is as at the last stable state; the wish to restart stays (10)."""
        if self.signaling_state is SignalingState.STABLE:
            raise InvalidStateError("nothing to roll back")
        effects: list[Effect] = []
        local, remote = self._pending_local, self._pending_remote
        if local is not None and self._is_new(local):
            effects.append(AbandonGeneration(local.ufrag or ""))
        if remote is not None and self._restarts(remote):
            effects.append(ForgetRemote(remote.ufrag or ""))
        self._pending_local = self._pending_remote = None
        return effects + self._enter(SignalingState.STABLE)

    def _enter(self, state: SignalingState) -> list[Effect]:
        changed = state is not self.signaling_state
        self.signaling_state = state
        if state is SignalingState.STABLE:
            self._needed = False
            self._update_needed()
        return [_STATE_CHANGE] if changed else []

    # Candidates

    def _read_candidates(self, applied: Applied) -> None:
        tagged = applied.parsed.tagged
        if tagged is not None:
            _ = tagged.candidates

    def _candidates(self, applied: Applied) -> list[Effect]:
        tagged, ufrag = applied.parsed.tagged, applied.ufrag
        if tagged is None or ufrag is None:
            return []
        effects: list[Effect] = [
            AddRemoteCandidate(ufrag, candidate)
            for candidate in tagged.candidates
            if candidate.ufrag in (None, ufrag)
        ]
        if tagged.end_of_candidates:
            effects.append(EndOfRemoteCandidates(ufrag))
        return effects

    def add_remote_candidate(
        self,
        candidate: str,
        sdp_mid: str | None = None,
        sdp_mline_index: int | None = None,
        username_fragment: str | None = None,
    ) -> list[Effect]:
        """Rules 55 and 56. One without ufrag belongs to the latest generation (T3)."""
        if candidate and sdp_mid is None and sdp_mline_index is None:
            raise TypeError("a candidate needs sdpMid or sdpMLineIndex")
        self._check_open()
        latest = self._pending_remote or self._current_remote
        if latest is None:
            raise InvalidStateError("there is no remote description")
        self._check_section(latest, sdp_mid, sdp_mline_index)
        parsed = None
        if candidate:
            try:
                parsed = parse_candidate(candidate)
            except UnsupportedCandidate:
                return []
            except SdpError as error:
                raise OperationError(str(error)) from None
        ufrag = username_fragment or (parsed.ufrag if parsed is not None else None)
        owner = latest
        if ufrag is not None:
            owners = (self._pending_remote, self._current_remote)
            found = next(
                (each for each in owners if each is not None and each.ufrag == ufrag), None
            )
            if found is None:
                raise OperationError("the candidate is of no generation that is known")
            owner = found
        if owner.ufrag is None:
            return []
        if parsed is None:
            owner.ended = True
            return [EndOfRemoteCandidates(owner.ufrag)]
        owner.candidates.append(candidate)
        return [AddRemoteCandidate(owner.ufrag, parsed)]

    @staticmethod
    def _check_section(remote: Applied, mid: str | None, index: int | None) -> None:
        if mid is not None:
            if all(media.mid != mid for media in remote.parsed.media):
                raise OperationError("no section has that sdpMid")
        elif index is not None and not 0 <= index < len(remote.parsed.media):
            raise OperationError("no section has that sdpMLineIndex")

    def local_candidate(self, candidate: Candidate) -> None:
        """A gathered one appears in the descriptions of its generation only (rule 54)."""
        for applied in (self._pending_local, self._current_local):
            if applied is not None and applied.ufrag == candidate.ufrag:
                applied.candidates.append(format_candidate(candidate))

    def local_end_of_candidates(self, ufrag: str) -> None:
        """Gathering for that generation is over (rule 53)."""
        for applied in (self._pending_local, self._current_local):
            if applied is not None and applied.ufrag == ufrag:
                applied.ended = True

    # The wish to restart

    def restart_ice(self) -> list[Effect]:
        """Rule 1: remember the credentials in force; the next offer has others."""
        known = (self._current_local, self._pending_local)
        self._to_replace = {
            applied.credentials
            for applied in known
            if applied is not None and applied.credentials is not None
        }
        self._update_needed()
        return []

    def configuration_changed(self) -> None:
        """Rule 15: the next offer restarts; nothing announces it (rule 14)."""
        if self._current_local is not None:
            self._must_restart = True

    def _update_needed(self) -> None:
        self.queue_task(self._review_needed)

    def _review_needed(self) -> None:
        """Rule 3, in its task."""
        if self.signaling_state is not SignalingState.STABLE:
            return
        if not self._to_replace:
            self._needed = False
        elif not self._needed:
            self._needed = True
            self.on_fire("negotiationneeded")

    def close(self) -> None:
        """No call has an effect any more."""
        self.signaling_state = SignalingState.CLOSED

    def _check_open(self) -> None:
        if self.signaling_state is SignalingState.CLOSED:
            raise InvalidStateError("the connection is closed")
