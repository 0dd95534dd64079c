"""A candidate pair and what is known of it."""

from __future__ import annotations

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.candidate import Candidate, CandidateType
from refreeze.ice.states import PairState
from refreeze.stun import RequestTemplate

SMOOTHING = 0.125
"""The weight of a new sample in the smoothed RTT (RFC 6298 section 2)."""


@define
class PairCounters:
    """Plain numbers of one pair."""

    requests_sent: int = 0
    requests_received: int = 0
    responses_sent: int = 0
    responses_received: int = 0
    consent_sent: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0


@define(eq=False, repr=False)
class Pair:
    """One local and one remote candidate. ``base`` is where its datagrams leave."""

    local: Candidate
    remote: Candidate
    base: Address
    priority: int
    state: PairState = PairState.FROZEN
    nominated: bool = False
    nominate_on_success: bool = False
    """Controlled side: USE-CANDIDATE came before our own check succeeded (8445 7.3.1.5)."""
    nominating: bool = False
    valid: bool = False
    mapped: Address | None = None
    rtt: float | None = None
    last_received: float | None = None
    last_sent: float | None = None
    counters: PairCounters = field(factory=PairCounters)
    template: RequestTemplate | None = None

    @property
    def remote_address(self) -> Address:
        """Where its datagrams go."""
        return self.remote.address

    @property
    def foundation(self) -> tuple[str, str]:
        """Pairs of one foundation are likely to share their fate (RFC 8445 6.1.2.6)."""
        return self.local.foundation, self.remote.foundation

    @property
    def relayed(self) -> bool:
        """Whether a TURN server is on the way."""
        return CandidateType.RELAY in (self.local.type, self.remote.type)

    def sample(self, rtt: float) -> None:
        """Take one measured round trip into the smoothed one."""
        self.rtt = rtt if self.rtt is None else self.rtt + SMOOTHING * (rtt - self.rtt)
