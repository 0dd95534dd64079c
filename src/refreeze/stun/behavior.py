"""What a NAT does, found out with a server that has a second address (RFC 5780). Sans-IO.

A probe is one socket's conversation with one server. :class:`MappingProbe` (section 4.3) learns
the mapped address and whether other destinations see the same one; :class:`FilteringProbe`
(section 4.4) learns who may send to it, and wants a socket that never sent to the server's other
addresses: the NAT would let those in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from refreeze.basics import Address, Randomness, format_address, is_ipv6
from refreeze.stun.attributes import Attribute
from refreeze.stun.builder import MessageBuilder
from refreeze.stun.message import Message
from refreeze.stun.message_type import MessageClass, Method
from refreeze.stun.retransmission import RetransmissionSchedule
from refreeze.stun.transaction import ClientTransaction

PATIENCE: Final = RetransmissionSchedule(rto=0.5, rc=3, rm=2)
"""Sends at 0, 0.5 and 1.5 s, given up at 2.5 s: somebody sits in front of a terminal and waits,
and that nobody answers is what a test of filtering often has to find out."""

CHANGE_ADDRESS: Final = 0x04
CHANGE_PORT: Final = 0x02
"""Bits of CHANGE-REQUEST's last byte (RFC 5780 section 7.2)."""


class MappingBehavior(StrEnum):
    """Whether another destination sees another mapped address (RFC 4787 section 4.1)."""

    NONE = "none"
    """The mapped address is the socket's own: nobody translates."""
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


class FilteringBehavior(StrEnum):
    """Who may send to a mapping: anybody, hosts that were sent to, or endpoints that were
    (RFC 4787 section 5). A firewall that does not translate filters too."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


@frozen
class BindingProblem:
    """Why a server gave no mapped address. *code* is the STUN error's, None: it gave no answer."""

    code: int | None
    text: str
    """One line; what the server said in it is bounded and printable."""


@define(eq=False, repr=False, kw_only=True)
class BindingTest:
    """One Binding request to *to*, whose answer comes from *source* or is none.

    *change*: what the server is asked to change of the address that it answers from.
    """

    to: Address
    source: Address
    transaction_id: bytes
    started: float
    change: int = 0
    answer: Message | None = field(default=None, init=False)
    expired: bool = field(default=False, init=False)
    """Nobody answered in time."""
    unchanged: bool = field(default=False, init=False)
    """The server was asked to answer from elsewhere, and answered from where it was asked."""
    strangers: int = field(default=0, init=False)
    """Answers from other addresses than they may come from: not believed."""
    rtt: float | None = field(default=None, init=False)
    """Seconds; since the first send when there were more, so that it is an upper bound."""
    _transaction: ClientTransaction = field(init=False)

    def __attrs_post_init__(self) -> None:
        builder = MessageBuilder(Method.BINDING, MessageClass.REQUEST, self.transaction_id)
        if self.change:
            builder.add(Attribute.CHANGE_REQUEST, self.change.to_bytes(4, "big"))
        self._transaction = ClientTransaction(
            transaction_id=self.transaction_id, request=builder.build(), schedule=PATIENCE
        )

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.answer is not None or self.expired or self.unchanged

    @property
    def mapped(self) -> Address | None:
        """What the server saw; None when it did not say, or refused."""
        answer = self.answer
        if answer is None or answer.message_class is not MessageClass.SUCCESS:
            return None
        mapped = answer.xor_mapped_address
        if mapped is None or is_ipv6(mapped[0]) != is_ipv6(self.to[0]):
            return None
        return mapped

    @property
    def error(self) -> tuple[int, str] | None:
        """Code and phrase when the server refused."""
        return None if self.answer is None else self.answer.error_code

    def next_deadline(self) -> float | None:
        """When to send again or to give up."""
        return None if self.over else self._transaction.next_deadline()

    def due(self, now: float) -> bytes | None:
        """What is to be sent now, if anything; giving up is done here."""
        if self.over:
            return None
        self.expired = self._transaction.expired(now)
        return self._transaction.due(now)

    def receive(self, message: Message, source: Address, now: float) -> bool:
        """Whether *message* answers this request, be it believed or not."""
        if message.transaction_id != self.transaction_id or message.method != Method.BINDING:
            return False
        if message.message_class not in (MessageClass.SUCCESS, MessageClass.ERROR):
            return False
        if self.over:
            return True
        if source == self.source:
            self.answer = message
            self.rtt = self._transaction.rtt(now) or now - self.started
        elif self.change and source == self.to:
            self.unchanged = True
        else:
            self.strangers += 1
        return True


