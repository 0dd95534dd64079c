"""One attempt at one TURN URL: its addresses race for an allocation, and one wins or all fail."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Final, Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Address, Randomness, is_ipv6
from refreeze.ice.hostile import is_private
from refreeze.net.channel import ChannelError, ServerChannel
from refreeze.net.opener import ChannelOpener
from refreeze.net.relaylife import UNANSWERED, RelayLife
from refreeze.net.relayproblem import before_turn, from_turn, most_telling
from refreeze.net.relayrelease import Releases
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.resolve import ResolveError, Resolver
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.net.servers import ServerProblem, ServerUrl
from refreeze.net.tls import ServerTrust
from refreeze.turn import Allocation, AllocationFailed, TurnCredentials, TurnProblem, TurnSettings

MAX_REDIRECTIONS: Final = 3
"""Alternate servers followed one after the other."""
MAX_ADDRESSES: Final = 4
"""Of one server; more do not race."""
MAX_MISMATCHES: Final = 2
"""New sockets after 437 in one attempt: somebody's old allocation on a reused 5-tuple (T30)."""

_NOT_BOTH: Final = frozenset({400, 440, 442, 508})
"""Refusals of both families at once that one of them alone may be spared (RFC 8656
section 7.2); 400 is what servers say that do not know ADDITIONAL-ADDRESS-FAMILY."""

_REDIRECTIONS: Final = AllocationFailed(TurnProblem(300, "redirections"), "later")
_BAD_ALTERNATE: Final = AllocationFailed(TurnProblem(300, "bad-alternate"), "later")


@define
class RelayCounters:
    """What became of all attempts and allocations of a daemon."""

    attempts: int = 0
    allocated: int = 0
    failed: int = 0
    lost: int = 0
    renewed: int = 0
    """Of those allocated: with new credentials, beside one that was there."""


@frozen(kw_only=True, repr=False)
class RelayTools:
    """What every relay works with."""

    opener: ChannelOpener
    resolver: Resolver
    scheduler: Scheduler
    random: Randomness
    releases: Releases
    settings: RelaySettings
    turn: TurnSettings
    counters: RelayCounters = field(factory=RelayCounters)


@frozen(kw_only=True)
class Target:
    """Where one runner of a race asks, and for what."""

    server: Address
    name: str
    """Whom its certificate has to name."""
    families: Sequence[tuple[int, ...]]
    """What to ask for: the first, then the next if the server cannot have that."""
    redirections: int = 0
    mismatches: int = 0


class AttemptOwner(Protocol):
    """Whose attempt it is; it ends with one call of these, or by ``cancel``."""

    def attempt_won(self, life: RelayLife) -> None:
        """*life* is ready, and the owner's from now on."""
        ...

    def attempt_failed(self, problem: ServerProblem, failure: AllocationFailed) -> None:
        """No address gave anything; *problem* is the one that says most."""
        ...


