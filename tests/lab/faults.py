"""What happens to networks, each as one thing that a test or the figures can let happen."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import frozen

from tests.lab.commands import LabError, until
from tests.lab.kinds import HostKind
from tests.lab.mobility import LINE, Cost, Trip
from tests.lab.nat import NatKind, PortRange
from tests.lab.world import USER, Machine, World

NEW_PORTS = PortRange(20000, 20999)
AWAY = 3.0
"""Seconds that the TURN server is away."""
HUB_AWAY = 8.5
"""Seconds: longer than a path takes to be called failed, and not so long that a link's back-off
alone could be longer than what is promised."""
_LATE = 30.0
"""Seconds after which a session that is not back counts as lost."""
_FIRST, _SECOND, _BETTER = 100, 200, 50
"""Metrics: the kernel prefers the lesser."""


def _nothing(_world: World, _alice: Machine) -> None:
    pass


@frozen
class Fault:
    """Between alice and bob, to alice's side; *target* is in seconds without data."""

    name: str
    alice: HostKind
    bob: HostKind
    happen: Callable[[Trip], Cost]
    target: float
    prepare: Callable[[World, Machine], object] = _nothing

    def begin(self, world: World) -> Trip:
        """The session, before anything happens."""
        alice, bob = world.machine("alice", self.alice), world.machine("bob", self.bob)
        self.prepare(world, alice)
        return Trip.begin(world, alice, bob)


def _second_uplink(world: World, alice: Machine) -> None:
    """A cellular one beside the first; nothing is routed by its source."""
    world.uplink(alice, NatKind.SYMMETRIC, metric=_SECOND)


def _nothing_passes(trip: Trip, seconds: float) -> None:
    """Whatever is sent from now on."""
    began = time.monotonic()
    time.sleep(seconds)
    if trip.flow.flows(began):
        raise LabError("packets pass, but nothing could")


def _flush(trip: Trip) -> Cost:
    return trip.suffer(trip.alice.nat().flush, _LATE)


def _new_ports(trip: Trip) -> Cost:
    return trip.suffer(lambda: trip.alice.nat().new_port_range(NEW_PORTS), _LATE)


def _replaced(trip: Trip) -> Cost:
    return trip.suffer(lambda: trip.world.replace_router(trip.alice), _LATE)


def _address_gone(trip: Trip) -> Cost:
    number = trip.alice.number
    line = f"addr del 10.{number}.0.2/24 dev lan{number}"
    return trip.suffer(lambda: trip.alice.namespace.ip(line), _LATE)


def _link_down(trip: Trip) -> Cost:
    line = f"link set lan{trip.alice.number} down"
    return trip.suffer(lambda: trip.alice.namespace.ip(line), _LATE)


def _better_uplink(trip: Trip) -> Cost:
    """Taken by a restart of the operator's; what is sent leaves by its source, as it should."""
    segment, alice = trip.world.segment, trip.alice
    segment.route_by_source(alice.namespace, alice.number)

    def come() -> None:
        better = trip.world.uplink(alice, NatKind.FULL_CONE, metric=_BETTER)
        segment.route_by_source(alice.namespace, better.number)
        alice.daemon.wait(
            lambda: better.address in str(alice.daemon.ask("doctor", 15.0)), "its address"
        )
        alice.daemon.ask(f"restart {LINE} wait=10", 15.0)

    return trip.suffer(come, _LATE)


def _turn_away(silently: bool) -> Callable[[Trip], Cost]:
    def happen(trip: Trip) -> Cost:
        turn = trip.world.turn

        def go_and_come() -> None:
            turn.kill(silently=silently)
            _nothing_passes(trip, AWAY)
            turn.start()

        return trip.suffer(go_and_come, _LATE, counted_after=True)

    return happen


def _rotated(trip: Trip) -> Cost:
    """Other accounts on the server, then in the files; over when the old allocations are."""
    turn = trip.world.turn
    before = turn.allocations()

    def rotate() -> None:
        turn.add_user("rotated", "another password")
        turn.remove_user(USER)
        account = {"username": "rotated", "credential": "another password"}
        for each in trip.world.daemons:
            each.rewrite({"servers": {"lab": account}})
            each.ask("reload")
        until(lambda: not before & turn.allocations(), "the end of the old allocations", _LATE)

    return trip.suffer(rotate, _LATE)


def _hub_away(trip: Trip) -> Cost:
    hub = trip.world.hub

    def go_and_come() -> None:
        hub.kill()
        trip.alice.nat().new_port_range(NEW_PORTS)
        _nothing_passes(trip, HUB_AWAY)
        hub.start()
        hub.ready()

    return trip.suffer(go_and_come, _LATE, counted_after=True)


def stalled(seconds: float) -> Fault:
    """Alice's daemon does nothing for so long; counted from when it goes on."""

    def happen(trip: Trip) -> Cost:
        def stand_still() -> None:
            trip.alice.daemon.freeze()
            time.sleep(seconds)
            trip.alice.daemon.thaw()

        return trip.suffer(stand_still, _LATE, counted_after=True)

    name = f"daemon stopped for {seconds:g} s (after SIGCONT)"
    return Fault(name, HostKind.PORT_RESTRICTED, HostKind.PORT_RESTRICTED, happen, 5.0)


_PORTS, _CONE, _SYMMETRIC = HostKind.PORT_RESTRICTED, HostKind.FULL_CONE, HostKind.SYMMETRIC

FLUSHED = Fault("NAT flushed, the mapping stays", _PORTS, _PORTS, _flush, 1.0)
HALF_OPEN = Fault("NAT flushed, half-open", _SYMMETRIC, _CONE, _flush, 10.0)
OTHER_PORTS = Fault("NAT with other ports", _PORTS, _PORTS, _new_ports, 10.0)
REPLACED = Fault("NAT router replaced", _PORTS, _PORTS, _replaced, 10.0)
ADDRESS_GONE = Fault("uplink's address removed", _PORTS, _CONE, _address_gone, 2.0, _second_uplink)
LINK_DOWN = Fault("uplink's link down", _PORTS, _CONE, _link_down, 2.0, _second_uplink)
BETTER_UPLINK = Fault("better uplink, restart", _SYMMETRIC, _PORTS, _better_uplink, 0.5)
TURN_KILLED = Fault(
    "TURN server restarted (after it is back)", _SYMMETRIC, _SYMMETRIC, _turn_away(False), 10.0
)
TURN_SILENT = Fault(
    "the same, silently (after it is back)", _SYMMETRIC, _SYMMETRIC, _turn_away(True), 10.0
)
ROTATED = Fault("TURN credentials rotated", _SYMMETRIC, _SYMMETRIC, _rotated, 0.5)
HUB_AND_PATH = Fault("path dies, hub away (after it is back)", _PORTS, _PORTS, _hub_away, 10.0)

ALL = (
    *(FLUSHED, HALF_OPEN, OTHER_PORTS, REPLACED, ADDRESS_GONE, LINK_DOWN, BETTER_UPLINK),
    *(TURN_KILLED, TURN_SILENT, ROTATED, HUB_AND_PATH, stalled(60.0)),
)
