"""A link of several hosts for multicast DNS: what one sends to the group, all of it receive."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.names.dns import AAAA, IN, A, Message, Record_A, Record_AAAA, RRHeader

from refreeze.basics import Address
from refreeze.net.mdnsgroup import GROUPS, MDNS_PORT, Link, encode
from refreeze.net.port import Port
from tests.net.fakes import FakePort, error

FLUSH = 0x8001
NSEC = 47


@define(eq=False)
class FakeLinks:
    """Opens a fake port for each link, or refuses."""

    opened: list[tuple[Link, FakePort]] = field(factory=list)
    refused: set[Link] = field(factory=set)

    def open_link(self, link: Link) -> Port:
        if link in self.refused:
            raise error(errno.ENODEV)
        port = FakePort((GROUPS[link.family], MDNS_PORT))
        self.opened.append((link, port))
        return port

    def port(self, link: Link) -> FakePort:
        """The latest on *link*."""
        return next(port for each, port in reversed(self.opened) if each == link)

    def sent(self, link: Link) -> list[Message]:
        """Everything that left there, taken."""
        port = self.port(link)
        sent, port.sent = port.sent, []
        return [decoded(data) for data, _remote, _tos in sent]


def decoded(data: bytes) -> Message:
    """As Twisted reads it."""
    message: Any = Message()
    message.fromStr(data)
    return message  # type: ignore[no-any-return]


def questions(messages: list[Message]) -> list[tuple[str, int]]:
    """Name and type of what was asked."""
    return [(q.name.name.decode(), q.type) for each in messages for q in each.queries]


def address_record(name: str, host: str, ttl: int = 120, cls: int = FLUSH) -> RRHeader:
    """One address."""
    kind: Any = Record_AAAA if ":" in host else Record_A
    return RRHeader(name, kind.TYPE, cls, ttl, kind(host, ttl))


def answer(*records: RRHeader, edit: Callable[[Message], None] = lambda _: None) -> bytes:
    """A response as a responder multicasts it."""
    message = Message(answer=1, auth=True)
    message.answers = list(records)
    edit(message)
    return encode(message)


def question(name: str, kind: int = A, cls: int = IN, known: tuple[RRHeader, ...] = ()) -> bytes:
    """A query; *known* are answers that who asks has already."""
    message = Message()
    message.addQuery(name, kind, cls)
    message.answers = list(known)
    return encode(message)


def somebody(host: str = "192.0.2.9") -> Address:
    """The source of a multicast DNS message."""
    return host, MDNS_PORT


__all__ = [
    "AAAA",
    "FLUSH",
    "NSEC",
    "A",
    "FakeLinks",
    "address_record",
    "answer",
    "decoded",
    "question",
    "questions",
    "somebody",
]
