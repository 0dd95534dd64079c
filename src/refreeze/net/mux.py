"""The mux: whose is a datagram? STUN by ufrag and transaction, everything else by 5-tuple.

What arrives is looked at in this order, and never by its address first (T22):

======================================= ======================================================
what it is                              where it goes
======================================= ======================================================
Binding request to a registered ufrag   the owner of the ufrag, whoever owns the 5-tuple
Binding request to a past ufrag         nowhere: too late, and nobody's data (T21, T23)
response to a known transaction         the owner that sent the request; nowhere when it left
Binding indication on an owned 5-tuple  the owner of the 5-tuple: a keepalive (rule 48)
other STUN on an owned 5-tuple          the owner's data: it is the application's own STUN
other STUN elsewhere                    nowhere: silence, and charged to its sender's budget
not STUN, or malformed                  the owner of the 5-tuple as data, or nowhere
======================================= ======================================================

A sender over its budget of bad packets is not even parsed where it owns no 5-tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import ClassVar, Final, Protocol, TypeAlias, TypeVar

from attrs import define, field, frozen
from twisted.logger import Logger

from refreeze.basics import Address
from refreeze.ice.events import Transmit
from refreeze.net.flood import BadSenders
from refreeze.net.port import Batch, Port
from refreeze.net.ratelog import RateLimitedLog
from refreeze.stun import Message, MessageClass, Method, StunError, is_stun, parse

FiveTuple: TypeAlias = tuple[Address, Address]
"""Base and remote address; the protocol is UDP."""

BrokenPortCallback: TypeAlias = Callable[[Address, str], None]
RefusedCallback: TypeAlias = Callable[[Port, str], None]
_T = TypeVar("_T")

REFUSED_EVERY: Final = 1.0
"""Seconds between two words about sends of one port that the machine refuses."""

_SUCCESS_RESPONSE: Final = b"\x01\x01"
"""The type of a Binding success response (RFC 8489 section 5)."""


class Owner(Protocol):
    """Who gets the datagrams of its ufrags, transactions and 5-tuples. Hashed by identity."""

    def stun_received(
        self, message: Message, port_base: Address, source: Address, now: float
    ) -> None:
        """A check, a response or a keepalive; its integrity is not verified yet."""
        ...

    def data_received(
        self, port_base: Address, source: Address, payloads: list[bytes], now: float
    ) -> None:
        """Consecutive datagrams of one 5-tuple that the owner holds, in order."""
        ...


@frozen(kw_only=True)
class MuxSettings:
    """Bounds of the mux's memory and patience."""

    max_past_ufrags: int = 4096
    transaction_seconds: float = 40.0
    """A transaction is known for at least so long and for less than twice as long; one lives
    39.5 s at most (RFC 8489 section 6.2.1)."""
    max_transactions: int = 1 << 18
    """Per half of the memory; when it is full, the older half goes early."""
    max_claims_by_answer: int = 256
    """5-tuples an owner may come to hold because it answered a check there."""
    bad_per_second: int = 200
    max_bad_senders: int = 1024


@define
class MuxCounters:
    """What became of datagrams: of those that went to somebody, and of those that did not.

    Each one received is counted once among ``stun``, ``data`` and the reasons up to ``flooded``.
    """

    received: int = 0
    stun: int = 0
    data: int = 0
    malformed: int = 0
    unknown_ufrag: int = 0
    past_ufrag: int = 0
    unknown_transaction: int = 0
    past_transaction: int = 0
    unowned: int = 0
    flooded: int = 0
    stun_as_data: int = 0
    """Part of ``data``."""
    unauthenticated: int = 0
    """Part of ``stun``."""
    refused_claims: int = 0
    no_port: int = 0
    owner_errors: int = 0


@define(eq=False, repr=False)
class _Holding:
    """What one owner has in the mux. Transactions point here, so that they outlive it safely."""

    owner: Owner | None
    ufrags: set[str] = field(factory=set)
    tuples: set[FiveTuple] = field(factory=set)


