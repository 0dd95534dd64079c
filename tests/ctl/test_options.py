"""What the command line becomes."""

from __future__ import annotations

import os
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from refreeze.control.grammar import parse_request
from refreeze.control.verbs import VERBS
from refreeze.ctl.options import (
    CHANGING,
    LOOKING,
    OWN,
    SOCKETS,
    Options,
    UsageError,
    full_verb,
    parse,
    seconds,
)
from refreeze.ctl.wire import Final, quote


class ParseTests(SynchronousTestCase):
    """Options and words."""

    def test_flags_become_words_of_the_wire(self) -> None:
        options = Options()
        words = parse(
            ["-v", "restart", "demo", "--wait", "10", "--reason=core switch", "--force"], options
        )
        self.assertEqual(words, ["restart", "demo", "wait=10", "reason=core switch", "force"])
        self.assertTrue(options.verbose)

    def test_options_may_stand_anywhere_and_end_at_two_dashes(self) -> None:
        options = Options()
        words = parse(["list", "--json", "--socket", "/x", "--timeout", "2m", "--", "-q"], options)
        self.assertEqual(words, ["list", "-q"])
        self.assertEqual((options.json, options.where(), options.timeout), (True, "/x", 120.0))
        self.assertFalse(options.quiet)

    def test_what_is_wrong_is_said(self) -> None:
        for line in (["--wait"], ["-x"], ["--timeout", "soon"], ["--reason="]):
            self.assertRaises(UsageError, parse, line, Options())
        self.assertRaises(UsageError, seconds, "1d", "--for")

    def test_a_verb_may_be_shortened_unless_it_is_ambiguous(self) -> None:
        self.assertEqual([full_verb("rest"), full_verb("st"[:2] + "ats")], ["restart", "stats"])
        self.assertEqual(full_verb("get"), "get")
        self.assertEqual(full_verb("hereafter"), "hereafter")
        for word in ("re", "s", "h"):
            self.assertRaises(UsageError, full_verb, word)

    def test_the_client_knows_which_verbs_change_something(self) -> None:
        looking = {verb.name for verb in VERBS.values() if verb.role.word in ("none", "observer")}
        self.assertEqual(set(LOOKING) - set(OWN), looking - {"hello", "auth"})
        self.assertEqual(set(CHANGING), set(VERBS) - looking)

    def test_the_socket_is_the_daemons_before_the_demos(self) -> None:
        with patch.dict(os.environ):
            os.environ.pop("REFREEZE_SOCKET", None)
            with patch("os.path.exists", lambda path: path == SOCKETS[1]):
                self.assertEqual(Options().where(), ".state/alice/control.sock")
            with patch("os.path.exists", lambda path: True):
                self.assertEqual(Options().where(), "/run/refreeze/control.sock")
            os.environ["REFREEZE_SOCKET"] = "/elsewhere"
            self.assertEqual(Options().where(), "/elsewhere")


class WireTests(SynchronousTestCase):
    """Quoting, and the end of an answer."""

    def test_quoted_words_are_read_back_by_the_server(self) -> None:
        for word in ("demo", "two words", 'a"b\\', "reason=a b", "n=\n\u00e4", "=x", "a=", "1=2"):
            request = parse_request(f"verb {quote(word)}")
            assert request is not None
            key, equals, value = word.partition("=")
            if equals and key.isalpha():
                self.assertEqual(request.keys, {key: value})
            else:
                self.assertEqual(request.words, (word,))

    def test_a_final_line_is_taken_apart(self) -> None:
        final = Final('ERR no-such-session id=s-zz hint="list \\"shows\\" a=1" retry=no')
        self.assertFalse(final.ok)
        self.assertEqual(final.code, "no-such-session")
        self.assertEqual(final.fields, {"id": "s-zz", "hint": 'list "shows" a=1', "retry": "no"})
        self.assertEqual(Final("OK job=r1 refused=2").number("refused"), 2)
        self.assertTrue(Final("OK").ok)
