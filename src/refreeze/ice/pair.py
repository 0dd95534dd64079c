"""A candidate pair and what is known of it."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice.candidate import Candidate, CandidateType, candidate_priority, pair_priority
from refreeze.ice.states import IceRole, PairState
from refreeze.stun import RequestTemplate

SMOOTHING: Final = 0.125
"""The weight of a new sample in the smoothed RTT (RFC 6298 section 2)."""


@define
class PairCounters:
    """Plain numbers of one pair. ``packets`` and ``bytes`` are data, the others checks."""

    requests_sent: int = 0
    """Datagrams: repetitions and consent are among them."""
    checks_sent: int = 0
    """Without both."""
    requests_received: int = 0
    responses_sent: int = 0
    responses_received: int = 0
    consent_sent: int = 0
    send_errors: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    bytes_in: int = 0
    rtt_total: float = 0.0
    rtt_latest: float | None = None


@define(eq=False)
class Pair:
    """One 5-tuple: ``base`` is where its datagrams leave, ``remote_address`` where they go.

    ``local`` and ``remote`` are who stands for its ends at present: ``local`` becomes the
    reflexive candidate that the peer was seen to see (the valid pair of RFC 8445 section
    7.2.5.3.2), ``remote`` the signaled candidate that takes a learnt one's place (rule 52).
    Priorities and foundation stay those of the candidates that were paired.
    """

    local: Candidate
    remote: Candidate
    base: Address
    remote_address: Address
    local_priority: int
    remote_priority: int
    foundation: tuple[str, str]
    priority: int
    state: PairState = PairState.FROZEN
    valid: bool = False
    nominated: bool = False
    nominating: bool = False
    """Controlling side: a check with USE-CANDIDATE is out."""
    nominate_on_success: bool = False
    """Controlled side: USE-CANDIDATE came before our own check succeeded (8445 7.3.1.5)."""
    valid_since: float = 0.0
    mapped: Address | None = None
    peer_priority: int | None = None
    """PRIORITY of the peer's checks on this pair: it tells one socket of the peer from another."""
    rtt: float | None = None
    answered_at: float | None = None
    """When a check of ours was last answered: consent counts from here."""
    last_received: float | None = None
    last_sent: float | None = None
    counters: PairCounters = field(factory=PairCounters)
    template: RequestTemplate | None = None

    @property
    def relayed(self) -> bool:
        """Whether a TURN server is on the way."""
        return CandidateType.RELAY in (self.local.type, self.remote.type)

    @property
    def reflexive_priority(self) -> int:
        """What our end would have as a peer-reflexive candidate (RFC 8445 section 7.1.1)."""
        return candidate_priority(CandidateType.PRFLX, (self.local_priority >> 8) & 0xFFFF)

    def rank(self, role: IceRole) -> None:
        """Take the priority that goes with our *role* (RFC 8445 section 6.1.2.3)."""
        if role is IceRole.CONTROLLING:
            self.priority = pair_priority(self.local_priority, self.remote_priority)
        else:
            self.priority = pair_priority(self.remote_priority, self.local_priority)
        self.template = None

    def sample(self, rtt: float) -> None:
        """Take one measured round trip into the smoothed one."""
        self.rtt = rtt if self.rtt is None else self.rtt + SMOOTHING * (rtt - self.rtt)
        self.counters.rtt_total += rtt
        self.counters.rtt_latest = rtt


def make_pair(local: Candidate, remote: Candidate, role: IceRole) -> Pair:
    """The pair of two candidates of one family; a reflexive local one is its base here.

    A link-local remote address gets the zone of our end: it means nothing without.
    """
    base = local.base or local.address
    host, port = remote.address
    zone = base[0].partition("%")[2]
    if zone and "%" not in host and host.startswith("fe80:"):
        host = f"{host}%{zone}"
    pair = Pair(
        local=local,
        remote=remote,
        base=base,
        remote_address=(host, port),
        local_priority=local.priority,
        remote_priority=remote.priority,
        foundation=(local.foundation, remote.foundation),
        priority=0,
    )
    pair.rank(role)
    return pair
