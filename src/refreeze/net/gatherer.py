"""Gathering (RFC 8445 section 5.1.1): host, server-reflexive and relayed candidates of a session.

Hosts, and what servers said before, are there at once; the rest is told as it is found. Nobody
waits for a dead server but the end of candidates, and that not beyond the nomination: after it no
candidate counts (rule 51), and what is still under way is for the next generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from attrs import define, evolve, field

from refreeze.basics import Address, is_ipv6
from refreeze.ice import Candidate, CandidateType, candidate_foundation, candidate_priority
from refreeze.net.gathering import (
    Gathering,
    GatherReceiver,
    GatherSettings,
    GatherWatcher,
    Relay,
    Relays,
    ServerReport,
    host_candidate,
)
from refreeze.net.order import in_order
from refreeze.net.pool import Lease, SocketPool
from refreeze.net.reflexive import Question, Reflection, Reflexive
from refreeze.net.relaychoice import PATIENCE, RANKS, awaited, offered
from refreeze.net.scheduler import Handle
from refreeze.net.servers import ServerProblem, ServerUrl

MAX_PROBLEMS: Final = 32
_SERVERS_A_BASE: Final = 64
"""Local preferences that a base's reflexive candidates have for themselves."""
_RELAYS_A_TRANSPORT: Final = 256

_Place: TypeAlias = tuple[str, int]
"""Host and port of a server, for which several URLs may stand."""


@define(eq=False, repr=False)
class _OneGathering:
    """I am one generation's gathering, of a :class:`SessionGatherer`."""

    owner: SessionGatherer
    ufrag: str
    receiver: GatherReceiver
    policy: str
    """The settings', or for once less."""
    _bases: list[Address] = field(factory=list, init=False)
    _found: set[tuple[CandidateType, Address, Address]] = field(factory=set, init=False)
    _questions: set[Question] = field(factory=set, init=False)
    _asked_of: dict[Address, int] = field(factory=dict, init=False)
    _mappings: dict[tuple[Address, str], list[Address]] = field(factory=dict, init=False)
    """What each server has said of each base, in its order."""
    _patience: Handle | None = field(default=None, init=False)
    """Until when a better relay of a server is waited for."""
    _patient: bool = field(default=True, init=False)
    _told: set[str] = field(factory=set, init=False)
    _starting: bool = field(default=True, init=False)
    over: bool = field(default=False, init=False)

    def start(self) -> None:
        """Tell what is known and ask for the rest."""
        owner = self.owner
        if self.policy != "relay":
            self.look()
        for relay in owner.all_relays():
            self.relay_settled(relay)
        if awaited(owner.all_relays()):
            scheduler = owner.reflexive.scheduler
            self._patience = scheduler.call_at(scheduler.now() + PATIENCE, self._lose_patience)
        self._starting = False
        self._consider()

    def _lose_patience(self) -> None:
        self._patient = False
        self.weigh_relays()

    def look(self) -> None:
        """The bases as they are now: those that are new here give candidates (rule 51)."""
        if self.over or self.policy == "relay":
            return
        for base in self.owner.bases():
            if base not in self._bases:
                self._bases.append(base)
                self._look_at(base, len(self._bases) - 1)

    def _look_at(self, base: Address, index: int) -> None:
        settings = self.owner.settings
        if self.policy == "all":
            candidate = host_candidate(base, index, self.ufrag)
            self._tell(candidate, self.owner.signaled(candidate))
        outside = settings.external.get(base[0])
        if outside is not None:
            self._reflexive(base, (outside, base[1]), outside, None)
        for url in self.owner.reflecting:
            self.owner.asked.add(_place(url))
            question = self.owner.reflexive.ask(
                base,
                url,
                partial(self._reflected, url),
                self._question_over,
            )
            if not question.over:
                self._questions.add(question)

    # What is found

    def _reflected(self, url: ServerUrl, reflection: Reflection) -> None:
        self.owner.heard(url, reflection)
        self._reflexive(reflection.base, reflection.mapped, reflection.server[0], str(url))

    def _reflexive(self, base: Address, mapped: Address, server: str, url: str | None) -> None:
        """One that equals its base tells nothing new (RFC 8445 section 5.1.3)."""
        if mapped == base and self.policy == "all":
            return
        mappings = self._mappings.setdefault((base, server), [])
        if mapped not in mappings:
            mappings.append(mapped)
        # The same server saw another mapping before: the NAT has changed, and the new one must not
        # stay frozen behind checks of the old one, as of the same foundation it would.
        changes = mappings.index(mapped)
        number = self._asked_of.setdefault(base, 0)
        self._asked_of[base] = number + 1
        preference = 65535 - self._bases.index(base) * _SERVERS_A_BASE
        kind = CandidateType.SRFLX
        candidate = Candidate(
            type=kind,
            address=mapped,
            priority=candidate_priority(kind, preference - min(number, _SERVERS_A_BASE - 1)),
            foundation=candidate_foundation(
                kind, base[0], server_host=f"{server}+{changes}" if changes else server
            ),
            base=base,
            related=base,
            ufrag=self.ufrag,
            url=url,
        )
        self._tell(candidate, self.owner.signaled(candidate))

    def relay_settled(self, relay: Relay) -> None:
        """Its ports, or why there is none; else it is waited for."""
        if relay.settled and relay.problem is not None and not relay.ports:
            self._report(relay.problem)
        self.weigh_relays()

    def weigh_relays(self) -> None:
        """Offer the best that there are by now."""
        if self.over:
            return
        for relay in offered(self.owner.all_relays(), patient=self._patient):
            for number, port in enumerate(relay.ports):
                self._relayed(relay, port.local, number)
        self._consider()

    def _relayed(self, relay: Relay, address: Address, number: int) -> None:
        assert self.owner.relays is not None
        index = self.owner.relays.relays.index(relay) * 2 + number
        preference = 65535 - RANKS[relay.url.transport] * _RELAYS_A_TRANSPORT - index
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
            url=str(relay.url),
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
        if self.over or self._starting or self._questions:
            return
        if not awaited(self.owner.all_relays()):
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
        if self._patience is not None:
            self._patience.remove()
        self.owner.gathering_over(self)


