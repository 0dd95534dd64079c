"""What can go wrong beyond two hosts: servers, uplinks, firewalls."""

from __future__ import annotations

from refreeze.stun import Method
from refreeze.testing import UDP_BLOCKED, Lie
from tests.simulation.faults import KINDS, End, Fault, Kind, nothing
from tests.simulation.scene import TURN, Scene

_METHODS = (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
_CODES = (400, 401, 403, 437, 438, 441, 486, 500, 508)


def turn_dies(scene: Scene, fault: Fault) -> End:
    """The TURN server's process, or its whole machine."""
    server = scene.turn
    if server is None or not server.running:
        return nothing
    if fault.salt % 2:
        return scene.world.network.blackhole("turn").end
    server.kill()
    return lambda: None if server.running else server.restart()


def turn_restarts(scene: Scene, fault: Fault) -> End:
    """At once, without a word; or it only forgets its allocations, or its nonces."""
    server = scene.turn
    if server is not None and server.running:
        (server.restart, server.forget, server.expire_nonces)[fault.salt % 3]()
    return nothing


def turn_refuses(scene: Scene, fault: Fault) -> End:
    """One method gets one code, a few times or until the end."""
    server = scene.turn
    if server is None:
        return nothing
    method, code = _METHODS[fault.salt % 4], _CODES[fault.salt % len(_CODES)]
    server.refuse(method, code, None if fault.salt % 5 == 0 else 1 + fault.salt % 3)
    return lambda: server.accept(method)


def turn_lies(scene: Scene, fault: Fault) -> End:
    """In one of all its ways."""
    server = scene.turn
    if server is None:
        return nothing
    lie = list(Lie)[fault.salt % len(Lie)]
    server.lies.add(lie)
    return lambda: server.lies.discard(lie)


def turn_redirects(scene: Scene, fault: Fault) -> End:
    """To itself, for ever, or to nobody."""
    server = scene.turn
    if server is None:
        return nothing
    server.redirect((TURN[0] if fault.salt % 2 else "203.0.113.77", 3478))
    return lambda: server.redirect(None)


def rotated(scene: Scene, fault: Fault) -> End:
    """The server has other credentials, and so has the daemons' file."""
    if scene.turn is not None:
        scene.rotate(scene.turn)
    return nothing


def names(scene: Scene, fault: Fault) -> End:
    """No name of a server is resolved, in silence or by saying so."""
    resolver = scene.world.reactor.nameResolver
    if fault.salt % 2:
        resolver.silent.update(resolver.table)
        return resolver.silent.clear
    table = dict(resolver.table)
    resolver.table.clear()
    return lambda: resolver.table.update(table)


def uplink(scene: Scene, fault: Fault) -> End:
    """A host moves: its first address goes, and another one comes."""
    host = scene.hosts[fault.side]
    if not host.interfaces:
        return nothing
    old = next(iter(host.interfaces))
    stem, _, last = old.rpartition(":" if ":" in old else ".")
    new = f"{stem}{':' if ':' in old else '.'}{(int(last) + 40) % 120 + 100}"
    host.remove_address(old)
    if new not in host.interfaces:
        host.add_address(new)
        scene.addresses[fault.side].add(new)
    return nothing


def udp_blocked(scene: Scene, fault: Fault) -> End:
    """A side's NAT lets no UDP through for a while."""
    nat = scene.world.network.nats.get(fault.side)
    if nat is None or nat.settings.udp_blocked:
        return nothing
    before, nat.settings = nat.settings, UDP_BLOCKED

    def end() -> None:
        nat.settings = before

    return end


SERVER_KINDS: dict[str, Kind] = {
    each.__name__: each
    for each in (
        turn_dies,
        turn_restarts,
        turn_refuses,
        turn_lies,
        turn_redirects,
        rotated,
        names,
        uplink,
        udp_blocked,
    )
}

ALL_KINDS = {**KINDS, **SERVER_KINDS}
