"""Gathering (RFC 8445 section 5.1.1): host, server-reflexive and relayed candidates of a session.

Hosts, and what servers said before, are there at once; the rest is told as it is found. Nobody
waits for a dead server but the end of candidates, and that not beyond the nomination: after it no
candidate counts (rule 51), and what is still under way is for the next generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from attrs import define, evolve, field, frozen

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.ice import Candidate, CandidateType, candidate_foundation, candidate_priority
from refreeze.net.order import in_order
from refreeze.net.pool import Lease, SocketPool
from refreeze.net.port import Port
from refreeze.net.reflexive import Question, Reflection, Reflexive
from refreeze.net.servers import ServerProblem, ServerUrl

POLICIES: Final = ("all", "relay", "nohost")
"""W3C's iceTransportPolicy, and libwebrtc's third word for it."""


class Relay(Protocol):
    """One wish for an allocation at one URL (:class:`refreeze.net.relays.RelayPool`)."""

    @property
    def url(self) -> ServerUrl: ...

    @property
    def ports(self) -> Sequence[Port]:
        """In the mux; none unless there is an allocation."""
        ...

    @property
    def mapped(self) -> Address | None:
        """How the server sees our end of the allocation."""
        ...

    @property
    def settled(self) -> bool:
        """Whether the latest attempt is over, well or not."""
        ...

    @property
    def problem(self) -> ServerProblem | None: ...

    def verify(self) -> None:
        """See whether the allocation is still there; it is lost when nobody answers."""
        ...


class Relays(Protocol):
    """A session's."""

    @property
    def relays(self) -> Sequence[Relay]: ...

    def refresh(self) -> None:
        """Read credentials and resolve names again, at every restart."""
        ...

    def release(self) -> None:
        """Give them back."""
        ...


MAX_PROBLEMS: Final = 32
_SERVERS_A_BASE: Final = 64
"""Local preferences that a base's reflexive candidates have for themselves."""
_RELAYS: Final = {"udp": 0, "tcp": 1, "tls": 2}
"""A relay that is reached over UDP comes first: TCP holds datagrams up behind lost ones."""
_RELAYS_A_TRANSPORT: Final = 256


def _check_policy(_: object, __: object, value: str) -> None:
    if value not in POLICIES:
        raise ValueError(f"policy: one of {', '.join(POLICIES)}, not {value!r}")


def _check_external(_: object, __: object, value: Mapping[str, str]) -> None:
    for inside, outside in value.items():
        try:
            same = is_ipv6(canonical_host(inside)) is is_ipv6(canonical_host(outside))
        except ValueError as error:
            raise ValueError(f"external: {error}") from None
        if not same:
            raise ValueError(f"external: {inside!r} and {outside!r} are of two families")


@frozen(kw_only=True)
class GatherSettings:
    """*policy*: ``all``, only ``relay``, or ``nohost``: all but host candidates.

    *external*: public addresses of a 1:1 NAT by the local address behind each. *hide_related*
    leaves out of candidates which local address is behind them (raddr); the other policies do
    it anyway (rule 16). *share_allocations*: sessions to different peers use one allocation.
    ValueError, one line, that begins with the key.
    """

    policy: str = field(default="all", validator=_check_policy)
    external: dict[str, str] = field(factory=dict, validator=_check_external)
    hide_related: bool = False
    share_allocations: bool = True
    mdns: bool = False
    """Host candidates have ``.local`` names of ours instead of addresses."""

    @property
    def hides(self) -> bool:
        """Whether no candidate tells what is behind it."""
        return self.hide_related or self.policy != "all"


class GatherReceiver(Protocol):
    """Who wants candidates; what it raises harms no other session."""

    def candidate_found(self, candidate: Candidate, signaled: Candidate) -> None:
        """*candidate* is for the agent; *signaled* is what the peer may know of it."""
        ...

    def server_failed(self, problem: ServerProblem) -> None:
        """A server gave nothing; told for each once a gathering."""
        ...

    def gathering_ended(self) -> None:
        """Nothing more will be found; told once."""
        ...


class Gathering(Protocol):
    """One generation's."""

    def finish(self) -> None:
        """Tell the end now: what is still asked for is for the next generation. Idempotent."""
        ...

    def cancel(self) -> None:
        """Tell nothing any more. Idempotent."""
        ...


class Gatherer(Protocol):
    """Where a connection's candidates come from."""

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """Begin; what is known is told before this returns, the end included if that is all."""
        ...


def host_candidate(base: Address, index: int, ufrag: str) -> Candidate:
    """The *index*-th of the bases, best first (RFC 8445 section 5.1.2.1)."""
    return Candidate(
        type=CandidateType.HOST,
        address=base,
        priority=candidate_priority(CandidateType.HOST, 65535 - index),
        foundation=candidate_foundation(CandidateType.HOST, base[0]),
        base=base,
        ufrag=ufrag,
    )


