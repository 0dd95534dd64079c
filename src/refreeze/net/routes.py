"""Which way the kernel sends a datagram, asked of rtnetlink without sending one.

The answer is not taken apart: who asks compares it with an earlier one.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from refreeze.basics import is_ipv6

ANYWHERE: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses that are nobody's (RFC 5737, RFC 3849): the way there is the default route."""

_REQUEST: Final = 1
_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26
_RTN_UNICAST: Final = 1
_RTN_LOCAL: Final = 2
_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_VIA: Final = 18

HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port (linux/netlink.h)."""
ROUTE: Final = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type,
flags (linux/rtnetlink.h)."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_SIZE: Final = 8192


def route_via(source: str, remote: str) -> str | None:
    """Interface and next hop of a datagram from *source* to *remote*, both numeric.

    None where it would not leave, where *source* is no address of this machine, or where the
    kernel cannot be asked (there is no rtnetlink).
    """
    family = getattr(socket, "AF_NETLINK", None)
    if family is None or is_ipv6(source) is not is_ipv6(remote):
        return None
    try:
        request = _request(source, remote)
        with closing(socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)) as asked:
            asked.setblocking(False)
            asked.sendto(request, (0, 0))
            # The kernel has answered when the request was taken.
            return parse_route(asked.recv(_SIZE))
    except (OSError, ValueError):
        return None


def _request(source: str, remote: str) -> bytes:
    to, by = (ipaddress.ip_address(host.partition("%")[0]).packed for host in (remote, source))
    family = socket.AF_INET6 if is_ipv6(remote) else socket.AF_INET
    body = ROUTE.pack(family, 8 * len(to), 8 * len(by), 0, 0, 0, 0, 0, 0)
    body += _attribute(_RTA_DST, to) + _attribute(_RTA_SRC, by)
    return HEADER.pack(HEADER.size + len(body), _RTM_GETROUTE, _REQUEST, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    """All addresses are a multiple of four bytes, so nothing is to be padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def parse_route(answer: bytes) -> str | None:
    """Interface's number and next hop; None for an error and for what is no such answer."""
    begin = HEADER.size + ROUTE.size
    if len(answer) < begin:
        return None
    length, kind, *_ = HEADER.unpack_from(answer)
    route_type = ROUTE.unpack_from(answer, HEADER.size)[7]
    if kind != _RTM_NEWROUTE or route_type not in {_RTN_UNICAST, _RTN_LOCAL}:
        return None
    found = dict(_attributes(answer[begin:length]))
    if _RTA_OIF not in found:
        return None
    hop = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA) or b""
    return f"{int.from_bytes(found[_RTA_OIF], sys.byteorder)} {hop.hex()}"


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each, up to the first that is cut."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
