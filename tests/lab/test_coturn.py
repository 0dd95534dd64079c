"""The TURN server of the lab does what a client may expect of one."""

from __future__ import annotations

import base64
import hmac
import os
import socket
import ssl
import time

from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    long_term_key,
    parse,
)
from tests.lab.capture import Capture
from tests.lab.case import LabCase
from tests.lab.certificates import Authority
from tests.lab.commands import until
from tests.lab.coturn import ALTERNATE_PORT, PORT, REALM, TLS_PORT, TurnServer
from tests.lab.segment import Segment

_UDP = bytes([17, 0, 0, 0])


class CoturnTests(LabCase):
    """With a machine beside it."""

    def setUp(self) -> None:
        super().setUp()
        segment = Segment(self.lab)
        self.authority = Authority(self.lab.directory / "ca.pem")
        self.turn = TurnServer(segment, self.authority)
        self.turn.start()
        self.host = segment.public("host", 20)

    def udp(self, host: str = "203.0.113.20") -> socket.socket:
        """A socket of the machine that talks with the server."""
        made = self.host.udp(host, timeout=5.0)
        self.addCleanup(made.close)
        made.connect((self.turn.address4 if "." in host else self.turn.address6, PORT))
        return made

    def ask(
        self,
        client: socket.socket,
        method: Method,
        key: IntegrityKey | None = None,
        **values: bytes,
    ) -> Message:
        """One request; the answer."""
        builder = MessageBuilder(method, MessageClass.REQUEST, os.urandom(12))
        for name, value in values.items():
            builder.add(Attribute[name], value)
        client.send(builder.build(key))
        return parse(client.recv(2000))

    def allocate(self, client: socket.socket, user: str, password: str) -> Message:
        """A whole long-term exchange; the answer to the second request."""
        first = self.ask(client, Method.ALLOCATE, REQUESTED_TRANSPORT=_UDP)
        assert first.nonce is not None
        self.assertEqual(first.error_code, (401, "Unauthorized"))
        self.credentials = {
            "USERNAME": user.encode(),
            "REALM": REALM.encode(),
            "NONCE": first.nonce.encode(),
        }
        self.key = long_term_key(user, REALM, password)
        return self.ask(
            client, Method.ALLOCATE, self.key, REQUESTED_TRANSPORT=_UDP, **self.credentials
        )

    def code(self, answer: Message) -> int | None:
        return None if answer.error_code is None else answer.error_code[0]

    def test_both_families_are_answered_with_the_other_address_of_rfc_5780(self) -> None:
        for host, other in (("203.0.113.20", "203.0.113.11"), ("2001:db8::20", "2001:db8::11")):
            client = self.udp(host)
            answer = self.ask(client, Method.BINDING)
            self.assertEqual(answer.xor_mapped_address, client.getsockname()[:2])
            self.assertEqual(answer.other_address, (other, ALTERNATE_PORT))

    def test_an_account_allocates_until_it_is_removed_and_the_log_knows(self) -> None:
        self.turn.add_user("alice", "old")
        client = self.udp()
        capture = Capture(self.host, "eth0")
        capture.start()
        self.assertEqual(self.code(self.allocate(client, "alice", "wrong")), 401)
        answer = self.allocate(client, "alice", "old")
        self.assertEqual(answer.xor_relayed_addresses[0][0], self.turn.address4)
        self.assertEqual(len(self.turn.allocations()), 1)
        self.ask(client, Method.REFRESH, self.key, LIFETIME=bytes(4), **self.credentials)
        until(lambda: not self.turn.allocations(), "the end of the allocation in the log")
        self.turn.add_user("alice", "new")
        self.assertEqual(self.code(self.allocate(self.udp(), "alice", "old")), 401)
        self.assertEqual(self.code(self.allocate(self.udp(), "alice", "new")), None)
        self.turn.remove_user("alice")
        self.assertEqual(self.code(self.allocate(self.udp(), "alice", "new")), 401)
        self.assertEqual(self.turn.allocated(), 2)
        capture.stop()
        self.assertEqual(capture.malformed(), [])
        self.assertEqual(capture.count("stun.type == 0x0103"), 2)

    def test_a_capture_shows_what_is_malformed(self) -> None:
        client = self.udp()
        capture = Capture(self.host, "eth0")
        capture.start()
        asked = MessageBuilder(Method.BINDING, MessageClass.REQUEST, bytes(12)).build()
        for strange in (b"no STUN", asked[:-4], asked[:-1] + bytes([asked[-1] ^ 1])):
            client.send(strange)
        self.ask(client, Method.BINDING)
        capture.stop()
        self.assertEqual(len(capture.malformed()), 3, capture.malformed())

    def test_a_shared_secret_gives_credentials_for_a_time(self) -> None:
        server = TurnServer(self.turn.segment, self.authority, "timed", 12, secret="first")
        server.start()
        for secret, minutes, code in (("first", 5, None), ("other", 5, 401), ("first", -5, 401)):
            user = f"{int(time.time()) + 60 * minutes}:alice"
            digest = hmac.digest(secret.encode(), user.encode(), "sha1")
            client = self.udp()
            client.connect((server.address4, PORT))
            answer = self.allocate(client, user, base64.b64encode(digest).decode())
            self.assertEqual(self.code(answer), code, (secret, minutes))

    def test_tls_has_a_certificate_of_the_authority_and_of_no_other(self) -> None:
        other = Authority(self.lab.directory / "other.pem")
        for authority, good in ((self.authority, True), (other, False)):
            context = ssl.create_default_context(cafile=str(authority.path))
            with self.host.tcp((self.turn.address4, TLS_PORT), timeout=5.0) as plain:
                if good:
                    context.wrap_socket(plain, server_hostname=self.turn.host_name).close()
                    continue
                with self.assertRaises(ssl.SSLCertVerificationError):
                    context.wrap_socket(plain, server_hostname=self.turn.host_name)

    def test_killed_it_answers_nobody_and_started_again_it_has_forgotten_all(self) -> None:
        self.turn.add_user("alice", "secret")
        self.allocate(self.udp(), "alice", "secret")
        self.turn.kill()
        self.assertRaises(ConnectionRefusedError, self.ask, self.udp(), Method.BINDING)
        self.turn.start()
        self.assertEqual(self.turn.allocations(), set())
        self.turn.kill(silently=True)
        client = self.udp()
        client.settimeout(0.3)
        self.assertRaises(TimeoutError, self.ask, client, Method.BINDING)
        self.turn.start()
        self.ask(client, Method.BINDING)
