"""Two of refreeze's forwarders with a path between them, as sessions have them."""

from __future__ import annotations

from typing import Any

from common import LOOPBACK, Figures, Host, nominated
from connect import answered, offered
from traffic import Program, drive

from refreeze.net.udp import UdpPortFactory
from refreeze.peer import Protect, RawProtect, RTCPeerConnection
from refreeze.sessions.forward import Forward, ForwardSettings


async def forwarded(total: int, length: int, *, dtls: bool = False) -> Figures:
    """*total* packets of *length* bytes, one way."""
    from twisted.internet import reactor  # noqa: PLC0415

    alice, bob = Host(dtls=dtls), Host(dtls=dtls)
    pair = alice.connection("bob"), bob.connection("alice")
    await offered(*pair)
    await answered(*pair)
    while not all(map(ready, pair)):
        await alice.turn()
    program = Program(length)
    factory: Any = UdpPortFactory(reactor)  # type: ignore[arg-type]
    forwards = []
    for connection, deliver in zip(pair, (None, "{}:{}".format(*program.place)), strict=True):
        protect = protection(connection)
        settings = ForwardSettings(listen=f"{LOOPBACK}:0", deliver=deliver)
        forward = Forward(settings, factory, protect.send, alice.scheduler.now)
        protect.on_batch(forward.deliver_from_path)
        forward.start()
        forwards.append(forward)
    host, _, port = forwards[0].listen_address.rpartition(":")
    return await drive((host, int(port)), program, total, alice.turn)


def protection(connection: RTCPeerConnection) -> Protect:
    """As a session chooses it."""
    return connection.dtlsTransport or RawProtect(connection.iceTransport.datagrams)


def ready(connection: RTCPeerConnection) -> bool:
    """Whether data flows as it is to."""
    dtls = connection.dtlsTransport
    return nominated(connection) and (dtls is None or dtls.state == "connected")
