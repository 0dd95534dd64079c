"""The multicast DNS group of every link (RFC 6762), joined while somebody needs it.

Each link has a socket that is bound to the group's address. So what it receives was sent to the
group and has not passed a router, which is all that RFC 6762 section 11 asks of a source; no
unicast packet for another program on port 5353 comes here; and the socket tells the link.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from math import inf
from typing import Any, ClassVar, Final, Protocol

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime
from twisted.logger import Logger
from twisted.names.dns import Message

from refreeze.basics import Address, is_ipv6
from refreeze.net.port import Batch, Port
from refreeze.net.ratelog import RateLimitedLog
from refreeze.net.udp import Udp4Port, Udp6Port

MDNS_PORT: Final = 5353
GROUPS: Final = {4: "224.0.0.251", 6: "ff02::fb"}
HEADER_SIZE: Final = 12
MAX_MESSAGE: Final = 9000
"""Bytes of a message, with its IP and UDP headers (RFC 6762 section 17)."""
MAX_RECORDS: Final = 256
"""Records and questions that a message may announce; we read but a few of them."""
LOOK_AGAIN: Final = 1.0
"""Seconds after which the links are looked at again, if somebody sends."""

_IP_MULTICAST_ALL: Final = 49  # linux/in.h; Python's socket module has no name for it


@frozen
class Link:
    """One family on one interface."""

    interface: str
    family: int
    """4 or 6."""


def links_of(found: Iterable[tuple[str, str]]) -> Sequence[Link]:
    """The links that *found*, (interface, address), are on; loopback is none."""
    links: dict[Link, None] = {}
    for interface, host in found:
        if not host.startswith("127.") and host != "::1":
            links[Link(interface.partition(":")[0], 6 if is_ipv6(host) else 4)] = None
    return list(links)


class LinkOpener(Protocol):
    """Opens the sockets; :class:`SystemLinks` in production."""

    def open_link(self, link: Link) -> Port:
        """A port in the group of *link*, that sends there only; OSError when refused."""
        ...


@define(eq=False, repr=False)
class SystemLinks:
    """Sockets of this machine."""

    _reactor: IReactorFDSet

    def open_link(self, link: Link) -> Port:
        """See :class:`LinkOpener`; port 5353 is shared with any other responder."""
        index = socket.if_nametoindex(link.interface)
        six = link.family == 6
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            (_join_six if six else _join_four)(sock, index)
        except BaseException:
            sock.close()
            raise
        kind = Udp6Port if six else Udp4Port
        return kind(self._reactor, sock, (GROUPS[link.family], MDNS_PORT))


def _join_four(sock: socket.socket, index: int) -> None:
    group = socket.inet_aton(GROUPS[4])
    membership = struct.pack("=4s4si", group, bytes(4), index)  # struct ip_mreqn
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
    sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    sock.bind((GROUPS[4], MDNS_PORT))


def _join_six(sock: socket.socket, index: int) -> None:
    membership = socket.inet_pton(socket.AF_INET6, GROUPS[6]) + struct.pack("=i", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.bind((GROUPS[6], MDNS_PORT, 0, index))


@define
class MdnsCounters:
    """Plain numbers, by what became of a received message."""

    taken: int = 0
    malformed: int = 0
    foreign: int = 0
    """Not from port 5353: RFC 6762 section 11 has such answers dropped, and we answer to the
    group only."""
    unasked: int = 0
    """Nothing in it is about a name of ours."""


class GroupUser(Protocol):
    """Who reads what is said in the group."""

    def wants(self, data: bytes) -> bool:
        """Whether a message, in lower case, is worth decoding; at least 12 bytes."""
        ...

    def heard(self, message: Message, link: Link) -> None:
        """One that was wanted."""
        ...


def encode(message: Message) -> bytes:
    """As it is sent: whole, where Twisted would cut it at the 512 bytes of unicast DNS."""
    out = BytesIO()
    message.maxSize = 0
    message.encode(out)
    return out.getvalue()


@define(eq=False, repr=False, kw_only=True)
class MdnsGroup:
    """I hold the sockets for all who ask and answer, from the first of them to the last.

    Some time after the last one left they are closed: to leave and to join again for every name
    would have switches forget us.
    """

    opener: LinkOpener
    hosts: Callable[[], Sequence[tuple[str, str]]]
    """(interface, address) of what there is; where nothing is to be asked is left out."""
    clock: IReactorTime
    idle: float = 10.0
    """Seconds from the last user to the end."""
    counters: MdnsCounters = field(factory=MdnsCounters, init=False)
    _ports: dict[Link, Port] = field(factory=dict, init=False)
    _users: list[GroupUser] = field(factory=list, init=False)
    _looked_at: float = field(default=-inf, init=False)
    _closing: IDelayedCall | None = field(default=None, init=False)
    _limited: RateLimitedLog = field(init=False)

    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._limited = RateLimitedLog(self._log)

    @property
    def links(self) -> Sequence[Link]:
        """Where we are in the group now."""
        return list(self._ports)

    def join(self, user: GroupUser) -> None:
        """*user* reads from now on. Idempotent."""
        self._stop_closing()
        if user not in self._users:
            self._users.append(user)
        self._look()

    def leave(self, user: GroupUser) -> None:
        """*user* reads no more. Idempotent."""
        if user in self._users:
            self._users.remove(user)
        if not self._users and self._ports and self._closing is None:
            self._closing = self.clock.callLater(self.idle, self.close)

    def send(self, data: bytes, link: Link | None = None) -> int:
        """To the group of *link*, or of every link; returns on how many it left."""
        self._look()
        ports = [(each, port) for each, port in self._ports.items() if link in {None, each}]
        return sum(port.send(((data, _group(each), 0),)) for each, port in ports)

    def close(self) -> None:
        """Close every socket; the next to join opens them again."""
        self._stop_closing()
        self._looked_at = -inf
        for link in list(self._ports):
            self._ports.pop(link).close()

    def _stop_closing(self) -> None:
        closing, self._closing = self._closing, None
        if closing is not None and closing.active():
            closing.cancel()

    def _look(self) -> None:
        """Open what is missing, close what is gone or broken; not too often."""
        now = self.clock.seconds()
        if now - self._looked_at < LOOK_AGAIN:
            return
        self._looked_at = now
        links = links_of(self.hosts())
        for link, port in list(self._ports.items()):
            if link not in links or port.broken is not None:
                self._ports.pop(link).close()
        for link in links:
            if link not in self._ports:
                self._open(link)

    def _open(self, link: Link) -> None:
        try:
            port = self.opener.open_link(link)
        except OSError as error:
            self._limited.warn(
                "multicast DNS on {interface}, IPv{family}: {why}",
                interface=link.interface,
                family=link.family,
                why=error.strerror or str(error),
            )
            return
        self._ports[link] = port
        port.on_batch(lambda _port, batch: self._received(link, batch))

    def _received(self, link: Link, batch: Batch) -> None:
        for data, source, _tos in batch:
            self._received_one(link, data, source)

    def _received_one(self, link: Link, data: bytes, source: Address) -> None:
        counters = self.counters
        if source[1] != MDNS_PORT:
            counters.foreign += 1
            return
        if not _plausible(data):
            counters.malformed += 1
            return
        lower = data.lower()
        wanting = [user for user in self._users if user.wants(lower)]
        if not wanting:
            counters.unasked += 1
            return
        message: Any = Message()
        try:
            message.fromStr(data)
        except Exception:  # Twisted's codec raises what its parts happen to raise
            counters.malformed += 1
            return
        counters.taken += 1
        for user in wanting:
            user.heard(message, link)


def _group(link: Link) -> Address:
    return GROUPS[link.family], MDNS_PORT


def _plausible(data: bytes) -> bool:
    """A standard query or response without an error (sections 18.3 and 18.11), not too long."""
    if not HEADER_SIZE <= len(data) <= MAX_MESSAGE:
        return False
    if data[2] & 0x78 or data[3] & 0x0F:
        return False
    announced: int = sum(struct.unpack_from("!4H", data, 4))
    return announced <= MAX_RECORDS
