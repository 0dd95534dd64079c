"""How patient relays are, and what of them is shared."""

from __future__ import annotations

from attrs import frozen

from refreeze.turn.events import Retry


@frozen(kw_only=True)
class RelaySettings:
    """Seconds, unless said otherwise."""

    share_allocations: bool = True
    """The k-th sessions to all peers use the same allocation of a server; else each has one."""
    families: tuple[int, ...] = (4, 6)
    """What relayed addresses are asked for."""
    fresh_seconds: float = 4.0
    """A server that is away is asked anew at least so often: a transaction's own
    retransmissions become rarer and rarer (RFC 8489 section 6.2.1)."""
    answer_seconds: float = 12.0
    """All of an attempt, for a server that answers without ever agreeing."""
    race_seconds: float = 0.25
    """Head start of one address of a server over its next (RFC 8305 section 5)."""
    credential_seconds: float = 60.0
    """After credentials that were refused; new ones are tried at once."""
    refused_seconds: float = 300.0
    """After a refusal that will not change by itself."""
    release_seconds: float = 2.0
    """For a server to answer that an allocation ended, before its socket goes anyway."""
    retire_seconds: float = 120.0
    """For sessions to move off an allocation whose credentials are past."""
    renew_seconds: float = 900.0
    """Before its credentials expire, but not before three quarters of their time, an allocation
    gets a successor."""

    def pause(self, retry: Retry) -> float:
        """Until the next attempt after one that ended so."""
        if retry == "other-credentials":
            return self.credential_seconds
        return self.refused_seconds if retry == "no" else self.fresh_seconds
