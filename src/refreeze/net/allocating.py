"""Whether a TURN server relays for us: an allocation of each family, given back at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field
from twisted.internet.defer import Deferred

from refreeze.basics import Address
from refreeze.net.channel import ChannelError
from refreeze.net.doctor import Target, together
from refreeze.net.findings import FAMILIES, Answer
from refreeze.net.relayattempt import RelayTools, leads_inside
from refreeze.net.relaylife import RelayLife
from refreeze.net.relayproblem import before_turn, from_turn, most_telling
from refreeze.net.relaysettings import RelaySettings
from refreeze.net.servers import CredentialError, ServerProblem
from refreeze.net.tls import ServerTrust
from refreeze.turn import (
    Allocation,
    AllocationFailed,
    TurnCredentials,
    TurnProblem,
)

CHECK_SECONDS: Final = 5.0
"""For connecting, TLS and the allocation together."""

MAX_TRIES: Final = 4
"""Of one check: redirections followed, and sockets on which somebody had an allocation (T30)."""

PATIENCE: Final = RelaySettings(fresh_seconds=4.0, answer_seconds=CHECK_SECONDS)


@define(eq=False, repr=False, kw_only=True)
class AllocationChecks:
    """I ask for allocations as a session would: from the same addresses, with the same
    credentials and trust. What is given back is in the hands of ``tools.releases``."""

    tools: RelayTools
    wall: Callable[[], float]

    def check(self, target: Target) -> Deferred[Answer]:
        """See :class:`~refreeze.net.doctor.AllocationCheck`."""
        return Deferred.fromCoroutine(self._check(target))

    async def _check(self, target: Target) -> Answer:
        answer = target.answer("allocate")
        try:
            credentials = target.server.credentials(self.wall()).credentials
        except CredentialError as error:
            return evolve(answer, problem=before_turn(target.url, "no-credentials", str(error)))
        wishes = [
            _Wish(tools=self.tools, target=target, credentials=credentials, family=family)
            for family in FAMILIES
        ]
        await together(each.run() for each in wishes)
        given = [each.allocation for each in wishes if each.allocation is not None]
        if not given:
            problems = [each.problem for each in wishes if each.problem is not None]
            return evolve(answer, problem=most_telling(problems))
        return evolve(
            answer,
            local=next(each.local for each in wishes if each.allocation is given[0]),
            rtt=given[0].rtt,
            mapped=(given[0].mapped,) if given[0].mapped is not None else (),
            relayed=tuple(relayed for each in given for relayed in each.relayed.values()),
            software=given[0].software,
        )


@define(eq=False, repr=False, kw_only=True)
class _Wish:
    """One allocation of one family; not both in one, which some servers do not understand.

    Ends with ``allocation`` or ``problem``.
    """

    tools: RelayTools
    target: Target
    credentials: TurnCredentials
    family: int
    allocation: Allocation | None = field(default=None, init=False)
    problem: ServerProblem | None = field(default=None, init=False)
    local: Address | None = field(default=None, init=False)
    _next: tuple[Address, str] = field(init=False)
    """Whom to ask, and the name that his certificate must have."""
    _asked: set[Address] = field(factory=set, init=False)
    _outcome: Deferred[bool] = field(init=False)
    """Whether to ask :attr:`_next`."""

    def __attrs_post_init__(self) -> None:
        self._next = self.target.address, self.target.url.host

    async def run(self) -> None:
        """Ask, follow, and give back. May be cancelled."""
        url, server = self.target.url, self.target.address
        trying = Deferred.fromCoroutine(self._try())
        try:
            await trying.addTimeout(CHECK_SECONDS, self.tools.opener.reactor, _too_late)
        except ChannelError as error:
            self.problem = before_turn(url, error.reason, str(error), server)

    async def _try(self) -> None:
        for _ in range(MAX_TRIES):
            if not await self._ask(*self._next):
                return
        self._failed(TurnProblem(300, "redirections"))

    async def _ask(self, server: Address, name: str) -> bool:
        """Whether another one is to be asked."""
        tools, url = self.tools, self.target.url
        self._asked.add(server)
        trust = ServerTrust(self.target.server.ca)
        channel = await tools.opener.open(url.transport, server, name, trust)
        self.local = channel.local
        life = RelayLife(
            channel=channel,
            allocation=Allocation(
                server=server,
                reliable=channel.reliable,
                credentials=self.credentials,
                families=(self.family,),
                settings=tools.turn,
                random=tools.random,
            ),
            scheduler=tools.scheduler,
            settings=PATIENCE,
            owner=self,
        )
        self._outcome = Deferred()
        life.start()
        try:
            return await self._outcome
        finally:
            tools.releases.take(life)

    def _failed(self, problem: TurnProblem) -> None:
        server = self._next[0]
        self.problem = from_turn(self.target.url, server, self.local, problem)

    # LifeOwner

    def life_ready(self, life: RelayLife) -> None:
        """See LifeOwner."""
        self.allocation = life.allocation
        self._outcome.callback(False)

    def life_failed(self, life: RelayLife, failure: AllocationFailed) -> None:
        """See LifeOwner: from another socket it may work after a 437."""
        self._failed(failure.problem)
        if not self._outcome.called:
            self._outcome.callback(failure.problem.code == 437)

    def life_redirected(self, life: RelayLife, server: Address, domain: str | None) -> None:
        """See LifeOwner: the same again at the other server, but not in circles."""
        inside = leads_inside(server, self._next[0], self.tools.opener.hosts())
        if inside or server in self._asked:
            self._failed(TurnProblem(300, "bad-alternate" if inside else "redirections"))
            self._outcome.callback(False)
            return
        self._next = server, domain or self._next[1]
        self._outcome.callback(True)

    def life_lost(self, life: RelayLife, reason: str) -> None:
        """See LifeOwner; it was there, and that is what was asked."""


def _too_late(_result: object, seconds: float) -> None:
    """Whatever the cancelled one said: a connection has its own words for it."""
    raise ChannelError("unreachable", f"no answer within {seconds:g} s")
