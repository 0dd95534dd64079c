"""What our next offer or answer says. Creating a description changes nothing (rule 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field, frozen

from refreeze.basics import Randomness
from refreeze.ice.credentials import Credentials, new_credentials
from refreeze.jsep.descriptions import (
    Applied,
    Description,
    DescriptionType,
    DtlsIdentity,
    SectionSpec,
)
from refreeze.jsep.dtls import DtlsNegotiation
from refreeze.jsep.errors import InvalidStateError, OperationError
from refreeze.jsep.held import HeldDescriptions
from refreeze.jsep.media import Media, Part, Place
from refreeze.jsep.needs import Needs
from refreeze.jsep.states import SignalingState
from refreeze.jsep.trickle import Gathered
from refreeze.jsep.writer import ICE_OPTIONS, Writer, ice_lines
from refreeze.sdp import MAX_SECTIONS

_OFFER, _ANSWER = DescriptionType.OFFER, DescriptionType.ANSWER
_CREATING = {
    _OFFER: {SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER},
    _ANSWER: {SignalingState.HAVE_REMOTE_OFFER, SignalingState.HAVE_LOCAL_PRANSWER},
}
_TRACK_BITS = 128
_DRAWN = (
    *("o=", "a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=tls-id:"),
    *("a=candidate:", "a=end-of-candidates"),
)
"""Beginnings of lines that say nothing of what was wished and agreed."""


def _told(sdp: str) -> list[str]:
    return [line for line in sdp.split("\r\n") if not line.startswith(_DRAWN)]


def _ignore(_event: str) -> None:
    """Nobody listens yet."""


@frozen
class Created:
    """[[LastCreatedOffer]] or [[LastCreatedAnswer]], and what was meant by it."""

    sdp: str = field(repr=False)
    """It holds the pwd."""
    identity: DtlsIdentity
    fresh: bool
    """Whether its credentials are new."""
    places: Sequence[Place] = ()

    def says(self, other: Created) -> bool:
        """Whether both describe the same, but for what is drawn or gathered for each."""
        parts = [(place.part, place.mid) for place in self.places]
        if parts != [(place.part, place.mid) for place in other.places]:
            return False
        return _told(self.sdp) == _told(other.sdp)


@define(eq=False, repr=False, kw_only=True)
class DescriptionMaker(HeldDescriptions):
    """I write descriptions from what was agreed, what is wished, and what was gathered."""

    random: Randomness
    queue_task: Callable[[Callable[[], None]], None]
    fingerprints: Sequence[tuple[str, str]]
    data_section: SectionSpec = field(factory=SectionSpec)
    """What our data section says."""
    accepts_media: bool = True
    """Whether the peer's audio and video become transceivers; else they are rejected."""
    session_id: int | None = None
    """Of our o= lines; drawn when None."""
    lite: bool = False
    """Whether we are an ICE lite agent."""
    on_fire: Callable[[str], None] = _ignore
    """Told of events that are fired from queued tasks: ``negotiationneeded``."""
    signaling_state: SignalingState = field(default=SignalingState.STABLE, init=False)
    media: Media = field(init=False)
    """The data section and the transceivers."""
    needs: Needs = field(init=False)
    """The restart slot and the negotiation-needed flag; told of the operations chain."""
    _writer: Writer = field(init=False)
    _gathered: Gathered = field(factory=Gathered, init=False)
    _created: dict[DescriptionType, Created] = field(factory=dict, init=False)
    _unused: set[DescriptionType] = field(factory=set, init=False)
    """What was created last of these kinds has never been applied."""
    _ours: Applied | None = field(default=None, init=False)
    """The last completed exchange that had ICE: our credentials in force..."""
    _peer: Applied | None = field(default=None, init=False)
    """...and the peer's. Answers without ICE leave them alone."""
    _ice_lost: bool = field(default=False, init=False)
    _configuration: bool = field(default=False, init=False)
    """JSEP's needs-ice-restart bit (rule 15)."""
    _dtls: DtlsNegotiation = field(init=False)

    def __attrs_post_init__(self) -> None:
        identity = self.random.getrandbits(62) if self.session_id is None else self.session_id
        self._writer = Writer(identity, self.lite)
        self._dtls = DtlsNegotiation(self.random, self.fingerprints)
        self.media = Media(
            lambda: f"{self.random.getrandbits(_TRACK_BITS):032x}",
            self.data_section,
            self.accepts_media,
        )
        self.needs = Needs(
            self.queue_task,
            lambda: self.signaling_state is SignalingState.STABLE,
            lambda: self.on_fire("negotiationneeded"),
            lambda: self.media.needed(self._current_local, self._current_remote),
        )

    def check_creating(self, kind: DescriptionType) -> None:
        """InvalidStateError where no such description can be made."""
        if self.signaling_state not in _CREATING[kind]:
            raise InvalidStateError(f"no {kind} can be made in the state {self.signaling_state}")

    def create_offer(self, ice_restart: bool = False) -> Description:
        """Rules 6, 8 and 18: new credentials when anything asks for a restart, else the same."""
        self.check_creating(_OFFER)
        places = self.media.places(each.parsed for each in self._applied())
        if len(places) > MAX_SECTIONS:
            # The peer has filled them, and those that we rejected stay where they are.
            raise OperationError(f"an offer has at most {MAX_SECTIONS} sections")
        wished = ice_restart or self._configuration or self._ice_lost or self._dtls.wished
        restart = wished or bool(self.needs.to_replace)
        # A first offer that is only replaced keeps its credentials, and what was gathered.
        basis = self._ours or self._pending_local
        known = None if basis is None or restart else basis.credentials
        ice = self._ice(known or new_credentials(self.random))
        identity = self._dtls.to_offer(restart=known is None)
        current = self._current_local.parsed if self._current_local is not None else None
        kept = current is not None and known is not None
        sdp = self._writer.offer(
            places,
            current,
            ice,
            identity.lines("actpass"),
            current.ice_options if current is not None and kept else ICE_OPTIONS,
        )
        return self._remember(_OFFER, Created(sdp, identity, known is None, places))

    def create_answer(self) -> Description:
        """New credentials exactly when the offer restarts (rules 11, 18 and 19, T8)."""
        self.check_creating(_ANSWER)
        offer = self._pending_remote
        assert offer is not None, "the states see to it"
        current = self._current_local.parsed if self._current_local is not None else None
        basis = self._pending_local or (None if self._restarts(offer) else self._ours)
        known = basis.credentials if basis is not None else None
        ice = self._ice(known or new_credentials(self.random))
        identity = self._dtls.to_answer(offer, self._peer, restart=self._restarts(offer))
        dtls = self._dtls.answer_lines(offer, self._peer, identity)
        sdp = self._writer.answer(offer.parsed, self._answered_parts(offer), current, ice, dtls)
        return self._remember(_ANSWER, Created(sdp, identity, known is None))

    def _remember(self, kind: DescriptionType, created: Created) -> Description:
        self._created[kind] = created
        self._unused.add(kind)
        return Description(kind, created.sdp)

    def implied(self, kind: DescriptionType) -> Description:
        """What was created last, if it was not applied and still holds, or else a new one.

        An offer that restarts holds where none is asked for, not the other way round; an answer
        does as its offer does (webrtc-pc 4.4.2, rule 12).
        """
        last = self._created.get(kind) if kind in self._unused else None
        made = self.create_offer() if kind is _OFFER else self.create_answer()
        new = self._created[kind]
        if last is None or self._dtls.wished or not last.says(new):
            return made
        if last.fresh is new.fresh or (kind is _OFFER and last.fresh):
            return self._remember(kind, last)
        return made

    def _answered_parts(self, offer: Applied) -> dict[int, Part]:
        """Those that we take, the tagged one first. A transceiver that is only stopping is not
        rejected but inactive: its offer is still to come (webrtc-pc 5.4).
        """
        places = {id(section): index for index, section in enumerate(offer.parsed.media)}
        indexes = [places[id(section)] for section in offer.taken]
        parts = {index: self.media.at(index) for index in indexes}
        return {i: part for i, part in parts.items() if part is not None and not part.stopped}

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
