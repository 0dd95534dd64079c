"""One generation's gathering, as a peer connection shows it: candidates, errors, states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from refreeze.ice import Candidate
from refreeze.net.gathering import Gatherer, Gathering
from refreeze.net.servers import UNREACHABLE, ServerProblem
from refreeze.sdp import format_candidate


@frozen
class RTCIceCandidate:
    """One gathered candidate as the signaling wants it; an empty one ends its generation."""

    candidate: str
    usernameFragment: str
    sdpMid: str | None = "0"
    sdpMLineIndex: int | None = 0


@frozen
class RTCIceCandidateError:
    """What RTCPeerConnectionIceErrorEvent tells (rule 57): *errorCode* is STUN's, or 701."""

    url: str
    errorCode: int
    errorText: str
    address: str | None
    port: int | None


class Descriptions(Protocol):
    """Where gathered candidates appear (the negotiator)."""

    def local_candidate(self, candidate: Candidate) -> None: ...

    def local_end_of_candidates(self, ufrag: str) -> None: ...


class Generations(Protocol):
    """Where they are paired (RTCIceTransport)."""

    def add_local_candidate(self, local_ufrag: str, candidate: Candidate) -> None: ...

    def end_of_local_candidates(self, local_ufrag: str) -> None: ...


@define(eq=False, repr=False, kw_only=True)
class GenerationGathering:
    """I take what is found for one generation, until it ends or nobody wants it (T13)."""

    ufrag: str
    descriptions: Descriptions
    generations: Generations
    announce: Callable[[RTCIceCandidate], None]
    complain: Callable[[RTCIceCandidateError], None]
    ended: Callable[[], None]
    """Told after the last candidate, once."""
    over: bool = field(default=False, init=False)
    _gathering: Gathering | None = field(default=None, init=False)

    def start(self, gatherer: Gatherer) -> None:
        """Begin; what is known at once is in the description before anybody sees it."""
        gathering = gatherer.gather(self.ufrag, self)
        if not self.over:
            self._gathering = gathering

    def finish(self) -> None:
        """What is not found by now is for the next generation."""
        if self._gathering is not None:
            self._gathering.finish()

    def cancel(self) -> None:
        """The generation is gone: nothing more is told."""
        self.over = True
        if self._gathering is not None:
            self._gathering.cancel()

    # net.gatherer.GatherReceiver

    def candidate_found(self, candidate: Candidate, signaled: Candidate) -> None:
        """See GatherReceiver."""
        if self.over:
            return
        self.descriptions.local_candidate(signaled)
        self.generations.add_local_candidate(self.ufrag, candidate)
        self.announce(RTCIceCandidate(format_candidate(signaled), self.ufrag))

    def server_failed(self, problem: ServerProblem) -> None:
        """See GatherReceiver; an address is told only if it is one that candidates show."""
        if not self.over:
            code = UNREACHABLE if problem.code is None else problem.code
            host, port = problem.local or (None, None)
            self.complain(RTCIceCandidateError(problem.url, code, problem.text, host, port))

    def gathering_ended(self) -> None:
        """See GatherReceiver."""
        if self.over:
            return
        self.over = True
        self.descriptions.local_end_of_candidates(self.ufrag)
        self.generations.end_of_local_candidates(self.ufrag)
        self.announce(RTCIceCandidate("", self.ufrag))
        self.ended()
