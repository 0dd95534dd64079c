"""What an allocation tells its owner."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from refreeze.basics import Address

Retry: TypeAlias = Literal["no", "later", "other-credentials"]


@frozen
class TurnProblem:
    """Why something was refused: a STUN error *code*, or None when the server said none.

    *reason* is a stable slug of ours; the server's own words are not in it.
    """

    code: int | None
    reason: str


@frozen
class Allocated:
    """The allocation is there: see its ``relayed`` and ``mapped``."""


@frozen
class AllocationFailed:
    """There is none, and this object is over. *retry*: whether another one may try.

    It needs another 5-tuple. *wait*: seconds that the RFC wants us to stay away at least.
    """

    problem: TurnProblem
    retry: Retry
    wait: float = 0.0


@frozen
class TryAlternate:
    """The server sends us to another one (300), and this object is over.

    *domain* is the name that a certificate must have there; None: the name that was asked for.
    The address is one of the same family. The owner counts how often it follows.
    """

    address: Address
    domain: str | None


@frozen
class AllocationLost:
    """There was one, and it is gone; this object is over. *reason* is a slug."""

    reason: str


@frozen
class Released:
    """It was given back, or nobody answered in time; this object is over."""


@frozen
class PermissionRefused:
    """Nothing goes to *host* for now; what waited for it was dropped."""

    host: str
    problem: TurnProblem


@frozen
class ChannelBound:
    """What is sent to *peer* costs 4 bytes more, no longer 36 or 48."""

    peer: Address


TurnEvent: TypeAlias = (
    Allocated
    | AllocationFailed
    | TryAlternate
    | AllocationLost
    | Released
    | PermissionRefused
    | ChannelBound
)
