"""The ``http`` section of the file."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from refreeze.config import ConfigError, DaemonSettings, load, parse
from refreeze.reloading import applied, compare
from refreeze.signaling.http.settings import HttpSettings
from refreeze.signaling.places import TlsPlace, UnixPlace

SESSION = {"peer": "browser", "protect": "dtls", "signaling": "http", "listen": "127.0.0.1:7001"}
OPEN = {"certificate": "/c", "key": "/k", "tokens": "/t"}


class SettingsTests(SynchronousTestCase):
    """What is taken, and what a wrong value is told."""

    def read(self, **http: Any) -> DaemonSettings:
        """Of a file with one session on HTTP."""
        return parse({"name": "gate", "http": http, "sessions": {"screen": SESSION}})

    def refused(self, **http: Any) -> str:
        """Why."""
        error = str(self.assertRaises(ConfigError, self.read, **http))
        self.assertNotIn("\n", error)
        return error

    def test_places_on_this_machine_need_nothing_else(self) -> None:
        for listen, place in (
            ("unix:/run/x.sock", UnixPlace("/run/x.sock")),
            ("tcp:127.0.0.1:8080", TlsPlace("127.0.0.1", 8080)),
            ("tcp:[::1]:8080", TlsPlace("::1", 8080)),
        ):
            self.assertEqual(self.read(listen=listen).http.place, place)

    def test_other_places_need_tls_or_a_proxy_and_tokens(self) -> None:
        for listen in ("tcp:*:8443", "tcp:192.0.2.1:8443", "tcp:[::]:8443"):
            self.assertIsNotNone(self.read(listen=listen, **OPEN).http.place)
            self.assertIsNotNone(
                self.read(listen=listen, behind_proxy=True, tokens="/t").http.place
            )
            self.assertEqual(
                self.refused(listen=listen, tokens="/t"),
                f"http.certificate: {listen!r} needs one and its key, or behind_proxy = true",
            )
            self.assertEqual(
                self.refused(listen=listen, behind_proxy=True),
                f"http.tokens: {listen!r} needs a file of tokens",
            )

    def test_places_that_are_none_are_named_as_they_were_written(self) -> None:
        for listen in (
            *("", "8080", "tcp:8080", "tcp:127.0.0.1:99999", "tcp::8080", "tcp:localhost:8080"),
            *("unix:x", "unix:", "tls:*:8443", "http://127.0.0.1:8080", "tcp:a b:1"),
        ):
            error = self.refused(listen=listen)
            self.assertTrue(error.startswith(f"http.listen: {listen!r}"), error)

    def test_a_certificate_wants_its_key_and_a_key_its_certificate(self) -> None:
        self.assertIn("http.key: ", self.refused(listen="unix:/x", certificate="/c"))
        self.assertIn("http.certificate: ", self.refused(listen="unix:/x", key="/k"))

    def test_origins_are_scheme_and_host(self) -> None:
        for origin in ("*", "https://app.example.net", "http://localhost:3000", "https://[::1]:8"):
            self.assertEqual(self.read(listen="unix:/x", origins=[origin]).http.origins, (origin,))
        for origin in (
            *("app.example.net", "https://app.example.net/", "https://", "ftp://x", "null"),
            *("https://u@x", "https://x?y", "http://[", ""),
        ):
            error = self.refused(listen="unix:/x", origins=[origin])
            self.assertEqual(error, f"http.origins: {origin!r} is not SCHEME://HOST or *")

    def test_wrong_types_are_named(self) -> None:
        for key in ("listen", "certificate", "behind_proxy", "tokens", "origins", "page"):
            self.assertTrue(self.refused(**{key: 7}).startswith(f"http.{key}: must be "), key)
        self.assertIn("http.pages: unknown key", self.refused(pages=True))

    def test_a_session_on_http_needs_a_listener(self) -> None:
        self.assertEqual(self.refused(), 'sessions.screen.signaling: "http" needs http.listen')

    def test_a_file_of_tokens_is_looked_at_with_the_rest(self) -> None:
        tokens, path = (os.path.abspath(self.mktemp()) for _ in range(2))
        with open(path, "w") as file:
            file.write(f'name = "gate"\n[http]\nlisten = "unix:/x"\ntokens = "{tokens}"\n')
        error = str(self.assertRaises(ConfigError, load, path))
        self.assertEqual(error, f"{path}: http.tokens: {tokens}: No such file or directory")
        with os.fdopen(os.open(tokens, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("screen short-secret\n")
        error = str(self.assertRaises(ConfigError, load, path))
        self.assertIn(f"{path}: http.tokens: {tokens}: line 1: ", error)
        self.assertNotIn("short-secret", error)

    def test_who_may_come_changes_at_once_and_the_place_does_not(self) -> None:
        old = self.read(listen="unix:/x")
        new = self.read(listen="unix:/y", tokens="/t", origins=["*"], page=True)
        self.assertEqual(compare(old, new, old.sessions).restart_needed, ["http.listen"])
        self.assertEqual(
            applied(old, new).http,
            HttpSettings(listen="unix:/x", tokens="/t", origins=("*",), page=True),
        )
