"""``.local`` names of remote candidates to addresses, by multicast DNS (RFC 6762).

The questions are ordinary ones from port 5353, to be answered to the group: Chromium's responder
does not answer anybody alone, and takes but one question of a message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.names.dns import AAAA, IN, A, Message, Record_A, Record_AAAA, RRHeader, UnknownRecord

from refreeze.basics import canonical_host, is_mdns_name
from refreeze.net.mdnsgroup import Link, MdnsGroup, encode
from refreeze.net.resolve import ResolveError, Waiters

MAX_NAMES: Final = 64
"""Names that are asked for at a time."""
MAX_HOSTS: Final = 8
"""Addresses that are taken of one name."""
INTERVALS: Final = (1.0, 2.0)
"""Seconds between two questions for one name: at least one, then twice as long (5.2)."""
GIVE_UP: Final = 5.0
"""Seconds after the first question."""
SETTLE: Final = 0.2
"""Seconds that the other family has after the first address."""

_NSEC: Final = 47
_CLASS: Final = 0x7FFF
"""Without the bit that has caches flushed (section 10.2)."""
_RESPONSE: Final = 0x80


@define(eq=False, repr=False)
class _Question:
    """One name that somebody waits for."""

    label: bytes
    """As it stands in every answer, compressed or not: length, then lower case."""
    hosts: dict[str, None] = field(factory=dict)
    families: set[int] = field(factory=set)
    """Of which all is known: an address came, or the word that there is none."""
    waiters: Waiters = field(factory=Waiters)
    settling: bool = False
    """An address came: nothing more is asked, and little more waited for."""
    timers: list[IDelayedCall] = field(factory=list)

    def stop(self) -> None:
        """No timer is left."""
        for timer in self.timers:
            if timer.active():
                timer.cancel()
        self.timers.clear()


@define(eq=False, repr=False, kw_only=True)
class MdnsResolver:
    """I ask every link for a name until somebody answers, or for five seconds."""

    group: MdnsGroup
    clock: IReactorTime
    _questions: dict[str, _Question] = field(factory=dict, init=False)

    @property
    def pending(self) -> Sequence[str]:
        """The names that somebody waits for."""
        return list(self._questions)

    def resolve(self, name: str) -> Deferred[tuple[str, ...]]:
        """The addresses of *name* (``LABEL.local``), at least one; link-local ones with a zone.

        Fails with ResolveError: ``bad-name``, ``unresolved``, ``too-many``. May be cancelled.
        """
        if not is_mdns_name(name):
            return fail(ResolveError("bad-name", "not a name of multicast DNS"))
        name = name.lower()
        question = self._questions.get(name)
        if question is not None:
            return question.waiters.join()
        if len(self._questions) >= MAX_NAMES:
            return fail(ResolveError("too-many", "too many names are being asked for"))
        return self._begin(name)

    def stop(self) -> None:
        """Nobody is answered any more: whoever waits gets a ResolveError."""
        for name, question in list(self._questions.items()):
            question.hosts.clear()
            self._end(name)

    # Asking

    def _begin(self, name: str) -> Deferred[tuple[str, ...]]:
        label = name.removesuffix(".local").encode()
        question = self._questions[name] = _Question(bytes([len(label)]) + label)
        question.waiters.left = lambda: self._left(name)
        waiter = question.waiters.join()
        self.group.join(self)
        at = 0.0
        for interval in INTERVALS:
            at += interval
            question.timers.append(self.clock.callLater(at, self._ask, name))
        question.timers.append(self.clock.callLater(GIVE_UP, self._end, name))
        self._ask(name)
        return waiter

    def _ask(self, name: str) -> None:
        for kind in (A, AAAA):
            message = Message()
            message.addQuery(name, kind, IN)
            self.group.send(encode(message))

    def _left(self, name: str) -> None:
        """Somebody cancelled; with the last of them the question goes."""
        question = self._questions.get(name)
        if question is not None and not question.waiters:
            self._end(name)

    def _end(self, name: str) -> None:
        question = self._questions.pop(name)
        question.stop()
        if not self._questions:
            self.group.leave(self)
        question.waiters.tell(question.hosts)

    # Answers (GroupUser)

    def wants(self, data: bytes) -> bool:
        """See :class:`~refreeze.net.mdnsgroup.GroupUser`: a response that has a label of ours."""
        if not data[2] & _RESPONSE:
            return False
        return any(question.label in data for question in self._questions.values())

    def heard(self, message: Message, link: Link) -> None:
        """See :class:`~refreeze.net.mdnsgroup.GroupUser`; other names in it are ignored."""
        for record in [*message.answers, *message.additional]:
            question = self._questions.get(_name(record))
            if question is not None and record.cls & _CLASS == IN and record.ttl:
                _take(question, record, link)
        for name, question in list(self._questions.items()):
            if question.hosts and question.families == {4, 6}:
                self._end(name)
            elif question.hosts:
                self._settle(name)

    def _settle(self, name: str) -> None:
        question = self._questions[name]
        if not question.settling:
            question.settling = True
            question.stop()
            question.timers.append(self.clock.callLater(SETTLE, self._end, name))


def _name(record: RRHeader) -> str:
    """Whose it is; no name of ours when it is no ASCII."""
    return str(record.name.name.decode("ascii", "replace")).lower()


def _take(question: _Question, record: RRHeader, link: Link) -> None:
    """What it tells; a link-local address is of the link it was told on."""
    payload = record.payload
    if record.type == _NSEC and isinstance(payload, UnknownRecord):
        question.families |= {4, 6} - _existing(payload.data)
        return
    if isinstance(payload, Record_A):
        family, host = 4, str(ipaddress.IPv4Address(payload.address))
    elif isinstance(payload, Record_AAAA):
        six = ipaddress.IPv6Address(payload.address)
        family, host = 6, six.compressed
        if six.is_link_local:
            host = canonical_host(f"{host}%{link.interface}")
    else:
        return
    question.families.add(family)
    if len(question.hosts) < MAX_HOSTS:
        question.hosts[host] = None


def _existing(data: bytes) -> set[int]:
    """The families that an NSEC has addresses of; all of them when it cannot be read.

    RFC 6762 section 6.1: one name, which may be compressed, and one block of at most 32 bytes.
    """
    at = 0
    while at < len(data) and 0 < data[at] < 64:
        at += 1 + data[at]
    at += 2 if data[at : at + 1] >= b"\xc0" else 1
    bits = data[at + 2 :]
    if len(bits) == 0 or data[at] != 0 or data[at + 1] != len(bits):
        return {4, 6}
    return {family for family, kind in ((4, A), (6, AAAA)) if _has(bits, kind)}


def _has(bits: bytes, kind: int) -> bool:
    return kind >> 3 < len(bits) and bool(bits[kind >> 3] & 0x80 >> (kind & 7))
