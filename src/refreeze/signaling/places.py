"""Where a hub may be: a UNIX socket, or loopback TCP. Nothing else, until there is TLS.

Written ``unix:/run/refreeze/hub.sock``, ``tcp:127.0.0.1:7810`` or ``tcp:[::1]:7810``.
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

SOCKET_MODE = 0o660
"""The directory protects the socket; its mode is the second lock."""

_PORT = re.compile("[0-9]{1,5}")

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


HubPlace: TypeAlias = UnixPlace | LoopbackPlace


def check_hub_endpoint(description: str) -> HubPlace:
    """The place that *description* names; HubEndpointError says why it is none for a plain hub."""
    kind, colon, rest = description.partition(":")
    if kind == "unix" and colon:
        return _unix_place(description, rest)
    if kind == "tcp" and colon:
        return _loopback_place(description, rest)
    raise HubEndpointError(f"{description!r} is neither unix:PATH nor tcp:ADDRESS:PORT")


def _unix_place(description: str, path: str) -> UnixPlace:
    if not path.startswith("/") or "\0" in path:
        raise HubEndpointError(f"{description!r}: the path is not absolute")
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise HubEndpointError(f"{description!r}: longer than {MAX_UNIX_PATH} bytes")
    return UnixPlace(path)


def _loopback_place(description: str, rest: str) -> LoopbackPlace:
    host, _, port = rest.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise HubEndpointError(f"{description!r}: the port is not 0 to 65535")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise HubEndpointError(
            f"{description!r}: not a numeric address; only loopback is possible without TLS"
        ) from None
    if not address.is_loopback:
        raise HubEndpointError(
            f"{description!r}: TLS is required on any address that is not loopback;"
            " use unix:PATH or tcp:127.0.0.1:PORT"
        )
    return LoopbackPlace(address.compressed, int(port))


def server_endpoint(reactor: object, place: HubPlace) -> IStreamServerEndpoint:
    """Listens at *place*. A socket file that a killed daemon left there is replaced."""
    if isinstance(place, UnixPlace):
        return _UnixServerEndpoint(cast("IReactorUNIX", reactor), place.path)
    tcp = cast("IReactorTCP", reactor)
    endpoint = TCP6ServerEndpoint if ":" in place.host else TCP4ServerEndpoint
    return endpoint(tcp, place.port, interface=place.host)


def client_endpoint(reactor: object, place: HubPlace) -> IStreamClientEndpoint:
    """Connects to *place*."""
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
