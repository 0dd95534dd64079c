"""Roles: the kernel's word, groups, and the two-way cookie of loopback TCP."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import refreeze
from refreeze.control.access import Access, Role
from refreeze.control.connection import AUTH_SECONDS
from refreeze.control.verbs import VERBS
from refreeze.signaling.cookie import Cookie, CookieClient
from tests.control.fakes import STRANGER, Desk

SECRET = bytes(range(32))


class RoleTests(SynchronousTestCase):
    """Who is what on the UNIX socket."""

    def role(self, uid: int, *groups: int, **access: Any) -> Role:
        """With 1000 as the daemon's own user."""
        return Access(own_uid=1000, **access).role(uid, groups)

    def test_root_and_the_daemons_user_are_admin(self) -> None:
        self.assertEqual([self.role(0), self.role(1000)], [Role.ADMIN, Role.ADMIN])

    def test_the_daemons_group_operates_and_others_observe(self) -> None:
        self.assertEqual(self.role(STRANGER, os.getgid()), Role.OPERATOR)
        self.assertEqual(self.role(STRANGER, STRANGER), Role.OBSERVER)

    def test_uids_and_gids_are_different_things(self) -> None:
        access = {"uids": {7: Role.ADMIN}, "gids": {8: Role.OPERATOR}}
        self.assertEqual(self.role(7, 1, **access), Role.ADMIN)
        self.assertEqual(self.role(8, 7, **access), Role.OBSERVER)

    def test_the_greatest_role_counts(self) -> None:
        access = {"uids": {7: Role.OBSERVER}, "gids": {8: Role.OPERATOR, 9: Role.ADMIN}}
        self.assertEqual(self.role(7, 8, 9, **access), Role.ADMIN)

    def test_nobody_else_when_others_have_no_role(self) -> None:
        desk = Desk(others=Role.NONE, gids={})
        self.assertEqual(
            desk.connect(STRANGER).ask("list"), ["ERR auth-required verb=list retry=no"]
        )

    def test_a_supplementary_group_counts(self) -> None:
        desk = Desk(gids={77: Role.OPERATOR})
        client = desk.connect(STRANGER, groups=(5, 77), greeted=False)
        self.assertIn("role=operator", client.lines()[0])

    def test_the_kernel_tells_the_groups_of_a_real_peer(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can give a process other groups")
        code = (
            "import socket, types; from refreeze.control.access import peer_groups;"
            "ours, theirs = socket.socketpair();"
            "print(*peer_groups(types.SimpleNamespace(getHandle=lambda: ours)))"
        )
        source = str(Path(refreeze.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            extra_groups=[5, 77],
            env={**os.environ, "PYTHONPATH": source},
        )
        self.assertEqual(done.stdout, "5 77\n")

    def test_each_verb_is_refused_below_its_role(self) -> None:
        desk = Desk(uids={11: Role.OPERATOR}, gids={})
        clients = {Role.OBSERVER: desk.connect(12), Role.OPERATOR: desk.connect(11)}
        for role, client in clients.items():
            for verb in VERBS.values():
                if verb.role > role and verb.exists(desk.operations):
                    self.assertEqual(
                        client.ask(verb.name),
                        [f"ERR not-permitted verb={verb.name} needs={verb.role.word} retry=no"],
                    )
        self.assertEqual(desk.operations.asked, [])


class CookieTests(SynchronousTestCase):
    """Loopback TCP: both sides prove that they know the cookie."""

    def setUp(self) -> None:
        self.desk = Desk()
        self.client = self.desk.connect(cookie=Cookie(SECRET))

    def challenge(self, secret: bytes = SECRET) -> tuple[CookieClient, bytes, bytes]:
        """The client's half, and what the server answered."""
        half = CookieClient(Cookie(secret), "control", random.Random(1))
        words = self.client.ask(f"auth cookie nonce={half.nonce.hex()}")[0].split()
        nonce, proof = (bytes.fromhex(word.split("=")[1]) for word in words[1:])
        return half, nonce, proof

    def test_the_handshake_makes_an_operator(self) -> None:
        half, nonce, proof = self.challenge()
        answer = half.answer(nonce, proof)
        self.assertEqual(
            self.client.ask(f"auth cookie proof={answer.hex()}"), ["OK role=operator auth=cookie"]
        )
        self.assertEqual(self.client.ask("ping", "drain")[0], "OK")
        self.assertIn("wrong-state", self.client.ask("auth cookie proof=00")[0])
        self.desk.clock.advance(AUTH_SECONDS)
        self.assertFalse(self.client.transport.disconnecting)

    def test_before_it_there_is_only_hello_auth_help_and_quit(self) -> None:
        for verb in VERBS.values():
            answer = self.client.ask(verb.name)[-1] if verb.name != "quit" else "OK"
            refused = answer == f"ERR auth-required verb={verb.name} retry=no"
            exists = verb.exists(self.desk.operations)
            self.assertEqual(refused, exists and verb.name not in ("hello", "auth", "help", "quit"))

    def test_the_greeting_says_so(self) -> None:
        client = self.desk.connect(cookie=Cookie(SECRET), greeted=False)
        self.assertEqual(client.lines(), ["* refreeze 1 server=0.1.0 role=none auth=cookie"])

    def test_the_third_wrong_answer_closes(self) -> None:
        self.challenge()
        for left in (2, 1):
            self.assertEqual(
                self.client.ask(f"auth cookie proof={'00' * 32}"),
                [f"ERR auth-failed tries={left} retry=no"],
            )
        self.assertEqual(
            self.client.ask("auth cookie nonce=zz"),
            ["ERR auth-failed tries=0 retry=no", "* bye reason=auth-failed"],
        )
        self.assertTrue(self.client.transport.disconnecting)

    def test_a_proof_is_good_for_one_challenge_only(self) -> None:
        half, nonce, proof = self.challenge()
        answer = half.answer(nonce, proof).hex()
        self.challenge()
        self.assertIn("auth-failed", self.client.ask(f"auth cookie proof={answer}")[0])

    def test_a_proof_without_a_challenge_is_wrong(self) -> None:
        self.assertIn("auth-failed", self.client.ask(f"auth cookie proof={'00' * 32}")[0])

    def test_ten_seconds_and_it_is_over(self) -> None:
        self.desk.clock.advance(AUTH_SECONDS - 0.1)
        self.assertEqual(self.client.lines(), [])
        self.desk.clock.advance(0.1)
        self.assertEqual(self.client.lines(), ["* bye reason=auth-timeout"])
        self.assertTrue(self.client.transport.disconnecting)

    def test_the_unix_socket_needs_no_auth(self) -> None:
        self.assertIn("wrong-state", self.desk.connect().ask("auth cookie nonce=00")[0])

    def test_events_wait_for_it_too(self) -> None:
        self.assertIn("auth-required", self.client.ask("watch")[0])
        self.desk.events.emit("log", {})
        self.assertEqual(self.client.lines(), [])
