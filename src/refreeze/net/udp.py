"""Ports on sockets: our own reader on the reactor, and sends of many datagrams at once.

Twisted's reader cuts long datagrams in silence, drops the scope of link-local addresses, reads
256 KiB before a timer runs, logs a traceback a packet, and raises out of ``write``. This one
does none of it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from refreeze.basics import Address, canonical_host, is_ipv6
from refreeze.net.interfaces import system_hosts
from refreeze.net.port import (
    Batch,
    BatchReceiver,
    Datagram,
    Port,
    PortCounters,
    max_udp_payload,
)
from refreeze.net.ratelog import RateLimitedLog
from refreeze.net.segments import Segments
from refreeze.net.unix import bind_unix, remove_own_socket, unix_address, unix_target

MAX_DATAGRAM: Final = 65536
"""More than any UDP datagram holds (65,507 bytes over IPv4); a longer UNIX one is dropped."""

MAX_PACKETS_PER_TURN: Final = 128
MAX_BYTES_PER_TURN: Final = 64 * 1024
"""What one turn reads at most, so that timers run under a flood."""

MAX_READ_ERRORS: Final = 16
"""Read errors in a row, beyond those that mean nothing, after which a socket is broken."""

MAX_TARGETS: Final = 4096
"""Destinations and scopes whose socket address is kept; all are forgotten when it is full."""

_SOME_PORT: Final = 9
"""A route does not depend on the port, but a socket is not connected to port 0."""

_BROKEN: Final = frozenset(
    {errno.ENETDOWN, errno.EBADF, errno.ENODEV, errno.ENOTSOCK, errno.ECONNABORTED}
)
_BUSY: Final = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})

# Linux's numbers (linux/in.h, linux/in6.h); Python's socket module has no names for them.
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_DO: Final = 2
_SO_RCVBUFFORCE: Final = 33

_SocketAddress: TypeAlias = Any
"""What ``sendto`` takes: it differs by family."""


@frozen(kw_only=True)
class UdpSettings:
    """*receive_buffer* and *send_buffer* are bytes asked of the kernel, which may give less."""

    receive_buffer: int = 4 * 1024 * 1024
    send_buffer: int = 1024 * 1024
    dont_fragment: bool = False


def error_name(error: BaseException) -> str:
    """An errno's name, or the exception's."""
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class SocketPort:
    """A :class:`~refreeze.net.port.Port` on a datagram socket that is bound already.

    The TOS of what comes in is not asked of the kernel: it costs 0.4 us a packet, and nobody
    above wants it yet.
    """

    _reactor: IReactorFDSet
    _socket: socket.socket
    local: Address
    _segments: Segments | None = field(default=None, kw_only=True)
    """None: datagrams leave one by one."""
    counters: PortCounters = field(factory=PortCounters, init=False)
    broken: str | None = field(default=None, init=False)
    last_error: str | None = field(default=None, init=False)
    """The errno's name of the last send or read that went wrong."""
    closed: bool = field(default=False, init=False)
    _receiver: BatchReceiver | None = field(default=None, init=False)
    _targets: dict[Address, _SocketAddress] = field(factory=dict, init=False)
    _read_errors: int = field(default=0, init=False)
    _limited: RateLimitedLog = field(init=False)

    _plain_addresses: ClassVar[bool] = False
    """Whether the socket's addresses are ours as they come."""
    _log: ClassVar[Logger] = Logger()

    def __attrs_post_init__(self) -> None:
        self._limited = RateLimitedLog(self._log)

    # Port

    @property
    def max_payload(self) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        return max_udp_payload(self.local[0])

    def on_batch(self, receiver: BatchReceiver) -> None:
        """See :class:`~refreeze.net.port.Port`; reading starts with the first receiver."""
        if self._receiver is None and not self.closed:
            self._reactor.addReader(self)
        self._receiver = receiver

    def send(self, batch: Batch) -> int:
        """See :class:`~refreeze.net.port.Port`."""
        counters, segments = self.counters, self._segments
        if self.closed:
            counters.send_errors += len(batch)
            return 0
        if segments is None or len(batch) < 2:
            handed, size = self._send_each(batch)
        else:
            handed, size = self._send_runs(batch, segments)
        counters.sent += handed
        counters.sent_bytes += size
        return handed

    def _send_runs(self, batch: Batch, segments: Segments) -> tuple[int, int]:
        """Together what may leave together; how many datagrams were handed over, and bytes."""
        handed = size = at = 0
        while at < len(batch):
            end = segments.end_of_run(batch, at)
            run = batch[at:end]
            if end - at > 1 and self._sent_together(run, segments):
                handed += len(run)
                size += sum(len(datagram[0]) for datagram in run)
            else:
                more, bytes_more = self._send_each(run)
                handed, size = handed + more, size + bytes_more
            at = end
        return handed, size

    def _sent_together(self, run: Batch, segments: Segments) -> bool:
        remote = run[0][1]
        try:
            target = self._targets.get(remote) or self._resolve(remote)
        except ValueError:
            return False
        return segments.sent(run, target)

    def _send_each(self, batch: Batch) -> tuple[int, int]:
        """One by one; whatever goes wrong is counted here."""
        targets, sendto, handed, size = self._targets, self._socket.sendto, 0, 0
        last: Address | None = None
        target: _SocketAddress = None
        for data, remote, tos in batch:
            try:
                if remote is not last:
                    target, last = targets.get(remote) or self._resolve(remote), remote
                if tos:
                    self._send_with_tos(data, target, tos)
                else:
                    sendto(data, target)
            except (OSError, ValueError, OverflowError) as error:
                if not self._sent_at_second_try(error, data, remote):
                    continue
            handed += 1
            size += len(data)
        return handed, size

    def close(self) -> None:
        """See :class:`~refreeze.net.port.Port`."""
        if not self.closed:
            self.closed = True
            self._reactor.removeReader(self)
            self._socket.close()

    # What differs by family

    def _resolve(self, remote: Address) -> _SocketAddress:
        """The socket's form of *remote*, kept; ValueError when it can be none."""
        raise NotImplementedError

    def _address(self, source: _SocketAddress) -> Address:
        """Our form of a socket's address."""
        raise NotImplementedError

    def _send_with_tos(self, data: bytes, target: _SocketAddress, tos: int) -> None:
        self._socket.sendto(data, target)

    # Errors

    def _sent_at_second_try(self, error: Exception, data: bytes, remote: Address) -> bool:
        """Count why a datagram did not leave, unless it leaves after all.

        ECONNREFUSED tells of an earlier datagram: the kernel did not try to send this one.
        """
        if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
            try:
                self._socket.sendto(data, self._resolve(remote))
            except (OSError, ValueError, OverflowError) as second:
                error = second
            else:
                return True
        counters = self.counters
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EMSGSIZE:
            counters.too_long += 1
        elif number in _BUSY:
            counters.would_block += 1
        else:
            counters.send_errors += 1
        self.last_error = counters.last_send_error = error_name(error)
        if number in _BROKEN:
            self._break(self.last_error)
        return False

    def _break(self, reason: str) -> None:
        """The socket carries nothing any more; whoever owns the port replaces it (T35)."""
        if self.broken is None and not self.closed:
            self.broken = reason
            self._reactor.removeReader(self)
            self._log.warn("port {port} broke: {reason}", port=self.local, reason=reason)

    def _read_failed(self, error: OSError) -> bool:
        """Count it; whether reading goes on in this turn."""
        number = error.errno
        if number in (errno.EAGAIN, errno.EWOULDBLOCK):
            return False
        self.counters.receive_errors += 1
        self._read_errors += 1
        if number in _BROKEN or self._read_errors >= MAX_READ_ERRORS:
            self.last_error = error_name(error)
            self._break(self.last_error)
            return False
        # ECONNREFUSED and its like tell of something we sent; the next datagram may be there.
        return True

    # The reactor's side (IReadDescriptor)

    def fileno(self) -> int:
        """The descriptor that the reactor watches; -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "port"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the descriptor up: it stops, or the descriptor is bad."""
        self._break("lost")
        self.close()

    def doRead(self) -> None:
        """Read a bounded batch and hand it up in one call; never raises.

        ``recvfrom`` shrinks the bytes it read into, which costs less than a copy out of a buffer
        of ours. A datagram that fills a byte more than there is room for was cut off.
        """
        batch: list[Datagram] = []
        add, counters = batch.append, self.counters
        receive, room, plain = self._socket.recvfrom, MAX_DATAGRAM + 1, self._plain_addresses
        packets = total = truncated = 0
        while packets < MAX_PACKETS_PER_TURN and total < MAX_BYTES_PER_TURN:
            try:
                data, source = receive(room)
            except OSError as error:
                if self._read_failed(error):
                    continue
                break
            packets += 1
            size = len(data)
            total += size
            if size == room:
                truncated += size
                counters.truncated += 1
                continue
            add((data, source if plain else self._address(source), 0))
        if packets:
            self._read_errors = 0
        if batch:
            counters.received += len(batch)
            counters.received_bytes += total - truncated
            self._hand_up(batch)

    def _hand_up(self, batch: Batch) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        try:
            receiver(self, batch)
        except Exception:
            self._limited.failure("the receiver of {port} failed", port=self.local)


