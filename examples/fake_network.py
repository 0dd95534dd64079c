"""Whole daemons in virtual time: a path is cut, and the watchdog brings the session back."""

from __future__ import annotations

from typing import Any

from refreeze.config import DaemonSettings, HubSettings
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import EchoProgram, LinkSettings, LocalProgram, VirtualWorld

HUB = "unix:/virtual/hub.sock"


def main() -> None:
    """Print alice's events."""
    world = VirtualWorld(seed=7, link=LinkSettings(delay=0.02, loss=0.01))
    network = world.network
    alice = network.host("alice", ["192.0.2.1", "198.51.100.1"])
    bob = network.host("bob", ["192.0.2.2", "198.51.100.2"])

    def show(topic: str, fields: dict[str, Any]) -> None:
        print(f"{world.reactor.seconds():8.3f} {topic} {fields}")

    hub = DaemonSettings(name="hub", hub=HubSettings(serve=HUB))
    world.daemon(network.host("hub"), hub).startService()
    world.run(EchoProgram(bob, ("127.0.0.1", 7100)))
    for host, peer, forward, listeners in (
        (alice, "bob", ForwardSettings(listen="127.0.0.1:7001"), [show]),
        (bob, "alice", ForwardSettings(deliver="127.0.0.1:7100"), []),
    ):
        session = SessionSettings(peer=peer, protect="none", forward=forward)
        settings = DaemonSettings(
            name=host.name, hub=HubSettings(connect=HUB), sessions={"demo": session}
        )
        daemon = world.daemon(host, settings, listeners)
        daemon.startService()
    program = world.run(LocalProgram(alice, ("127.0.0.1", 7001), rate=50.0))
    world.reactor.advance(5.0)
    print("everything between the two addresses in 192.0.2.0/24 is lost from now on")
    network.blackhole("192.0.2.1", "192.0.2.2")
    world.reactor.advance(20.0)
    print(
        f"{program.received} of {program.sent} came back; {program.longest_gap(5.0):.1f} s without"
    )
    world.stop()


if __name__ == "__main__":
    main()
