"""UDP and UNIX datagram ports: our own reader on the reactor, plain sends.

Twisted's own reader cuts long datagrams, drops the scope of link-local addresses and raises out
of write; this one does none of it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from typing import Any, ClassVar

import ifaddr
from attrs import define, field
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.net.port import Batch, BatchReceiver, Datagram, Port, PortCounters

MAX_DATAGRAM = 65536
MAX_PER_TURN = 64
"""Datagrams read in one turn of the reactor, so that timers run under a flood."""

RECEIVE_BUFFER = 4 * 1024 * 1024

_BROKEN = frozenset({errno.ENETDOWN, errno.EBADF, errno.ENODEV, errno.EADDRNOTAVAIL})
_BUSY = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EINTR})


@implementer(IReadDescriptor)
@define(eq=False)
class SocketPort:
    """A :class:`~refreeze.net.port.Port` on a datagram socket that is bound already."""

    reactor: IReactorFDSet
    socket: socket.socket
    local: Address
    counters: PortCounters = field(factory=PortCounters)
    broken: str | None = None
    last_error: str | None = None
    _receiver: BatchReceiver | None = None
    _buffer: bytearray = field(factory=lambda: bytearray(MAX_DATAGRAM))
    _closed: bool = False
    _unlink: str | None = None

    _log: ClassVar[Logger] = Logger()

    def on_batch(self, receiver: BatchReceiver) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        if self._receiver is None and not self._closed:
            self.reactor.addReader(self)
        self._receiver = receiver

    def send(self, batch: Batch) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        if self._closed:
            self.counters.send_errors += len(batch)
            return 0
        sendto, handed, size = self.socket.sendto, 0, 0
        unix = self.socket.family == socket.AF_UNIX
        for data, remote, _tos in batch:
            try:
                sendto(data, remote[0] if unix else remote)
            except OSError as error:
                self._count_error(error)
            else:
                handed += 1
                size += len(data)
        self.counters.sent += handed
        self.counters.sent_bytes += size
        return handed

    def _count_error(self, error: OSError) -> None:
        code = error.errno or 0
        if code == errno.EMSGSIZE:
            self.counters.too_long += 1
        elif code in _BUSY:
            self.counters.would_block += 1
        else:
            self.counters.send_errors += 1
            self.last_error = errno.errorcode.get(code, type(error).__name__)
            if code in _BROKEN:
                self.broken = self.last_error

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        if self._closed:
            return
        self._closed = True
        self.reactor.removeReader(self)
        self.socket.close()
        if self._unlink is not None:
            remove_socket_file(self._unlink)

    # The reactor's side

    def fileno(self) -> int:
        """The descriptor that the reactor watches."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "port"

    def connectionLost(self, reason: object) -> None:
        """The reactor gives the descriptor up (it stops, or the descriptor is bad)."""
        self.close()

    def doRead(self) -> None:
        """Read a bounded batch and hand it up once; never raises."""
        batch: list[Datagram] = []
        view, counters = memoryview(self._buffer), self.counters
        receive = self.socket.recvmsg_into
        for _ in range(MAX_PER_TURN):
            try:
                size, _ancillary, flags, source = receive([view])
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    counters.receive_errors += 1
                break
            if flags & socket.MSG_TRUNC:
                counters.truncated += 1
                continue
            counters.received += 1
            counters.received_bytes += size
            batch.append((bytes(view[:size]), _address(source), 0))
        if batch and self._receiver is not None:
            try:
                self._receiver(self, batch)
            except Exception:
                self._log.failure("the receiver of {port} failed", port=self.local)


def _address(source: Any) -> Address:
    """A socket's address as ours; the zone is kept where it means something."""
    if isinstance(source, tuple):
        if len(source) == 4 and source[3]:
            host = source[0].partition("%")[0]
            if host.startswith("fe80:"):
                return f"{host}%{socket.if_indextoname(source[3])}", source[1]
        return source[0], source[1]
    return (source.decode() if isinstance(source, bytes) else source or ""), 0


@define(eq=False)
class UdpPortFactory:
    """Opens ports on this machine's sockets."""

    reactor: IReactorFDSet

    def open_udp(self, host: str, port: int = 0) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`."""
        family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            info = socket.getaddrinfo(
                host, port, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST
            )
            sock.bind(info[0][4])
            bound = sock.getsockname()[1]
        except OSError:
            sock.close()
            raise
        return SocketPort(self.reactor, sock, (host, bound))

    def open_unix(self, path: str) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`; a stale socket file is replaced."""
        remove_socket_file(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(path)
        except OSError:
            sock.close()
            raise
        return SocketPort(self.reactor, sock, (path, 0), unlink=path)

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """See :class:`~refreeze.net.port.PortFactory`."""
        hosts = []
        for adapter in ifaddr.get_adapters():
            for ip in adapter.ips:
                if isinstance(ip.ip, str):
                    hosts.append((adapter.name, ip.ip))
                else:
                    host = ip.ip[0]
                    bare = host.partition("%")[0]
                    zone = f"%{adapter.name}" if bare.startswith("fe80:") else ""
                    hosts.append((adapter.name, canonical_host(bare + zone)))
        return hosts


def remove_socket_file(path: str) -> None:
    """Remove *path* if it is a socket; anything else stays, and the bind says so."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except OSError:
        return
