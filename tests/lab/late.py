"""Candidates that take longer ways than the descriptions: before them, behind them, in disorder."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from refreeze.signaling import CandidateInit, Envelope, EnvelopeKind
from tests.lab.carried import Carried

LATE = 0.5
"""Seconds behind its description that a candidate comes."""


@define(eq=False)
class Disorder(Carried):
    """I take the candidates out of every description, both ways, and deliver each by itself.

    Theirs: the last one before its description, the others backwards and late behind it, then their
    end. Ours: all of them backwards and late behind the description.
    """

    early: int = field(default=0, init=False)
    """How many of theirs the daemon got before their description."""
    late: int = field(default=0, init=False)
    """How many went behind it, either way."""

    def _tell(self, sdp: str, make: Callable[[str], Envelope | None]) -> None:
        text, candidates = parted(sdp)
        described = make(text)
        assert described is not None
        *others, first = [self._conversation.make_candidate(each) for each in candidates]
        self._say(first)
        self.early += 1
        self._say(described)
        time.sleep(LATE)
        for each in reversed(others):
            self._say(each)
            self.late += 1
        self._say(self._conversation.make_end(candidates[0].username_fragment))

    def _apply(self, envelope: Envelope) -> None:
        self.tells_addresses = False  # by the description
        super()._apply(envelope)
        if envelope.kind in {EnvelopeKind.OFFER, EnvelopeKind.ANSWER}:
            time.sleep(LATE)
            _, candidates = parted(envelope.sdp or "")
        else:
            candidates = [envelope.candidate] if envelope.candidate is not None else []
        for each in reversed(candidates):
            self.other.candidate(each.candidate, each.sdp_mid or "0")
            self.late += 1


def parted(sdp: str) -> tuple[str, list[CandidateInit]]:
    """A description of one section without its candidates, and those."""
    lines = sdp.splitlines(keepends=True)
    named = dict(line.strip().partition(":")[::2] for line in lines)
    mid, ufrag = named["a=mid"], named["a=ice-ufrag"]
    return "".join(line for line in lines if "candidate" not in line), [
        CandidateInit(line.strip().removeprefix("a="), sdp_mid=mid, username_fragment=ufrag)
        for line in lines
        if line.startswith("a=candidate:")
    ]
