"""The two-way cookie handshake and its file."""

from __future__ import annotations

import os
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.cookie import (
    Cookie,
    CookieClient,
    CookieError,
    CookieServer,
    ensure_cookie,
    load_cookie,
)

SECRET = bytes(range(32))


def ends(
    server: bytes = SECRET, client: bytes = SECRET, *, purpose: str = "hub"
) -> tuple[CookieServer, CookieClient]:
    random = Random(1)
    return (
        CookieServer(Cookie(server), "hub", random),
        CookieClient(Cookie(client), purpose, random),
    )


class HandshakeTests(SynchronousTestCase):
    def test_both_ends_believe_each_other(self) -> None:
        server, client = ends()
        self.assertTrue(server.verify(client.answer(*server.challenge(client.nonce))))

    def test_the_client_sends_no_proof_to_a_server_that_does_not_know_the_cookie(self) -> None:
        server, client = ends(server=bytes(32))
        with self.assertRaises(CookieError):
            client.answer(*server.challenge(client.nonce))

    def test_the_server_does_not_believe_a_client_without_the_cookie(self) -> None:
        server, client = ends()
        nonce, _ = server.challenge(client.nonce)
        self.assertFalse(server.verify(Cookie(bytes(32)).proof("hub", "client", b"", nonce)))

    def test_the_servers_own_proof_is_no_proof_of_the_client(self) -> None:
        server, client = ends()
        _, proof = server.challenge(client.nonce)
        self.assertFalse(server.verify(proof))

    def test_a_proof_for_the_hub_is_none_for_the_control_port(self) -> None:
        server, client = ends(purpose="control")
        with self.assertRaises(CookieError):
            client.answer(*server.challenge(client.nonce))

    def test_a_challenge_is_good_for_one_attempt(self) -> None:
        server, client = ends()
        proof = client.answer(*server.challenge(client.nonce))
        self.assertFalse(server.verify(b"x" * 32))
        self.assertFalse(server.verify(proof))

    def test_nothing_is_verified_before_the_challenge(self) -> None:
        server, _ = ends()
        self.assertFalse(server.verify(b""))

    def test_nonces_have_one_length(self) -> None:
        server, client = ends()
        with self.assertRaises(CookieError):
            server.challenge(b"short")
        with self.assertRaises(CookieError):
            client.answer(b"short", b"")

    def test_the_cookie_is_in_no_repr(self) -> None:
        server, client = ends()
        for thing in (Cookie(SECRET), server, client):
            self.assertNotIn("\\x01", repr(thing))


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def write(self, secret: bytes, mode: int) -> None:
        with open(self.path, "wb") as file:
            file.write(secret)
        os.chmod(self.path, mode)

    def test_made_once_and_then_read_by_both(self) -> None:
        made = ensure_cookie(self.path, Random(2))
        self.assertEqual(ensure_cookie(self.path, Random(3)), made)
        self.assertEqual(load_cookie(self.path), made)
        self.assertEqual(os.stat(self.path).st_mode & 0o7777, 0o640)
        self.assertEqual(len(made.secret), 32)

    def test_a_file_that_others_may_read_is_refused(self) -> None:
        for mode in (0o644, 0o660, 0o642):
            self.write(SECRET, mode)
            with self.assertRaises(CookieError):
                load_cookie(self.path)

    def test_a_file_of_another_length_is_refused(self) -> None:
        for secret in (b"", SECRET[:31], SECRET + b"\n"):
            self.write(secret, 0o600)
            with self.assertRaises(CookieError) as caught:
                load_cookie(self.path)
            self.assertIn("32 bytes", str(caught.exception))

    def test_what_is_no_file_is_refused(self) -> None:
        with self.assertRaises(CookieError):
            load_cookie(self.path)
        os.mkdir(self.path, 0o700)
        with self.assertRaises(CookieError):
            load_cookie(self.path)
        with self.assertRaises(CookieError):
            ensure_cookie(os.path.join(self.path, "no", "such"), Random(4))
