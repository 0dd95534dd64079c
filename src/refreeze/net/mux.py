"""The mux: whose is a datagram? STUN by ufrag and transaction, everything else by 5-tuple.

A request goes to the owner of the *local ufrag in its USERNAME*, never by address first (T22); a
response to the owner of its transaction id. STUN on an owned 5-tuple that is none of ours (no
ufrag, present or past, and no transaction) is the application's. A 5-tuple has one owner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Protocol, TypeAlias

from attrs import define, field
from twisted.logger import Logger

from refreeze.basics import Address
from refreeze.ice.events import Transmit
from refreeze.net.port import Batch, Port
from refreeze.stun import Message, MessageClass, StunError, is_stun, parse

FiveTuple: TypeAlias = tuple[Address, Address]

MAX_PAST_UFRAGS = 4096
TRANSACTION_SECONDS = 40.0
"""A transaction is known for at least so long, and for less than twice as long."""

BAD_PER_SECOND = 200
"""STUN that led nowhere, per source host; what comes above it is dropped unread."""

MAX_BAD_HOSTS = 1024


class Owner(Protocol):
    """Who gets the datagrams of its ufrags and 5-tuples."""

    def stun_received(
        self, message: Message, port_base: Address, source: Address, now: float
    ) -> None: ...

    def data_received(
        self, port_base: Address, source: Address, payloads: list[bytes], now: float
    ) -> None: ...


@define
class MuxCounters:
    """What became of datagrams that went to nobody, and of those that did."""

    stun: int = 0
    data: int = 0
    malformed: int = 0
    unknown_ufrag: int = 0
    past_ufrag: int = 0
    unknown_transaction: int = 0
    unowned: int = 0
    flooded: int = 0
    refused_claims: int = 0
    no_port: int = 0
    owner_errors: int = 0


@define(eq=False)
class Mux:
    """I own the ports' traffic; everybody else owns names in me."""

    now: Callable[[], float]
    counters: MuxCounters = field(factory=MuxCounters, init=False)
    ports: dict[Address, Port] = field(factory=dict, init=False)
    _ufrags: dict[str, Owner] = field(factory=dict, init=False)
    _past: OrderedDict[str, None] = field(factory=OrderedDict, init=False)
    _owners: dict[FiveTuple, Owner] = field(factory=dict, init=False)
    _claims: dict[Owner, set[FiveTuple]] = field(factory=dict, init=False)
    _fresh: dict[bytes, Owner] = field(factory=dict, init=False)
    _aged: dict[bytes, Owner] = field(factory=dict, init=False)
    _turned_at: float = field(default=0.0, init=False)
    _bad: dict[str, int] = field(factory=dict, init=False)
    _bad_since: float = field(default=0.0, init=False)

    _log: ClassVar[Logger] = Logger()

    # Names

    def add_port(self, port: Port) -> None:
        """Take over what *port* receives."""
        self.ports[port.local] = port
        port.on_batch(self.batch_received)

    def remove_port(self, base: Address) -> None:
        """Forget that port; it is not closed."""
        self.ports.pop(base, None)

    def register(self, local_ufrag: str, owner: Owner) -> None:
        """Checks to *local_ufrag* are for *owner*; ValueError when the name is or was taken."""
        if local_ufrag in self._ufrags or local_ufrag in self._past:
            raise ValueError("that ufrag is taken")
        self._ufrags[local_ufrag] = owner

    def retire(self, local_ufrag: str) -> None:
        """Late checks to that ufrag are dropped in silence: they are nobody's data (T21, T23)."""
        if self._ufrags.pop(local_ufrag, None) is not None:
            self._past[local_ufrag] = None
            if len(self._past) > MAX_PAST_UFRAGS:
                self._past.popitem(last=False)

    def claim(self, base: Address, remote: Address, owner: Owner) -> bool:
        """Make *owner* the owner of that 5-tuple; False when another one is."""
        key = (base, remote)
        held = self._owners.get(key)
        if held is None:
            self._owners[key] = owner
            self._claims.setdefault(owner, set()).add(key)
            return True
        if held is not owner:
            self.counters.refused_claims += 1
            return False
        return True

    def release(self, base: Address, remote: Address, owner: Owner) -> None:
        """Give that 5-tuple back, if it is *owner*'s."""
        key = (base, remote)
        if self._owners.get(key) is owner:
            del self._owners[key]
            self._claims[owner].discard(key)

    def release_owner(self, owner: Owner) -> None:
        """Give everything back; *owner*'s transactions are forgotten as they age."""
        for key in self._claims.pop(owner, ()):
            del self._owners[key]
        for ufrag in [u for u, held in self._ufrags.items() if held is owner]:
            self.retire(ufrag)

    def claims_of(self, owner: Owner) -> frozenset[FiveTuple]:
        """The 5-tuples that *owner* holds."""
        return frozenset(self._claims.get(owner, ()))

    # Out

    def transmit(self, owner: Owner, transmits: Iterable[Transmit]) -> list[Transmit]:
        """Send STUN; returns what could not be handed to the network.

        A request claims its 5-tuple and its transaction is remembered.
        """
        failed = []
        for transmit in transmits:
            if transmit.transaction is not None:
                if not self.claim(transmit.base, transmit.remote, owner):
                    failed.append(transmit)
                    continue
                self._remember(transmit.transaction, owner)
            port = self.ports.get(transmit.base)
            if port is None:
                self.counters.no_port += 1
                failed.append(transmit)
            elif not port.send(((transmit.data, transmit.remote, 0),)):
                failed.append(transmit)
        return failed

    def send_data(
        self, owner: Owner, base: Address, remote: Address, payloads: Sequence[bytes], tos: int = 0
    ) -> int:
        """Send data on a 5-tuple that *owner* holds; returns how many the port took."""
        port = self.ports.get(base)
        if port is None or not self.claim(base, remote, owner):
            return 0
        return port.send([(payload, remote, tos) for payload in payloads])

    def _remember(self, transaction: bytes, owner: Owner) -> None:
        now = self.now()
        if now - self._turned_at >= TRANSACTION_SECONDS:
            stale = now - self._turned_at >= 2 * TRANSACTION_SECONDS
            self._aged = {} if stale else self._fresh
            self._fresh = {}
            self._turned_at = now
        self._fresh[transaction] = owner

    # In

    def batch_received(self, port: Port, batch: Batch) -> None:
        """Demultiplex what one turn of a port's reader found; nothing is raised."""
        now, base = self.now(), port.local
        run: list[bytes] = []
        run_owner: Owner | None = None
        run_source: Address | None = None
        for data, source, _tos in batch:
            if is_stun(data) and self._take_stun(data, base, source, now):
                continue
            if run and source == run_source:
                run.append(data)
                continue
            self._deliver(run_owner, base, run_source, run, now)
            run, run_source = [data], source
            run_owner = self._owners.get((base, source))
        self._deliver(run_owner, base, run_source, run, now)

    def _deliver(
        self,
        owner: Owner | None,
        base: Address,
        source: Address | None,
        payloads: list[bytes],
        now: float,
    ) -> None:
        if not payloads or source is None:
            return
        if owner is None:
            self.counters.unowned += len(payloads)
            return
        self.counters.data += len(payloads)
        try:
            owner.data_received(base, source, payloads, now)
        except Exception:
            self._owner_failed()

    def _take_stun(self, data: bytes, base: Address, source: Address, now: float) -> bool:
        """True when *data* was STUN of ours, or must go no further."""
        owned = (base, source) in self._owners
        if not owned and self._flooding(source[0], now):
            self.counters.flooded += 1
            return True
        try:
            message = parse(data)
        except StunError:
            self.counters.malformed += 1
            return self._bad_stun(source, owned)
        owner = self._owner_of(message)
        if owner is not None:
            self.counters.stun += 1
            try:
                owner.stun_received(message, base, source, now)
            except Exception:
                self._owner_failed()
            return True
        username = message.username
        if username is not None and username.partition(":")[0] in self._past:
            self.counters.past_ufrag += 1
            return True
        if message.message_class is MessageClass.REQUEST:
            self.counters.unknown_ufrag += 1
        else:
            self.counters.unknown_transaction += 1
        return self._bad_stun(source, owned)

    def _owner_of(self, message: Message) -> Owner | None:
        if message.message_class is MessageClass.REQUEST:
            username = message.username
            return self._ufrags.get(username.partition(":")[0]) if username else None
        transaction = message.transaction_id
        return self._fresh.get(transaction) or self._aged.get(transaction)

    def _bad_stun(self, source: Address, owned: bool) -> bool:
        """On an owned 5-tuple it is the application's; elsewhere it is silence, and counted."""
        if owned:
            return False
        self.unauthenticated(source)
        return True

    def unauthenticated(self, source: Address) -> None:
        """Count a datagram that led nowhere against its host's budget."""
        host = source[0]
        if host in self._bad or len(self._bad) < MAX_BAD_HOSTS:
            self._bad[host] = self._bad.get(host, 0) + 1

    def _flooding(self, host: str, now: float) -> bool:
        if now - self._bad_since >= 1.0:
            self._bad.clear()
            self._bad_since = now
        return self._bad.get(host, 0) >= BAD_PER_SECOND

    def _owner_failed(self) -> None:
        self.counters.owner_errors += 1
        if self.counters.owner_errors.bit_count() == 1:
            self._log.failure(
                "an owner failed on a datagram ({count} so far)",
                count=self.counters.owner_errors,
            )
