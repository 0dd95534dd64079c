"""Who controls ICE, and who is active in DTLS: decided once, kept by restarts."""

from __future__ import annotations

from typing import Final

from refreeze.jsep.descriptions import Applied

OPPOSITE: Final = {"active": "passive", "passive": "active"}


def ice_controlling(
    peer: Applied | None, remote_lite: bool, *, lite: bool, offering: bool
) -> bool | None:
    """Whether we control: by lite, or else by who offers first (rules 39 and 42).

    *peer* is the peer's description in force. With one, roles stay (None), unless the restart
    made a lite agent of the peer of a full one.
    """
    if peer is not None:
        became_lite = remote_lite and not peer.parsed.ice_lite
        return True if became_lite and not lite else None
    return offering if remote_lite == lite else remote_lite


def answered_setup(peer: Applied | None, offer: Applied, role: str | None) -> str:
    """An association that goes on keeps our *role* (RFC 8842 section 5.5), else we are active."""
    offered = offer.section.setup if offer.section is not None else None
    goes_on = peer is not None and peer.same_dtls(offer)
    if goes_on and role is not None and offered in {None, "actpass"}:
        return role
    return OPPOSITE.get(offered or "", "active")
