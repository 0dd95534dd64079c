"""What people and programs read."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from refreeze.ctl import output
from refreeze.ctl.wire import Final

STAMP = "2026-11-23T15:53:52.104Z"


class OutputTests(SynchronousTestCase):
    """Tables, parts, events."""

    def test_a_table_is_aligned_and_numbers_stand_to_the_right(self) -> None:
        records = [{"id": "s-4f", "n": 5, "up": True}, {"id": "s", "n": 1200, "why": None}]
        self.assertEqual(
            output.table(records).splitlines(),
            ["ID       N  UP   WHY", "s-4f     5  yes  -", "s     1200  -    -"],
        )

    def test_show_is_a_block_per_part_and_pairs_are_a_table(self) -> None:
        records = [{"part": "session", "id": "s"}, {"part": "pair", "local": "a", "rtt_ms": 1.5}]
        self.assertEqual(
            output.parts(records),
            "session\n  id  s\npairs\n  LOCAL  RTT_MS\n  a         1.5",
        )

    def test_an_event_is_one_readable_line(self) -> None:
        line = f'! 7 {STAMP} session.state {{"id":"demo","from":"failed","to":"checking","n":1}}'
        self.assertEqual(
            output.event(line).split(),
            ["15:53:52.104", "session.state", "demo", "failed", "->", "checking", "n=1"],
        )
        self.assertEqual(
            json.loads(output.event_json(line)),
            {"seq": 7, "time": STAMP, "topic": "session.state", "id": "demo", "from": "failed",
             "to": "checking", "n": 1},
        )  # fmt: skip

    def test_a_line_that_is_no_event_does_not_break_the_output(self) -> None:
        for line in ("", "!", "! x y z", f"! 1 {STAMP} t {{", "* bye"):
            self.assertNotIn("\n", output.event(line))
            json.loads(output.event_json(line))

    def test_nothing_from_the_wire_moves_the_cursor(self) -> None:
        self.assertEqual(output.show_value("a\x1b[2Jb\n"), "a?[2Jb?")

    def test_a_refusal_is_for_people(self) -> None:
        final = Final('ERR rate-limited id=s after=4.0 hint="use force" retry=yes')
        self.assertEqual(output.refusal(final), "rate-limited id=s after=4.0 (use force)")

    def test_json_has_the_end_of_an_answer_without_records(self) -> None:
        self.assertEqual(output.answer_json([], Final("OK")), '{"ok": true}')
        self.assertEqual(output.answer_json([{"a": 1}], Final("OK count=1")), '{"a": 1}')
        self.assertEqual(
            json.loads(output.answer_json([], Final("ERR held id=s"))),
            {"ok": False, "code": "held", "id": "s"},
        )