@define(eq=False, repr=False)
class HostGatherer:
    """Host candidates only, of whatever *bases* returns, best first: for use without servers."""

    bases: Callable[[], Sequence[Address]]

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """See :class:`Gatherer`."""
        for index, base in enumerate(self.bases()):
            candidate = host_candidate(base, index, ufrag)
            receiver.candidate_found(candidate, candidate)
        receiver.gathering_ended()
        return _Ended()


@define(eq=False, repr=False)
class _Ended:
    def finish(self) -> None:
        """It is over."""

    def cancel(self) -> None:
        """It is over."""


@define(eq=False, repr=False)
class _OneGathering:
    """I am one generation's gathering, of a :class:`SessionGatherer`."""

    owner: SessionGatherer
    ufrag: str
    receiver: GatherReceiver
    _bases: list[Address] = field(factory=list, init=False)
    _found: set[tuple[CandidateType, Address, Address]] = field(factory=set, init=False)
    _questions: set[Question] = field(factory=set, init=False)
    _asked_of: dict[Address, int] = field(factory=dict, init=False)
    _waits_for: set[Relay] = field(factory=set, init=False)
    _told: set[str] = field(factory=set, init=False)
    _starting: bool = field(default=True, init=False)
    over: bool = field(default=False, init=False)

    def start(self) -> None:
        """Tell what is known and ask for the rest."""
        owner = self.owner
        if owner.settings.policy != "relay":
            self.look()
        for relay in owner.relays.relays if owner.relays is not None else ():
            self.relay_settled(relay)
        self._starting = False
        self._consider()

    def look(self) -> None:
        """The bases as they are now: those that are new here give candidates (rule 51)."""
        if self.over or self.owner.settings.policy == "relay":
            return
        for base in self.owner.bases():
            if base not in self._bases:
                self._bases.append(base)
                self._look_at(base, len(self._bases) - 1)

    def _look_at(self, base: Address, index: int) -> None:
        settings = self.owner.settings
        if settings.policy == "all":
            candidate = host_candidate(base, index, self.ufrag)
            self._tell(candidate, self.owner.signaled(candidate))
        outside = settings.external.get(base[0])
        if outside is not None:
            self._reflexive(base, (canonical_host(outside), base[1]), outside)
        for url in self.owner.reflecting:
            question = self.owner.reflexive.ask(
                base,
                url,
                lambda reflection: self._reflexive(
                    reflection.base, reflection.mapped, reflection.server[0]
                ),
                self._question_over,
            )
            if not question.over:
                self._questions.add(question)

    # What is found

    def _reflexive(self, base: Address, mapped: Address, server: str) -> None:
        """One that equals its base tells nothing new (RFC 8445 section 5.1.3)."""
        if mapped == base and self.owner.settings.policy == "all":
            return
        number = self._asked_of.setdefault(base, 0)
        self._asked_of[base] = number + 1
        preference = 65535 - self._bases.index(base) * _SERVERS_A_BASE
        kind = CandidateType.SRFLX
        candidate = Candidate(
            type=kind,
            address=mapped,
            priority=candidate_priority(kind, preference - min(number, _SERVERS_A_BASE - 1)),
            foundation=candidate_foundation(kind, base[0], server_host=server),
            base=base,
            related=base,
            ufrag=self.ufrag,
        )
        self._tell(candidate, self.owner.signaled(candidate))

    def relay_settled(self, relay: Relay) -> None:
        """Its ports, or why there is none; else it is waited for."""
        if self.over:
            return
        for number, port in enumerate(relay.ports):
            self._relayed(relay, port.local, number)
        if relay.settled:
            self._waits_for.discard(relay)
            if relay.problem is not None and not relay.ports:
                self._report(relay.problem)
            self._consider()
        else:
            self._waits_for.add(relay)

    def _relayed(self, relay: Relay, address: Address, number: int) -> None:
        assert self.owner.relays is not None
        index = self.owner.relays.relays.index(relay) * 2 + number
        preference = 65535 - _RELAYS[relay.url.transport] * _RELAYS_A_TRANSPORT - index
        kind = CandidateType.RELAY
        candidate = Candidate(
            type=kind,
            address=address,
            priority=candidate_priority(kind, preference),
            foundation=candidate_foundation(
                kind, address[0], server_host=relay.url.host, transport=relay.url.transport
            ),
            base=address,
            related=relay.mapped,
            ufrag=self.ufrag,
        )
        self._tell(candidate, self.owner.signaled(candidate))

    def _tell(self, candidate: Candidate, signaled: Candidate) -> None:
        key = candidate.type, candidate.address, candidate.base or candidate.address
        if not self.over and key not in self._found:
            self._found.add(key)
            self.receiver.candidate_found(candidate, signaled)

    # What is not

    def _question_over(self, problem: ServerProblem | None) -> None:
        self._questions = {each for each in self._questions if not each.over}
        if problem is not None:
            self._report(problem)
        self._consider()

    def _report(self, problem: ServerProblem) -> None:
        self.owner.remember(problem)
        if not self.over and problem.url not in self._told:
            self._told.add(problem.url)
            self.receiver.server_failed(problem)

    def _consider(self) -> None:
        if not self._starting and not self._questions and not self._waits_for:
            self.finish()

    def finish(self) -> None:
        """See :class:`Gathering`."""
        if not self.over:
            self.cancel()
            self.receiver.gathering_ended()

    def cancel(self) -> None:
        """See :class:`Gathering`."""
        self.over = True
        for question in self._questions:
            question.cancel()
        self._questions.clear()
        self._waits_for.clear()
        self.owner.gathering_over(self)


