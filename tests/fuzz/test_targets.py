"""Every target for a moment, and with every input that once found something."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.engine import Fuzzer, Target
from tests.fuzz.settings import seconds, seed
from tests.fuzz.targets import TARGETS

_USUAL = 2.0


class _TargetTests:
    """The seed is in every failure, and REFREEZE_FUZZ_SEED gives that run again."""

    target: Target

    def test_what_was_kept_breaks_no_promise(self) -> None:
        fuzzer = Fuzzer(self.target, 0)
        for text in [*self.target.seeds, *self.target.kept]:
            fuzzer.look(text)
        assert self.target.kept, "no corpus"
        assert fuzzer.reached

    def test_what_is_mutated_breaks_no_promise(self) -> None:
        fuzzer = Fuzzer(self.target, seed())
        fuzzer.run(seconds(_USUAL))
        assert fuzzer.runs > len(self.target.seeds), f"seed {fuzzer.seed}: {fuzzer.runs} inputs"


class DescriptionTests(_TargetTests, SynchronousTestCase):
    target = TARGETS["description"]


class CandidateTests(_TargetTests, SynchronousTestCase):
    target = TARGETS["candidate"]


class FragmentTests(_TargetTests, SynchronousTestCase):
    target = TARGETS["fragment"]


class HttpTests(_TargetTests, SynchronousTestCase):
    target = TARGETS["http"]


class NegotiationTests(_TargetTests, SynchronousTestCase):
    target = TARGETS["negotiation"]
