"""One machine with fake ports and servers that a test answers for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from refreeze.basics import Address
from refreeze.ice import Candidate, CheckBucket
from refreeze.net.gatherer import SessionGatherer
from refreeze.net.gathering import GatherSettings
from refreeze.net.mux import Mux
from refreeze.net.pool import SocketPool
from refreeze.net.port import Port
from refreeze.net.reflexive import Reflexive
from refreeze.net.resolve import Resolver
from refreeze.net.scheduler import Scheduler
from refreeze.net.servers import ServerProblem, ServerUrl, parse_server_url
from refreeze.stun import Attribute, MessageBuilder, MessageClass, Method, encode_error, parse
from refreeze.stun.attributes import encode_address, xor_address
from refreeze.testing import SeededRandom, VirtualReactor
from tests.net.fakes import FakeFactory, FakePort

SERVER: Address = ("192.0.2.53", 3478)
URL = parse_server_url("stun:192.0.2.53")


def mapped_answer(request: bytes, mapped: Address, *, plain: bool = False) -> bytes:
    """The success that *request* gets; *plain*: with MAPPED-ADDRESS, as RFC 3489 servers."""
    transaction = parse(request).transaction_id
    builder = MessageBuilder(Method.BINDING, MessageClass.SUCCESS, transaction)
    value = encode_address(mapped)
    if plain:
        return builder.add(Attribute.MAPPED_ADDRESS, value).build()
    return builder.add(Attribute.XOR_MAPPED_ADDRESS, xor_address(value, transaction)).build()


def refusal(request: bytes, code: int) -> bytes:
    """An error response."""
    return encode_error(parse(request).transaction_id, code, "no")


@define(eq=False)
class Heard:
    """A gathering's receiver that remembers."""

    found: list[Candidate] = field(factory=list)
    signaled: list[Candidate] = field(factory=list)
    failed: list[ServerProblem] = field(factory=list)
    ended: int = 0

    def candidate_found(self, candidate: Candidate, signaled: Candidate) -> None:
        self.found.append(candidate)
        self.signaled.append(signaled)

    def server_failed(self, problem: ServerProblem) -> None:
        self.failed.append(problem)

    def gathering_ended(self) -> None:
        self.ended += 1

    def of(self, kind: str) -> list[Address]:
        """The addresses of one type, in order."""
        return [each.address for each in self.found if each.type.value == kind]


@define(eq=False)
class FakeRelay:
    """A relay whose fate a test decides."""

    url: ServerUrl
    ports: list[Port] = field(factory=list)
    settled: bool = False
    problem: ServerProblem | None = None
    mapped: Address | None = ("203.0.113.5", 4444)
    rtt: float | None = 0.02
    leaving: list[Address] = field(factory=list)
    verified: int = 0

    def verify(self) -> None:
        self.verified += 1


@define(eq=False)
class FakeRelays:
    """A session's lease of such relays."""

    relays: list[FakeRelay] = field(factory=list)
    refreshed: int = 0
    released: bool = False

    def refresh(self) -> None:
        self.refreshed += 1

    def release(self) -> None:
        self.released = True


@define(eq=False)
class Watcher:
    """A session, as far as gathering knows one."""

    came: int = 0
    gone: list[Address] = field(factory=list)
    leaving: list[Address] = field(factory=list)

    def paths_came(self) -> None:
        self.came += 1

    def bases_leaving(self, bases: Sequence[Address]) -> None:
        self.leaving += bases

    def bases_gone(self, bases: Sequence[Address]) -> None:
        self.gone += bases


@define(eq=False)
class Machine:
    """Mux, pool, and everything that gathers, in virtual time."""

    hosts: list[str] = field(factory=lambda: ["10.0.0.1"])
    reactor: VirtualReactor = field(factory=VirtualReactor)
    factory: FakeFactory = field(init=False)
    scheduler: Scheduler = field(init=False)
    mux: Mux = field(init=False)
    pool: SocketPool = field(init=False)
    reflexive: Reflexive = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.factory = FakeFactory(self.hosts)
        self.scheduler = Scheduler(self.reactor)
        self.mux = Mux(self.scheduler.now)
        self.pool = SocketPool(self.factory, self.mux, self.hosts)
        self.reflexive = Reflexive(
            mux=self.mux,
            scheduler=self.scheduler,
            random=SeededRandom(1),
            resolver=Resolver(names=self.reactor.nameResolver, clock=self.reactor),
            bucket=CheckBucket(),
        )

    def gatherer(
        self,
        *urls: ServerUrl,
        settings: GatherSettings | None = None,
        relays: FakeRelays | None = None,
        peer: str = "bob",
    ) -> SessionGatherer:
        """One session's."""
        return SessionGatherer(
            settings=settings or GatherSettings(),
            pool=self.pool,
            lease=self.pool.lease(peer),
            reflexive=self.reflexive,
            servers=lambda: urls,
            preferred=list,
            salt=f"salt of {peer}",
            relays=relays,
        )

    def port(self, base: Address) -> FakePort:
        """The port of *base*."""
        return next(port for port in self.factory.opened if port.local == base)

    def asked(self, base: Address, server: Address = SERVER) -> list[bytes]:
        """The requests that left from *base* to *server*."""
        return [data for data, to, _tos in self.port(base).sent if to == server]

    def answer(
        self,
        base: Address,
        mapped: Address,
        *,
        server: Address = SERVER,
        make: Callable[[bytes, Address], bytes] = mapped_answer,
    ) -> None:
        """*server* answers the last request from *base*."""
        data = make(self.asked(base, server)[-1], mapped)
        self.port(base).receive((data, server))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.reactor.advance(seconds)
