"""A hub over TLS in the configuration file: everything is checked before anything starts."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, load
from refreeze.signaling.settings import HubSettings
from tests.signaling.pki import Pki

CONNECT = 'connect = "tls:hub.example.net:7810"\n'
SERVE = 'serve = "tls:*:7810"\n'


class TlsKeyTests(SynchronousTestCase):
    """The section ``hub``."""

    def setUp(self) -> None:
        self.pki = Pki(os.path.abspath(self.mktemp()))

    def files(self, name: str, *hosts: str) -> str:
        """The three keys."""
        files = self.pki.issue(name, hosts)
        return f'certificate = "{files.certificate}"\nkey = "{files.key}"\nca = "{files.ca}"\n'

    def write(self, hub: str) -> str:
        """Alice's file."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(f'name = "alice"\n[hub]\n{hub}')
        return path

    def refused(self, hub: str) -> str:
        """What is said, after the file's name."""
        path = self.write(hub)
        error = str(self.assertRaises(ConfigError, load, path))
        self.assertTrue(error.startswith(f"{path}: hub"), error)
        self.assertNotIn("\n", error)
        return error.removeprefix(f"{path}: ")

    def test_a_link_and_a_hub(self) -> None:
        hub = load(self.write(CONNECT + self.files("alice"))).hub
        assert hub.files is not None
        self.assertTrue(hub.files.key.endswith("alice.key"))
        load(self.write(SERVE + self.files("alice", "hub.example.net")))
        load(self.write(SERVE + CONNECT + self.files("alice", "hub.example.net")))

    def test_a_hub_need_not_have_the_daemons_name(self) -> None:
        """It shows the certificate to its links only, who look for a host."""
        load(self.write(SERVE + self.files("anything", "hub.example.net")))

    def test_another_name_of_the_server(self) -> None:
        more = self.files("alice")
        for name in ("hub.example.net", "192.0.2.1", "2001:db8::1"):
            load(self.write(f'{CONNECT}server_name = "{name}"\n{more}'))
        for name in ("", "a b", "tls:hub", "[::1]", "hub:7810"):
            error = self.refused(f'{CONNECT}server_name = "{name}"\n{more}')
            self.assertEqual(error, "hub.server_name: a host's name or an address is wanted")

    def test_every_file_is_needed(self) -> None:
        lines = self.files("alice").splitlines(keepends=True)
        for missing, key in enumerate(("certificate", "key", "ca")):
            rest = "".join(lines[:missing] + lines[missing + 1 :])
            self.assertTrue(self.refused(CONNECT + rest).startswith(f"hub.{key}: connect = "))

    def test_places_that_are_none(self) -> None:
        more = self.files("alice", "hub.example.net")
        for line, said in (
            ('connect = "tls:*:7810"\n', "hub.connect: 'tls:*:7810' is no place to connect to"),
            ('connect = "tls:0.0.0.0:1"\n', "hub.connect: 'tls:0.0.0.0:1' is no place"),
            ('connect = "tls:hub:0"\n', "hub.connect: 'tls:hub:0' is no place to connect to"),
            ('serve = "tls:hub:1"\n', "hub.serve: 'tls:hub:1': an address is wanted, or *"),
            ('serve = "tls:hub"\n', "hub.serve: 'tls:hub': the port is not"),
        ):
            self.assertTrue(self.refused(line + more).startswith(said), line)

    def test_a_certificate_that_the_daemon_can_do_nothing_with(self) -> None:
        for hub, said in (
            (CONNECT + self.files("bob"), "bob.crt: is for bob, not for alice"),
            (SERVE + self.files("alice"), "alice.crt: names no host"),
        ):
            error = self.refused(hub)
            self.assertTrue(error.startswith(f"hub: {self.pki.directory}/"), error)
            self.assertIn(said, error)

    def test_a_damaged_file_is_named(self) -> None:
        hub = CONNECT + self.files("alice")
        path = self.pki.put("alice.key", b"-----BEGIN PRIVATE KEY-----\nhush\n")
        self.assertEqual(self.refused(hub), f"hub: {path}: holds no key in PEM that can be read")

    def test_files_are_not_read_when_nothing_is_on_tls(self) -> None:
        keys = 'certificate = "/no"\nkey = "/no"\nca = "/no"\n'
        settings = load(self.write(f'connect = "unix:/run/hub.sock"\n{keys}'))
        self.assertIsNone(settings.hub.files)
        self.assertIsNone(HubSettings(connect="tcp:127.0.0.1:1", cookie="/c").files)
