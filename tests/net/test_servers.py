"""Servers by URI, and where their credentials come from."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.servers import (
    MAX_USER,
    CredentialError,
    IceServer,
    ServerUrl,
    ServerUrlError,
    parse_server_url,
)


class ServerUrlTests(SynchronousTestCase):
    """RFC 7064 and RFC 7065."""

    def test_each_scheme_has_its_default_port_and_transport(self) -> None:
        for text, expected in (
            ("stun:stun.example.net", ServerUrl("stun", "stun.example.net", 3478, "udp")),
            ("turn:192.0.2.1", ServerUrl("turn", "192.0.2.1", 3478, "udp")),
            ("turn:[2001:db8::1]:99", ServerUrl("turn", "2001:db8::1", 99, "udp")),
            ("turn:t.example?transport=tcp", ServerUrl("turn", "t.example", 3478, "tcp")),
            ("turn:t.example?transport=udp", ServerUrl("turn", "t.example", 3478, "udp")),
            ("turns:t.example", ServerUrl("turns", "t.example", 5349, "tls")),
            ("turns:t.example:443?transport=tcp", ServerUrl("turns", "t.example", 443, "tls")),
            ("TURN:T.Example.?transport=TCP", ServerUrl("turn", "t.example", 3478, "tcp")),
        ):
            self.assertEqual(parse_server_url(text), expected)

    def test_a_url_is_written_as_it_is_read(self) -> None:
        for text in (
            "stun:stun.example.net",
            "turn:192.0.2.1:99",
            "turn:[2001:db8::1]?transport=tcp",
            "turns:t.example:443",
        ):
            self.assertEqual(str(parse_server_url(text)), text)
            self.assertEqual(parse_server_url(str(parse_server_url(text))), parse_server_url(text))

    def test_what_is_no_server_is_refused_in_one_line_that_quotes_it(self) -> None:
        for text in (
            "",
            "stun",
            "stun:",
            "http://a",
            "stun://a",
            "stun:a:0",
            "stun:a:65536",
            "stun:a:b",
            "stun:1.2.3",
            "stun:[::1",
            "stun:[fe80::g]",
            "stun:-a",
            "stun:a b",
            "stun:" + "a" * 64,
            "stun:" + ".".join(["a" * 60] * 5),
            "stuns:a",
            "stun:a?transport=udp",
            "turns:a?transport=udp",
            "turn:a?transport=sctp",
            "turn:a?user=b",
            "stun:a\nb",
        ):
            with self.assertRaises(ServerUrlError) as caught:
                parse_server_url(text)
            self.assertNotIn("\n", str(caught.exception))
            self.assertIn(repr(text), str(caught.exception))

    def test_a_password_in_a_url_is_refused_and_not_quoted(self) -> None:
        for text in ("turn:u:hush-hush@a", "turn:hush-hush@a?transport=tcp", "hush-hush@a"):
            with self.assertRaises(ServerUrlError) as caught:
                parse_server_url(text)
            self.assertIn("credential", str(caught.exception))
            self.assertNotIn("hush", str(caught.exception))


class IceServerTests(SynchronousTestCase):
    """Where credentials come from."""

    def file(self, content: str) -> str:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(content)
        return os.path.abspath(path)

    def test_static_credentials_never_expire(self) -> None:
        server = IceServer(urls=("turn:t.example",), username="u", credential="p")
        found = server.credentials(1000.0)
        self.assertEqual((found.credentials.username, found.credentials.password), ("u", "p"))
        self.assertIsNone(found.expires_at)

    def test_a_credential_file_is_read_again_at_every_use(self) -> None:
        path = self.file("alice\nfirst\n")
        server = IceServer(urls=("turn:t.example",), credential_file=path)
        self.assertEqual(server.credentials(0.0).credentials.password, "first")
        with open(path, "w") as file:
            file.write("alice\nsecond\n")
        self.assertEqual(server.credentials(0.0).credentials.password, "second")

    def test_a_secret_makes_credentials_that_end_after_the_ttl(self) -> None:
        """The value is what openssl makes of the name and the secret."""
        for server in (
            IceServer(urls=("turn:t.example",), username="u", secret="north", ttl=600.0),
            IceServer(
                urls=("turn:t.example",),
                username="u",
                secret_file=self.file("north\n"),
                ttl=600.0,
            ),
        ):
            found = server.credentials(1000.5)
            self.assertEqual(found.credentials.username, "1600:u")
            self.assertEqual(found.credentials.password, "Nmo2kQOv3gr5E7NVL/eKeNhK9A8=")
            self.assertEqual(found.expires_at, 1600.0)

    def test_nothing_shows_a_secret(self) -> None:
        server = IceServer(urls=("turn:t.example",), username="u", credential="hush-hush")
        shared = IceServer(urls=("turn:t.example",), secret="hush-hush")
        shown = repr((server, server.credentials(0.0), shared, shared.credentials(0.0)))
        self.assertNotIn("hush-hush", shown)
        self.assertNotIn(shared.credentials(0.0).credentials.password, shown)

    def test_a_bad_file_is_one_line_that_names_it_and_tells_nothing_of_it(self) -> None:
        for content in ("", "\n \n", "hush-hush", "hush-hush\n" * 1000):
            path = self.file(content)
            server = IceServer(urls=("turn:t.example",), credential_file=path)
            with self.assertRaises(CredentialError) as caught:
                server.credentials(0.0)
            self.assertTrue(str(caught.exception).startswith(f"{path}: "))
            self.assertNotIn("hush", str(caught.exception))
        missing = IceServer(urls=("turn:t.example",), secret_file="/nowhere/at-all")
        self.assertRaises(CredentialError, missing.credentials, 0.0)

    def test_what_is_no_regular_file_holds_nobody_up(self) -> None:
        pipe = os.path.abspath(self.mktemp())
        os.mkfifo(pipe)
        for path in (pipe, "/dev/zero"):
            for server in (
                IceServer(urls=("turn:t.example",), credential_file=path),
                IceServer(urls=("turn:t.example",), secret_file=path),
            ):
                with self.assertRaises(CredentialError) as caught:
                    server.credentials(0.0)
                self.assertEqual(str(caught.exception), f"{path}: not a regular file")

    def test_a_name_that_no_request_could_hold_is_refused(self) -> None:
        name = "n" * (MAX_USER + 1)
        server = IceServer(urls=("turn:t.example",), credential_file=self.file(f"{name}\np\n"))
        self.assertRaises(CredentialError, server.credentials, 0.0)
        longest = IceServer(urls=("turn:t.example",), username=name[1:], secret="s")
        expiring = longest.credentials(4_000_000_000.0).credentials.username
        self.assertLess(len(expiring), 509)

    def test_contradictions_are_refused_by_the_key_at_fault(self) -> None:
        turn, stun = ("turn:t.example",), ("stun:t.example",)
        for key, options in (
            ("urls", {"urls": ()}),
            ("urls", {"urls": ("http://a",)}),
            ("urls", {"urls": tuple(f"stun:h{n}" for n in range(17))}),
            ("credential", {"urls": turn}),
            ("credential", {"urls": stun, "username": "u", "credential": "p"}),
            ("secret", {"urls": turn, "username": "u", "credential": "p", "secret": "s"}),
            ("username", {"urls": turn, "credential": "p"}),
            ("username", {"urls": turn, "credential_file": "/f", "username": "u"}),
            ("username", {"urls": turn, "username": "é" * 300, "credential": "p"}),
            ("credential_file", {"urls": turn, "credential_file": "a\0b"}),
            ("secret_file", {"urls": turn, "secret_file": ""}),
            ("ca", {"urls": turn, "secret": "s", "ca": "a\nb"}),
            ("ttl", {"urls": turn, "secret": "s", "ttl": 1.0}),
        ):
            with self.assertRaises(ValueError) as caught:
                IceServer(**options)  # type: ignore[arg-type]  # the point of the test
            self.assertTrue(str(caught.exception).startswith(f"{key}: "), str(caught.exception))
