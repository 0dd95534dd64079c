"""Our own host addresses behind ``.local`` names, answered for on the link (RFC 6762).

What browsers do (draft-ietf-mmusic-mdns-ice-candidates section 3.1). The names are random UUIDs,
122 bits that nobody else has, so we do not probe for them first (section 8.1); all answers go to
the group, also those that might go to who asked alone (section 5.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final
from uuid import UUID

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.names.dns import (
    AAAA,
    ALL_RECORDS,
    IN,
    A,
    Message,
    Record_A,
    Record_AAAA,
    RRHeader,
    UnknownRecord,
)

from refreeze.basics import Randomness, is_ipv6
from refreeze.net.mdnsgroup import Link, MdnsGroup, encode

MAX_PUBLISHED: Final = 64
"""Names at a time; the oldest makes room."""
TTL: Final = 120
"""Seconds that others may remember an address (section 10)."""
ANNOUNCE_AGAIN: Final = 1.0
"""Seconds between the two announcements of a name (section 8.3)."""
QUIET: Final = 1.0
"""Seconds in which a name is multicast but once on a link (section 6)."""

_NSEC: Final = 47
_FLUSH: Final = 0x8000 | IN
"""These records are all there are of their name and type (section 10.2)."""
_CLASS: Final = 0x7FFF
_KINDS: Final = frozenset({A, AAAA, ALL_RECORDS})
_RESPONSE: Final = 0x80


@define(eq=False, repr=False)
class _Published:
    """One name of ours."""

    label: bytes
    hosts: tuple[str, ...]
    answered: dict[tuple[Link, int], float] = field(factory=dict)
    """When which type of it was multicast last, by link."""
    later: dict[tuple[Link, int], IDelayedCall] = field(factory=dict)
    """Answers that are due, by type and link."""
    again: IDelayedCall | None = None

    def stop(self) -> None:
        """No timer is left."""
        for timer in [*self.later.values(), *([] if self.again is None else [self.again])]:
            if timer.active():
                timer.cancel()
        self.later.clear()


@define(eq=False, repr=False, kw_only=True)
class MdnsResponder:
    """I publish addresses under names that tell nothing, and take them back."""

    group: MdnsGroup
    clock: IReactorTime
    random: Randomness
    _names: dict[str, _Published] = field(factory=dict, init=False)

    @property
    def published(self) -> Sequence[str]:
        """The names that are answered for."""
        return list(self._names)

    def publish(self, hosts: Iterable[str]) -> str:
        """A new name for *hosts* (numeric; a zone stays at home), announced at once."""
        while len(self._names) >= MAX_PUBLISHED:
            self.withdraw(next(iter(self._names)))
        name = f"{UUID(int=self.random.getrandbits(128), version=4)}.local"
        label = name.removesuffix(".local").encode()
        bare = tuple(dict.fromkeys(host.partition("%")[0] for host in hosts))
        published = self._names[name] = _Published(bytes([len(label)]) + label, bare)
        self.group.join(self)
        self._announce(name)
        published.again = self.clock.callLater(ANNOUNCE_AGAIN, self._announce, name)
        return name

    def withdraw(self, name: str) -> None:
        """Say goodbye to it (section 10.1). Idempotent."""
        published = self._names.pop(name, None)
        if published is None:
            return
        published.stop()
        self.group.send(_response(_addresses(name, published.hosts, ttl=0)))
        if not self._names:
            self.group.leave(self)

    def stop(self) -> None:
        """Withdraw everything."""
        for name in list(self._names):
            self.withdraw(name)

    def _announce(self, name: str) -> None:
        self.group.send(_response(_addresses(name, self._names[name].hosts)))

    # Questions (GroupUser)

    def wants(self, data: bytes) -> bool:
        """See :class:`~refreeze.net.mdnsgroup.GroupUser`: a question with a label of ours."""
        if data[2] & _RESPONSE:
            return False
        return any(published.label in data for published in self._names.values())

    def heard(self, message: Message, link: Link) -> None:
        """Answer what is asked about our names, on the link where it was asked."""
        for query in message.queries:
            name = query.name.name.decode("ascii", "replace").lower()
            published = self._names.get(name)
            if published is None or query.type not in _KINDS or query.cls & _CLASS != IN:
                continue
            key = link, query.type
            if key in published.later:
                continue
            answer = _answer(name, published.hosts, query.type, _known(message, name))
            if answer is not None:
                self._answer_in_time(published, key, answer)

    def _answer_in_time(self, published: _Published, key: tuple[Link, int], answer: bytes) -> None:
        """At once, or as soon as the quiet time is over: who asks may ask but once, and may not
        have been there when the same was multicast before.
        """
        last = published.answered.get(key, -inf)
        wait = last + QUIET - self.clock.seconds()
        if wait <= 0:
            self._multicast(published, key, answer)
        else:
            published.later[key] = self.clock.callLater(
                wait, self._multicast, published, key, answer
            )

    def _multicast(self, published: _Published, key: tuple[Link, int], answer: bytes) -> None:
        published.later.pop(key, None)
        published.answered[key] = self.clock.seconds()
        self.group.send(answer, key[0])


def _answer(
    name: str, hosts: Sequence[str], kind: int, known: set[tuple[int, bytes]]
) -> bytes | None:
    """None when who asks knows it (section 7.1).

    Addresses of the other family go along (section 6.2), or an NSEC says that there are none.
    """
    every = _addresses(name, hosts)
    asked = [each for each in every if kind in {each.type, ALL_RECORDS}]
    if asked and all((each.type, each.payload.address) in known for each in asked):
        return None
    additional = [each for each in every if each not in asked]
    kinds = {each.type for each in every}
    if len(kinds) < 2:
        additional.append(_nsec(name, kinds))
    return _response(asked, additional)


def _addresses(name: str, hosts: Iterable[str], ttl: int = TTL) -> list[Any]:
    """A record for each address."""
    records = []
    for host in hosts:
        kind: Any = Record_AAAA if is_ipv6(host) else Record_A
        records.append(RRHeader(name, kind.TYPE, _FLUSH, ttl, kind(host, ttl)))
    return records


def _nsec(name: str, kinds: set[int]) -> RRHeader:
    """*name* has records of *kinds* only (section 6.1, RFC 4034 section 4)."""
    bits = bytearray((AAAA >> 3) + 1)
    for kind in kinds:
        bits[kind >> 3] |= 0x80 >> (kind & 7)
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    unknown: Any = UnknownRecord
    data = labels + b"\0" + bytes([0, len(bits)]) + bits
    return RRHeader(name, _NSEC, _FLUSH, TTL, unknown(data, TTL))


def _response(answers: Iterable[RRHeader], additional: Iterable[RRHeader] = ()) -> bytes:
    message = Message(answer=1, auth=True)
    message.answers, message.additional = list(answers), list(additional)
    return encode(message)


def _known(message: Message, name: str) -> set[tuple[int, bytes]]:
    """The addresses of *name* that who asks knows for long enough."""
    found = set()
    for record in message.answers:
        theirs = record.name.name.decode("ascii", "replace").lower()
        if theirs == name and record.type in {A, AAAA} and record.ttl >= TTL // 2:
            payload: Any = record.payload
            found.add((record.type, bytes(payload.address)))
    return found
