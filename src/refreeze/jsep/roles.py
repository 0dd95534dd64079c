"""Who controls ICE: decided once, kept by restarts."""

from __future__ import annotations

from refreeze.jsep.descriptions import Applied


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
