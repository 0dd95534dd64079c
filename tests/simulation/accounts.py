"""What must add up after every simulated run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from refreeze.basics import Address
from refreeze.service import Daemon
from refreeze.sessions.session import Session
from refreeze.testing import Fate, LogEntry
from tests.simulation.scene import LISTEN, Scene

MARK = b"PK"
"""How a program's datagrams begin."""


def losses(scene: Scene) -> list[str]:
    """Every datagram that a forward accepted was handed to a Port or counted with a reason.

    The network's log is the witness: it knows what the programs sent and what the ports took.
    """
    data = [entry for entry in scene.world.network.log if entry.head.startswith(MARK)]
    return [line for name in LISTEN for line in _losses_of(scene, name, data)]


def _losses_of(scene: Scene, name: str, data: list[LogEntry]) -> Iterator[str]:
    listen, sessions = LISTEN[name], scene.sessions[name]
    own = [entry for entry in data if entry.host == name]
    came = sum(entry.arrived == listen and entry.fate is Fate.DELIVERED for entry in own)
    accepted = sum(session.forward.counters.accepted for session in sessions)
    refused = sum(session.forward.counters.refused.total() for session in sessions)
    if came != accepted + refused:
        yield f"{name}: {came} came from the program, {accepted} accepted + {refused} refused"
    for session in sessions:
        yield from _balance(name, session)
    handed = sum(session.forward.counters.handed for session in sessions)
    left = sum(not _local(entry.source) and not entry.copy for entry in own)
    if handed != left:
        yield f"{name}: {handed} handed to ports, {left} in the network's log"
    yield from _arrivals(scene, name, data)


def _balance(name: str, session: Session) -> Iterator[str]:
    out = session.forward.counters
    if out.accepted != out.handed + out.dropped_out.total():
        yield f"{name}: {out.accepted} accepted, {out.handed} handed, dropped {out.dropped_out}"
    door = session.protect.counters
    if door.offered != door.handed + door.dropped.total():
        yield f"{name}: the door's {door} do not add up"
    if door.dropped.total() != out.dropped_out.total():
        yield f"{name}: dropped without a reason: {out.dropped_out} but {door.dropped}"
    if out.received != out.delivered + out.dropped_in.total():
        yield f"{name}: {out.received} received, {out.delivered} delivered, {out.dropped_in}"


def _arrivals(scene: Scene, name: str, data: list[LogEntry]) -> Iterator[str]:
    """What the network delivered to the daemon's ports was received, or counted by mux or door."""
    own = {*(scene.shape.alice if name == "alice" else scene.shape.bob)}
    arrived = sum(
        entry.fate is Fate.DELIVERED and entry.arrived is not None and entry.arrived[0] in own
        for entry in data
    )
    sessions = scene.sessions[name]
    received = sum(session.forward.counters.received for session in sessions)
    dropped = sum(session.protect.counters.received_dropped.total() for session in sessions)
    muxes = [daemon.ground.mux.counters for daemon in scene.lives[name]]
    unowned = sum(each.unowned + each.flooded + each.malformed for each in muxes)
    if arrived != received + dropped + unowned:
        yield (
            f"{name}: {arrived} arrived, {received} received, {dropped} dropped, {unowned} unowned"
        )


def _local(address: Address) -> bool:
    return address[0].startswith("127.")


def leaks(scene: Scene) -> list[str]:
    """After everything stopped: rounds are accounted for, and nobody holds anything."""
    wrong = [] if scene.world.network.log.in_flight == 0 else ["datagrams are still in flight"]
    for name, daemons in scene.lives.items():
        for daemon in daemons:
            wrong += [f"{name}: {line}" for line in _leaks_of(daemon)]
        for session in scene.sessions[name]:
            counters = session.policy.counters
            if not counters.balanced():
                wrong.append(f"{name}: rounds do not add up: {counters}")
            if session.counters["internal-errors"]:
                wrong.append(f"{name}: {session.counters}")
    return wrong


def _leaks_of(daemon: Daemon) -> Iterator[str]:
    if not daemon.supervisor.totals().balanced():
        yield f"rounds do not add up: {daemon.supervisor.totals()}"
    if daemon.ground.mux.counters.owner_errors:
        yield f"{daemon.ground.mux.counters.owner_errors} errors of owners"
    if daemon.supervisor.sessions:
        return  # it was killed; nothing of it runs any more
    if daemon.supervisor.totals().pending:
        yield "a round is pending for ever"
    storm = daemon.supervisor.storm.snapshot()
    if storm.pending or storm.queued:
        yield f"the budget of restarts leaks: {storm}"
    held = Counter(
        {"ufrags": len(daemon.ground.mux._ufrags), "5-tuples": len(daemon.ground.mux._tuples)}
    )
    if held.total():
        yield f"the mux still has {dict(held)}"
