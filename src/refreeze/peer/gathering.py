"""One generation's gathering, as a peer connection shows it: candidates, errors, states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from attrs import define, field, frozen

from refreeze.ice import Candidate
from refreeze.net.gathering import Gatherer, Gathering
from refreeze.net.servers import UNREACHABLE, ServerProblem
from refreeze.peer.candidate import RTCIceCandidate
from refreeze.peer.events import Event
from refreeze.peer.icetransport import QueueTask


@frozen
class RTCPeerConnectionIceErrorEvent(Event):
    """``icecandidateerror`` (rule 57): *errorCode* is STUN's, or 701."""

    url: str = ""
    errorCode: int = 0
    errorText: str = ""
    address: str | None = None
    port: int | None = None


class Descriptions(Protocol):
    """Where gathered candidates appear (the negotiator)."""

    def local_candidate(self, candidate: Candidate) -> None: ...

    def local_end_of_candidates(self, ufrag: str) -> None: ...

    def place_of(self, ufrag: str) -> tuple[str | None, int]:
        """mid and index of the section that has the ICE lines of that generation."""
        ...


class Generations(Protocol):
    """Where they are paired (RTCIceTransport)."""

    def add_local_candidate(self, local_ufrag: str, candidate: Candidate) -> None: ...

    def show_local_candidate(
        self, local_ufrag: str, candidate: Candidate, signaled: Candidate
    ) -> None:
        """From now on scripts may see it, as *signaled*."""
        ...

    def end_of_local_candidates(self, local_ufrag: str) -> None: ...


@define(eq=False, repr=False, kw_only=True)
class GenerationGathering:
    """I take what is found for one generation, until it ends or nobody wants it (T13)."""

    ufrag: str
    descriptions: Descriptions
    generations: Generations
    queue_task: QueueTask
    show_at_once: bool
    """Whether a description has a candidate as soon as it is found, or when its event fires."""
    fire: Callable[[Event | str], None]
    """An event of the connection's."""
    ended: Callable[[], None]
    """Told in a task of its own after that of the last candidate, once."""
    over: bool = field(default=False, init=False)
    cancelled: bool = field(default=False, init=False)
    _gathering: Gathering | None = field(default=None, init=False)

    def start(self, gatherer: Gatherer) -> None:
        """Begin, unless nobody wants it any more."""
        if self.over:
            return
        gathering = gatherer.gather(self.ufrag, self)
        if not self.over:
            self._gathering = gathering

    def finish(self) -> None:
        """What is not found by now is for the next generation."""
        if self._gathering is not None:
            self._gathering.finish()

    def cancel(self) -> None:
        """The generation is gone: nothing more is told."""
        self.over = self.cancelled = True
        if self._gathering is not None:
            self._gathering.cancel()

    # net.gatherer.GatherReceiver

    def candidate_found(self, candidate: Candidate, signaled: Candidate) -> None:
        """See GatherReceiver."""
        if self.over:
            return
        self.generations.add_local_candidate(self.ufrag, candidate)
        show = partial(self.generations.show_local_candidate, self.ufrag, candidate, signaled)
        self._surface(lambda: self.descriptions.local_candidate(signaled), show, signaled)

    def server_failed(self, problem: ServerProblem) -> None:
        """See GatherReceiver; an address is told only if it is one that candidates show."""
        if not self.over:
            code = UNREACHABLE if problem.code is None else problem.code
            host, port = problem.local or (None, None)
            event = RTCPeerConnectionIceErrorEvent(
                "icecandidateerror", self, None, None, problem.url, code, problem.text, host, port
            )
            self._soon(lambda: self.fire(event))

    def gathering_ended(self) -> None:
        """See GatherReceiver."""
        if self.over:
            return
        self.over = True
        self.generations.end_of_local_candidates(self.ufrag)
        ufrag = self.ufrag
        self._surface(lambda: self.descriptions.local_end_of_candidates(ufrag), _nothing, None)
        self._soon(self.ended)

    def _surface(
        self, describe: Callable[[], None], show: Callable[[], None], signaled: Candidate | None
    ) -> None:
        """Into the description and the transport's list, and told, in one task (rule 54)."""
        if self.show_at_once:
            describe()

        def surface() -> None:
            if not self.show_at_once:
                describe()
            show()
            place = self.descriptions.place_of(self.ufrag)
            shown = RTCIceCandidate.of(signaled, self.ufrag, place)
            self.fire(Event("icecandidate", self, shown))

        self._soon(surface)

    def _soon(self, task: Callable[[], None]) -> None:
        self.queue_task(lambda: None if self.cancelled else task())


def _nothing() -> None:
    """The end of candidates is none."""
