"""An examination of the network without any session: what ``refreezectl doctor`` shows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from refreeze.basics import Address, Randomness
from refreeze.net.behavior import HostExamination, NatBehavior
from refreeze.net.findings import (
    CHECKS,
    Answer,
    Check,
    Findings,
    LocalAddress,
    family_of,
    scope_of,
    usable_pairs,
)
from refreeze.net.port import PortFactory
from refreeze.net.resolve import ResolveError, Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import IceServer, ServerProblem, ServerUrl
from refreeze.net.udp import error_name
from refreeze.stun.behavior import MappingProbe
from refreeze.turn.meanings import meaning

MAX_HOSTS: Final = 8
"""Local addresses that are examined; each costs a socket or three."""

MAX_ADDRESSES: Final = 4
"""Of one server's name."""

MAX_ASKED: Final = 32
"""Servers' addresses that are asked in all; with :data:`MAX_HOSTS` it bounds what is sent."""

RESOLVE_SECONDS: Final = 2.0
"""For all names at once. With the probes' two rounds, an examination takes 7 s at most."""


@frozen(kw_only=True)
class Target:
    """One URI of one server at one of its addresses."""

    name: str
    server: IceServer
    url: ServerUrl
    address: Address

    def answer(self, check: Check, problem: ServerProblem | None = None) -> Answer:
        """What it gave, without anything yet."""
        return Answer(
            server=self.name, url=self.url, check=check, address=self.address, problem=problem
        )


class AllocationCheck(Protocol):
    """Finds out whether a TURN server gives an allocation, and gives it back at once."""

    def check(self, target: Target) -> Deferred[Answer]:
        """Never fails, and fires in bounded time. May be cancelled."""
        ...


@define(eq=False, repr=False, kw_only=True)
class Doctor:
    """I examine, one examination at a time: whoever asks meanwhile gets the same findings."""

    hosts: Callable[[], Sequence[str]]
    """The local addresses that sessions use."""
    preferred: Callable[[], Collection[str]]
    """Where the kernel sends from towards anywhere."""
    servers: Callable[[], Mapping[str, IceServer]]
    """By their names in the configuration."""
    relay_only: Callable[[], bool]
    """Whether sessions offer relayed candidates alone."""
    factory: PortFactory
    scheduler: Scheduler
    clock: IReactorTime
    random: Randomness
    resolver: Resolver
    allocations: AllocationCheck
    _running: Deferred[Findings] | None = field(default=None, init=False)
    _waiters: list[Deferred[Findings]] = field(factory=list, init=False)

    def examine(self) -> Deferred[Findings]:
        """Fires within about 8 s; fails with CancelledError after :meth:`stop`."""
        waiter: Deferred[Findings] = Deferred()
        self._waiters.append(waiter)
        if self._running is None:
            running = Deferred.fromCoroutine(_Examination(doctor=self).run())
            if not running.called:
                self._running = running
            running.addBoth(self._over)
        return waiter

    def stop(self) -> None:
        """End what runs, and tell who waits. What a server gave goes on being given back."""
        running, waiters = self._running, self._take_waiters()
        if running is not None:
            running.cancel()
        for waiter in waiters:
            waiter.errback(CancelledError())

    def _take_waiters(self) -> list[Deferred[Findings]]:
        taken, self._waiters = self._waiters, []
        return taken

    def _over(self, outcome: Findings | Failure) -> None:
        """Once :meth:`stop` took the waiters, how it ended is nobody's business."""
        self._running = None
        for waiter in self._take_waiters():
            if isinstance(outcome, Failure):
                waiter.errback(outcome)
            else:
                waiter.callback(outcome)


