"""What `show` tells about one session's watchdog: why it is where it is, and what comes next."""

from __future__ import annotations

from attrs import frozen

from .machine import Machine
from .states import derive
from .words import Cause, Circuit, RoundOutcome, WatchState


@frozen
class PolicySnapshot:
    """Plain values at one moment. Times are monotonic seconds."""

    state: WatchState
    path: str
    attempts: int
    """Failed attempts since the last stable connection."""
    cause: Cause | None
    """Of the pending round or the queued attempt."""
    next_action_at: float | None
    circuit: Circuit
    probe_at: float | None
    held_reason: str | None
    """What keeps restarts from happening: a hold, an absent peer, what is down, never-connected."""
    held_until: float | None
    round_id: int | None
    round_answered: bool
    last_outcome: RoundOutcome | None
    last_reason: str | None
    flaps: int


def snapshot(machine: Machine, next_action_at: float | None) -> PolicySnapshot:
    """The facts of *machine* as they stand."""
    attempt, current = machine.attempt, machine.round
    state = derive(machine)
    reason = machine.shut
    if reason is None and state is WatchState.HELD:
        reason = "never-connected"
    working = current or attempt
    return PolicySnapshot(
        state=state,
        path=machine.path.health.value,
        attempts=machine.breaker.run,
        cause=working.cause if working else None,
        next_action_at=next_action_at,
        circuit=machine.breaker.circuit,
        probe_at=machine.breaker.probe_at,
        held_reason=reason,
        held_until=machine.gates.next_deadline(),
        round_id=current.id if current else None,
        round_answered=current is not None and (current.answered or not current.ours),
        last_outcome=machine.last_outcome,
        last_reason=machine.last_reason,
        flaps=machine.path.flaps,
    )
