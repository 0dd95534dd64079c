"""Remote candidates whose address is a name: resolved before any agent sees them.

Browsers hide the addresses of host candidates behind ``UUID.local`` names
(draft-ietf-mmusic-mdns-ice-candidates). A name that does not resolve is a candidate that cannot
be reached, and nothing else (rule 55k).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from refreeze.basics import is_mdns_name
from refreeze.ice import Candidate
from refreeze.ice.candidate import COMPONENT

MAX_WAITING: Final = 32
"""Candidates of one peer that wait for their names; a browser has one for each address."""

ResolveName: TypeAlias = Callable[[str], Deferred[tuple[str, ...]]]
"""The numeric hosts of a ``.local`` name; any failure means that there are none."""


class Generations(Protocol):
    """Where remote candidates go (RTCIceTransport)."""

    def add_remote_candidate(self, remote_ufrag: str, candidate: Candidate | None) -> None:
        """One with a numeric address, or None for the end of them."""
        ...

    def has_remote(self, remote_ufrag: str) -> bool:
        """Whether a generation with that ufrag of the peer's is there."""
        ...


@define(eq=False, repr=False)
class _Names:
    """What one remote ufrag still waits for, and whether the peer has no more."""

    waiting: list[Deferred[None]] = field(factory=list)
    ended: bool = False


@define(eq=False, repr=False)
class NamedCandidates:
    """I hand remote candidates on: numeric ones at once, named ones when their address is known.

    The end of a generation's candidates waits for its names. An answer that comes after the
    generation is dropped.
    """

    _generations: Generations
    _resolve: ResolveName | None
    _names: dict[str, _Names] = field(factory=dict, init=False)

    def add(self, ufrag: str, candidate: Candidate) -> None:
        """A signaled candidate of a generation that has been started."""
        name = candidate.address[0]
        if not is_mdns_name(name):
            self._generations.add_remote_candidate(ufrag, candidate)
        elif self._resolve is not None and self._is_worth_it(candidate):
            names = self._names.setdefault(ufrag, _Names())
            found = self._resolve(name).addCallback(self._found, ufrag, candidate)
            found.addErrback(_unreachable)
            names.waiting.append(found)
            found.addCallback(self._done, ufrag, found)

    def end(self, ufrag: str) -> None:
        """The peer has no more for that generation."""
        names = self._names.get(ufrag)
        if names is None:
            self._generations.add_remote_candidate(ufrag, None)
        else:
            names.ended = True

    def close(self) -> None:
        """Nobody waits any more."""
        names, self._names = self._names, {}
        for each in names.values():
            for waiting in list(each.waiting):
                waiting.cancel()

    def _is_worth_it(self, candidate: Candidate) -> bool:
        """Whether an agent would take it, and the peer does not have us ask its link for more."""
        waiting = sum(len(names.waiting) for names in self._names.values())
        usable = candidate.transport == "udp" and candidate.component == COMPONENT
        return usable and waiting < MAX_WAITING

    def _found(self, hosts: tuple[str, ...], ufrag: str, candidate: Candidate) -> None:
        name, port = candidate.address
        for host in hosts:
            if ufrag in self._names and self._generations.has_remote(ufrag):
                resolved = evolve(candidate, address=(host, port), name=name)
                self._generations.add_remote_candidate(ufrag, resolved)

    def _done(self, _result: None, ufrag: str, found: Deferred[None]) -> None:
        """The last name of a generation that has ended is its end."""
        names = self._names.get(ufrag)
        if names is None:
            return
        names.waiting.remove(found)
        if not names.waiting:
            del self._names[ufrag]
            if names.ended and self._generations.has_remote(ufrag):
                self._generations.add_remote_candidate(ufrag, None)


def _unreachable(_failure: Failure) -> None:
    """Why is the resolver's to count."""
