"""The kernel's word that addresses, links or routes changed (rtnetlink), without what it says.

What there is now is read by whoever is told (:func:`refreeze.net.interfaces.system_hosts`,
:func:`refreeze.net.routes.route_via`), so a lost or a strange message does no harm. Only routes
to a small part of the world are no news: a router's kernel talks of nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from refreeze.net.routes import HEADER, ROUTE

_GROUPS: Final = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x40000
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV6_IFADDR, _IPV4_ROUTE, _IPV6_ROUTE, _IPV4_RULE, and the bit of
RTNLGRP_IPV6_RULE (linux/rtnetlink.h)."""
_ROUTES: Final = frozenset({24, 25})
"""RTM_NEWROUTE, RTM_DELROUTE."""
_WIDE: Final = 8
"""A route whose destination has a prefix no longer than this may be a default one: 0.0.0.0/1 and
its like are what tunnels put before it, 2000::/3 is all of the public IPv6 addresses."""
_SIZE: Final = 65536
_MAX_READS: Final = 64
"""Messages taken in one turn; more of them wait for the next."""


def matters(data: bytes) -> bool:
    """Whether a datagram of rtnetlink tells of more than routes to small places.

    What cannot be read does, to be safe.
    """
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            return True
        if kind not in _ROUTES or length < HEADER.size + ROUTE.size:
            return True
        if data[at + HEADER.size + 1] <= _WIDE:
            return True
        at += (length + 3) & ~3
    return at < len(data) or not data


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class AddressMonitor:
    """I call everybody who asked when an address, a link or a default route changed.

    Where there is no rtnetlink, or it is not permitted, :meth:`start` returns False, and nobody
    is ever called.
    """

    _reactor: IReactorFDSet
    _callbacks: list[Callable[[], None]] = field(factory=list, init=False)
    _socket: socket.socket | None = field(default=None, init=False)

    _log: ClassVar[Logger] = Logger()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* after every burst of changes, once a burst or a few times."""
        self._callbacks.append(callback)

    def start(self) -> bool:
        """Listen from now on; whether that is possible."""
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            return False
        try:
            opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        except OSError:
            return False
        try:
            opened.bind((0, _GROUPS))
            opened.setblocking(False)
        except OSError:
            opened.close()
            return False
        self._socket = opened
        self._reactor.addReader(self)
        return True

    def stop(self) -> None:
        """Idempotent."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    # IReadDescriptor

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return "AddressMonitor"

    def doRead(self) -> None:
        """Drain, and tell; ENOBUFS means that messages were lost, so something did change."""
        changed = False
        for _ in range(_MAX_READS):
            if self._socket is None:
                return
            try:
                changed = matters(self._socket.recv(_SIZE)) or changed
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    break
                changed = True
        if changed:
            self._tell()

    def _tell(self) -> None:
        for callback in list(self._callbacks):
            try:
                callback()
            except Exception:
                self._log.failure("who was told of a changed address failed")

    def connectionLost(self, reason: Any) -> None:
        """The reactor gave us up, or ends."""
        with contextlib.suppress(Exception):
            self.stop()