@define(eq=False, repr=False, kw_only=True)
class Attempt:
    """I try once. What I began and did not give away, I release.

    Addresses start one after the other, each when the one before it failed or has had its head
    start (RFC 8305 section 5); whoever has an allocation first wins, and the others release
    theirs.
    """

    tools: RelayTools
    url: ServerUrl
    trust: ServerTrust
    families: tuple[int, ...]
    credentials: TurnCredentials
    owner: AttemptOwner
    began: float = field(init=False)
    """Monotonic."""
    over: bool = field(default=False, init=False)
    _waiting: list[Target] = field(factory=list, init=False)
    _opening: int = field(default=0, init=False)
    _lives: dict[RelayLife, Target] = field(factory=dict, init=False)
    _asked: set[Address] = field(factory=set, init=False)
    _failures: list[tuple[ServerProblem, AllocationFailed]] = field(factory=list, init=False)
    _working: set[Deferred[None]] = field(factory=set, init=False)
    _timer: Handle | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def start(self) -> None:
        """Begin; a name is resolved every time. The end never comes inside this call."""
        self.began = self.tools.scheduler.now()
        self._later(0.0, lambda: self._work(self._resolve()))

    def cancel(self) -> None:
        """Stop trying; the owner hears nothing more, and no socket stays open for it (T34)."""
        if self.over:
            return
        self.over = True
        self._waiting.clear()
        self._stop_timer()
        for deferred in tuple(self._working):
            deferred.cancel()
        for life in list(self._lives):
            self._give_back(life)

    # The race

    def _work(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        """Go on with *coroutine* until it ends, or until nobody wants it any more."""
        deferred = Deferred.fromCoroutine(coroutine)
        self._working.add(deferred)
        deferred.addErrback(self._bug)
        deferred.addBoth(lambda _: self._working.discard(deferred))

    async def _resolve(self) -> None:
        families = self.families
        wishes = [families] if len(families) == 1 else [families, *((each,) for each in families)]
        try:
            hosts = await self.tools.resolver.resolve(self.url.host)
        except ResolveError as error:
            self._failed(before_turn(self.url, error.reason, str(error)))
            return
        for host in _in_turns(hosts)[:MAX_ADDRESSES]:
            server = host, self.url.port
            self._waiting.append(Target(server=server, name=self.url.host, families=wishes))
        self._next()

    def _next(self) -> None:
        """One more begins; the one after it has to wait a little."""
        self._stop_timer()
        target = self._waiting.pop(0)
        self._asked.add(target.server)
        self._opening += 1
        self._work(self._open(target))
        if self._waiting and not self.over:
            self._later(self.tools.settings.race_seconds, self._next)

    async def _open(self, target: Target) -> None:
        opener, server = self.tools.opener, target.server
        try:
            channel = await opener.open(self.url.transport, server, target.name, self.trust)
        except ChannelError as error:
            self._opening -= 1
            self._failed(before_turn(self.url, error.reason, str(error), server))
            return
        self._opening -= 1
        self._ask(target, channel)

    def _ask(self, target: Target, channel: ServerChannel) -> None:
        tools = self.tools
        allocation = Allocation(
            server=target.server,
            reliable=channel.reliable,
            credentials=self.credentials,
            families=target.families[0],
            settings=tools.turn,
            random=tools.random,
        )
        life = RelayLife(
            channel=channel,
            allocation=allocation,
            scheduler=tools.scheduler,
            settings=tools.settings,
            owner=self,
        )
        self._lives[life] = target
        life.start()

    def life_ready(self, life: RelayLife) -> None:
        """See LifeOwner: the first wins."""
        del self._lives[life]
        self.cancel()
        self.owner.attempt_won(life)

    def life_failed(self, life: RelayLife, failure: AllocationFailed) -> None:
        """See LifeOwner: with less, or from another socket, it may work."""
        target, code = self._give_back(life), failure.problem.code
        if code in _NOT_BOTH and len(target.families) > 1:
            self._instead(evolve(target, families=target.families[1:]))
        elif code == 437 and target.mismatches < MAX_MISMATCHES:
            self._instead(evolve(target, mismatches=target.mismatches + 1))
        else:
            self._refused(life, target, failure)

    def life_lost(self, life: RelayLife, reason: str) -> None:
        """See LifeOwner; a life that was ready is not mine any more."""

    def life_redirected(self, life: RelayLife, server: Address, domain: str | None) -> None:
        """See LifeOwner: the same again at the other server, but not in circles (RFC 8489
        section 10)."""
        target = self._give_back(life)
        if leads_inside(server, target.server, self.tools.opener.hosts()):
            self._refused(life, target, _BAD_ALTERNATE)
        elif server in self._asked or target.redirections >= MAX_REDIRECTIONS:
            self._refused(life, target, _REDIRECTIONS)
        else:
            name = domain or target.name
            count = target.redirections + 1
            self._instead(evolve(target, server=server, name=name, redirections=count))

    def _instead(self, target: Target) -> None:
        self._waiting.insert(0, target)
        self._next()

    def _give_back(self, life: RelayLife) -> Target:
        target = self._lives.pop(life)
        self.tools.releases.take(life)
        return target

    # The end

    def _refused(self, life: RelayLife, target: Target, failure: AllocationFailed) -> None:
        local = life.channel.local
        self._failed(from_turn(self.url, target.server, local, failure.problem), failure)

    def _failed(self, problem: ServerProblem, failure: AllocationFailed = UNANSWERED) -> None:
        """One way failed: on to the next, or that was all."""
        self._failures.append((problem, failure))
        if self._waiting:
            self._next()
        elif not self._opening and not self._lives:
            self.cancel()
            telling = most_telling(each[0] for each in self._failures)
            said = next(each for each in self._failures if each[0] is telling)
            self.owner.attempt_failed(*said)

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        scheduler = self.tools.scheduler
        self._timer = scheduler.call_at(scheduler.now() + seconds, function)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.remove()
            self._timer = None

    def _bug(self, failure: Failure) -> None:
        if self.over and isinstance(failure.value, CancelledError):
            return
        self._log.failure("an attempt at {url} failed", failure, url=str(self.url))
        if not self.over:
            self.cancel()
            problem = before_turn(self.url, "internal", "this is a bug of ours; see the log")
            self.owner.attempt_failed(problem, UNANSWERED)


def leads_inside(server: Address, sender: Address, hosts: Sequence[str]) -> bool:
    """Whether *sender* sends us to this machine of *hosts*, or from the public to near us."""
    own = server[0] in hosts and server[0] != sender[0]
    return own or (is_private(server[0]) and not is_private(sender[0]))


def _in_turns(hosts: Sequence[str]) -> list[str]:
    """The families take turns, from the first host's on, so that one dead family costs little."""
    first = [host for host in hosts if is_ipv6(host) is is_ipv6(hosts[0])]
    other = [host for host in hosts if is_ipv6(host) is not is_ipv6(hosts[0])]
    return [host for both in zip_longest(first, other) for host in both if host is not None]
