"""One generation's place in the succession, and what a transport tells of its generations."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from attrs import define, frozen

from refreeze.ice.agent import Agent
from refreeze.ice.events import ConsentLost, Rebound, Recovered, RoleChanged
from refreeze.ice.pair import Pair
from refreeze.ice.states import IceState


class Phase(StrEnum):
    """The life of one generation."""

    STAGED = "staged"
    PENDING = "pending"
    ACTIVE = "active"
    DRAINING = "draining"
    ENDED = "ended"


class Ending(StrEnum):
    """Why a generation ended without, or after, having been active."""

    DRAINED = "drained"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    ABANDONED = "abandoned"
    CLOSED = "closed"


@define(eq=False, repr=False)
class Generation:
    """One agent and its place in the succession. ``number`` counts from 1 per transport."""

    number: int
    agent: Agent
    phase: Phase = Phase.STAGED
    drain_at: float | None = None
    remote_active: bool = False

    @property
    def ufrag(self) -> str:
        """The local ufrag, the generation's name on the wire."""
        return self.agent.local.ufrag


@frozen
class OutwardState:
    """The state that the world sees changed; ``reason`` is the failed generation's."""

    state: IceState
    reason: str


@frozen
class GenerationStaged:
    """A generation exists and answers checks: its ufrag must be routed to this transport."""

    generation: Generation


@frozen
class GenerationEnded:
    """A generation is gone: its ufrag and its 5-tuples must no longer be routed here (T23)."""

    generation: Generation
    ending: Ending


@frozen
class GenerationFailed:
    """The pending generation found no pair; the active one, if any, is untouched (T18)."""

    generation: Generation
    reason: str


@frozen
class CutOver:
    """Data moved to *pair* of *generation*; *previous* drains (None on the first connection)."""

    generation: Generation
    previous: Generation | None
    pair: Pair


@frozen
class PairChanged:
    """The pair that carries data is now *pair* (None: there is none)."""

    pair: Pair | None


TransportEvent: TypeAlias = (
    OutwardState
    | GenerationStaged
    | GenerationEnded
    | GenerationFailed
    | CutOver
    | PairChanged
    | Rebound
    | ConsentLost
    | Recovered
    | RoleChanged
)
