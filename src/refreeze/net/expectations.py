"""Which peers a host will reach directly, which by a relay and which not at all, in words.

By the terms of RFC 5780: hole punching works when each side's packets come from where the other
side sends to, or are let in nevertheless. The table is checked against models of NATs in
``tests/net/test_expectations.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import frozen

from refreeze.stun.behavior import FilteringBehavior, MappingBehavior


class Kind(StrEnum):
    """What stands between a host and the others, as far as ICE is concerned."""

    OPEN = "no-nat"
    FULL_CONE = "full-cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    BLOCKED = "udp-blocked"


class Outcome(StrEnum):
    """What comes of a session with a peer."""

    DIRECT = "direct"
    UNCERTAIN = "direct-or-relay"
    """The kind of this host's NAT is not known well enough."""
    UNCERTAIN_ALONE = "direct-or-none"
    """The same, and this host has no relay."""
    RELAY = "relay"
    PEER_RELAY = "peer-relay"
    """It has to be the peer's: this host has none, or the peer cannot reach it."""
    NONE = "none"


_EVERYBODY: Final = frozenset(Kind) - {Kind.BLOCKED}

DIRECT: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.OPEN: _EVERYBODY,
    Kind.FULL_CONE: _EVERYBODY,
    Kind.ADDRESS_RESTRICTED: _EVERYBODY,
    Kind.PORT_RESTRICTED: _EVERYBODY - {Kind.SYMMETRIC},
    Kind.SYMMETRIC: _EVERYBODY - {Kind.SYMMETRIC, Kind.PORT_RESTRICTED},
    Kind.BLOCKED: frozenset(),
}
"""Whom a host of each kind reaches without a relay."""

_WORDS: Final = {
    Kind.OPEN: "no NAT",
    Kind.FULL_CONE: "a full-cone NAT",
    Kind.ADDRESS_RESTRICTED: "an address-restricted NAT",
    Kind.PORT_RESTRICTED: "a port-restricted NAT",
    Kind.SYMMETRIC: "a symmetric NAT",
    Kind.BLOCKED: "UDP blocked",
}
_SENTENCES: Final = {
    Outcome.DIRECT: "directly with {peers}",
    Outcome.UNCERTAIN: "directly or by this host's relay with {peers}",
    Outcome.UNCERTAIN_ALONE: "perhaps directly, else only by the peer's relay, with {peers}",
    Outcome.RELAY: "only by this host's relay with {peers}",
    Outcome.PEER_RELAY: "only by the peer's relay with {peers}",
    Outcome.NONE: "not at all with {peers}",
}


@frozen
class Expectation:
    """One outcome, and the peers that it is for."""

    outcome: Outcome
    peers: tuple[Kind, ...]

    @property
    def text(self) -> str:
        """For people."""
        return _SENTENCES[self.outcome].format(peers=_listed(self.peers))


def _listed(peers: Collection[Kind]) -> str:
    if len(peers) == len(Kind):
        return "any peer"
    *others, last = [_WORDS[kind] for kind in peers]
    return f"peers that have {', '.join(others)} or {last}" if others else f"peers that have {last}"


def kinds_of(mapping: MappingBehavior, filtering: FilteringBehavior) -> frozenset[Kind]:
    """The kinds that a host can be of, when that is what was found out.

    Whoever maps by destination is taken for symmetric, whatever he lets in: with an
    endpoint-independent filter some more peers are reached, but such a NAT is rare. A firewall
    that maps nothing is like a NAT that maps independently.
    """
    by_filter = {
        FilteringBehavior.ENDPOINT_INDEPENDENT: Kind.FULL_CONE,
        FilteringBehavior.ADDRESS_DEPENDENT: Kind.ADDRESS_RESTRICTED,
        FilteringBehavior.ADDRESS_AND_PORT_DEPENDENT: Kind.PORT_RESTRICTED,
    }
    independent = frozenset(
        by_filter.values() if filtering not in by_filter else (by_filter[filtering],)
    )
    match mapping:
        case MappingBehavior.NONE if filtering is FilteringBehavior.ENDPOINT_INDEPENDENT:
            return frozenset((Kind.OPEN,))
        case MappingBehavior.NONE | MappingBehavior.ENDPOINT_INDEPENDENT:
            return independent
        case MappingBehavior.UNKNOWN:
            return independent | {Kind.SYMMETRIC}
    return frozenset((Kind.SYMMETRIC,))


def best_of(hosts: Iterable[frozenset[Kind]]) -> frozenset[Kind]:
    """The kinds of the local address that reaches most: ICE tries them all."""
    return max(hosts, key=_reach, default=frozenset((Kind.BLOCKED,)))


def _reach(kinds: frozenset[Kind]) -> tuple[int, int]:
    sizes = [len(DIRECT[kind]) for kind in kinds]
    return min(sizes), max(sizes)


def expect(kinds: Collection[Kind], *, relay: bool) -> list[Expectation]:
    """What a host of one of *kinds* can expect; *relay*: whether it has one for this family."""
    found: dict[Outcome, list[Kind]] = {}
    for peer in Kind:
        found.setdefault(_outcome(kinds, peer, relay), []).append(peer)
    return [Expectation(outcome, tuple(found[outcome])) for outcome in Outcome if outcome in found]


def _outcome(kinds: Collection[Kind], peer: Kind, relay: bool) -> Outcome:
    """A peer without UDP reaches no relay but its own."""
    answers = {peer in DIRECT[kind] for kind in kinds}
    if answers == {True}:
        return Outcome.DIRECT
    if True in answers:
        return Outcome.UNCERTAIN if relay else Outcome.UNCERTAIN_ALONE
    if relay:
        return Outcome.PEER_RELAY if peer is Kind.BLOCKED else Outcome.RELAY
    return Outcome.NONE if set(kinds) == {Kind.BLOCKED} else Outcome.PEER_RELAY