@define(eq=False, repr=False)
class Mux:
    """I own the ports' traffic; everybody else owns names in me.

    Local ufrags are unique here, a 5-tuple has one owner (rule 3 of the house), and the ufrags
    that were are remembered, within bounds, so that late checks are not taken for data.
    """

    now: Callable[[], float]
    settings: MuxSettings = field(factory=MuxSettings)
    counters: MuxCounters = field(factory=MuxCounters, init=False)
    ports: dict[Address, Port] = field(factory=dict, init=False)
    _holdings: dict[Owner, _Holding] = field(factory=dict, init=False)
    _ufrags: dict[str, _Holding] = field(factory=dict, init=False)
    _past: dict[str, _Holding] = field(factory=dict, init=False)
    _tuples: dict[FiveTuple, _Holding] = field(factory=dict, init=False)
    _fresh: dict[bytes, _Holding] = field(factory=dict, init=False)
    _aged: dict[bytes, _Holding] = field(factory=dict, init=False)
    _turned_at: float = field(default=0.0, init=False)
    _bad: BadSenders = field(init=False)
    _told_broken: set[Port] = field(factory=set, init=False)
    _broken_callbacks: list[BrokenPortCallback] = field(factory=list, init=False)
    _told_refused: dict[Address, float] = field(factory=dict, init=False)
    _refused_callbacks: list[RefusedCallback] = field(factory=list, init=False)
    _limited: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._turned_at = self.now()
        self._bad = BadSenders(self.settings.bad_per_second, self.settings.max_bad_senders)
        self._limited = RateLimitedLog(self._log, now=self.now)

    # Ports

    def add_port(self, port: Port) -> None:
        """Take over what *port* receives; it replaces a port of the same base."""
        self.ports[port.local] = port
        port.on_batch(self.batch_received)

    def remove_port(self, base: Address) -> None:
        """Forget that port; it is not closed, and the claims on its base stay."""
        port = self.ports.pop(base, None)
        if port is not None:
            self._told_broken.discard(port)
            self._told_refused.pop(base, None)

    def on_port_broken(self, callback: BrokenPortCallback) -> None:
        """Tell *callback* the base and the reason, once per port, when a send finds it broken.

        It is called inside that send: put off what takes the port away.
        """
        self._broken_callbacks.append(callback)

    def on_send_refused(self, callback: RefusedCallback) -> None:
        """Tell *callback* the port and the errno's name when the machine refuses to send.

        Once a second and port at most; a broken port is told of by :meth:`on_port_broken`.
        """
        self._refused_callbacks.append(callback)

    def max_payload(self, base: Address) -> int | None:
        """The longest datagram that the port of *base* can carry; None without a port."""
        port = self.ports.get(base)
        return None if port is None else port.max_payload

    # Names

    def register(self, local_ufrag: str, owner: Owner) -> None:
        """Checks to *local_ufrag* are for *owner*; ValueError when the name is or was another's.

        Its own may come back: an offer that was rolled back can be applied again.
        """
        past = self._past.get(local_ufrag)
        another = past is not None and past is not self._holdings.get(owner)
        if local_ufrag in self._ufrags or another:
            raise ValueError("that ufrag is taken")
        self._past.pop(local_ufrag, None)
        holding = self._holding(owner)
        holding.ufrags.add(local_ufrag)
        self._ufrags[local_ufrag] = holding

    def retire(self, local_ufrag: str) -> None:
        """Late checks to that ufrag are dropped in silence: they are nobody's data (T21, T23)."""
        holding = self._ufrags.pop(local_ufrag, None)
        if holding is None:
            return
        holding.ufrags.discard(local_ufrag)
        self._past[local_ufrag] = holding
        if len(self._past) > self.settings.max_past_ufrags:
            del self._past[next(iter(self._past))]

    def claim(self, base: Address, remote: Address, owner: Owner) -> bool:
        """Make *owner* the owner of that 5-tuple; False, counted, when another one is."""
        key = (base, remote)
        held = self._tuples.get(key)
        if held is not None:
            if held.owner is owner:
                return True
            self.counters.refused_claims += 1
            return False
        holding = self._holding(owner)
        holding.tuples.add(key)
        self._tuples[key] = holding
        return True

    def release(self, base: Address, remote: Address, owner: Owner) -> None:
        """Give that 5-tuple back, if it is *owner*'s."""
        key = (base, remote)
        held = self._tuples.get(key)
        if held is not None and held.owner is owner:
            del self._tuples[key]
            held.tuples.discard(key)

    def release_owner(self, owner: Owner) -> None:
        """Give everything back: the last call of every owner, which is kept alive until then.

        Responses that are still to come to it go nowhere, least of all to the next owner's data.
        """
        holding = self._holdings.get(owner)
        if holding is None:
            return
        for key in holding.tuples:
            del self._tuples[key]
        holding.tuples.clear()
        for ufrag in tuple(holding.ufrags):
            self.retire(ufrag)
        self._holdings.pop(owner, None)
        holding.owner = None

    def claims_of(self, owner: Owner) -> frozenset[FiveTuple]:
        """The 5-tuples that *owner* holds."""
        holding = self._holdings.get(owner)
        return frozenset() if holding is None else frozenset(holding.tuples)

    def is_claimed(self, base: Address) -> bool:
        """Whether anybody holds a 5-tuple on that base."""
        return any(key[0] == base for key in self._tuples)

    def _holding(self, owner: Owner) -> _Holding:
        holding = self._holdings.get(owner)
        if holding is None:
            holding = self._holdings[owner] = _Holding(owner)
        return holding

    # Out

    def transmit(self, owner: Owner, transmits: Iterable[Transmit]) -> list[Transmit]:
        """Send STUN; returns what could not be handed to the network.

        A request claims its 5-tuple, and its transaction is remembered. A success response
        claims the 5-tuple when nobody has it: the peer may send data there as soon as it has
        our answer, before our own check (RFC 8445 section 12.2).
        """
        failed = []
        for transmit in transmits:
            base, remote, data, transaction = transmit
            if transaction is not None:
                if not self.claim(base, remote, owner):
                    failed.append(transmit)
                    continue
                self._remember(transaction, owner)
            elif data[:2] == _SUCCESS_RESPONSE and (base, remote) not in self._tuples:
                self._claim_by_answer(base, remote, owner)
            if not self._send(base, ((data, remote, 0),)):
                failed.append(transmit)
        return failed

    def send_data(
        self, owner: Owner, base: Address, remote: Address, payloads: Sequence[bytes], tos: int = 0
    ) -> int:
        """Send data on *owner*'s 5-tuple; returns how many the port took, in order."""
        if not self.claim(base, remote, owner):
            return 0
        return self._send(base, [(payload, remote, tos) for payload in payloads])

    def _send(self, base: Address, batch: Batch) -> int:
        port = self.ports.get(base)
        if port is None:
            self.counters.no_port += len(batch)
            return 0
        handed = port.send(batch)
        if handed < len(batch):
            self._not_all_sent(base, port)
        return handed

    def _not_all_sent(self, base: Address, port: Port) -> None:
        error = port.counters.last_send_error
        if port.broken is not None:
            if port not in self._told_broken:
                self._told_broken.add(port)
                self._tell(self._broken_callbacks, base, port.broken)
        elif error is not None:
            now = self.now()
            if now >= self._told_refused.get(base, -inf) + REFUSED_EVERY:
                self._told_refused[base] = now
                self._tell(self._refused_callbacks, port, error)

    def _tell(self, callbacks: Iterable[Callable[[_T, str], None]], what: _T, why: str) -> None:
        for callback in callbacks:
            try:
                callback(what, why)
            except Exception:
                self._owner_failed()

    def _claim_by_answer(self, base: Address, remote: Address, owner: Owner) -> None:
        holding = self._holdings.get(owner)
        if holding is not None and len(holding.tuples) < self.settings.max_claims_by_answer:
            self.claim(base, remote, owner)

    def _remember(self, transaction: bytes, owner: Owner) -> None:
        """Two halves that take turns: forgetting costs nothing per transaction."""
        age = self.now() - self._turned_at
        seconds = self.settings.transaction_seconds
        if age >= seconds or len(self._fresh) >= self.settings.max_transactions:
            self._aged = self._fresh if age < 2 * seconds else {}
            self._fresh = {}
            self._turned_at += age
        self._fresh[transaction] = self._holding(owner)

    # In

    def batch_received(self, port: Port, batch: Batch) -> None:
        """Demultiplex what one turn of a port's reader found, in order; nothing is raised.

        Consecutive data of one source goes to its owner in one call.
        """
        base = port.local
        if self.ports.get(base) is not port:
            return
        now = self.now()
        self.counters.received += len(batch)
        run: list[bytes] = []
        run_source: Address = base
        for data, source, _tos in batch:
            if data and data[0] < 4 and is_stun(data):
                if run:
                    self._deliver(base, run_source, run, now)
                    run = []
                if self._take_stun(data, base, source, now):
                    continue
            if run and source == run_source:
                run.append(data)
                continue
            if run:
                self._deliver(base, run_source, run, now)
            run, run_source = [data], source
        if run:
            self._deliver(base, run_source, run, now)

    def unauthenticated(self, source: Address, now: float) -> None:
        """For owners: a check of *source* had a wrong integrity. It is charged for it."""
        self.counters.unauthenticated += 1
        self._bad.charge(source[0], now)

    def _deliver(self, base: Address, source: Address, payloads: list[bytes], now: float) -> None:
        holding = self._tuples.get((base, source))
        if holding is None or holding.owner is None:
            self.counters.unowned += len(payloads)
            return
        self.counters.data += len(payloads)
        try:
            holding.owner.data_received(base, source, payloads, now)
        except Exception:
            self._owner_failed()

    def _take_stun(self, data: bytes, base: Address, source: Address, now: float) -> bool:
        """True when *data* went to an owner as STUN, or goes no further; False for data."""
        holding = self._tuples.get((base, source))
        if holding is None and self._bad.over(source[0], now):
            self.counters.flooded += 1
            return True
        try:
            message = parse(data)
        except StunError:
            # On an owned 5-tuple it may be the application's, whatever it looks like to us.
            if holding is None:
                self.counters.malformed += 1
            return self._nobodys_stun(holding, source, now)
        kind = message.message_class
        if kind is MessageClass.REQUEST:
            return self._take_request(message, holding, base, source, now)
        if kind is MessageClass.INDICATION:
            if holding is None:
                self.counters.unowned += 1
            elif message.method == Method.BINDING:
                return self._hand_over(holding, message, base, source, now)
            return self._nobodys_stun(holding, source, now)
        return self._take_response(message, holding, base, source, now)

    def _take_request(
        self,
        message: Message,
        holding: _Holding | None,
        base: Address,
        source: Address,
        now: float,
    ) -> bool:
        username = message.username
        if username is not None and message.method == Method.BINDING:
            ufrag = username.partition(":")[0]
            named = self._ufrags.get(ufrag)
            if named is not None:
                return self._hand_over(named, message, base, source, now)
            if ufrag in self._past:
                self.counters.past_ufrag += 1
                if holding is None:
                    self._bad.charge(source[0], now)
                return True
        if holding is None:
            self.counters.unknown_ufrag += 1
        return self._nobodys_stun(holding, source, now)

    def _take_response(
        self,
        message: Message,
        holding: _Holding | None,
        base: Address,
        source: Address,
        now: float,
    ) -> bool:
        transaction = message.transaction_id
        asked = self._fresh.get(transaction) or self._aged.get(transaction)
        if asked is not None:
            if asked.owner is None:
                self.counters.past_transaction += 1
                return True
            return self._hand_over(asked, message, base, source, now)
        if holding is None:
            self.counters.unknown_transaction += 1
        return self._nobodys_stun(holding, source, now)

    def _hand_over(
        self, holding: _Holding, message: Message, base: Address, source: Address, now: float
    ) -> bool:
        self.counters.stun += 1
        owner = holding.owner
        if owner is not None:
            try:
                owner.stun_received(message, base, source, now)
            except Exception:
                self._owner_failed()
        return True

    def _nobodys_stun(self, holding: _Holding | None, source: Address, now: float) -> bool:
        """On an owned 5-tuple it is the application's; elsewhere silence, and it is charged."""
        if holding is not None:
            self.counters.stun_as_data += 1
            return False
        self._bad.charge(source[0], now)
        return True

    def _owner_failed(self) -> None:
        self.counters.owner_errors += 1
        self._limited.failure("an owner failed on a datagram; others are not affected")
