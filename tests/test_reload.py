"""A changed file while the daemons run: what changes at once, what waits, what stays as it was."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, DaemonSettings, HubSettings
from refreeze.control.settings import ControlPlaces
from refreeze.ice import AgentSettings
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.sessions.supervisor import OperationError
from refreeze.watchdog import PolicySettings, StormSettings
from tests.simulation.scene import SESSION, Scene


class ReloadTests(SynchronousTestCase):
    """Two daemons and a hub in virtual time."""

    def setUp(self) -> None:
        self.scene = Scene(1)
        self.scene.connect()

        def end() -> None:
            self.assertEqual(self.scene.end(), [])

        self.addCleanup(end)

    @property
    def alice(self) -> Daemon:
        """The daemon whose file changes."""
        return self.scene.running["alice"]

    def session(self, name: str = "alice") -> Session:
        """One side's."""
        found = self.scene.session(name)
        assert found is not None
        return found

    def reload(self, new: DaemonSettings) -> dict[str, Any]:
        """As the control port does."""
        self.alice.read_settings = lambda: new
        return self.alice.supervisor.reload()

    def with_session(self, **changes: Any) -> DaemonSettings:
        """Alice's settings with another session."""
        old = self.alice.settings
        return evolve(old, sessions={SESSION: evolve(old.sessions[SESSION], **changes)})

    def test_the_same_file_changes_nothing(self) -> None:
        session = self.session()
        outcome = self.reload(self.alice.settings)
        self.assertEqual(outcome, {"opened": 0, "closed": 0, "changed": 0, "remade": 0})
        self.assertIs(self.session(), session)

    def test_another_forward_keeps_the_path(self) -> None:
        session, rounds = self.session(), self.session().book.count
        forward = ForwardSettings(listen="127.0.0.1:7005", flow_idle=3.0)
        self.assertEqual(self.reload(self.with_session(forward=forward))["changed"], 1)
        self.assertIs(self.session(), session)
        self.assertEqual(session.book.count, rounds)
        self.assertEqual(session.forward.listen_address, "127.0.0.1:7005")

    def test_a_forward_that_cannot_listen_stays_where_it_was(self) -> None:
        taken = self.scene.hosts["alice"].factory.open_udp("127.0.0.1", 7005)
        forward = ForwardSettings(listen="127.0.0.1:7005")
        for _again in range(2):
            outcome = self.reload(self.with_session(forward=forward))
            self.assertEqual(outcome["failed"], SESSION)
            self.assertEqual(self.session().forward.listen_address, "127.0.0.1:7001")
        taken.close()
        self.assertNotIn("failed", self.reload(self.with_session(forward=forward)))
        self.scene.program.stop()

    def test_a_session_with_another_liveness_is_made_again_and_connects(self) -> None:
        session = self.session()
        self.assertEqual(self.reload(self.with_session(liveness="fast"))["remade"], 1)
        self.assertIsNot(self.session(), session)
        self.scene.sessions["alice"].append(self.session())
        self.scene.flow(30.0)
        self.assertEqual(self.session().environment.settings.liveness.name, "fast")

    def test_a_session_of_the_answerer_is_made_again_too(self) -> None:
        bob = self.scene.running["bob"]
        changed = evolve(bob.settings.sessions[SESSION], liveness="fast")
        bob.read_settings = lambda: evolve(bob.settings, sessions={SESSION: changed})
        self.assertEqual(bob.reload()["remade"], 1)
        self.scene.flow(60.0)

    def test_sessions_come_and_go_and_others_are_untouched(self) -> None:
        session, old = self.session(), self.alice.settings
        more = old.sessions | {"more": SessionSettings(peer="carol", protect="none")}
        self.assertEqual(self.reload(evolve(old, sessions=more))["opened"], 1)
        self.assertEqual(list(self.alice.supervisor.sessions), [SESSION, "more"])
        self.assertEqual(self.reload(old)["closed"], 1)
        self.assertEqual(list(self.alice.supervisor.sessions), [SESSION])
        self.assertIs(self.session(), session)

    def test_a_session_that_was_opened_by_hand_stays(self) -> None:
        self.alice.supervisor.open("extra", {"peer": "carol", "protect": "none"})
        self.reload(self.alice.settings)
        self.assertIn("extra", self.alice.supervisor.sessions)

    def test_a_wrong_file_is_told_in_one_line_and_nothing_changes(self) -> None:
        def wrong() -> DaemonSettings:
            raise ConfigError("/etc/refreeze.toml: name: must be a string")

        session, settings = self.session(), self.alice.settings
        self.alice.read_settings = wrong
        error = self.assertRaises(OperationError, self.alice.supervisor.reload)
        self.assertEqual(error.code, "bad-argument")
        self.assertEqual(error.fields["hint"], "/etc/refreeze.toml: name: must be a string")
        self.assertIs(self.alice.settings, settings)
        self.assertIs(self.session(), session)

    def test_what_needs_a_restart_is_named_every_time(self) -> None:
        new = evolve(
            self.alice.settings,
            name="anne",
            ports=(7000, 7010),
            hub=HubSettings(connect="unix:/elsewhere"),
            ice=AgentSettings(ta=0.02),
            control=ControlPlaces(socket="/c", others="none", certificates={"carol": "none"}),
        )
        for _again in range(2):
            keys = self.reload(new)["restart-needed"].split(",")
            self.assertEqual(
                sorted(keys), ["control.socket", "hub.connect", "ice.ta", "name", "network.ports"]
            )

    def test_numbers_of_watchdog_and_storm_are_in_force_at_once(self) -> None:
        """`attempts = 1`: the first failed attempt opens the circuit."""
        self.scene.world.network.blackhole("alice", "bob")
        new = evolve(
            self.alice.settings,
            watchdog=PolicySettings(attempts=1),
            storm=StormSettings(rate=1.0),
        )
        self.assertNotIn("restart-needed", self.reload(new))
        self.assertEqual(self.alice.supervisor.describe()["watchdog.attempts"], 1)
        self.assertEqual(self.alice.supervisor.storm.return_spread(), 1.0)
        self.scene.advance(60.0)
        self.assertEqual(self.session().policy.snapshot().circuit.value, "open")

    def test_one_number_is_set(self) -> None:
        self.alice.supervisor.set("watchdog.attempts", "7")
        self.alice.supervisor.set("watchdog.offer_resends", "[1.0, 2.0]")
        self.assertEqual(self.alice.settings.watchdog.attempts, 7)
        self.assertEqual(self.alice.settings.watchdog.offer_resends, (1.0, 2.0))
        for name, value in (
            ("watchdog.attempts", "0"),
            ("watchdog.attempts", "x"),
            ("watchdog.attempts", "1.5"),
            ("watchdog.nothing", "1"),
            ("watchdog.probe_max", "1"),
            ("ice.ta", "1"),
            ("log.level", "debug"),
            ("", "1"),
        ):
            error = self.assertRaises(ValueError, self.alice.supervisor.set, name, value)
            self.assertNotIn("\n", str(error))
        self.assertEqual(self.alice.settings.watchdog.attempts, 7)

    def test_open_has_the_rules_of_the_file(self) -> None:
        supervisor = self.alice.supervisor
        taken = self.session().forward.listen_address
        for name, options in (
            ("two", {"peer": "alice", "protect": "none"}),
            ("two", {"peer": "bob", "protect": "none", "offerer": "zed"}),
            ("two", {"peer": "bob", "protect": "some"}),
            ("t w o", {"peer": "bob", "protect": "none"}),
            ("two", {"peer": "bob", "protect": "none", "listen": taken}),
            ("two", {"peer": "bob", "protect": "none", "flow_idle": "long"}),
            (SESSION, {"peer": "bob", "protect": "none"}),
        ):
            error = self.assertRaises(OperationError, supervisor.open, name, options)
            self.assertEqual(error.code, "bad-argument")
        self.assertEqual(list(supervisor.sessions), [SESSION])
