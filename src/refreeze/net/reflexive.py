"""What STUN servers see of our sockets: server-reflexive addresses (RFC 8445 section 5.1.1.2).

One of these serves all sessions of a daemon, because sessions share sockets: what one learnt of a
socket is told to the next at once, and asked for again beside it when it is no longer fresh, so a
restart waits for nothing. A server that does not answer costs a transaction's 39.5 s, but only
whoever waits for the end of gathering waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import ClassVar, Final

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from refreeze.basics import Address, Randomness, format_address, is_ipv6
from refreeze.ice import CheckBucket
from refreeze.ice.events import Transmit
from refreeze.ice.hostile import refused_address
from refreeze.net.mux import Mux
from refreeze.net.resolve import ResolveError, Resolver
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.net.servers import ServerProblem, ServerUrl
from refreeze.stun import (
    ClientTransaction,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    RetransmissionSchedule,
)

FRESH_SECONDS: Final = 10.0
"""A younger answer is not asked for again."""

MAX_KNOWN: Final = 4096
MAX_SERVER_ADDRESSES: Final = 2
"""Of one server and family that are asked: a name may have many."""

_Key = tuple[Address, Address]
"""Base and server."""


@frozen
class Reflection:
    """The server at *server* saw *base* as *mapped*; *rtt* in seconds, None if never measured."""

    base: Address
    server: Address
    mapped: Address
    rtt: float | None


@frozen
class _Known:
    reflection: Reflection
    at: float


@define
class ReflexiveCounters:
    """Plain numbers; ``metrics`` reads them."""

    asked: int = 0
    answered: int = 0
    refused: int = 0
    unanswered: int = 0
    foreign: int = 0
    """Answers that came from another address than the server's, or to another socket."""
    unusable: int = 0
    strays: int = 0
    """Datagrams of servers that are no answer."""


@define(eq=False, repr=False)
class Question:
    """One base and one URL, asked by one gathering. Its callbacks are never called after
    :meth:`cancel`; *ended* is called once, when nothing more can come.
    """

    base: Address
    url: ServerUrl
    found: Callable[[Reflection], None]
    ended: Callable[[ServerProblem | None], None]
    problem: ServerProblem | None = field(default=None, init=False)
    _waits_for: set[_Request] = field(factory=set, init=False)
    _looking_up: bool = field(default=True, init=False)
    _look_up: Deferred[None] | None = field(default=None, init=False)
    _answered: bool = field(default=False, init=False)
    over: bool = field(default=False, init=False)

    def cancel(self) -> None:
        """Nobody wants to know any more. Idempotent."""
        self.over = True
        if self._look_up is not None:
            self._look_up.cancel()
        for request in list(self._waits_for):
            request.leave(self)
        self._waits_for.clear()

    def told(self, reflection: Reflection) -> None:
        """For requests: an answer."""
        self._answered = True
        if not self.over:
            self.found(reflection)

    def request_over(self, request: _Request, problem: ServerProblem | None) -> None:
        """For requests: one is over."""
        self._waits_for.discard(request)
        self.problem = problem or self.problem
        self.consider()

    def looked_up(self, work: Deferred[None] | None = None) -> None:
        """For the owner: *work* looks the name up; without it, that is over."""
        self._look_up, self._looking_up = work, work is not None

    def consider(self) -> None:
        """Is it over? One address of a server that answers is enough for it to be well."""
        if not self.over and not self._looking_up and not self._waits_for:
            self.over = True
            self.ended(None if self._answered else self.problem)


@define(eq=False, repr=False)
class _Request:
    """One Binding request from one base to one server, for everybody who asks. I am Timed."""

    owner: Reflexive
    base: Address
    server: Address
    transaction: ClientTransaction
    starts_at: float
    """When the bucket lets the first one out."""
    questions: list[Question] = field(factory=list)
    handle: Handle | None = None

    def leave(self, question: Question) -> None:
        """When nobody is left to be told, nothing is sent again."""
        if question in self.questions:
            self.questions.remove(question)
        if not self.questions:
            self.owner.end(self)

    def next_deadline(self) -> float | None:
        if not self.transaction.sends:
            return self.starts_at
        return self.transaction.next_deadline()

    def handle_timeout(self, now: float) -> None:
        if self.transaction.expired(now):
            self.owner.unanswered(self)
            return
        data = self.transaction.due(now)
        if data is not None:
            self.owner.send(self, data)


