"""Everything about an allocation that can be set, with its default and its source."""

from __future__ import annotations

from attrs import frozen

from refreeze.bounds import count, number
from refreeze.stun import MIN_RTO, RetransmissionSchedule


@frozen(kw_only=True)
class TurnSettings:
    """Times are seconds. ValueError for a value outside of its range."""

    lifetime: int = count(600, 60, 3600)
    """What is asked for (RFC 8656 section 7.1)."""
    shortest_lifetime: float = number(10.0, 1.0, 600.0)
    longest_lifetime: float = number(3600.0, 60.0, 86400.0)
    """What a server grants is believed between these two: neither 0 nor 2^32 - 1."""
    permission_lifetime: float = number(300.0, 10.0, 300.0)
    """RFC 8656 section 9: fixed."""
    channel_lifetime: float = number(600.0, 10.0, 600.0)
    """RFC 8656 section 12: fixed."""
    channel_rest: float = number(300.0, 300.0, 3600.0)
    """How long after its end a channel's number is no other peer's (RFC 8656 section 12.1)."""
    keep_idle: float = number(1800.0, 60.0, 86400.0)
    """A permission and a channel that nobody used for so long are no longer refreshed."""
    keepalive: float = number(15.0, 1.0, 300.0)
    """When nothing was sent for so long, a Binding indication keeps the NATs on the way (RFC 8445
    section 11)."""
    rto: float = number(MIN_RTO, MIN_RTO, 10.0)
    rc: int = count(7, 1, 16)
    rm: int = count(16, 1, 64)
    """RFC 8489 section 6.2.1."""
    allocate_seconds: float = number(39.5, 1.0, 160.0)
    """Patience with an Allocate, all its challenges together."""
    verify_seconds: float = number(3.0, 0.5, 40.0)
    """Patience with the Refresh that asks whether the allocation is still there."""
    release_seconds: float = number(2.0, 0.5, 40.0)
    """Patience with the Refresh that ends the allocation."""
    challenges: int = count(3, 1, 10)
    """How often one request is made again because of 401 and 438."""
    refusal: float = number(30.0, 1.0, 3600.0)
    """A permission or channel that was refused is not asked for again before."""
    passing_refusal: float = number(2.0, 0.5, 3600.0)
    """The same for a refusal that a healthy allocation would not get, or that says that the
    server has trouble: a path may depend on it."""
    in_flight: int = count(16, 1, 256)
    """CreatePermission requests under way at once."""
    permissions: int = count(256, 1, 4096)
    channels: int = count(1024, 1, 4096)
    """Numbers, those at rest too (there are 4096, RFC 8656 section 12)."""
    waiting_packets: int = count(16, 0, 1024)
    """For one peer, until its permission is there."""
    waiting_hosts: int = count(64, 0, 4096)

    @property
    def schedule(self) -> RetransmissionSchedule:
        return RetransmissionSchedule(self.rto, self.rc, self.rm)
