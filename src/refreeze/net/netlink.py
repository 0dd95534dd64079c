"""The kernel's word that addresses or links changed (rtnetlink), without what it says.

What there is now is read by whoever is told (:func:`refreeze.net.interfaces.system_hosts`), so a
lost or a strange message does no harm.
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

_GROUPS: Final = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR (linux/rtnetlink.h)."""
_SIZE: Final = 65536
_MAX_READS: Final = 64
"""Messages taken in one turn; more of them wait for the next."""


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class AddressMonitor:
    """I call everybody who asked when an address or a link of this machine changed.

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
                self._socket.recv(_SIZE)
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
