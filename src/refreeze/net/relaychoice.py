"""Which of a server's relays are offered: the best transport that works, not one for each.

Candidates for UDP, TCP and TLS to one server would be three times the same relay: nine times the
pairs between two peers, and checks that are repeated so much later, because their RTO grows with
the number of pairs (RFC 8445 section 14.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from refreeze.net.gathering import Relay

PATIENCE: Final = 0.3
"""Seconds that a better transport has before a lesser one is offered in its place."""

RANKS: Final = {"udp": 0, "tcp": 1, "tls": 2}
"""TCP holds datagrams up behind lost ones, and TLS costs more still."""


def offered(relays: Sequence[Relay], *, patient: bool) -> list[Relay]:
    """Those whose ports are candidates now: of each server the best that has any.

    While *patient*, none in the place of a better one that may still come.
    """
    ready = [relay for relay in relays if relay.ports]
    best = [relay for relay in ready if not _better(relay, ready)]
    if not patient:
        return best
    return [relay for relay in best if all(each.settled for each in _better(relay, relays))]


def awaited(relays: Sequence[Relay]) -> list[Relay]:
    """Those that could still give a candidate."""
    ready = [relay for relay in relays if relay.ports]
    return [each for each in relays if not each.settled and not _better(each, ready)]


def _better(relay: Relay, among: Sequence[Relay]) -> list[Relay]:
    """The same server by a better transport."""
    rank, host = RANKS[relay.url.transport], relay.url.host
    return [each for each in among if each.url.host == host and RANKS[each.url.transport] < rank]
