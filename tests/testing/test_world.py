"""Daemons of service.py in a virtual world: they connect, fail, recover, and leave nothing."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import DaemonSettings, HubSettings
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import (
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    EchoProgram,
    FakeHost,
    Fate,
    LocalProgram,
    NatSettings,
    VirtualWorld,
)

HUB = "unix:/virtual/hub.sock"


@define(eq=False)
class Story:
    """A hub, alice with two addresses, bob with two, an echo behind bob, a program at alice."""

    seed: int = 1
    nat: NatSettings | None = None
    world: VirtualWorld = field(init=False)
    hosts: dict[str, FakeHost] = field(factory=dict)
    daemons: dict[str, Daemon] = field(factory=dict)
    events: list[tuple[float, str, str, dict[str, Any]]] = field(factory=list)
    program: LocalProgram = field(init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world = VirtualWorld(self.seed)
        network, nat = world.network, None
        if self.nat is not None:
            nat = network.nat("nat", "203.0.113.1", self.nat)
        inside = ["10.0.0.1"] if nat else ["192.0.2.1", "198.51.100.1"]
        self.hosts = {
            "hub": network.host("hub"),
            "alice": network.host("alice", inside, nat=nat),
            "bob": network.host("bob", ["192.0.2.2", "198.51.100.2"]),
        }
        hub = DaemonSettings(name="hub", hub=HubSettings(serve=HUB))
        self.start("hub", hub)
        echo = world.run(EchoProgram(self.hosts["bob"], ("127.0.0.1", 7100)))
        self.start("alice")
        self.start("bob", deliver=f"127.0.0.1:{echo.local[1]}")
        self.program = world.run(LocalProgram(self.hosts["alice"], ("127.0.0.1", 7001)))

    def start(
        self, name: str, settings: DaemonSettings | None = None, deliver: str | None = None
    ) -> None:
        """A daemon, running."""
        if settings is None:
            forward = ForwardSettings(
                listen="127.0.0.1:7001" if name == "alice" else "127.0.0.1:7002", deliver=deliver
            )
            peer = "bob" if name == "alice" else "alice"
            settings = DaemonSettings(
                name=name,
                hub=HubSettings(connect=HUB),
                sessions={"demo": SessionSettings(peer=peer, protect="none", forward=forward)},
            )

        def note(topic: str, fields: dict[str, Any]) -> None:
            self.events.append((self.world.reactor.seconds(), name, topic, fields))

        daemon = self.world.daemon(self.hosts[name], settings, [note])
        daemon.startService()
        self.daemons[name] = daemon

    def session(self, name: str) -> Any:
        """One side's."""
        return self.daemons[name].supervisor.sessions["demo"]

    def route(self, name: str) -> Any:
        """The pair that carries its data."""
        return self.session(name).connection.iceTransport.transport.route

    def connected(self) -> bool:
        """Whether both sides are."""
        good = ("connected", "completed")
        return all(self.session(name).state in good for name in ("alice", "bob"))

    def connect(self, limit: float = 10.0) -> float:
        """Until both are."""
        return self.world.reactor.run_until(self.connected, limit)

    def flowing(self, limit: float = 30.0) -> float:
        """Until something comes back that was sent from now on; seconds."""
        program, first = self.program, self.program.sent
        return self.world.reactor.run_until(
            lambda: program.arrivals and program.arrivals[-1].number >= first, limit
        )

    def of(self, name: str, topic: str) -> list[dict[str, Any]]:
        """That daemon's events."""
        return [fields for _, who, what, fields in self.events if (who, what) == (name, topic)]