@define(eq=False, repr=False)
class Udp4Port(SocketPort):
    """IPv4: the socket's addresses are ours."""

    _plain_addresses: ClassVar[bool] = True

    def _resolve(self, remote: Address) -> _SocketAddress:
        host, port = canonical_host(remote[0]), remote[1]
        if is_ipv6(host) or not 0 < port < 65536:
            raise ValueError("no IPv4 destination")
        return _keep(self._targets, remote, (host, port))

    def _send_with_tos(self, data: bytes, target: _SocketAddress, tos: int) -> None:
        ancillary = [(socket.IPPROTO_IP, socket.IP_TOS, tos.to_bytes(1, "big"))]
        self._socket.sendmsg([data], ancillary, 0, target)


@define(eq=False, repr=False)
class Udp6Port(SocketPort):
    """IPv6: a link-local source keeps its scope as a zone, a link-local target needs one."""

    _sources: dict[tuple[str, int], str] = field(factory=dict, init=False)

    def _resolve(self, remote: Address) -> _SocketAddress:
        host, port = canonical_host(remote[0]), remote[1]
        if not is_ipv6(host) or not 0 < port < 65536:
            raise ValueError("no IPv6 destination")
        bare, _, zone = host.partition("%")
        # Without a zone the kernel takes the scope that the socket is bound to, if any.
        scope = _scope_id(zone) if zone else 0
        return _keep(self._targets, remote, (bare, port, 0, scope))

    def _address(self, source: _SocketAddress) -> Address:
        host, port, _flow, scope = source
        if scope or "." in host:
            return self._scoped(host, scope), port
        return host, port

    def _scoped(self, host: str, scope: int) -> str:
        known = self._sources.get((host, scope))
        if known is not None:
            return known
        return str(_keep(self._sources, (host, scope), _with_zone(host, scope)))

    def _send_with_tos(self, data: bytes, target: _SocketAddress, tos: int) -> None:
        ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos.to_bytes(4, "little"))]
        self._socket.sendmsg([data], ancillary, 0, target)