class GatherWatcher(Protocol):
    """The session: what comes and goes between gatherings is its watchdog's business."""

    def paths_came(self) -> None:
        """There is more to offer than the last generation had: a relay is there (again)."""
        ...

    def bases_gone(self, bases: Sequence[Address]) -> None:
        """Nothing leaves from these any more."""
        ...


@define(eq=False, repr=False, kw_only=True)
class SessionGatherer:
    """I gather for one session: I have its sockets and its relays, and know its servers."""

    settings: GatherSettings
    pool: SocketPool
    lease: Lease
    reflexive: Reflexive
    servers: Sequence[ServerUrl]
    preferred: Callable[[], Sequence[str]]
    """Local hosts that the kernel would use first."""
    relays: Relays | None = None
    watcher: GatherWatcher | None = None
    problems: dict[str, ServerProblem] = field(factory=dict, init=False)
    """Why a URL gave nothing the last time; a URL that gave something has none."""
    _gathering: _OneGathering | None = field(default=None, init=False)

    @property
    def reflecting(self) -> list[ServerUrl]:
        """The URLs that can tell a mapped address, each server once."""
        seen: dict[tuple[str, int], ServerUrl] = {}
        for url in self.servers:
            if url.reflects:
                seen.setdefault((url.host, url.port), url)
        return list(seen.values())

    def bases(self) -> list[Address]:
        """The session's sockets now, best first (RFC 8421)."""
        self.pool.refresh(self.lease)
        return in_order(self.lease.bases, self.preferred())

    def gather(self, ufrag: str, receiver: GatherReceiver) -> Gathering:
        """See :class:`Gatherer`; an earlier gathering ends in silence (T13)."""
        if self._gathering is not None:
            self._gathering.cancel()
        self.problems.clear()
        if self.relays is not None:
            self.relays.refresh()
        gathering = self._gathering = _OneGathering(self, ufrag, receiver)
        gathering.start()
        return gathering

    def look(self) -> None:
        """The machine's addresses changed: a gathering that is under way takes the new ones."""
        if self._gathering is not None:
            self._gathering.look()

    def warm(self) -> None:
        """The path is in doubt: see that what a restart would offer is still true."""
        for base in self.bases() if self.settings.policy != "relay" else ():
            for url in self.reflecting:
                self.reflexive.ask(base, url, lambda _: None, lambda _: None)
        for relay in self.relays.relays if self.relays is not None else ():
            relay.verify()

    def close(self) -> None:
        """The session is over: its sockets and relays go back."""
        if self._gathering is not None:
            self._gathering.cancel()
        if self.relays is not None:
            self.relays.release()
        self.pool.release(self.lease)

    def signaled(self, candidate: Candidate) -> Candidate:
        """*candidate* as the peer may know it."""
        if candidate.related is not None and self.settings.hides:
            return evolve(candidate, related=None)
        return candidate

    # net.relays.RelayListener

    def relay_settled(self, relay: Relay) -> None:
        """It has ports, or its attempt failed."""
        if relay.ports:
            self.problems.pop(str(relay.url), None)
        gathering = self._gathering
        if gathering is not None:
            gathering.relay_settled(relay)
        elif relay.ports and self.watcher is not None:
            self.watcher.paths_came()

    def relay_lost(self, relay: Relay, bases: Sequence[Address], reason: str) -> None:
        """Its ports are gone; it tries to come back by itself."""
        if self.watcher is not None:
            self.watcher.bases_gone(bases)

    # For gatherings

    def gathering_over(self, gathering: _OneGathering) -> None:
        """That one takes nothing more."""
        if self._gathering is gathering:
            self._gathering = None

    def remember(self, problem: ServerProblem) -> None:
        """For `show`."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems[problem.url] = problem


def reflections(gatherer: SessionGatherer) -> list[Reflection]:
    """What servers said of the session's sockets, for `show`."""
    bases = list(gatherer.lease.bases)
    return [each for base in bases for each in gatherer.reflexive.seen_from(base)]
