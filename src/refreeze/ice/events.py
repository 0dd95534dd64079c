"""What an agent tells its owner, and what it wants sent."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from attrs import frozen

from refreeze.basics import Address
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceRole, IceState


class Transmit(NamedTuple):
    """A STUN message to send. *transaction* is set on requests: the mux routes the response."""

    base: Address
    remote: Address
    data: bytes
    transaction: bytes | None


@frozen
class StateChanged:
    """The agent's state changed; *reason* is a slug, set for ``failed``.

    ``silence`` ``consent`` ``base-gone`` ``no-candidates`` ``no-pair``.
    """

    state: IceState
    reason: str = ""


@frozen
class PairValid:
    """A check succeeded: data may flow on this pair before any nomination."""

    pair: Pair


@frozen
class PairSelected:
    """The pair was nominated and is valid."""

    pair: Pair


@frozen
class Rebound:
    """A NAT on the way gave somebody a new address.

    *what* is ``source`` (the peer's, in *detail* as host:port) or ``mapped`` (ours).
    """

    pair: Pair
    what: str
    detail: str = ""


@frozen
class ConsentLost:
    """No valid response for 30 s: nothing more is sent on the pair (RFC 7675)."""

    pair: Pair


@frozen
class Recovered:
    """The selected pair answers again after ``failed``; the state stays ``failed``."""

    pair: Pair


@frozen
class RoleChanged:
    """A role conflict was resolved against us, or the peer turned out to be lite."""

    role: IceRole


@frozen
class RemoteActive:
    """The controlling side nominates, sends data or asks consent on the selected pair."""

    pair: Pair


AgentEvent: TypeAlias = (
    StateChanged
    | PairValid
    | PairSelected
    | Rebound
    | ConsentLost
    | Recovered
    | RoleChanged
    | RemoteActive
)