@define(eq=False, repr=False)
class UnixPort(SocketPort):
    """A UNIX datagram socket; its file goes with it."""

    _identity: tuple[int, int] | None = field(default=None, kw_only=True)

    def _resolve(self, remote: Address) -> _SocketAddress:
        return _keep(self._targets, remote, unix_target(remote))

    def _address(self, source: _SocketAddress) -> Address:
        return unix_address(source)

    def close(self) -> None:
        """Close, and remove the socket file if it is still ours."""
        if not self.closed:
            SocketPort.close(self)
            remove_own_socket(self.local[0], self._identity)


def _keep(cache: dict[Any, Any], key: object, value: Any) -> Any:
    """Remember *value* in a cache that cannot grow without end."""
    if len(cache) >= MAX_TARGETS:
        cache.clear()
    cache[key] = value
    return value


def _with_zone(host: str, scope: int) -> str:
    """A socket's IPv6 host as ours: the zone is the interface's name, where there is one."""
    bare = host.partition("%")[0]
    try:
        return canonical_host(f"{bare}%{socket.if_indextoname(scope)}" if scope else bare)
    except (OSError, ValueError):
        return canonical_host(bare)


def _scope_id(zone: str) -> int:
    """An interface's index by its name or number; ValueError when there is none."""
    if zone.isdecimal():
        return int(zone)
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        raise ValueError("no such zone") from None


@define(eq=False, repr=False)
class UdpPortFactory:
    """Opens ports on this machine's sockets."""

    _reactor: IReactorFDSet
    settings: UdpSettings = field(factory=UdpSettings)

    def open_udp(self, host: str, port: int = 0) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`."""
        six = is_ipv6(host)
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            self._set_options(sock, six=six)
            sock.bind(_bind_address(host, port) if six else (canonical_host(host), port))
            local = canonical_host(host), int(sock.getsockname()[1])
        except BaseException:
            sock.close()
            raise
        kind = Udp6Port if six else Udp4Port
        return kind(self._reactor, sock, local, segments=Segments.of(sock))

    def open_unix(self, path: str) -> Port:
        """See :class:`~refreeze.net.port.PortFactory`; a stale socket file is replaced."""
        sock, identity = bind_unix(path)
        _set_buffers(sock, self.settings)
        return UnixPort(self._reactor, sock, (path, 0), identity=identity)

    def local_hosts(self) -> Sequence[tuple[str, str]]:
        """See :class:`~refreeze.net.port.PortFactory`."""
        return system_hosts()

    def source_host(self, remote_host: str) -> str | None:
        """See :class:`~refreeze.net.port.PortFactory`: a connected socket knows its route."""
        try:
            host = canonical_host(remote_host)
            if not is_ipv6(host):
                return str(_connected_name(socket.AF_INET, (host, _SOME_PORT))[0])
            name = _connected_name(socket.AF_INET6, _bind_address(host, _SOME_PORT))
            return _with_zone(name[0], name[3])
        except (OSError, ValueError):
            return None

    def _set_options(self, sock: socket.socket, *, six: bool) -> None:
        _set_buffers(sock, self.settings)
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if self.settings.dont_fragment and six:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)
        elif self.settings.dont_fragment:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)


def _bind_address(host: str, port: int) -> tuple[str, int, int, int]:
    bare, _, zone = canonical_host(host).partition("%")
    try:
        return bare, port, 0, _scope_id(zone) if zone else 0
    except ValueError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _connected_name(family: int, remote: _SocketAddress) -> _SocketAddress:
    """The local name of a UDP socket that is connected to *remote*; OSError without a route."""
    with socket.socket(family, socket.SOCK_DGRAM) as connected:
        connected.connect(remote)
        return connected.getsockname()


def _set_buffers(sock: socket.socket, settings: UdpSettings) -> None:
    """Best effort: past the kernel's limit with the privilege for it, else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, settings.receive_buffer)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.receive_buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.send_buffer)