@define(eq=False, repr=False, kw_only=True)
class SessionGatherer:
    """I gather for one session: I have its sockets and its relays, and know its servers."""

    settings: GatherSettings
    pool: SocketPool
    lease: Lease
    reflexive: Reflexive
    servers: Callable[[], Sequence[ServerUrl]]
    """As they are configured now."""
    preferred: Callable[[], Sequence[str]]
    """Local hosts that the kernel would use first."""
    salt: str = field(repr=False)
    """Nobody else knows it: it keeps foundations from telling what is hidden."""
    relays: Relays | None = None
    names: Callable[[str], str] | None = None
    """The ``.local`` name under which a local host answers to multicast DNS."""
    watcher: GatherWatcher | None = None
    relay_only: bool = False
    """The next gathering offers relayed candidates alone, if there are any."""
    problems: dict[str, ServerProblem] = field(factory=dict, init=False)
    """Why a URL gave nothing the last time; a URL that gave something has none."""
    asked: set[_Place] = field(factory=set, init=False)
    """Whom the latest gathering asked for mapped addresses."""
    _heard: dict[_Place, dict[Address, Reflection]] = field(factory=dict, init=False)
    """What each server said of each base."""
    _gathering: _OneGathering | None = field(default=None, init=False)

    @property
    def reflecting(self) -> list[ServerUrl]:
        """The URLs that can tell a mapped address, each server once."""
        seen: dict[_Place, ServerUrl] = {}
        for url in self.servers():
            if url.reflects:
                seen.setdefault(_place(url), url)
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
        self._heard.clear()
        self.asked.clear()
        if self.relays is not None:
            self.relays.refresh()
        # What a restart offers again may be gone for the same reason that it restarts for.
        for relay in self.all_relays():
            relay.verify()
        narrow = self.relay_only and any(relay.ports for relay in self.all_relays())
        self.relay_only = False
        policy = "relay" if narrow else self.settings.policy
        gathering = self._gathering = _OneGathering(self, ufrag, receiver, policy)
        gathering.start()
        return gathering

    def look(self) -> None:
        """The machine's addresses changed: a gathering that is under way takes the new ones."""
        if self._gathering is not None:
            self._gathering.look()

    def warm(self) -> None:
        """The path is in doubt: see that what a restart would offer is still true."""
        for base in self.bases() if self.settings.policy != "relay" else ():
            self.reflexive.doubt(base)
            for url in self.reflecting:
                self.reflexive.ask(base, url, lambda _: None, lambda _: None)
        for relay in self.all_relays():
            relay.verify()

    def close(self) -> None:
        """The session is over: its sockets and relays go back."""
        if self._gathering is not None:
            self._gathering.cancel()
        if self.relays is not None:
            self.relays.release()
        self.pool.release(self.lease)

    def signaled(self, candidate: Candidate) -> Candidate:
        """*candidate* as the peer may know it.

        A foundation is a digest of the base: who tries all private addresses finds it, unless
        something is in it that he does not know.
        """
        settings = self.settings
        if not settings.hides:
            return candidate
        foundation = candidate_foundation(candidate.type, f"{self.salt} {candidate.foundation}")
        hidden = evolve(candidate, related=None, foundation=foundation)
        if settings.mdns and self.names is not None and candidate.type is CandidateType.HOST:
            host, port = candidate.address
            return evolve(hidden, address=(self.names(host), port))
        return hidden

    # net.relays.RelayListener

    def relay_settled(self, relay: Relay) -> None:
        """It has ports, or its attempt failed."""
        if relay.ports:
            self.problems.pop(str(relay.url), None)
        watcher = self.watcher
        if relay.leaving and watcher is not None:
            watcher.bases_leaving(relay.leaving)
        elif self._gathering is None and watcher is not None and self._would_offer(relay):
            watcher.paths_came()
        if self._gathering is not None:
            self._gathering.relay_settled(relay)

    def _would_offer(self, relay: Relay) -> bool:
        """Whether it is more than there was: a lesser way to a server is not."""
        return relay in offered(self.all_relays(), patient=False)

    def relay_lost(self, relay: Relay, bases: Sequence[Address], reason: str) -> None:
        """Its ports are gone; it tries to come back by itself."""
        if self._gathering is not None:
            self._gathering.weigh_relays()
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

    def heard(self, url: ServerUrl, reflection: Reflection) -> None:
        """For `show`: a server has answered."""
        self.problems.pop(str(url), None)
        self._heard.setdefault(_place(url), {})[reflection.base] = reflection

    # What can be seen

    def reports(self) -> list[ServerReport]:
        """What became of every URL in the latest gathering, in the order of the configuration.

        Two sections may have the same URL, with credentials of which one is wrong.
        """
        relays, reports = list(self.all_relays()), []
        for url in self.servers():
            relay = next((each for each in relays if each.url == url), None)
            if relay is not None:
                relays.remove(relay)
            reports.append(self._report_of(url, relay))
        return reports

    def _report_of(self, url: ServerUrl, relay: Relay | None) -> ServerReport:
        heard = list(self._heard.get(_place(url), {}).values()) if url.reflects else []
        measured = [each.rtt for each in heard] + [None if relay is None else relay.rtt]
        report = ServerReport(
            url=url,
            mapped=list(dict.fromkeys(each.mapped for each in heard)),
            relayed=[] if relay is None else [port.local for port in relay.ports],
            rtt=min((rtt for rtt in measured if rtt is not None), default=None),
            problem=None,
        )
        return report if report.gave else evolve(report, problem=self._problem_of(url, relay))

    def _problem_of(self, url: ServerUrl, relay: Relay | None) -> ServerProblem | None:
        """Why it gave nothing; None while it is being asked."""
        if relay is not None:
            return relay.problem
        if url.relays or _place(url) not in self.asked:
            hidden = not url.relays and self.settings.policy == "relay"
            why = "policy relay asks no stun: server" if hidden else "asked at the next restart"
            return ServerProblem(str(url), "unused", why, None)
        known = self.problems.get(str(url))
        if known is not None:
            return known
        families = {is_ipv6(host) for host in self.reflexive.addresses_of(url.host)}
        if families and families.isdisjoint(is_ipv6(base[0]) for base in self.lease.bases):
            return ServerProblem(str(url), "no-address", "we have no address of its family")
        if self._gathering is None:
            return ServerProblem(str(url), "unanswered", "a path was there before an answer")
        return None

    @property
    def leaving(self) -> list[Address]:
        """Bases of relays that have a successor."""
        return [base for relay in self.all_relays() for base in relay.leaving]

    def server_of(self, base: Address) -> ServerUrl | None:
        """Whose relayed address *base* is."""
        for relay in self.all_relays():
            if any(port.local == base for port in relay.ports):
                return relay.url
        return None

    def all_relays(self) -> Sequence[Relay]:
        """Of the session; none without TURN servers."""
        return self.relays.relays if self.relays is not None else ()


def _place(url: ServerUrl) -> _Place:
    return url.host, url.port
