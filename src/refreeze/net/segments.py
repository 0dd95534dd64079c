"""Datagrams that leave together: UDP_SEGMENT (Linux 4.18), one system call for many.

The kernel is given datagrams of one length as a single one, and cuts it: 32 of them cost a seventh
of what they cost one by one, and two already less. What cannot leave so leaves one by one: where
the path's MTU is less than a datagram (it is sent in fragments then), over a device that computes
no checksums, on an old kernel.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.logger import Logger

from refreeze.net.port import MAX_UDP_PAYLOAD_IPV4, Batch

MAX_SEGMENTS: Final = 64
"""UDP_MAX_SEGMENTS of every kernel that knows it."""

# Linux's numbers (linux/udp.h); Python's socket module has no names for them.
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103

_TOO_LONG: Final = frozenset({errno.EINVAL, errno.EMSGSIZE})
_NEVER: Final = frozenset({errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT})


@define(eq=False, repr=False)
class Segments:
    """What one UDP socket sends together."""

    _socket: socket.socket
    longest: int = field(default=MAX_UDP_PAYLOAD_IPV4, init=False)
    """Datagrams longer than so many bytes are sent one by one."""

    _log: ClassVar[Logger] = Logger()

    @classmethod
    def of(cls, sock: socket.socket) -> Segments | None:
        """None where the kernel does not know how: it would send all as one long datagram."""
        try:
            sock.getsockopt(_SOL_UDP, _UDP_SEGMENT)
        except OSError:
            return None
        return cls(sock)

    def end_of_run(self, batch: Batch, at: int) -> int:
        """Where those end that may leave together with the one at *at*.

        They have one destination, no TOS, and one length; the last may be shorter, but not empty.
        """
        first, remote, tos = batch[at]
        length, end = len(first), at + 1
        if tos or not 0 < length <= self.longest:
            return end
        last = min(len(batch), at + MAX_SEGMENTS, at + MAX_UDP_PAYLOAD_IPV4 // length)
        while end < last:
            data, other, tos = batch[end]
            size = len(data)
            if tos or (other is not remote and other != remote) or not 0 < size <= length:
                break
            end += 1
            if size < length:
                break
        return end

    def sent(self, run: Batch, target: Any) -> bool:
        """Send all of *run* to the socket's form of their destination; False: none has left."""
        length = len(run[0][0])
        ancillary = [(_SOL_UDP, _UDP_SEGMENT, length.to_bytes(2, sys.byteorder))]
        try:
            self._socket.sendmsg([datagram[0] for datagram in run], ancillary, 0, target)
        except OverflowError:
            return False  # the number of a scope that cannot be
        except OSError as error:
            self._refused(error, length)
            return False
        return True

    def _refused(self, error: OSError, length: int) -> None:
        """Whether to try again: a full buffer, say, tells nothing about the next run."""
        if error.errno in _TOO_LONG:
            self.longest = min(self.longest, length - 1)
        elif error.errno in _NEVER:
            self.longest = 0
            why = errno.errorcode[error.errno]
            self._log.info("datagrams leave one by one: {why}", why=why)
