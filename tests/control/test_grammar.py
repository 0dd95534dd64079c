"""The grammar: what is read, what is refused, and that what is written can be read again."""

from __future__ import annotations

import json
import random
import re
import string

from twisted.trial.unittest import SynchronousTestCase

from refreeze.control.grammar import (
    GrammarError,
    Request,
    format_error,
    format_event,
    format_fields,
    format_reply,
    format_value,
    parse_request,
)


class ReadTests(SynchronousTestCase):
    """parse_request."""

    def refused(self, line: str) -> GrammarError:
        """The refusal of *line*."""
        return self.assertRaises(GrammarError, parse_request, line)

    def test_a_verb_with_words_keys_and_a_tag(self) -> None:
        self.assertEqual(
            parse_request('@a.1_-B restart s-4f "two words" reason="core \\"switch\\"" wait=10'),
            Request(
                "restart",
                ("s-4f", "two words"),
                {"reason": 'core "switch"', "wait": "10"},
                "a.1_-B",
            ),
        )

    def test_comments_and_empty_lines_are_nothing(self) -> None:
        for line in ("", "   ", "# restart all", "\r"):
            self.assertIsNone(parse_request(line))

    def test_one_trailing_cr_is_ignored(self) -> None:
        self.assertEqual(parse_request("ping\r"), Request("ping"))
        self.refused("ping\r\r")

    def test_globs_addresses_and_percent_are_bare_words(self) -> None:
        request = parse_request("list peer=edge-* at=[::1]:7".replace("[::1]", "::1"))
        assert request is not None
        self.assertEqual(request.keys, {"peer": "edge-*", "at": "::1:7"})

    def test_a_dotted_key_is_a_setting(self) -> None:
        request = parse_request("set watchdog.attempts=3")
        assert request is not None
        self.assertEqual(request.keys, {"watchdog.attempts": "3"})

    def test_a_refusal_names_the_column_and_keeps_the_tag(self) -> None:
        error = self.refused('@t1 restart reason="open')
        self.assertEqual((error.column, error.tag), (20, "t1"))

    def test_what_is_no_request_is_refused(self) -> None:
        for line in (
            "Restart x",
            "@ ping",
            "@toolong" + "x" * 32 + " ping",
            "@tag",
            "@t\u00e4g ping",
            " ping",
            "ping\tx",
            "restart reason=",
            "restart a=1 a=2",
            'restart "a"b',
            "restart 'a'",
            'restart "\\ud800"',
            'restart "a\nb"',
            "restart a\0b",
            "restart sess\u00efon",
            "ping; reboot",
        ):
            self.refused(line)

    def test_random_bytes_are_read_or_refused_and_nothing_else(self) -> None:
        seed = 20261123
        print(f"seed {seed}")
        rng = random.Random(seed)
        alphabet = string.ascii_letters + string.digits + ' @"=\\#{}[]:,.*%+-_/\t\r\0\u00e4\ud7ff{u'
        for _ in range(20_000):
            line = "".join(rng.choice(alphabet) for _ in range(rng.randrange(40)))
            try:
                parse_request(line)
            except GrammarError as error:
                self.assertLessEqual(1, error.column)
                self.assertLessEqual(error.column, len(line) + 1)

    def test_whatever_is_written_as_words_is_read_back(self) -> None:
        seed = 4711
        print(f"seed {seed}")
        rng = random.Random(seed)
        for _ in range(5_000):
            values = [
                "".join(
                    chr(rng.choice((rng.randrange(128), rng.randrange(0xD7FF)))) for _ in range(9)
                )
                for _ in range(3)
            ]
            keys = {f"k{index}": value for index, value in enumerate(values)}
            line = f"@t verb {format_fields(keys)}"
            self.assertNotIn("\n", line)
            request = parse_request(line)
            assert request is not None
            self.assertEqual(request.keys, keys)


class WriteTests(SynchronousTestCase):
    """Replies and events."""

    def test_values(self) -> None:
        for value, text in (
            (None, "-"),
            ("-", '"-"'),
            (True, "yes"),
            (0.25, "0.25"),
            (float("nan"), "-"),
            ("", '""'),
            ("a b", '"a b"'),
            ("x\n! 1", '"x\\n! 1"'),
            (["a", "b"], "a,b"),
        ):
            self.assertEqual(format_value(value), text)

    def test_every_line_of_a_reply_has_the_tag(self) -> None:
        reply = format_reply([{"id": "a"}], {"count": 1}, tag="x", as_json=False)
        self.assertEqual(reply, "@x - id=a\n@x OK count=1\n")

    def test_json_mode_changes_the_payload_and_leaves_the_frame(self) -> None:
        reply = format_reply([{"id": "a", "n": None}], {"count": 1}, tag=None, as_json=True)
        self.assertEqual(reply, '- {"id":"a","n":null}\nOK count=1\n')
        line = format_event(7, "T", "session.state", {"id": "a\nb"}, as_json=True)
        self.assertEqual(line, '! 7 T session.state {"id":"a\\nb"}\n')

    def test_json_mode_writes_no_number_that_json_does_not_have(self) -> None:
        reply = format_reply([{"x": float("inf")}], {}, tag=None, as_json=True)
        self.assertEqual(json.loads(reply.split("\n")[0][2:]), {"x": None})

    def test_an_error_tells_whether_to_retry(self) -> None:
        self.assertEqual(
            format_error("rate-limited", {"after": 3.5}, tag=None),
            "ERR rate-limited after=3.5 retry=yes\n",
        )
        self.assertEqual(
            format_error("no-such-session", {"id": "s-zz"}, tag="a"),
            "@a ERR no-such-session id=s-zz retry=no\n",
        )

    def test_the_first_byte_tells_everything(self) -> None:
        lines = format_reply([{"a": "! x"}, {}], {}, tag=None, as_json=False).splitlines()
        lines += format_event(1, "T", "log", {"text": "OK"}, as_json=False).splitlines()
        self.assertTrue(all(re.match(r"- |-$|OK|! ", line) for line in lines), lines)