@define(eq=False, repr=False, kw_only=True)
class _Examination:
    """One look at everything."""

    doctor: Doctor
    _servers: Mapping[str, IceServer] = field(init=False)
    _targets: list[Target] = field(factory=list, init=False)
    _answers: list[Answer] = field(factory=list, init=False)
    _nats: list[NatBehavior] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._servers = dict(self.doctor.servers())

    async def run(self) -> Findings:
        doctor = self.doctor
        urls = [(name, url) for name, each in self._servers.items() for url in each.parsed]
        hosts = [host for host in doctor.hosts() if scope_of(host) != "link-local"][:MAX_HOSTS]
        families = {family_of(host) for host in hosts}
        await together(self._resolve(name, url, families) for name, url in urls)
        reflecting = [each for each in self._targets if each.url.reflects]
        relaying = [each for each in self._targets if each.url.relays]
        await together([self._probe(hosts, reflecting), self._allocate(relaying)])
        order = {
            (name, url, check): number
            for number, ((name, url), check) in enumerate(product(urls, CHECKS))
        }
        return Findings(
            addresses=self._addresses(),
            answers=sorted(
                self._answers, key=lambda each: order[each.server, each.url, each.check]
            ),
            nats=sorted(self._nats, key=lambda each: hosts.index(each.local[0])),
            urls=urls,
            relay_only=doctor.relay_only(),
        )

    def _addresses(self) -> list[LocalAddress]:
        factory, used = self.doctor.factory, set(self.doctor.hosts())
        default = self.doctor.preferred()
        return [
            LocalAddress(interface=name, host=host, used=host in used, default=host in default)
            for name, host in factory.local_hosts()
            if host in used or scope_of(host) != "loopback"
        ]

    # Names

    async def _resolve(self, name: str, url: ServerUrl, families: Collection[int]) -> None:
        """The URI at every address that this host has a family for."""
        answer = Answer(server=name, url=url, check="resolve")
        try:
            addresses = await self.doctor.resolver.resolve(url.host).addTimeout(
                RESOLVE_SECONDS, self.doctor.clock, _too_late
            )
        except ResolveError as error:
            problem = ServerProblem(str(url), error.reason, str(error))
            self._answers.append(evolve(answer, problem=problem))
            return
        usable = [host for host in addresses if family_of(host) in families]
        if not usable:
            text = "this host has no address of the server's family"
            problem = ServerProblem(str(url), "no-address", text)
            self._answers.append(evolve(answer, address=(addresses[0], url.port), problem=problem))
        server = self._servers[name]
        for host in usable[:MAX_ADDRESSES]:
            self._targets.append(
                Target(name=name, server=server, url=url, address=(host, url.port))
            )

    # STUN

    async def _probe(self, hosts: Sequence[str], targets: Sequence[Target]) -> None:
        doctor = self.doctor
        addresses = list(dict.fromkeys(each.address for each in targets))[:MAX_ASKED]
        own = [own for _name, own in doctor.factory.local_hosts()]
        examinations = [
            HostExamination(
                host=host,
                servers=servers,
                own=own,
                scheduler=doctor.scheduler,
                factory=doctor.factory,
                random=doctor.random,
            )
            for host, servers in usable_pairs(hosts, addresses)
        ]
        await together(self._examine(each) for each in examinations)
        self._answers += [binding_answer(target, examinations) for target in targets]

    async def _examine(self, examination: HostExamination) -> None:
        try:
            self._nats.append(await examination.run())
        except OSError as error:
            why = f"no socket: {error_name(error)}"
            self._nats.append(NatBehavior(local=(examination.host, 0), why=why))

    # TURN

    async def _allocate(self, targets: Sequence[Target]) -> None:
        await together(self._ask(target) for target in targets[:MAX_ASKED])

    async def _ask(self, target: Target) -> None:
        self._answers.append(await self.doctor.allocations.check(target))


async def together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all beside each other to their end; then what the first of them raised is raised.

    Cancelling it cancels all of them.
    """
    running = [Deferred.fromCoroutine(each) for each in coroutines]
    for _, outcome in await DeferredList(running, consumeErrors=True):
        if isinstance(outcome, Failure):
            outcome.raiseException()


def binding_answer(target: Target, examinations: Sequence[HostExamination]) -> Answer:
    """The quickest answer that *target* gave to any local address, or why there was none."""
    probes = [
        probe
        for examination in examinations
        for probe in examination.probes
        if probe.server == target.address
    ]
    answered = [probe for probe in probes if probe.rtt is not None]
    if not answered:
        return target.answer("binding", problem=_binding_problem(target.url, probes))
    best = min(answered, key=lambda probe: probe.rtt or 0.0)
    return evolve(
        target.answer("binding"),
        local=best.local,
        rtt=best.rtt,
        mapped=tuple(dict.fromkeys(probe.mapped for probe in answered if probe.mapped)),
        software=best.software,
    )


def _binding_problem(url: ServerUrl, probes: Sequence[MappingProbe]) -> ServerProblem:
    """A refusal says more than silence."""
    found = [(probe.problem, probe.local) for probe in probes if probe.problem is not None]
    if not found:
        return ServerProblem(str(url), "not-asked", "no socket of this host could ask it")
    problem, local = max(found, key=lambda each: each[0].code is not None)
    if problem.code is None:
        return ServerProblem(str(url), "unreachable", problem.text, local=local)
    reason = "redirected" if problem.code == 300 else meaning(problem.code).reason
    return ServerProblem(str(url), reason, problem.text, code=problem.code, local=local)


def _too_late(_result: object, seconds: float) -> tuple[str, ...]:
    raise ResolveError("unresolved", f"no answer within {seconds:g} s")
