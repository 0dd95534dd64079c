"""Whatever answers at the socket, refreezectl ends with one of its own errors, soon."""

from __future__ import annotations

import random
import socket
import threading
from os.path import join
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from refreeze.control.grammar import parse_request
from refreeze.ctl.client import Client
from refreeze.ctl.options import Options
from refreeze.ctl.output import event, event_json
from refreeze.ctl.wire import ConnectError, Connection, Final, ReplyTimeout, WireError, quote

GREETED = b"* refreeze 1\n@1 OK\n"


class HostileDaemonTests(SynchronousTestCase):
    """A socket that has said everything before it was asked."""

    def connect(self, answers: bytes, cookie: str = "") -> Connection:
        """To a server that says *answers*, and no more, and does not hang up."""
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = join(directory.name, "s")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(server.close)
        server.bind(path)
        server.listen()

        def speak() -> None:
            client, _ = server.accept()
            self.addCleanup(client.close)
            client.sendall(answers)

        thread = threading.Thread(target=speak)
        thread.start()
        self.addCleanup(thread.join)
        connection = Connection(path, 0.2, cookie=cookie)
        self.addCleanup(connection.close)
        return connection

    def test_another_greeting_is_no_daemon(self) -> None:
        error = self.assertRaises(ConnectError, self.connect, b"220 smtp\n")
        self.assertIn("no refreeze daemon", str(error))

    def test_silence_is_a_timeout(self) -> None:
        for answers in (b"", b"* refreeze", b"* refreeze 1\n", GREETED.replace(b"@1", b"@9")):
            self.assertRaises(ReplyTimeout, self.connect, answers)

    def test_a_late_answer_to_another_request_is_not_ours(self) -> None:
        answers = GREETED + b'@1 - {"id":"old"}\n@1 OK\n@2 - {"id":"new"}\n@2 OK count=1\n'
        records, final = self.connect(answers).ask("list")
        self.assertEqual((records, final.number("count")), ([{"id": "new"}], 1))

    def test_records_that_are_no_json_objects_are_refused(self) -> None:
        for record in (b"{", b"[1]", b"7", b"null", b"[" * 5000, b"\xff", b""):
            connection = self.connect(GREETED + b"@2 - " + record + b"\n@2 OK\n")
            error = self.assertRaises(WireError, connection.ask, "list")
            self.assertEqual(len(str(error).splitlines()), 1)

    def test_a_goodbye_is_told_with_its_reason(self) -> None:
        error = self.assertRaises(ConnectError, self.connect, b"* refreeze 1\n* bye reason=slow\n")
        self.assertIn("reason=slow", str(error))

    def test_a_server_that_does_not_know_the_cookie_is_refused(self) -> None:
        cookie = self.mktemp()
        with open(cookie, "wb") as file:
            file.write(b"c" * 32)
        proof = "0" * 64
        for fields in (
            "", f"nonce=zz proof={proof}", f'nonce={proof} proof="\u00e9"', "nonce=00 proof=00",
            f"nonce={proof} proof={proof}", f'nonce="{proof}\\n" proof={proof}',
        ):  # fmt: skip
            answers = f"* refreeze 1 auth=cookie\n@1 OK {fields}\n".encode()
            error = self.assertRaises(ConnectError, self.connect, answers, cookie)
            self.assertIn("does not know the cookie", str(error))

    def test_wait_gives_up_once_and_says_what_it_saw(self) -> None:
        """The daemon says nothing more, not even to `unwatch`."""
        answers = GREETED + b'@2 OK\n@3 - {"id":"x","state":"failed"}\n@3 OK\n'
        options = Options()
        options.timeout = 0.2
        client = Client(self.connect(answers), options)
        error = self.assertRaises(ReplyTimeout, client.wait, ["x", "connected"])
        self.assertEqual(str(error), "x is failed, not connected")


class HostileLineTests(SynchronousTestCase):
    """Single lines."""

    def test_a_broken_final_line_is_refused_or_read_and_nothing_else(self) -> None:
        for line in ('OK a="\\x"', 'OK a="', 'ERR busy hint="x'):
            self.assertRaises(WireError, Final, line)
        for line in ("OK", "ERR", "OK n=\u00b2", f"OK n={'9' * 5000}"):
            self.assertEqual(Final(line).number("n"), 0)

    def test_an_event_that_nobody_understands_is_shown(self) -> None:
        for line in (
            "!",
            "! x",
            "! 1 - t [",
            "! 1 - t 7",
            "! 1 - t " + "[" * 5000,
            f"! {'9' * 5000} - t {{}}",
        ):
            self.assertEqual(len(event(line).splitlines()), 1)
            self.assertEqual(len(event_json(line).splitlines()), 1)

    def test_any_reason_arrives_as_it_was(self) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        letters = 'ab= "\\\n\r\t#@\x00\x7f\u00e9\u2028\U0001f600%*,{}'
        for _ in range(1000):
            value = "".join(dice.choices(letters, k=dice.randrange(12)))
            line = f"restart {quote(f'reason={value}')}"
            self.assertNotIn("\n", line, f"seed {seed}")
            request = parse_request(line)
            assert request is not None
            self.assertEqual(request.keys, {"reason": value}, f"seed {seed}")
