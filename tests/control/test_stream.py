"""Any bytes in any pieces, events at any time: the frame of the stream holds."""

from __future__ import annotations

import random
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.control.fakes import Desk

_LINE = re.compile(
    r"(?:@(?P<tag>\S+) )?(?P<kind>- .*|OK(?: .*)?|ERR [a-z-]+(?: .*)?)|! \d+ \S+ \S+(?: .*)?"
)


class StreamTests(SynchronousTestCase):
    """Randomised; the seed is printed."""

    def setUp(self) -> None:
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        self.dice = random.Random(seed)

    def pieces(self, data: bytes) -> list[bytes]:
        """*data*, cut anywhere."""
        cuts = sorted(self.dice.choices(range(len(data) + 1), k=self.dice.randrange(8)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def test_answers_are_whole_and_in_order_with_events_between_them(self) -> None:
        asked = ("list", "show s-4f", "nonsense", "stats", "show s-zz", 'get "x', "restart s-4f")
        for _ in range(50):
            desk = Desk()
            client = desk.connect()
            client.ask("watch all")
            count = self.dice.randrange(1, 40)
            requests = [f"@t{n} {self.dice.choice(asked)}\n" for n in range(count)]
            lines: list[str] = []
            for piece in self.pieces("".join(requests).encode()):
                client.connection.dataReceived(piece)
                desk.events.emit("session.state", {"id": "s\n! 1"})
                desk.clock.advance(0.001)
                lines += client.lines()
            for _ in range(count):
                desk.clock.advance(0.001)
            lines += client.lines()
            self.check(lines, [f"t{n}" for n in range(count)])

    def check(self, lines: list[str], tags: list[str]) -> None:
        """Every tag ends once, in order, and nothing stands inside an answer."""
        ended: list[str] = []
        inside: str | None = None
        for line in lines:
            match = _LINE.fullmatch(line)
            assert match is not None, line
            tag, kind = match["tag"], match["kind"]
            if inside is not None:
                self.assertEqual(tag, inside, line)
            inside = tag if kind is not None and kind.startswith("- ") else None
            if kind is not None and inside is None:
                ended.append(tag)
        self.assertEqual(ended, tags)

    def test_random_bytes_get_answers_or_the_end_and_never_a_traceback(self) -> None:
        pool = b'\n\n\n\r @"\\=#!abcdefghijklmnopqrstuvwxyz-.0\x00\x7f\xc3\xa9\xff'
        verbs = (b"list", b"watch", b"hello 1", b"show", b"unwatch", b"help", b"ping", b"auth")
        for _ in range(200):
            desk = Desk()
            client = desk.connect()
            data = bytes(self.dice.choices(pool, k=self.dice.randrange(300)))
            for verb in self.dice.choices(verbs, k=3):
                data += self.dice.choice((b"\n", b"\n@1 ", b" ")) + verb
            for piece in self.pieces(data + b"\n"):
                client.connection.dataReceived(piece)
                desk.clock.advance(0.001)
            for line in client.lines():
                self.assertIsNotNone(_LINE.fullmatch(line), line)
                self.assertNotIn("ERR internal", line)
        self.assertEqual(self.flushLoggedErrors(), [])
