"""Whose certificates, which role, and whether an association goes on (RFC 8842, rule 30).

An association is named by both sides' tls-ids and fingerprints and by their roles; a description
that changes any of them asks for a new one, and may do so only together with an ICE restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from refreeze.basics import Randomness
from refreeze.jsep.descriptions import Applied
from refreeze.jsep.effects import DtlsAgreed
from refreeze.jsep.errors import InvalidAccessError
from refreeze.sdp import MediaSection

OPPOSITE: Final = {"active": "passive", "passive": "active"}
_TLS_ID_BITS: Final = 160
"""RFC 8842 section 5.1 wants 120 at least."""


@frozen
class DtlsIdentity:
    """What a description of ours says of us."""

    fingerprints: tuple[tuple[str, str], ...]
    tls_id: str

    def lines(self, setup: str) -> list[str]:
        """Attribute lines of a section."""
        named = [f"a=fingerprint:{name} {value}" for name, value in self.fingerprints]
        return [*named, f"a=setup:{setup}", f"a=tls-id:{self.tls_id}"]


@frozen
class _Named:
    """What names an association: each side's fingerprints and tls-id, and who is the client."""

    ours: tuple[frozenset[str], str | None]
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
    """What the transport was told last."""

    def __attrs_post_init__(self) -> None:
        self._next = self._new_identity()

    def _new_identity(self) -> DtlsIdentity:
        bits = self.random.getrandbits(_TLS_ID_BITS)
        return DtlsIdentity(tuple(self.fingerprints), f"{bits:0{_TLS_ID_BITS // 4}x}")

    def renew(self, fingerprints: Sequence[tuple[str, str]] | None = None) -> None:
        """Ask for a new association, perhaps under another certificate."""
        if fingerprints is not None:
            self.fingerprints = fingerprints
        self._next, self.wished = self._new_identity(), True

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

    def answer_setup(self, offer: Applied, peer: Applied | None) -> str:
        """An association that goes on keeps our role (section 5.3), else we are active."""
        offered = offer.section.setup if offer.section is not None else None
        goes_on = peer is not None and peer.same_dtls(offer) and not self.wished
        if goes_on and self._told is not None and offered in {None, "actpass"}:
            return "active" if self._told.client else "passive"
        return OPPOSITE.get(offered or "", "active")

    # What was said

    def agree(self, local: Applied, remote: Applied, *, answered_by_us: bool) -> list[DtlsAgreed]:
        """An answer, or a provisional one, was applied: what begins, if anything does."""
        ours, theirs = local.section, remote.section
        if ours is None or theirs is None or local.ufrag is None or remote.ufrag is None:
            return []
        # An answerer that says nothing is active (RFC 4145 section 4).
        client = ours.setup == "active" if answered_by_us else theirs.setup == "passive"
        # libdatachannel repeats what it does not know: our tls-id, and our word on the payload.
        echoed = theirs.tls_id is not None and theirs.tls_id == ours.tls_id
        remote_tls_id = None if echoed else theirs.tls_id
        named = _Named(_identity(ours), (theirs.fingerprints, remote_tls_id), client)
        if named == self._told or self._means_no_role(named):
            return []
        self._told = named
        return [
            DtlsAgreed(
                client=client,
                fingerprints=tuple(sorted(theirs.fingerprints)),
                local_tls_id=ours.tls_id,
                remote_tls_id=remote_tls_id,
                payload=None if echoed else theirs.payload,
            )
        ]

    def _means_no_role(self, named: _Named) -> bool:
        """Firefox answers ``active`` to any offer and goes on in the role that it has.

        Without a tls-id a peer follows RFC 5763, and with nothing but another role said, no new
        association is what it wants.
        """
        told = self._told
        if told is None or named.theirs[1] is not None:
            return False
        return (named.ours, named.theirs) == (told.ours, told.theirs)

    def completed(self, local: Applied) -> None:
        """An answer settled it: what our description said is in force."""
        said = local.section.tls_id if local.section is not None else None
        for identity in (self._reply, self._next):
            if identity is not None and identity.tls_id == said:
                self._ours = self._next = identity
                self._reply, self.wished = None, False


def _identity(section: MediaSection) -> tuple[frozenset[str], str | None]:
    return section.fingerprints, section.tls_id


def check_setup(section: MediaSection | None) -> None:
    """``holdconn`` has no meaning for DTLS (RFC 8842 section 5.1); InvalidAccessError."""
    if section is not None and section.setup == "holdconn":
        raise InvalidAccessError(
            f"line {section.number}: a=setup:holdconn begins no DTLS", section.number
        )
