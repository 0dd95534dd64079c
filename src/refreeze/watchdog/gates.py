"""The facts outside a session that must be so before it may restart."""

from __future__ import annotations

from attrs import define

NETWORK_DOWN = "network-down"
SIGNALLING_DOWN = "signalling-down"
PEER_OFFLINE = "peer-offline"


@define(eq=False, repr=False)
class Gates:
    """I know what keeps a restart from being offered, and say the strongest reason."""

    network: bool = True
    signaling: bool = False
    peer: bool | None = None
    """None: the carrier knows no presence; assume the peer is there."""
    nacked_until: float | None = None
    """An envelope came back undeliverable: the peer counts as offline, but is tried again."""
    hold_reason: str | None = None
    hold_until: float | None = None
    """When the hold ends by itself; None: by an operator only."""
    peer_closed: str | None = None
    protection: str | None = None
    """Why DTLS refused, or was refused: no restart of ours heals that."""
    nacks: int = 0

    @property
    def down(self) -> str | None:
        """What stops even a forced restart."""
        if not self.network:
            return NETWORK_DOWN
        return None if self.signaling else SIGNALLING_DOWN

    @property
    def held(self) -> str | None:
        """What holds the session, besides what is down."""
        if self.hold_reason is not None:
            return self.hold_reason
        if self.protection is not None:
            return self.protection
        if self.peer_closed is not None:
            return self.peer_closed
        if self.peer is False or self.nacked_until is not None:
            return PEER_OFFLINE
        return None

    @property
    def shut(self) -> str | None:
        """What stops an automatic restart."""
        return self.down or self.held

    def heard_from_peer(self) -> None:
        """An offer or a restart-please came: it is there, and perhaps another than it was."""
        self.nacked_until = self.peer_closed = self.protection = None
        if self.peer is False:
            self.peer = None

    def next_deadline(self) -> float | None:
        times = [at for at in (self.hold_until, self.nacked_until) if at is not None]
        return min(times, default=None)

    def handle_timeout(self, now: float) -> None:
        if self.hold_until is not None and now >= self.hold_until:
            self.hold_reason = self.hold_until = None
        if self.nacked_until is not None and now >= self.nacked_until:
            self.nacked_until = None
