"""Requests to the server: signed, repeated until answered, made again when challenged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import define, field

from refreeze.basics import Randomness
from refreeze.stun import (
    ClientTransaction,
    IntegrityKey,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
)
from refreeze.turn.authentication import STALE_NONCE, Authenticator
from refreeze.turn.events import TurnProblem
from refreeze.turn.meanings import UNANSWERED, lacks_nothing, meaning, problem_of
from refreeze.turn.settings import TurnSettings

HELD_UP: Final = 2.0
"""Seconds. A timer that is later was held up: the answer may be there, unread (T37)."""
GRACE: Final = 1.0

Outcome: TypeAlias = Message | TurnProblem
"""A success response, or why there is none."""


@define(eq=False, repr=False, kw_only=True)
class Request:
    """One thing to ask of the server. *settled* is called exactly once, unless it is dropped."""

    method: Method
    fill: Callable[[MessageBuilder], None]
    """Adds the attributes; some depend on the transaction id."""
    settled: Callable[[Request, Outcome, float], None]
    give_up_at: float | None = None
    """Seconds, monotonic; None: when the retransmissions end."""
    started_at: float = 0.0
    """When it was first sent, under its latest transaction id."""
    refusal: Message | None = None
    """The error response that ended it, once settled."""
    rtt: float | None = None
    key: IntegrityKey | None = None
    """What it was signed with."""
    challenges: int = 0
    damage: str = ""
    """What was wrong with answers that were not believed."""
    graced: bool = False

    def deadline(self, transaction: ClientTransaction) -> float:
        """When there is something to do about it."""
        at = transaction.next_deadline() or 0.0
        return at if self.give_up_at is None else min(at, self.give_up_at)


@define(eq=False, repr=False, kw_only=True)
class Requests:
    """I am all requests of one allocation that are under way."""

    authenticator: Authenticator
    settings: TurnSettings
    random: Randomness
    reliable: bool
    transmit: Callable[[bytes, float], None]
    dropped: Counter[str]
    _in_flight: dict[bytes, tuple[Request, ClientTransaction]] = field(init=False, factory=dict)

    def start(self, request: Request, now: float) -> None:
        """Send *request* under a transaction id of its own."""
        builder = MessageBuilder(request.method, MessageClass.REQUEST, self.random.randbytes(12))
        request.fill(builder)
        self.authenticator.introduce(builder)
        request.key, request.started_at = self.authenticator.key, now
        transaction = ClientTransaction(
            transaction_id=builder.transaction_id,
            request=builder.build(request.key, fingerprint=False),
            reliable=self.reliable,
            schedule=self.settings.schedule,
        )
        self._in_flight[transaction.transaction_id] = request, transaction
        self._send(transaction, now)

    def hurry(self, request: Request, give_up_at: float) -> None:
        """Have less patience with a request that may be under way."""
        if request.give_up_at is None or request.give_up_at > give_up_at:
            request.give_up_at = give_up_at

    def make_last(self, request: Request) -> None:
        """A challenge is an answer to it, and no reason to make it again."""
        request.challenges = self.settings.challenges

    def clear(self) -> None:
        """Forget everything; nobody is told."""
        self._in_flight.clear()

    def receive(self, message: Message, now: float) -> None:
        """A response came: that of a request of ours, or it is counted and ignored."""
        request, transaction = self._in_flight.get(message.transaction_id, (None, None))
        if request is None or transaction is None or message.method != request.method:
            self.dropped["stray-response"] += 1
            return
        if not _believable(message, request.key):
            self.damaged(message.transaction_id, "integrity")
            if self.reliable:
                self._settle(transaction, TurnProblem(None, "integrity"), now)
            return
        request.rtt = transaction.rtt(now)
        if message.message_class is MessageClass.SUCCESS:
            unknown = TurnProblem(None, "unknown-attribute")
            self._settle(transaction, message if lacks_nothing(message) else unknown, now)
        else:
            self._refused(request, transaction, message, now)

    def damaged(self, transaction_id: bytes, reason: str) -> None:
        """An answer was not believed, or could not be read: counted, and the wait goes on."""
        self.dropped[reason] += 1
        request, _ = self._in_flight.get(transaction_id, (None, None))
        if request is not None:
            request.damage = reason

    def _refused(
        self, request: Request, transaction: ClientTransaction, message: Message, now: float
    ) -> None:
        problem = problem_of(message)
        request.refusal = message
        if problem.code in (401, STALE_NONCE):
            why = self._challenged(request, message, problem.code)
            if why is None:
                del self._in_flight[transaction.transaction_id]
                self.start(request, now)
                return
            problem = TurnProblem(problem.code, why)
        self._settle(transaction, problem, now)

    def _challenged(self, request: Request, message: Message, code: int) -> str | None:
        """None when *request* may be made again; a server that never has enough is left."""
        request.challenges += 1
        why = self.authenticator.challenged(message, code, request.key)
        if why is None and request.challenges > self.settings.challenges:
            return meaning(code).reason
        return why

    def _settle(self, transaction: ClientTransaction, outcome: Outcome, now: float) -> None:
        request, _ = self._in_flight.pop(transaction.transaction_id)
        request.settled(request, outcome, now)

    # Time

    def next_deadline(self) -> float | None:
        """When :meth:`run` has something to do."""
        if not self._in_flight:
            return None
        return min(each.deadline(tx) for each, tx in self._in_flight.values())

    def run(self, now: float) -> None:
        """Send again what is due, and give up what nobody answered."""
        for request, transaction in list(self._in_flight.values()):
            if transaction.transaction_id not in self._in_flight:
                continue  # an earlier one took it along
            given_up = request.give_up_at is not None and now >= request.give_up_at
            if given_up or transaction.expired(now):
                self._give_up(request, transaction, now)
            else:
                self._send(transaction, now)

    def _give_up(self, request: Request, transaction: ClientTransaction, now: float) -> None:
        if not request.graced and now - request.deadline(transaction) > HELD_UP:
            request.graced = True
            request.give_up_at = now + GRACE
            transaction.wait_until(request.give_up_at)
            return
        problem = TurnProblem(None, request.damage) if request.damage else UNANSWERED
        self._settle(transaction, problem, now)

    def _send(self, transaction: ClientTransaction, now: float) -> None:
        data = transaction.due(now)
        if data is not None:
            self.transmit(data, now)


def _believable(message: Message, key: IntegrityKey | None) -> bool:
    """What we signed is answered with a signature (RFC 8489 section 9.2.5).

    An error may come without: a server that does not know the user has nothing to sign with, and
    who can see our transaction id can cut us off anyway.
    """
    if key is None:
        return True
    if message.has_integrity or message.has_integrity_sha256:
        return message.verify(key)
    return message.message_class is MessageClass.ERROR