@define(eq=False, repr=False, kw_only=True)
class Reflexive:
    """I own all Binding requests to servers, and remember the answers."""

    mux: Mux
    scheduler: Scheduler
    random: Randomness
    resolver: Resolver
    bucket: CheckBucket
    schedule: RetransmissionSchedule = field(factory=RetransmissionSchedule)
    counters: ReflexiveCounters = field(factory=ReflexiveCounters, init=False)
    _known: dict[_Key, _Known] = field(factory=dict, init=False)
    _requests: dict[_Key, _Request] = field(factory=dict, init=False)
    _addresses: dict[str, tuple[str, ...]] = field(factory=dict, init=False)
    """What each name was resolved to last: used at once, while it is looked up again."""

    _log: ClassVar[Logger] = Logger()

    def ask(
        self,
        base: Address,
        url: ServerUrl,
        found: Callable[[Reflection], None],
        ended: Callable[[ServerProblem | None], None],
    ) -> Question:
        """What does *url* see of *base*? What is known is told before this returns."""
        question = Question(base, url, found, ended)
        before = self._addresses.get(url.host, ())
        self._ask_all(question, before)
        work = Deferred.fromCoroutine(self._look_up(question, before))
        if not work.called:
            question.looked_up(work)
        work.addErrback(self._look_up_failed)
        return question

    def forget(self, base: Address) -> None:
        """That socket is gone, and with it what was known of it."""
        for key in [key for key in self._known if key[0] == base]:
            del self._known[key]
        for key, request in list(self._requests.items()):
            if key[0] == base:
                self._give_up(request, "gone", "the local address is gone", None)

    def doubt(self, base: Address | None = None) -> None:
        """Nothing that is known (of *base*) is fresh any more: the machine slept (T37), or a path
        from there is in doubt, because a NAT may have changed.
        """
        for key, known in list(self._known.items()):
            if base is None or key[0] == base:
                self._known[key] = evolve(known, at=-inf)

    def close(self) -> None:
        """Ask nothing any more: who still waits is not told."""
        for request in list(self._requests.values()):
            self.end(request)

    def seen_from(self, base: Address) -> list[Reflection]:
        """What is known of *base*."""
        return [each.reflection for key, each in self._known.items() if key[0] == base]

    # Names

    def addresses_of(self, host: str) -> tuple[str, ...]:
        """What that name was resolved to last; nothing if it never was."""
        return self._addresses.get(host, ())

    async def _look_up(self, question: Question, before: tuple[str, ...]) -> None:
        """Ask what is new; a name that has lost its addresses keeps those it had."""
        host = question.url.host
        try:
            hosts = await self.resolver.resolve(host)
        except ResolveError as error:
            if not before:
                text = f"{host}: {error}"
                url = str(question.url)
                question.problem = ServerProblem(url, error.reason, text, local=question.base)
        else:
            self._addresses[host] = hosts
            self._ask_all(question, [each for each in hosts if each not in before])
        question.looked_up()
        question.consider()

    def _look_up_failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):  # type: ignore[no-untyped-call]  # Twisted's
            self._log.failure("a look-up failed", failure)

    # Requests

    def _ask_all(self, question: Question, hosts: Iterable[str]) -> None:
        family = is_ipv6(question.base[0])
        chosen = [host for host in hosts if is_ipv6(host) is family][:MAX_SERVER_ADDRESSES]
        for host in chosen:
            self._ask_one(question, (host, question.url.port))

    def _ask_one(self, question: Question, server: Address) -> None:
        key, now = (question.base, server), self.scheduler.now()
        known = self._known.get(key)
        if known is not None:
            question.told(known.reflection)
            if now < known.at + FRESH_SECONDS:
                return
        if question.base not in self.mux.ports:
            return  # it went away a moment ago
        request = self._requests.get(key)
        if request is None:
            request = self._begin(key, now)
        request.questions.append(question)
        question._waits_for.add(request)

    def _begin(self, key: _Key, now: float) -> _Request:
        transaction_id = self.random.randbytes(12)
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, transaction_id)
        transaction = ClientTransaction(
            transaction_id=transaction_id, request=builder.build(), schedule=self.schedule
        )
        request = _Request(self, *key, transaction, self.bucket.reserve(now))
        self._requests[key] = request
        self.counters.asked += 1
        if request.starts_at <= now:
            request.handle_timeout(now)
        request.handle = self.scheduler.add(request)
        return request

    def send(self, request: _Request, data: bytes) -> None:
        """For requests. A send that fails may work the next time (T36)."""
        transmit = Transmit(request.base, request.server, data, request.transaction.transaction_id)
        self.mux.transmit(self, [transmit])

    def end(self, request: _Request) -> None:
        """For requests: nothing is sent again; what it learnt is kept."""
        key = request.base, request.server
        if self._requests.get(key) is request:
            del self._requests[key]
            self.mux.release(*key, self)
        if request.handle is not None:
            request.handle.remove()

    def unanswered(self, request: _Request) -> None:
        """For requests: no answer in all that time."""
        self.counters.unanswered += 1
        self._known.pop((request.base, request.server), None)
        where = format_address(request.server)
        self._give_up(request, "unreachable", f"{where} does not answer", None)

    def _give_up(self, request: _Request, reason: str, text: str, code: int | None) -> None:
        self.end(request)
        for question in list(request.questions):
            url = str(question.url)
            problem = ServerProblem(url, reason, text, local=request.base)
            if code is not None:
                problem = ServerProblem(url, reason, text, code, request.base)
            question.request_over(request, problem)

    # mux.Owner

    def stun_received(
        self, message: Message, port_base: Address, source: Address, now: float
    ) -> None:
        """An answer counts when it comes from where the question went (RFC 8489 section 6.3)."""
        request = self._requests.get((port_base, source))
        if request is None or request.transaction.transaction_id != message.transaction_id:
            self.counters.foreign += 1
            return
        if message.message_class is MessageClass.ERROR:
            self._refused(request, message)
        elif message.message_class is MessageClass.SUCCESS:
            self._answered(request, message, now)

    def data_received(
        self, port_base: Address, source: Address, payloads: list[bytes], now: float
    ) -> None:
        """A server has nothing else to say."""
        self.counters.strays += len(payloads)

    def _refused(self, request: _Request, message: Message) -> None:
        self.counters.refused += 1
        code, _phrase = message.error_code or (0, "")
        where = format_address(request.server)
        self._give_up(request, "refused", f"{where} answers {code}", code or None)

    def _answered(self, request: _Request, message: Message, now: float) -> None:
        base = request.base
        mapped = message.xor_mapped_address or message.mapped_address
        if mapped is None or not _usable(mapped, base):
            self.counters.unusable += 1
            where = format_address(request.server)
            self._give_up(request, "bad-answer", f"{where} names no usable address", None)
            return
        self.counters.answered += 1
        rtt = request.transaction.rtt(now)
        reflection = Reflection(base, request.server, mapped, rtt)
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[base, request.server] = _Known(reflection, now)
        self.end(request)
        for question in list(request.questions):
            question.told(reflection)
            question.request_over(request, None)


def _usable(mapped: Address, base: Address) -> bool:
    """Of the base's family, and nothing that could not be anybody's address."""
    if is_ipv6(mapped[0]) is not is_ipv6(base[0]):
        return False
    loopback = base[0] == "::1" or base[0].startswith("127.")
    return refused_address(mapped, loopback) is None
