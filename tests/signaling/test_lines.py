"""Lines out of a stream."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.lines import LineBuffer


class LineBufferTests(SynchronousTestCase):
    def test_lines_come_out_whole_however_the_bytes_come_in(self) -> None:
        stream = b"one\ntwo\r\n\nthree\n"
        for size in range(1, len(stream) + 1):
            lines = LineBuffer()
            found: list[bytes | None] = []
            for start in range(0, len(stream), size):
                found += lines.feed(stream[start : start + size])
            self.assertEqual(found, [b"one", b"two", b"", b"three"])

    def test_too_long_a_line_comes_out_once_as_none_and_the_next_is_heard(self) -> None:
        lines = LineBuffer(limit=8)
        self.assertEqual(lines.feed(b"1234567\n12345678\nshort\n"), [b"1234567", None, b"short"])
        self.assertEqual(lines.feed(b"x" * 100), [])
        self.assertEqual(lines.feed(b"x" * 100), [])
        self.assertEqual(lines.feed(b"x\nok\n"), [None, b"ok"])

    def test_nothing_of_a_too_long_line_is_kept(self) -> None:
        lines = LineBuffer(limit=8)
        for _ in range(100):
            lines.feed(b"x" * 1000)
            self.assertLess(len(lines._rest), 8)
