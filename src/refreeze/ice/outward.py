"""The one outward state of a transport's two generations (rule 61), as a table."""

from __future__ import annotations

from typing import Final

from refreeze.ice.states import IceState

_RESTARTED: Final = {
    IceState.NEW: IceState.CHECKING,
    IceState.CHECKING: IceState.CHECKING,
    IceState.CONNECTED: IceState.CONNECTED,
    IceState.COMPLETED: IceState.CONNECTED,
    IceState.DISCONNECTED: IceState.CHECKING,
    IceState.FAILED: IceState.CHECKING,
}
"""What the active generation's state reads as while a pending one checks (rule 61)."""


def outward_state(active: IceState | None, pending: IceState | None, *, begun: bool) -> IceState:
    """The one state of two generations; a pure function, tested as a table.

    *pending* is None when there is no pending generation or it has not begun to check: until
    then the old generation's state shows. *begun* is true once any generation ever checked.
    """
    if active is None:
        if pending is None:
            return IceState.FAILED if begun else IceState.NEW
        return pending
    if pending is None or pending in {IceState.NEW, IceState.FAILED}:
        return active
    return _RESTARTED[active]
