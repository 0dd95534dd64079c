"""The fuzzer finds what is broken, makes it small, and does the same again for the same seed."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.engine import Broken, Fuzzer, Target, pack, unpack
from tests.fuzz.mutator import MAX_LENGTH, Mutator

SEED = random.SystemRandom().getrandbits(32)
_SEEDS = ("a=setup:active\r\na=mid:0\r\n", "candidate:1 1 udp 5\r\n")


def guarded(text: str) -> str:
    """Wrong only behind three doors, which are opened one after the other."""
    if "=" in text:
        _, _, value = text.partition("=")
        if value.startswith("setup"):
            if "65536" in text:
                raise KeyError(text)
            return "setup"
        return "other"
    return "none"


def slow(text: str) -> str:
    """Each character with each."""
    for one in text:
        for _ in text:
            if one == "\0":
                return "nul"
    return "done"


def target(check: object, *, work: int = 10**9) -> Target:
    """One of this file's."""
    return Target("none", check, _SEEDS, (__file__,), lambda _: work)  # type: ignore[arg-type]  # object is for brevity


class FuzzerTests(SynchronousTestCase):
    """Of functions that are wrong on purpose."""

    def test_what_is_broken_is_found_and_made_small(self) -> None:
        fuzzer = Fuzzer(target(guarded), SEED)
        error = self.assertRaises(Broken, fuzzer.run, 20.0)
        self.assertIn(f"seed {SEED}", str(error))
        self.assertIn("KeyError", str(error))
        self.assertRegex(str(error), r"\((1[0-9]|2[0-9]) characters\): ")

    def test_too_much_work_is_found_by_counting_lines(self) -> None:
        fuzzer = Fuzzer(target(slow, work=5000), SEED)
        error = self.assertRaises(Broken, fuzzer.run, 20.0)
        self.assertIn("more than 5000 lines", str(error))

    def test_the_same_seed_is_the_same_run(self) -> None:
        runs = []
        for _ in range(2):
            fuzzer = Fuzzer(target(lambda text: str(len(text) % 7)), SEED)
            fuzzer.run(20.0, most=200)
            runs.append((fuzzer.runs, fuzzer.new))
        self.assertEqual(runs[0], runs[1], f"seed {SEED}")
        self.assertEqual(runs[0][0], 200)

    def test_inputs_that_reach_something_new_are_gone_on_with(self) -> None:
        fuzzer = Fuzzer(target(lambda text: "long" if len(text) > 60 else "short"), SEED)
        fuzzer.run(20.0, most=500)
        self.assertIn("long", fuzzer.reached, f"seed {SEED}")
        self.assertGreater(len(fuzzer.new), 0)


class MutatorTests(SynchronousTestCase):
    """Whatever the text."""

    def test_every_change_of_any_text_is_bounded_text(self) -> None:
        draw = random.Random(SEED)
        mutator = Mutator(draw, ["", *_SEEDS], ["a=x", "raddr"])
        for text in ("", "\n", "\r\n\r\n", *_SEEDS):
            for _ in range(300):
                changed = mutator.changed(text)
                self.assertLessEqual(len(changed), MAX_LENGTH + 3, f"seed {SEED}")

    def test_kept_inputs_may_be_any_text(self) -> None:
        for text in ("", "\r\n\0\ud800\u2028", *_SEEDS):
            self.assertEqual(unpack(pack(text)), text)