@define(eq=False, repr=False, kw_only=True)
class _Probe:
    """Tests that run beside each other, and what is to be sent for them."""

    server: Address
    random: Randomness
    unsent: int = field(default=0, init=False)
    """Requests that did not even leave."""
    _running: list[BindingTest] = field(factory=list, init=False)
    _transmits: list[tuple[bytes, Address]] = field(factory=list, init=False)

    @property
    def over(self) -> bool:
        """Whether the result is there."""
        return not self._running

    def next_deadline(self) -> float | None:
        """Monotonic seconds, or None when it is over."""
        deadlines = [at for test in self._running if (at := test.next_deadline()) is not None]
        return min(deadlines, default=None)

    def handle_timeout(self, now: float) -> None:
        """Send again, or give up."""
        for test in self._running:
            request = test.due(now)
            if request is not None:
                self._transmits.append((request, test.to))
        self._go_on(now)

    def receive(self, message: Message, source: Address, now: float) -> bool:
        """Take what came to the socket; whether it was for this probe."""
        if not any(test.receive(message, source, now) for test in self._running):
            return False
        self._go_on(now)
        return True

    def take_transmits(self) -> Sequence[tuple[bytes, Address]]:
        """Datagrams and where they go."""
        taken, self._transmits = self._transmits, []
        return taken

    def not_sent(self) -> None:
        """One of :meth:`take_transmits` could not leave: nobody will answer it."""
        self.unsent += 1

    def _ask(self, now: float, to: Address, source: Address, change: int = 0) -> BindingTest:
        test = BindingTest(
            to=to,
            source=source,
            transaction_id=self.random.randbytes(12),
            started=now,
            change=change,
        )
        request = test.due(now)
        assert request is not None  # the first send is due at once
        self._running.append(test)
        self._transmits.append((request, to))
        return test

    def _go_on(self, now: float) -> None:
        """Something may be known now."""
        raise NotImplementedError


@define(eq=False, repr=False, kw_only=True)
class MappingProbe(_Probe):
    """I find out how the NAT maps *local*, the socket's address (RFC 5780 section 4.3).

    *own*: the hosts of this machine, where no server can be. Results: ``mapped`` and ``rtt``, or
    ``problem``; then ``mapping``, and in ``why`` why it is unknown. ``other`` is the server's
    OTHER-ADDRESS when it is of use, and ``no_other`` why it is not.
    """

    local: Address
    own: Collection[str] = ()
    mapped: Address | None = field(default=None, init=False)
    rtt: float | None = field(default=None, init=False)
    software: str | None = field(default=None, init=False)
    problem: BindingProblem | None = field(default=None, init=False)
    other: Address | None = field(default=None, init=False)
    no_other: str | None = field(default=None, init=False)
    mapping: MappingBehavior = field(default=MappingBehavior.UNKNOWN, init=False)
    why: str | None = field(default=None, init=False)
    _first: BindingTest | None = field(default=None, init=False)
    _elsewhere: tuple[BindingTest, BindingTest] | None = field(default=None, init=False)
    """Tests II and III: the other host, at the same port and at the other one."""

    def start(self, now: float) -> None:
        """Test I: is there UDP connectivity, and what is the mapped address?"""
        self._first = self._ask(now, self.server, self.server)

    def _go_on(self, now: float) -> None:
        first = self._first
        if first is not None and first.over and self._elsewhere is None and self._running:
            self._running.clear()
            self._read_first(first)
            if self.other is not None and self.mapping is MappingBehavior.UNKNOWN:
                self._ask_elsewhere(now, self.other)
        elif self._elsewhere is not None and self._running:
            self._compare(*self._elsewhere)

    def _read_first(self, test: BindingTest) -> None:
        self.mapped = test.mapped
        if self.mapped is None or test.answer is None:
            self.problem = _problem(test, self.unsent)
            self.why = self.no_other = "the server gave no mapped address"
            return
        self.rtt, self.software = test.rtt, test.answer.software
        other = test.answer.other_address
        self.no_other = check_other_address(other, self.server, (*self.own, self.mapped[0]))
        if self.no_other is None:
            self.other = other
        if self.mapped == self.local:
            self.mapping = MappingBehavior.NONE
        else:
            self.why = self.no_other

    def _ask_elsewhere(self, now: float, other: Address) -> None:
        same_port = (other[0], self.server[1])
        self._elsewhere = (self._ask(now, same_port, same_port), self._ask(now, other, other))

    def _compare(self, second: BindingTest, third: BindingTest) -> None:
        for test in (second, third):
            if test.rtt is not None and self.rtt is not None:
                self.rtt = min(self.rtt, test.rtt)
        if second.over and second.mapped is None:
            self.why = "the server's other address does not answer"
        elif second.mapped == self.mapped:
            self.mapping = MappingBehavior.ENDPOINT_INDEPENDENT
        elif not (second.over and third.over):
            return
        elif third.mapped is None:
            self.why = "the server's other port does not answer"
        elif third.mapped == second.mapped:
            self.mapping = MappingBehavior.ADDRESS_DEPENDENT
        else:
            self.mapping = MappingBehavior.ADDRESS_AND_PORT_DEPENDENT
        self._running.clear()


