"""What can go wrong, and how it is over: each fault is begun, lasts, and can be ended."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import evolve, frozen

from refreeze.basics import Randomness
from refreeze.sessions.supervisor import OperationError
from refreeze.testing import LinkSettings, SeededRandom
from tests.peer.dtls.forge import forgery
from tests.simulation.scene import NATS, SESSION, Scene

End: TypeAlias = Callable[[], None]
Kind: TypeAlias = Callable[[Scene, "Fault"], End]
"""Lets a fault happen, and returns what ends it."""

SIDES = ("alice", "bob")


def nothing() -> None:
    """What has no end, or did not begin."""


@frozen
class Fault:
    """*kind* is the name of a :data:`Kind`; *side* and *salt* are its particulars."""

    at: float
    kind: str
    seconds: float
    side: str
    salt: int

    def __str__(self) -> str:
        return f"{self.at:8.3f} {self.kind} of {self.side} for {self.seconds:.3f} s ({self.salt})"


def path(scene: Scene, fault: Fault) -> End:
    """The selected 5-tuple of one side is swallowed."""
    route = scene.route(fault.side)
    if route is None:
        return nothing
    return scene.world.network.blackhole(route.base, route.remote_address).end


def both(scene: Scene, fault: Fault) -> End:
    """Nothing passes between the two."""
    return scene.world.network.blackhole("alice", "bob").end


def one_way(scene: Scene, fault: Fault) -> End:
    """Nothing comes from one side any more."""
    other = "bob" if fault.side == "alice" else "alice"
    return scene.world.network.blackhole(fault.side, other, one_way=True).end


def flaps(scene: Scene, fault: Fault) -> End:
    """The way between the two comes and goes every few seconds."""
    clock, ended = scene.world.reactor, False
    period = 1.0 + fault.salt % 7

    def turn() -> None:
        if not ended:
            scene.world.network.blackhole("alice", "bob", seconds=period)
            clock.run_at(clock.seconds() + 2 * period, turn)

    def end() -> None:
        nonlocal ended
        ended = True

    turn()
    return end


def lossy(scene: Scene, fault: Fault) -> End:
    """Every link is bad."""
    network, good = scene.world.network, scene.shape.link
    network.default(
        evolve(good, loss=0.2 + fault.salt % 40 / 100, reorder=0.3, duplicate=0.1, jitter=0.05)
    )
    return lambda: network.default(good)


def slow(scene: Scene, fault: Fault) -> End:
    """Every link takes long."""
    network, good = scene.world.network, scene.shape.link
    network.default(LinkSettings(delay=0.2 + fault.salt % 10 / 10))
    return lambda: network.default(good)


def rebind(scene: Scene, fault: Fault) -> End:
    """A side's NAT gives everybody another port, or another address, or forgets everything."""
    nat = scene.world.network.nats.get(fault.side)
    if nat is not None:
        what = fault.salt % 3
        if what == 0:
            nat.rebind()
        elif what == 1:
            first, second = NATS[fault.side]
            nat.rebind(second if nat.address == first else first)
        else:
            nat.forget()
    return nothing


def signaling(scene: Scene, fault: Fault) -> End:
    """One side's streams are reset and refused, or silent."""
    silent = fault.salt % 2 == 0
    return scene.world.reactor.streams.cut(host=fault.side, silent=silent).restore


def hub(scene: Scene, fault: Fault) -> End:
    """The hub is killed, or stopped, and started again."""
    return _down(scene, "hub", graceful=fault.salt % 2 == 0)


def kill(scene: Scene, fault: Fault) -> End:
    """One side is killed and started again."""
    return _down(scene, fault.side, graceful=False)


def stop(scene: Scene, fault: Fault) -> End:
    """One side is stopped and started again."""
    return _down(scene, fault.side, graceful=True)


def _down(scene: Scene, name: str, *, graceful: bool) -> End:
    if name not in scene.running or scene.hosts[name].asleep:
        return nothing
    if graceful:
        scene.stop(name)
    else:
        scene.kill(name)
    return lambda: scene.start(name)


def suspend(scene: Scene, fault: Fault) -> End:
    """One machine sleeps; it wakes by itself."""
    host = scene.hosts[fault.side]
    if fault.side in scene.running and not host.asleep:
        scene.world.suspend(host, fault.seconds)
    return nothing


def address(scene: Scene, fault: Fault) -> End:
    """One address of a host goes, and comes again."""
    host = scene.hosts[fault.side]
    if not host.interfaces:
        return nothing
    gone = sorted(host.interfaces)[fault.salt % len(host.interfaces)]
    host.remove_address(gone)

    def end() -> None:
        host.add_address(gone)

    return end


def refused(scene: Scene, fault: Fault) -> End:
    """One host's own firewall refuses to send."""
    host = scene.hosts[fault.side]
    host.send_error = (errno.EPERM, errno.ENETUNREACH)[fault.salt % 2]

    def end() -> None:
        host.send_error = None

    return end


def operator(scene: Scene, fault: Fault) -> End:
    """Somebody restarts, at one side or at both in the same instant."""
    sides = SIDES if fault.salt % 2 else (fault.side,)
    for side in sides:
        daemon = scene.running.get(side)
        if daemon is not None and not scene.hosts[side].asleep:
            try:
                daemon.supervisor.restart(SESSION, reason="simulation", force=True)
            except OperationError:
                continue
    return nothing


def certificate(scene: Scene, fault: Fault) -> End:
    """One side's certificate has had its time; the next restart brings the new one into use."""
    daemon = scene.running.get(fault.side)
    if daemon is not None and not scene.hosts[fault.side].asleep:
        daemon.certificate._renew("simulation")
    return nothing


def forged(scene: Scene, fault: Fault) -> End:
    """Somebody who knows the pair sends what is no record, or is under no key, as if the peer."""
    if scene.shape.protect == "none":
        return nothing
    clock, random, ended = scene.world.reactor, SeededRandom(f"forged/{fault.salt}"), False

    def one() -> None:
        route = scene.route(fault.side)
        port = None if route is None else scene.hosts[fault.side].port(route.base)
        if port is not None and not scene.hosts[fault.side].asleep:
            port.receive([(forgery(random), route.remote_address, 0) for _ in range(3)])
        if not ended:
            clock.run_at(clock.seconds() + 0.02 + random.random() * 0.2, one)

    def end() -> None:
        nonlocal ended
        ended = True

    one()
    return end


KINDS: dict[str, Kind] = {
    each.__name__: each
    for each in (
        path,
        both,
        one_way,
        flaps,
        lossy,
        slow,
        rebind,
        signaling,
        hub,
        kill,
        stop,
        suspend,
        address,
        refused,
        operator,
        certificate,
        forged,
    )
}


def random_fault(random: Randomness, at: float, kinds: Iterable[str] = KINDS) -> Fault:
    """One of any of *kinds*; most are short."""
    names = sorted(kinds)
    kind = names[int(random.random() * len(names))]
    longest = 90.0 if random.random() < 0.2 else 20.0
    side = SIDES[int(random.random() * 2)]
    return Fault(at, kind, random.random() * longest, side, random.getrandbits(16))
