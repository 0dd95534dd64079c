"""Hostile and contradicting configuration files: one line FILE: KEY: what, never a traceback."""

from __future__ import annotations

import os
import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import MAX_FILE, ConfigError, load
from refreeze.control import Role

BASE = """
name = "alice"
[hub]
connect = "unix:/run/refreeze/hub.sock"
[sessions.b]
peer = "bob"
protect = "none"
"""


class HostileConfigTests(SynchronousTestCase):
    """load()."""

    def refused(self, text: str | bytes) -> str:
        """The error behind the file's name."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        error = str(self.assertRaises(ConfigError, load, path))
        self.assertTrue(error.startswith(f"{path}: "), error)
        self.assertEqual(len(error.splitlines()), 1, error)
        return error.removeprefix(f"{path}: ")

    def test_a_key_with_a_newline_stays_one_line(self) -> None:
        self.assertEqual(self.refused('"a\\nb" = 1\n' + BASE), "a\\nb: unknown key")
        self.assertEqual(self.refused('"a\\u2028b" = 1\n' + BASE), "a\\u2028b: unknown key")

    def test_ports_are_ascii_digits_and_in_order(self) -> None:
        for ports in (
            '"\u00b2"',
            f'"{"9" * 5000}"',
            "-1",
            '"1-"',
            '"1-\u0662"',
            "true",
            "[1]",
            "1.5",
        ):
            error = self.refused(f"{BASE}[network]\nports = {ports}\n")
            self.assertEqual(error, "network.ports: a port or FIRST-LAST is wanted")
        for ports in ('"9-1"', "65536", '"1-2000"'):
            error = self.refused(f"{BASE}[network]\nports = {ports}\n")
            self.assertTrue(error.startswith("network.ports: at most 1000"), error)

    def test_a_number_that_no_float_holds_is_refused(self) -> None:
        error = self.refused(f"{BASE}flow_idle = 1{'0' * 400}\n")
        self.assertEqual(error, "sessions.b.flow_idle: does not fit in 64 bits")

    def test_times_are_greater_than_zero_and_finite(self) -> None:
        """T16: zero, negative, not a number, endless."""
        for section, key in (("watchdog", "round_timeout"), ("ice", "ta")):
            for value in ("0", "-1", "nan", "inf", "-inf"):
                error = self.refused(f"{BASE}[{section}]\n{key} = {value}\n")
                self.assertTrue(error.startswith(f"{section}.{key}: "), error)
        for value in ("0", "-1", "nan", "inf"):
            error = self.refused(f"{BASE}flow_idle = {value}\n")
            self.assertTrue(error.startswith("sessions.b.flow_idle: "), error)

    def test_a_wrong_type_is_named_in_the_words_of_toml(self) -> None:
        for text, wanted in (
            (f"{BASE}liveness = []\n", "sessions.b.liveness: must be a string"),
            (f"{BASE}allow_from = [1]\n", "sessions.b.allow_from: must be a string"),
            (f"{BASE}allow_from = '::1/128'\n", "sessions.b.allow_from: must be an array of"),
            (f"{BASE}[watchdog]\nattempts = true\n", "watchdog.attempts: must be a whole number"),
            ("hub = 1\nname = 'x'\n", "hub: must be a table"),
            ("sessions.b = 1\nname = 'x'\n", "sessions.b: must be a table"),
            ("faults = 1\n" + BASE, "faults: must be true or false"),
            ("[hub]\n", "name: must be a string"),
        ):
            error = self.refused(text)
            self.assertTrue(error.startswith(wanted), error)

    def test_an_unknown_liveness_profile_lists_the_known_ones(self) -> None:
        self.assertIn("default, fast", self.refused(f"{BASE}liveness = 'quick'\n"))

    def test_liveness_is_a_key_of_a_session(self) -> None:
        error = self.refused(f"{BASE}[ice]\nliveness = 'fast'\n")
        self.assertTrue(error.startswith("ice.liveness: "), error)

    def test_a_pattern_that_is_none_names_its_key(self) -> None:
        for line in ('include = ["1/2"]', 'exclude = [""]', 'addresses = ["x"]'):
            error = self.refused(f"{BASE}[network]\n{line}\n")
            key = line.partition(" ")[0]
            self.assertTrue(error.startswith(f"network.{key}: "), error)

    def test_places_are_checked_before_anything_listens(self) -> None:
        long = "/" + "x" * 107
        for section, line, start in (
            ("hub", 'serve = "tcp:192.0.2.1:1"', "hub.serve: "),
            ("hub", 'serve = "tcp:127.0.0.1:7810"', "hub.cookie: "),
            ("hub", 'serve = "tcp:127.0.0.1:0000007810"', "hub.serve: "),
            ("hub", 'serve = "/run/hub.sock"', "hub.serve: "),
            ("hub", f'serve = "unix:{long}"', "hub.serve: "),
            ("control", f'socket = "{long}"', "control.socket: "),
            ("control", 'socket = "control.sock"', "control.socket: "),
            ("control", 'tcp = "0.0.0.0:7811"\ncookie = "/c"', "control.tcp: "),
            ("control", 'tcp = "127.0.0.1:65536"\ncookie = "/c"', "control.tcp: "),
            ("metrics", 'listen = "9464"', "metrics.listen: "),
            ("metrics", 'listen = "localhost:9464"', "metrics.listen: "),
        ):
            text = (
                BASE.replace("[hub]", f"[hub]\n{line}")
                if section == "hub"
                else (f"{BASE}[{section}]\n{line}\n")
            )
            error = self.refused(text)
            self.assertTrue(error.startswith(start), error)

    def test_roles_are_of_users_and_groups_that_exist(self) -> None:
        for line, start in (
            ('users = { "no-such-user" = "admin" }', "control.users: this machine"),
            ('groups = { root = "king" }', "control.groups: one of none, observer"),
            ("users = { root = 1 }", "control.users.root: must be a string"),
            ('others = "all"', "control.others: one of none"),
        ):
            error = self.refused(f"{BASE}[control]\n{line}\n")
            self.assertTrue(error.startswith(start), error)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(f'{BASE}[control]\nusers = {{ "4711" = "operator" }}\nothers = "none"\n')
        access = load(path).control.access()
        self.assertEqual(access.role(4711, ()), Role.OPERATOR)
        self.assertEqual(access.role(4712, ()), Role.NONE)

    def test_names_can_stand_in_an_envelope(self) -> None:
        for old, new, start in (
            ('"alice"', '""', "name: "),
            ('"alice"', '"al ice"', "name: "),
            ('"bob"', '""', "sessions.b.peer: "),
            ("sessions.b]", 'sessions."b b"]', "sessions.b b: a session's name"),
        ):
            error = self.refused(BASE.replace(old, new))
            self.assertTrue(error.startswith(start), error)

    def test_two_sessions_cannot_listen_at_one_place(self) -> None:
        text = BASE + 'listen = "127.0.0.1:7001"\n'
        text += '[sessions.c]\npeer = "carol"\nprotect = "none"\nlisten = "127.0.0.1:7001"\n'
        self.assertEqual(self.refused(text), "sessions.c.listen: sessions.b listens there")
        for listen in ("127.0.0.1:0", "127.0.0.1:7002"):
            path = self.mktemp()
            with open(path, "w") as file:
                file.write(text.replace("127.0.0.1:7001", listen, 1))
            load(path)

    def test_contradictions_are_refused(self) -> None:
        for text, start in (
            (f"{BASE}offerer = 'zed'\n", "sessions.b.offerer: must be 'alice' or 'bob'"),
            (f"{BASE}[control]\ntcp = '127.0.0.1:1'\n", "control.cookie: "),
            (f"{BASE}deliver = 'unix:/x'\n", "sessions.b.deliver: "),
            (BASE.replace('connect = "unix:/run/refreeze/hub.sock"', ""), "sessions.b.signaling: "),
            (BASE.replace('protect = "none"', 'protect = "some"'), "sessions.b.protect: "),
        ):
            error = self.refused(text)
            self.assertTrue(error.startswith(start), error)

    def test_either_side_may_be_the_offerer(self) -> None:
        for name in ("alice", "bob"):
            path = self.mktemp()
            with open(path, "w") as file:
                file.write(f"{BASE}offerer = '{name}'\n")
            self.assertEqual(load(path).sessions["b"].offerer, name)

    def test_what_is_no_toml_is_refused(self) -> None:
        self.assertIn("utf-8", self.refused(b"name = '\xff'"))
        self.assertEqual(self.refused("a = " + "[" * 5000), "nested too deeply")
        self.assertIn("larger than", self.refused(b"#" * (MAX_FILE + 1)))

    def test_a_directory_is_one_line(self) -> None:
        error = str(self.assertRaises(ConfigError, load, os.sep))
        self.assertEqual(error, f"{os.sep}: Is a directory")

    def test_random_damage_is_read_or_refused_and_nothing_else(self) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        pool = BASE.encode() + b'[]="\\\n\x00\xff0-.'
        path = self.mktemp()
        for _ in range(300):
            text = bytearray(BASE.encode())
            for _ in range(dice.randrange(1, 5)):
                text[dice.randrange(len(text))] = dice.choice(pool)
            with open(path, "wb") as file:
                file.write(text)
            try:
                load(path)
            except ConfigError as error:
                self.assertEqual(len(str(error).splitlines()), 1, f"seed {seed}")