@define(eq=False, repr=False, kw_only=True)
class FilteringProbe(_Probe):
    """I find out who may send to a mapping (RFC 5780 section 4.4). *other*: of a MappingProbe.

    Tests II and III run beside each other: neither sends to another address than the server's
    first, so none opens the way for the other's answer. Results: ``filtering``, and in ``why``
    why it is unknown.
    """

    other: Address
    filtering: FilteringBehavior = field(default=FilteringBehavior.UNKNOWN, init=False)
    why: str | None = field(default=None, init=False)
    _tests: tuple[BindingTest, BindingTest, BindingTest] | None = field(default=None, init=False)

    def start(self, now: float) -> None:
        """All three tests; the plain one shows that silence is the filter's and not the path's."""
        server, other = self.server, self.other
        self._tests = (
            self._ask(now, server, server),
            self._ask(now, server, other, CHANGE_ADDRESS | CHANGE_PORT),
            self._ask(now, server, (server[0], other[1]), CHANGE_PORT),
        )

    def _go_on(self, now: float) -> None:
        if self._tests is None or not self._running:
            return
        plain, elsewhere, other_port = self._tests
        if elsewhere.mapped is not None:
            self.filtering = FilteringBehavior.ENDPOINT_INDEPENDENT
        elif any(test.unchanged or test.error for test in (elsewhere, other_port)):
            self.why = "the server does not answer from another address"
        elif not all(test.over for test in self._tests):
            return
        elif plain.mapped is None:
            self.why = "the server does not answer any more"
        elif other_port.mapped is not None:
            self.filtering = FilteringBehavior.ADDRESS_DEPENDENT
        else:
            self.filtering = FilteringBehavior.ADDRESS_AND_PORT_DEPENDENT
        self._running.clear()


def check_other_address(other: Address | None, server: Address, own: Collection[str]) -> str | None:
    """Why *other* (a server's OTHER-ADDRESS) is of no use, or None.

    It would make us send wherever the server says, so it has to be a place where a server of the
    same network can be: not here, and no more private than the server itself is.
    """
    if other is None:
        return "the server has no second address (RFC 5780)"
    shown = format_address(other)
    host, at = ipaddress.ip_address(other[0]), ipaddress.ip_address(server[0].partition("%")[0])
    if host.version != at.version or host == at or other[1] == 0 or other[1] == server[1]:
        return f"the server's second address is no second one: {shown}"
    if other[0] in own or host.is_multicast or host.is_unspecified or host.is_reserved:
        return f"the server's second address cannot be a server: {shown}"
    for kind in ("is_loopback", "is_link_local", "is_private"):
        if getattr(host, kind) and not getattr(at, kind):
            return f"the server's second address is not where it is: {shown}"
    return None


def _problem(test: BindingTest, unsent: int) -> BindingProblem:
    """Why test I gave no mapped address."""
    if test.error is not None:
        code, phrase = test.error
        return BindingProblem(code, _printable(phrase) or "refused")
    if test.answer is not None:
        return BindingProblem(None, "its answer has no mapped address")
    if test.strangers:
        return BindingProblem(None, "only other addresses than its own answered")
    if unsent >= PATIENCE.rc:
        return BindingProblem(None, "nothing can be sent there from here")
    return BindingProblem(None, f"no answer within {PATIENCE.timeout:g} s")


def _printable(phrase: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in phrase[:80]).strip()
