"""The state of one session's watchdog, derived from facts, and the table that documents it.

There are no restart flags that could stay set on some way out. :func:`derive` reads the facts (is
the network up, is a round pending, what does the path look like...) from top to bottom, and the
first row that holds is the state. After every input the machine brings the facts in order again:
a broken path without a round has an attempt or an open circuit with a probe time, always.

The state x input table is in :mod:`.table`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .path import Health
from .rounds import Stage
from .words import Circuit, WatchState

if TYPE_CHECKING:
    from .machine import Machine


def derive(machine: Machine) -> WatchState:
    """The state, by the first row that holds."""
    gates, attempt = machine.gates, machine.attempt
    if machine.closed:
        return WatchState.CLOSED
    if not machine.opened:
        return WatchState.IDLE
    if not gates.network:
        return WatchState.WAITING
    if machine.round is not None and machine.round.paused_at is None:
        return WatchState.ROUND
    if not gates.signaling:
        return WatchState.WAITING
    if not machine.forced and (gates.hold_reason or gates.protection or gates.peer_closed):
        return WatchState.HELD
    if attempt is not None and attempt.stage is Stage.ASK:
        return WatchState.ASKING
    if (attempt is not None or machine.path.broken) and gates.held and not machine.forced:
        return WatchState.HELD
    if attempt is not None:
        return WatchState.QUEUED
    if machine.path.broken and machine.breaker.circuit is Circuit.OPEN:
        return WatchState.OPEN if machine.path.ever_connected else WatchState.HELD
    return WatchState.SUSPECT if machine.path.health is Health.SUSPECT else WatchState.WATCHING
