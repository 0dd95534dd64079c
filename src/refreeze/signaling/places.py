"""Where a hub may be: a UNIX socket, loopback TCP, or anywhere with mutual TLS.

Written ``unix:/run/refreeze/hub.sock``, ``tcp:127.0.0.1:7810`` or ``tcp:[::1]:7810``, and
``tls:hub.example.net:7810``, ``tls:192.0.2.1:7810`` or ``tls:*:7810``, the last to listen only.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias, cast

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IReactorUNIX,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from refreeze.net.servers import is_numeric

SOCKET_MODE = 0o660
"""The directory protects the socket; its mode is the second lock."""

_PORT = re.compile("[0-9]{1,5}")

_LABEL = re.compile("[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

MAX_HOST_NAME = 254
"""Characters, the final dot included (RFC 1035 section 2.3.4)."""

MAX_UNIX_PATH = 107
"""Bytes of sun_path before its NUL (unix(7))."""


class HubEndpointError(ValueError):
    """A place where a hub must not be, or that nobody can read; one line for people."""


@frozen
class UnixPlace:
    """A UNIX socket; who connects is known by SO_PEERCRED."""

    path: str


@frozen
class LoopbackPlace:
    """A TCP port of this machine only; who connects must know the cookie."""

    host: str
    port: int


@frozen
class TlsPlace:
    """A TCP port that anybody may reach; who connects must show a certificate of our CA."""

    host: str
    """A name, a numeric address, or ``*``: every address of this machine."""
    port: int

    @property
    def listenable(self) -> bool:
        """Whether a hub can be served there: not at a name, which may mean anything."""
        return self.host == "*" or is_numeric(self.host)

    @property
    def connectable(self) -> bool:
        """Whether a link can go there."""
        unspecified = is_numeric(self.host) and ipaddress.ip_address(self.host).is_unspecified
        return self.host != "*" and not unspecified and self.port != 0


HubPlace: TypeAlias = UnixPlace | LoopbackPlace | TlsPlace


def check_hub_endpoint(description: str) -> HubPlace:
    """The place that *description* names; HubEndpointError says why it is none for a hub."""
    kind, colon, rest = description.partition(":")
    if kind == "unix" and colon:
        return _unix_place(description, rest)
    if kind == "tcp" and colon:
        return _loopback_place(description, rest)
    if kind == "tls" and colon:
        return _tls_place(description, rest)
    raise HubEndpointError(
        f"{description!r} is none of unix:PATH, tcp:ADDRESS:PORT and tls:HOST:PORT"
    )


def _unix_place(description: str, path: str) -> UnixPlace:
    if not path.startswith("/") or "\0" in path:
        raise HubEndpointError(f"{description!r}: the path is not absolute")
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise HubEndpointError(f"{description!r}: longer than {MAX_UNIX_PATH} bytes")
    return UnixPlace(path)


def _host_and_port(description: str, rest: str) -> tuple[str, int]:
    host, _, port = rest.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise HubEndpointError(f"{description!r}: the port is not 0 to 65535")
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host, int(port)


def _loopback_place(description: str, rest: str) -> LoopbackPlace:
    bare, port = _host_and_port(description, rest)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise HubEndpointError(
            f"{description!r}: not a numeric address; only loopback is possible without TLS"
        ) from None
    if not address.is_loopback:
        raise HubEndpointError(
            f"{description!r}: TLS is required on any address that is not loopback;"
            " use tls:HOST:PORT, or unix:PATH or tcp:127.0.0.1:PORT"
        )
    return LoopbackPlace(address.compressed, port)


def _tls_place(description: str, rest: str) -> TlsPlace:
    host, port = _host_and_port(description, rest)
    if host == "*":
        return TlsPlace(host, port)
    with suppress(ValueError):
        return TlsPlace(ipaddress.ip_address(host).compressed, port)
    if not is_host_name(host):
        raise HubEndpointError(f"{description!r}: {host!r} is neither a host's name nor an address")
    return TlsPlace(host.rstrip(".").lower(), port)


def is_host_name(host: str) -> bool:
    """Whether *host* may be asked of the DNS: letters, digits, hyphens; the last label no number.

    RFC 1123 section 2.1; a name of other letters is written in its ASCII form (``xn--``).
    """
    labels = host.removesuffix(".").split(".")
    fine = len(host) <= MAX_HOST_NAME and all(map(_LABEL.fullmatch, labels))
    return fine and not labels[-1].isdigit()


def server_endpoint(reactor: object, place: HubPlace) -> IStreamServerEndpoint:
    """Listens at *place*, without TLS. A socket file that a killed daemon left is replaced."""
    if isinstance(place, UnixPlace):
        return _UnixServerEndpoint(cast("IReactorUNIX", reactor), place.path)
    tcp = cast("IReactorTCP", reactor)
    host = place.host
    if host == "*":  # :: hears IPv4 too (ipv6(7)), where there is IPv6
        host = "::" if os.path.exists("/proc/net/if_inet6") else "0.0.0.0"
    endpoint = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    return endpoint(tcp, place.port, interface=host)


def client_endpoint(reactor: object, place: HubPlace) -> IStreamClientEndpoint:
    """Connects to *place*, without TLS; to a name over IPv6 and IPv4, whichever is there first."""
    if isinstance(place, TlsPlace) and not is_numeric(place.host):
        return HostnameEndpoint(reactor, place.host, place.port)
    if isinstance(place, UnixPlace):
        make_client: Callable[[IReactorUNIX, str], IStreamClientEndpoint] = UNIXClientEndpoint
        return make_client(cast("IReactorUNIX", reactor), place.path)
    tcp = cast("IReactorTCP", reactor)
    endpoint = TCP6ClientEndpoint if ":" in place.host else TCP4ClientEndpoint
    return endpoint(tcp, place.host, place.port)


@implementer(IStreamServerEndpoint)
@frozen(eq=False, repr=False)
class _UnixServerEndpoint:
    """Twisted's, with our mode, and the remains of a killed daemon cleared away first."""

    _reactor: IReactorUNIX
    _path: str

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        remove_stale_socket(self._path)
        make: Callable[..., IStreamServerEndpoint] = UNIXServerEndpoint
        return make(self._reactor, self._path, mode=SOCKET_MODE).listen(factory)


def remove_stale_socket(path: str) -> bool:
    """Remove the socket file at *path* when nobody listens on it; True when one was removed.

    Twisted's lock file would do the same by pid, and so would refuse for ever in a container
    where every life of the daemon is pid 1.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except ConnectionRefusedError:
        with suppress(OSError):  # then the bind will say what is wrong
            os.unlink(path)
            return True
    except OSError:
        return False
    return False