class WorldTests(SynchronousTestCase):
    """The main story without waiting."""

    def end(self, story: Story) -> None:
        """Stop, and look whether everything adds up."""
        self.assertEqual(story.world.stop(), [])
        log = story.world.network.log
        story.world.reactor.advance(10.0)
        self.assertEqual(log.in_flight, 0)

    def test_a_dead_path_is_noticed_and_replaced_and_nothing_is_left_behind(self) -> None:
        story = Story()
        story.connect()
        story.flowing()
        dead = story.route("alice")
        began = story.world.reactor.seconds()
        hole = story.world.network.blackhole(dead.base, dead.remote_address)
        story.world.reactor.advance(2.0)
        took = 2.0 + story.flowing()
        self.assertLess(took, 10.0)
        self.assertGreater(hole.swallowed, 0)
        now = story.route("alice")
        self.assertNotEqual((now.base, now.remote_address), (dead.base, dead.remote_address))
        states = [
            f["to"] for at, _, what, f in story.events if what == "session.state" and at > began
        ]
        self.assertIn("disconnected", states)
        self.assertIn("failed", states)
        self.end(story)

    def test_equal_seeds_have_equal_stories(self) -> None:
        """Down to the bytes of every datagram, and the time of every event."""
        logs, events = [], []
        for seed in (5, 5, 6):
            story = Story(seed)
            story.world.reactor.advance(20.0)
            story.world.network.blackhole("alice", "bob", seconds=15.0)
            story.world.reactor.advance(60.0)
            self.end(story)
            logs.append(list(story.world.network.log))
            events.append(story.events)
        self.assertEqual(logs[0], logs[1])
        self.assertEqual(events[0], events[1])
        self.assertNotEqual(logs[0], logs[2])

    def test_every_accepted_datagram_is_in_the_networks_log_or_was_counted(self) -> None:
        """The forward's invariant, checked against the network."""
        story = Story()
        story.connect()
        story.world.network.blackhole("alice", "bob", seconds=20.0)
        story.world.reactor.advance(40.0)
        story.program.pause()
        story.world.reactor.advance(5.0)
        counters = story.session("alice").forward.counters
        self.assertEqual(counters.accepted, story.program.sent)
        self.assertEqual(counters.accepted, counters.handed + counters.dropped_out.total())
        outside = [
            entry
            for entry in story.world.network.log.of(host="alice")
            if entry.head.startswith(b"PK") and not entry.source[0].startswith("127.")
        ]
        self.assertEqual(counters.handed, len(outside))
        arrived = sum(entry.fate is Fate.DELIVERED for entry in outside)
        self.assertEqual(arrived, story.session("bob").forward.counters.received)
        self.end(story)

    def test_behind_any_nat_a_public_peer_is_reached(self) -> None:
        for settings in (FULL_CONE, PORT_RESTRICTED, SYMMETRIC):
            story = Story(nat=settings)
            story.connect()
            story.flowing()
            self.assertEqual(story.route("bob").remote_address[0], "203.0.113.1")
            self.end(story)

    def test_a_nat_that_rebinds_does_not_end_the_session(self) -> None:
        for settings in (PORT_RESTRICTED, SYMMETRIC):
            story = Story(nat=settings)
            story.connect()
            story.flowing()
            before = story.route("bob").remote_address
            story.world.network.nats["nat"].rebind()
            story.world.reactor.advance(0.5)
            story.flowing(10.0)
            self.assertNotEqual(story.route("bob").remote_address, before)
            self.end(story)

    def test_an_address_that_goes_away_is_left(self) -> None:
        story = Story()
        story.connect()
        story.flowing()
        gone = story.route("alice").base[0]
        story.hosts["alice"].remove_address(gone)
        story.world.reactor.advance(1.0)
        story.flowing(15.0)
        self.assertNotEqual(story.route("alice").base[0], gone)
        self.end(story)

    def test_signaling_that_is_away_while_the_path_dies_is_waited_for(self) -> None:
        story = Story()
        story.connect()
        story.world.reactor.streams.cut(host="alice")
        story.world.network.blackhole("alice", "bob", seconds=40.0)
        story.world.reactor.advance(35.0)
        self.assertFalse(story.connected())
        self.assertEqual(len(story.of("alice", "round.start")), 1)
        story.world.reactor.advance(10.0)
        story.world.reactor.streams.restore()
        story.connect(60.0)
        story.flowing()
        self.end(story)

    def test_a_killed_daemon_comes_back_without_a_touch_on_the_other_side(self) -> None:
        for name in ("alice", "bob"):
            story = Story()
            story.connect()
            story.flowing()
            story.world.kill(story.hosts[name])
            story.world.reactor.advance(5.0)
            story.start(name, deliver="127.0.0.1:7100" if name == "bob" else None)
            story.world.reactor.advance(1.0)
            story.connect(60.0)
            story.flowing()
            self.end(story)

    def test_a_host_that_slept_restarts_when_it_wakes(self) -> None:
        """T37: nothing expires at once for everybody; the gap itself is the cause."""
        story = Story()
        story.connect()
        story.world.suspend(story.hosts["alice"], 120.0)
        story.world.reactor.advance(121.0)
        causes = [fields["cause"] for fields in story.of("alice", "round.start")]
        self.assertGreater(len(causes), 1, causes)
        story.world.reactor.advance(1.0)
        story.connect(60.0)
        story.flowing()
        self.end(story)

    def test_hours_pass_in_moments(self) -> None:
        """An idle hour is a few thousand wake-ups."""
        story = Story()
        story.connect()
        story.program.pause()
        story.world.network.log.limit = 0
        before = story.world.reactor.calls_made
        story.world.reactor.advance(3600.0)
        self.assertTrue(story.connected())
        self.assertLess(story.world.reactor.calls_made - before, 40_000)
        self.end(story)
