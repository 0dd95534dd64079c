"""What must add up after every simulated run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from refreeze.basics import Address, format_address
from refreeze.peer.door import DoorCounters
from refreeze.service import Daemon
from refreeze.sessions.session import Session
from refreeze.testing import Fate, LogEntry
from tests.simulation.scene import LISTEN, Scene

MARK = b"PK"
"""How a program's datagrams begin."""
PLAIN = MARK + bytes(4)
"""...with a number below 2**32: what is under keys has that anywhere once in 2**48 places."""
RECORD = 23
"""The first byte of application data under DTLS (RFC 6347 section 4.1)."""


def losses(scene: Scene) -> list[str]:
    """Every datagram that a forward accepted was handed to a Port or counted with a reason.

    The network's log is the witness: it knows what the programs sent and what the ports took.
    """
    data = [entry for entry in scene.world.network.log if carries(entry.head)]
    return [line for name in LISTEN for line in _losses_of(scene, name, data)]


def carries(head: bytes) -> bool:
    """Whether a datagram has a program's in it, plain or under DTLS."""
    within = unframed(head)
    return within.startswith(MARK) or within[:1] == bytes([RECORD])


def unframed(head: bytes) -> bytes:
    """A datagram without TURN's framing (RFC 8656), if it has that.

    A Send indication of ours is XOR-PEER-ADDRESS and DATA; a server's Data indication too.
    """
    if head[:1] and 0x40 <= head[0] <= 0x4F:
        return head[4:]
    if head[:2] not in (b"\x00\x16", b"\x00\x17"):
        return head
    at = 24 + int.from_bytes(head[22:24], "big")
    return head[at + 4 :] if head[at : at + 2] == b"\x00\x13" else head


def exposed(scene: Scene) -> list[str]:
    """What a side sent besides STUN and DTLS records, though it protects its payload."""
    if scene.shape.protect == "none":
        return []
    return [
        f"in the clear: {entry}"
        for entry in scene.world.network.log
        if entry.host in LISTEN and not _local(entry.source) and not _is_protected(entry.head)
    ]


def _is_protected(head: bytes) -> bool:
    within = unframed(head)
    if within[:1] and within[0] < 4:
        return True  # STUN's own words; a ufrag may look like anything
    return _is_dtls(within) and PLAIN not in within


def _is_dtls(datagram: bytes) -> bool:
    """By the first byte (RFC 7983 section 7)."""
    return len(datagram) > 0 and 20 <= datagram[0] <= 63


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
    # A relay's port takes what then waits for a permission, or goes over TCP.
    if handed < left or (handed > left and scene.turn is None):
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
    own = scene.addresses[name]
    arrived = sum(
        entry.fate is Fate.DELIVERED and entry.arrived is not None and entry.arrived[0] in own
        for entry in data
    )
    sessions = scene.sessions[name]
    received = sum(session.forward.counters.received for session in sessions)
    doors = {id(counters): counters for session in sessions for counters in _doors(session)}
    dropped = sum(counters.received_dropped.total() for counters in doors.values())
    muxes = [daemon.ground.mux.counters for daemon in scene.lives[name]]
    unowned = sum(each.unowned + each.flooded + each.malformed for each in muxes)
    counted = received + dropped + unowned
    wrong = arrived != counted
    if scene.shape.protect == "dtls":
        # What DTLS drops may also be of its handshakes, or was looked at by two associations.
        wrong = not received <= arrived <= counted
    # What comes through a relay may come over TCP, or be dropped by a relay that is leaving.
    if wrong and scene.turn is None:
        yield (
            f"{name}: {arrived} arrived, {received} received, {dropped} dropped, {unowned} unowned"
        )


def _doors(session: Session) -> tuple[DoorCounters, ...]:
    """Of what a datagram from the path goes through; raw protect has ICE's own."""
    return session.protect.counters, session.connection.iceTransport.datagrams.counters


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
    return wrong + _leaks_of_world(scene)


def _leaks_of_world(scene: Scene) -> list[str]:
    """Sockets, streams, and what is kept alive on the TURN server."""
    wrong = [
        f"{name}: {format_address(address)} is still open"
        for name in LISTEN
        for address in scene.hosts[name].bound
    ]
    wrong += [
        f"{client.party.name}: a connection to {client.place} is still open"
        for client in scene.world.reactor.streams.connections
    ]
    if scene.turn is not None:
        busy = [
            str(entry)
            for what in ("allocated", "refreshed")
            for entry in scene.turn.journal.of(what, since=scene.ended_at + 1.0)
        ]
        wrong += [f"after the end: {line}" for line in busy]
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
