"""Many sessions of one daemon lose their path at once: a storm, its canaries, and its end."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import DaemonSettings, HubSettings
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.testing import DatagramLog, LinkSettings, VirtualWorld
from refreeze.watchdog import StormSettings
from tests.simulation.scene import GOOD, HUB, SceneEvent

SESSIONS = 60


@define(eq=False, repr=False)
class Crowd:
    """Alice and bob with sixty sessions between them, each with sockets of its own."""

    world: VirtualWorld = field(init=False)
    daemons: dict[str, Daemon] = field(factory=dict, init=False)
    events: list[SceneEvent] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        link = LinkSettings(delay=0.01)
        world = self.world = VirtualWorld(11, link=link, log=DatagramLog(0))
        hub = DaemonSettings(name="hub", hub=HubSettings(serve=HUB))
        world.daemon(world.network.host("hub"), hub).startService()
        for name, peer, address in (("alice", "bob", "192.0.2.1"), ("bob", "alice", "192.0.2.2")):
            session = SessionSettings(peer=peer, protect="none", forward=ForwardSettings())
            settings = DaemonSettings(
                name=name,
                hub=HubSettings(connect=HUB),
                sessions={f"s-{number}": session for number in range(SESSIONS)},
            )
            daemon = world.daemon(world.network.host(name, [address]), settings, [self._note(name)])
            daemon.startService()
            self.daemons[name] = daemon

    def _note(self, name: str) -> Any:
        def note(topic: str, fields: dict[str, Any]) -> None:
            self.events.append(SceneEvent(self.world.reactor.seconds(), name, topic, fields))

        return note

    def all_good(self) -> bool:
        """Whether every session of both is connected."""
        return all(
            session.state in GOOD
            for daemon in self.daemons.values()
            for session in daemon.supervisor.sessions.values()
        )

    def of(self, name: str, topic: str, since: float) -> list[SceneEvent]:
        """That daemon's events."""
        return [e for e in self.events if (e.who, e.topic) == (name, topic) and e.at >= since]


class CrowdTests(SynchronousTestCase):
    """Whoever watches the log sees a few lines, and the hub a few offers."""

    def setUp(self) -> None:
        self.crowd = Crowd()
        self.reactor = self.crowd.world.reactor
        self.reactor.run_until(self.crowd.all_good, 60.0)

    def end(self) -> None:
        self.assertEqual(self.crowd.world.stop(), [])
        for daemon in self.crowd.daemons.values():
            totals = daemon.supervisor.totals()
            self.assertTrue(totals.balanced(), totals)
            self.assertEqual(totals.pending, 0)

    def test_a_common_outage_sends_canaries_and_then_all(self) -> None:
        began = self.reactor.seconds()
        hole = self.crowd.world.network.blackhole("alice", "bob")
        self.reactor.advance(90.0)
        storms = self.crowd.of("alice", "watchdog.storm", began)
        self.assertTrue(storms)
        alarm = storms[0].at
        during = self.crowd.of("alice", "round.start", alarm + 0.001)
        own = {event.fields["id"] for event in during if event.fields["cause"] != "peer"}
        self.assertGreater(len(own), 0)
        # The canaries of every hold, and never the crowd.
        self.assertLessEqual(len(own), SESSIONS / 2)
        hole.end()
        settings = StormSettings()
        limit = settings.hold_max + settings.release_max + 30.0
        took = self.reactor.run_until(self.crowd.all_good, limit)
        self.assertGreater(took, 0.0)
        self.assertLess(len(self.crowd.of("alice", "watchdog.storm", began)), 20)
        self.reactor.advance(200.0)
        self.assertTrue(self.crowd.all_good())
        self.assertEqual(
            self.crowd.daemons["alice"].supervisor.storm.snapshot().phase.value, "calm"
        )
        self.end()

    def test_the_hub_away_while_the_path_dies_is_waited_for_by_all(self) -> None:
        """Signaling down: everything waits, and nobody offers into the void."""
        self.reactor.streams.cut()
        self.crowd.world.network.blackhole("alice", "bob", seconds=40.0)
        began = self.reactor.seconds()
        self.reactor.advance(60.0)
        for name in ("alice", "bob"):
            self.assertEqual(self.crowd.of(name, "round.start", began), [])
        self.reactor.streams.restore()
        self.reactor.run_until(self.crowd.all_good, 200.0)
        self.end()

    def test_ten_minutes_of_peace_pass_without_a_restart(self) -> None:
        began = self.reactor.seconds()
        self.reactor.advance(600.0)
        self.assertEqual(self.crowd.of("alice", "round.start", began), [])
        self.assertTrue(self.crowd.all_good())
        self.end()
