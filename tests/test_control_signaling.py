"""`signaling = "control"`: the application carries the envelopes through both control ports."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.protocol import ClientFactory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import DaemonSettings
from refreeze.control.settings import ControlPlaces
from refreeze.service import Daemon
from refreeze.testing import EchoProgram, LocalProgram, VirtualWorld

OPTIONS = "protect=none signaling=control liveness=fast"
GOOD = ("connected", "completed")


class Application(LineOnlyReceiver):
    """Talks to one daemon; *carry* takes the envelopes that come out of it."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self.peer: Application | None = None
        self.carried: list[dict[str, Any]] = []
        self.answers: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    def ask(self, line: str) -> None:
        """Send a request."""
        self.sendLine(line.encode())

    def lineReceived(self, line: bytes) -> None:
        """Answers are kept; an envelope goes to the other daemon."""
        text = line.decode()
        if not text.startswith("! "):
            self.answers.append(text)
            return
        _, _number, _stamp, topic, fields = text.split(" ", 4)
        record = json.loads(fields)
        self.events.append((topic, record))
        if topic == "signal":
            self.carried.append(json.loads(record["envelope"]))
            if self.peer is not None:
                self.peer.ask("signal " + json.dumps(record["envelope"]))


class Clients(ClientFactory):
    """Makes one client."""

    noisy = False

    def __init__(self, client: Application) -> None:
        self.client = client

    def buildProtocol(self, addr: Any) -> Application:
        return self.client


class ControlSignalingTests(SynchronousTestCase):
    """Two daemons without a hub, opened, restarted and closed over the wire."""

    def setUp(self) -> None:
        world = self.world = VirtualWorld(1)
        self.daemons: dict[str, Daemon] = {}
        self.apps: dict[str, Application] = {}
        for number, name in enumerate(("alice", "bob"), 1):
            host = world.network.host(name, [f"192.0.2.{number}", f"198.51.100.{number}"])
            settings = DaemonSettings(
                name=name, faults=True, control=ControlPlaces(socket=f"/virtual/{name}.sock")
            )
            daemon = self.daemons[name] = world.daemon(host, settings)
            daemon.startService()
            app = self.apps[name] = Application()
            world.process(host).reactor.connectUNIX(f"/virtual/{name}.sock", Clients(app))
        world.reactor.advance(0.1)
        alice, bob = self.apps["alice"], self.apps["bob"]
        alice.peer, bob.peer = bob, alice
        self.addCleanup(lambda: self.assertEqual(self.world.stop(), []))
        for app in self.apps.values():
            app.ask("hello 1 format=json")
            app.ask("watch signal session round")
        echo = world.run(EchoProgram(world.network.hosts["bob"], ("127.0.0.1", 7100)))
        alice.ask(f"open link peer=bob listen=127.0.0.1:7001 {OPTIONS}")
        bob.ask(f"open link peer=alice deliver=127.0.0.1:{echo.local[1]} {OPTIONS}")
        self.program = world.run(LocalProgram(world.network.hosts["alice"], ("127.0.0.1", 7001)))

    def connected(self) -> bool:
        """Whether both sides are."""
        return all(
            daemon.supervisor.sessions["link"].state in GOOD for daemon in self.daemons.values()
        )

    def connect(self) -> None:
        """Until both are."""
        self.world.reactor.run_until(
            lambda: all("link" in d.supervisor.sessions for d in self.daemons.values()), 5.0
        )
        self.world.reactor.run_until(self.connected, 30.0)

    def flow(self) -> None:
        """Until something comes back that was sent from now on."""
        first = self.program.sent
        self.world.reactor.run_until(
            lambda: bool(self.program.arrivals) and self.program.arrivals[-1].number >= first,
            30.0,
        )

    def test_the_application_carries_offer_answer_and_restart(self) -> None:
        """As `sendOfferToServer()` of the seed does."""
        self.connect()
        self.flow()
        kinds = [envelope["kind"] for envelope in self.apps["alice"].carried]
        self.assertIn("offer", kinds)
        topics = [topic for topic, _ in self.apps["alice"].events if topic.startswith("round.")]
        self.assertEqual(topics[:3], ["round.start", "round.answer", "round.done"])
        self.assertIn("answer", [envelope["kind"] for envelope in self.apps["bob"].carried])
        offers = kinds.count("offer")
        self.apps["alice"].ask("@f fault link path for=30")
        self.world.reactor.advance(1.0)
        self.flow()
        kinds = [envelope["kind"] for envelope in self.apps["alice"].carried]
        self.assertGreater(kinds.count("offer"), offers)
        self.assertEqual([a for a in self.apps["bob"].answers if a.startswith("ERR")], [])

    def test_close_says_bye_through_the_application_and_open_makes_it_again(self) -> None:
        self.connect()
        self.apps["alice"].ask("@c close link reason=maintenance")
        self.world.reactor.advance(1.0)
        self.assertIn("@c OK", self.apps["alice"].answers)
        self.assertEqual(self.apps["alice"].carried[-1]["kind"], "bye")
        held = self.daemons["bob"].supervisor.sessions["link"].policy.snapshot()
        self.assertEqual(held.state.value, "held")
        self.apps["alice"].ask(f"open link peer=bob listen=127.0.0.1:7001 {OPTIONS}")
        self.connect()
        self.flow()

    def test_what_is_no_envelope_is_refused_and_harms_nobody(self) -> None:
        self.connect()
        for line in ('"nonsense"', '"{}"', '"{\\"v\\": 1}"'):
            self.apps["alice"].ask(f"@x signal {line}")
        self.world.reactor.advance(0.1)
        answers = [a for a in self.apps["alice"].answers if a.startswith("@x")]
        self.assertEqual(len(answers), 3)
        for answer in answers:
            self.assertTrue(answer.startswith("@x ERR bad-argument "), answer)
        self.flow()

    def test_nobody_hears_passwords_who_did_not_ask_for_them(self) -> None:
        """`watch all` has no envelopes."""
        spy = Application()
        reactor = self.world.process(self.world.network.hosts["alice"]).reactor
        reactor.connectUNIX("/virtual/alice.sock", Clients(spy))
        self.world.reactor.advance(0.1)
        spy.ask("hello 1 format=json")
        spy.ask("watch all since=0")
        self.world.reactor.advance(0.1)
        self.connect()
        self.assertNotEqual(spy.events, [])
        self.assertNotIn("signal", [topic for topic, _ in spy.events])
        self.assertNotIn("ice-pwd", json.dumps(spy.events))
