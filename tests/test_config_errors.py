"""Everything that is wrong with a configuration file is one line that names file and key."""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, HubSettings, MetricsSettings, load
from refreeze.control.settings import ControlPlaces
from refreeze.ice import AgentSettings
from refreeze.net.gathering import GatherSettings
from refreeze.net.interfaces import AddressSettings
from refreeze.net.servers import IceServer
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.settings import SessionSettings
from refreeze.signaling.http.settings import HttpSettings
from refreeze.watchdog import PolicySettings, StormSettings

GOOD = """
name = "alice"
[hub]
connect = "unix:/run/refreeze/hub.sock"
[sessions.berlin]
peer = "bob"
protect = "none"
listen = "127.0.0.1:7001"
"""


class ConfigErrorTests(SynchronousTestCase):
    """One line: FILE: KEY: what."""

    def write(self, text: str) -> str:
        """A file with *text*."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(text)
        return path

    def refused(self, text: str) -> str:
        """The error without the file's name, which must be there."""
        path = self.write(text)
        error = str(self.assertRaises(ConfigError, load, path))
        self.assertTrue(error.startswith(f"{path}: "), error)
        self.assertNotIn("\n", error)
        return error.removeprefix(f"{path}: ")

    def test_a_good_file_is_read(self) -> None:
        settings = load(self.write(GOOD))
        self.assertEqual(settings.sessions["berlin"].forward.listen, "127.0.0.1:7001")

    def test_the_example_file_is_good(self) -> None:
        example = os.path.join(os.path.dirname(os.path.dirname(__file__)), "etc/refreeze.toml")
        self.assertEqual(load(example).name, "alice")

    def test_every_key_that_stands_commented_in_the_example_exists(self) -> None:
        """The documentation cannot name what is not there."""
        example = os.path.join(os.path.dirname(os.path.dirname(__file__)), "etc/refreeze.toml")
        with open(example) as file:
            lines = [line.removeprefix("# ") for line in file if not line.startswith("# W")]
        text = "".join(line for line in lines if "=" in line or line.startswith("["))
        text = text.replace('"192.0.2.10"', '"127.0.0.1"').replace('tls = "*:7812"', "")
        tokens = os.path.abspath(self.mktemp())
        with open(os.open(tokens, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("bob abcdefghijklmnop\n")
        text = text.replace("/etc/refreeze/http.tokens", tokens)
        self.assertEqual(load(self.write(text)).sessions["bob"].offerer, "alice")

    def test_the_example_file_has_every_key_and_its_default(self) -> None:
        """Whoever reads the file has seen all that can be set; a table with defaults is right."""
        shown = self.shown_keys()
        must = {"peer", "protect"}
        for section, cls in (
            ("hub", HubSettings),
            ("control", ControlPlaces),
            ("http", HttpSettings),
            ("metrics", MetricsSettings),
            ("network", AddressSettings),
            ("servers", IceServer),
            ("gathering", GatherSettings),
            ("ice", AgentSettings),
            ("watchdog", PolicySettings),
            ("storm", StormSettings),
            ("sessions.bob", SessionSettings),
            ("sessions.bob", ForwardSettings),
        ):
            kinds: tuple[Any, ...] = fields(cls)
            for attribute in kinds:
                key = attribute.name
                if key == "forward" or (section, key) == ("ice", "liveness"):
                    continue
                self.assertIn(key, shown[section], section)
                if section in ("ice", "watchdog", "storm") and attribute.default is not None:
                    wanted = attribute.default
                    wanted = list(wanted) if isinstance(wanted, tuple) else wanted
                    self.assertEqual(shown[section][key], wanted, f"{section}.{key}")
            must -= {attribute.name for attribute in kinds}
        self.assertEqual(must, set())
        top = {"name", "state_dir", "faults"}
        self.assertEqual(top, shown[""].keys())
        self.assertIn("ports", shown["network"])

    def shown_keys(self) -> dict[str, dict[str, Any]]:
        """The keys of the example file by section, those in comments too, with their values."""
        example = os.path.join(os.path.dirname(os.path.dirname(__file__)), "etc/refreeze.toml")
        shown: dict[str, dict[str, Any]] = {"": {}}
        section = ""
        with open(example) as file:
            for line in file:
                if line.removeprefix("# ").startswith("["):
                    section = line[line.index("[") + 1 : line.index("]")]
                    section = "servers" if section.startswith("servers.") else section
                    shown.setdefault(section, {})
                elif re.match(r"(# )?[a-z_]+ = ", line):
                    shown[section] |= tomllib.loads(line.removeprefix("# "))
        return shown

    def test_unknown_keys_are_named(self) -> None:
        for text, key in (
            ("nam = 1\n" + GOOD, "nam: unknown key"),
            (GOOD + "colour = 1\n", "sessions.berlin.colour: unknown key"),
            (GOOD + "[watchdog]\nattempt = 1\n", "watchdog.attempt: unknown key"),
        ):
            self.assertEqual(self.refused(text), key)

    def test_wrong_types_and_values_are_named(self) -> None:
        """T16: zero, negative and contradicting times too."""
        for text, start in (
            (GOOD.replace('"alice"', "7"), "name: must be a string"),
            (GOOD + "flow_idle = true\n", "sessions.berlin.flow_idle: must be a number"),
            (GOOD + 'deliver = "x"\n', "sessions.berlin.deliver: "),
            (GOOD.replace("127.0.0.1", "192.0.2.1"), "sessions.berlin.listen: "),
            (
                GOOD.replace('"none"', '"some"'),
                "sessions.berlin.protect: one of dtls",
            ),
            (GOOD.replace('"bob"', '"alice"'), "sessions.berlin.peer: is this daemon itself"),
            (GOOD + "[watchdog]\nround_timeout = 0\n", "watchdog.round_timeout: "),
            (GOOD + "[watchdog]\nround_timeout = -1\n", "watchdog.round_timeout: "),
            (GOOD + "[watchdog]\nanswer_timeout = 30\n", "watchdog.answer_timeout: "),
            (GOOD + "[network]\nports = '9-1'\n", "network.ports: "),
        ):
            error = self.refused(text)
            self.assertTrue(error.startswith(start), error)

    def test_what_is_no_toml_has_its_line(self) -> None:
        self.assertIn("line 2", self.refused("name = 'x'\nname\n"))

    def test_a_missing_file_is_one_line(self) -> None:
        error = str(self.assertRaises(ConfigError, load, "/nowhere/refreeze.toml"))
        self.assertEqual(error, "/nowhere/refreeze.toml: No such file or directory")
