"""Whose certificates, which role, and whether an association goes on (RFC 8842, rule 30).

An association is named by both sides' tls-ids and fingerprints and by their roles; a description
that changes any of them asks for a new one, and may do so only together with an ICE restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from refreeze.basics import Randomness
from refreeze.jsep.descriptions import Applied, DtlsIdentity
from refreeze.jsep.effects import DtlsAgreed
from refreeze.jsep.errors import InvalidAccessError
from refreeze.sdp import MediaSection

OPPOSITE: Final = {"active": "passive", "passive": "active"}
_TLS_ID_BITS: Final = 160
"""RFC 8842 section 5.1 wants 120 at least."""


@frozen
class _Named:
    """What names an association: each side's fingerprints and tls-id, and who is the client."""

    ours: DtlsIdentity
    theirs: tuple[frozenset[str], str | None]
    client: bool


@define(eq=False, repr=False)
class DtlsNegotiation:
    """I know the association in force, and what our next description says."""

    random: Randomness
    fingerprints: Sequence[tuple[str, str]]
    wished: bool = field(default=False, init=False)
    """Our next offer asks for a new association; it stays so until an answer agreed to one."""
    _next: DtlsIdentity = field(init=False)
    """Ours in a description that may begin an association..."""
    _ours: DtlsIdentity | None = field(default=None, init=False)
    """...and in one that may not: as in the last completed exchange."""
    _reply: DtlsIdentity | None = field(default=None, init=False)
    """Ours in the answer to an offer that asks for a new association."""
    _told: _Named | None = field(default=None, init=False)
    """What the transport was told last..."""
    _settled: _Named | None = field(default=None, init=False)
    """...and what it had been told when an answer settled it."""

    def __attrs_post_init__(self) -> None:
        self._next = self._new_identity()

    def _new_identity(self) -> DtlsIdentity:
        bits = self.random.getrandbits(_TLS_ID_BITS)
        return DtlsIdentity(tuple(self.fingerprints), f"{bits:0{_TLS_ID_BITS // 4}x}")

    def renew(self, fingerprints: Sequence[tuple[str, str]] | None = None) -> None:
        """Ask for a new association, perhaps under another certificate."""
        if fingerprints is not None:
            self.fingerprints = fingerprints
        self._next, self._reply, self.wished = self._new_identity(), None, True

    # What we write

    def to_offer(self, *, restart: bool) -> DtlsIdentity:
        """*restart*: whether the offer has new ICE credentials."""
        return self._next if restart or self._ours is None else self._ours

    def to_answer(self, offer: Applied, peer: Applied | None, *, restart: bool) -> DtlsIdentity:
        """An offer that asks for a new association gets a tls-id of its own (section 5.3)."""
        if self._ours is None:
            return self._next
        if not restart:
            return self._ours
        if self.wished or peer is None or peer.same_dtls(offer):
            return self._next
        if self._reply is None:
            self._reply = self._new_identity()
        return self._reply

    def answer_lines(
        self, offer: Applied, peer: Applied | None, identity: DtlsIdentity
    ) -> list[str]:
        """*identity* in an answer, with a role: an association that goes on keeps ours.

        A tls-id answers a tls-id only (section 5.3); an offer without ``setup`` means
        ``active`` (RFC 4145 section 4.1).
        """
        section = offer.section
        if section is None:
            return identity.lines("active")
        setup = OPPOSITE.get(section.setup or "active", "active")
        goes_on = identity == self._ours and peer is not None and peer.same_dtls(offer)
        kept = self._told if goes_on or self._same_to_old_peer(identity, offer) else None
        if kept is not None and section.setup in {None, "actpass"}:
            setup = "active" if kept.client else "passive"
        return identity.lines(setup, tls_id=section.tls_id is not None)

    # What was said

    def agree(self, local: Applied, remote: Applied, *, answered_by_us: bool) -> list[DtlsAgreed]:
        """An answer, or a provisional one, was applied: what begins, if anything does."""
        ours, theirs, identity = local.section, remote.section, local.identity
        if ours is None or theirs is None or identity is None:
            return []
        if local.ufrag is None or remote.ufrag is None:
            return []
        # An answer that says nothing is passive (RFC 4145 section 4.1).
        client = ours.setup == "active" if answered_by_us else theirs.setup != "active"
        if self._told is not None and self._same_to_old_peer(identity, remote):
            client = self._told.client
        named = _Named(identity, (theirs.fingerprints, remote.tls_id), client)
        if named == self._told:
            return []
        self._told = named
        # Who repeats our tls-id repeats our word on the payload, too.
        payload = theirs.payload if theirs.tls_id == remote.tls_id else None
        return [
            DtlsAgreed(
                client=client,
                fingerprints=tuple(sorted(theirs.fingerprints)),
                local_tls_id=ours.tls_id,
                remote_tls_id=remote.tls_id,
                payload=payload,
            )
        ]

    def _same_to_old_peer(self, identity: DtlsIdentity, remote: Applied) -> bool:
        """Whether a peer that knows no tls-id sees the association that it has, and keeps its role.

        Firefox answers ``active`` to any offer and goes on in the role that it has: to those who
        follow RFC 5763 only fingerprints name an association.
        """
        told, section = self._told, remote.section
        if told is None or section is None or remote.tls_id is not None:
            return False
        theirs = section.fingerprints, None
        return (identity.fingerprints, theirs) == (told.ours.fingerprints, told.theirs)

    def completed(self, local: Applied) -> None:
        """An answer settled it: what our description said is in force."""
        said, self._settled = local.identity, self._told
        if said is None:
            return
        self._ours = said
        if said in {self._next, self._reply}:
            self._next, self._reply, self.wished = said, None, False

    def rolled_back(self) -> None:
        """What a provisional answer began is nobody's: both sides begin another (rule 26)."""
        if self._told != self._settled:
            self.renew()


def own_tls_id(section: MediaSection | None, ours: Applied | None) -> str | None:
    """The peer's tls-id. libdatachannel repeats what it does not know: ours is nobody's."""
    if section is None or ours is None or ours.identity is None:
        return section.tls_id if section is not None else None
    return None if section.tls_id == ours.identity.tls_id else section.tls_id


def check_setup(section: MediaSection | None) -> None:
    """``holdconn`` has no meaning for DTLS (RFC 8842 section 5.1); InvalidAccessError."""
    if section is not None and section.setup == "holdconn":
        raise InvalidAccessError(
            f"line {section.number}: a=setup:holdconn begins no DTLS", section.number
        )
