"""UNIX datagram sockets: addresses, and socket files that are removed only when that is safe."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any, Final

from refreeze.basics import Address

SOCKET_MODE: Final = 0o660
"""The group may send to us; nobody else."""


def unix_target(remote: Address) -> str:
    """What ``sendto`` wants: a path, or with a leading ``@`` an abstract name."""
    path = remote[0]
    if not path:
        raise ValueError("a sender without an address cannot be answered")
    return "\0" + path[1:] if path.startswith("@") else path


def unix_address(source: Any) -> Address:
    """Our form of a sender; an unbound one has the empty path."""
    if isinstance(source, bytes):
        source = os.fsdecode(source)
    path: str = source or ""
    return ("@" + path[1:] if path.startswith("\0") else path), 0


def bind_unix(path: str) -> tuple[socket.socket, tuple[int, int] | None]:
    """A non-blocking socket bound to *path*, and the identity of its file.

    OSError when the place is taken by a live socket or by something that is no socket.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if path.startswith("@"):
            sock.bind(unix_target((path, 0)))
            return sock, None
        _remove_stale_socket(path)
        sock.bind(path)
        os.chmod(path, SOCKET_MODE)
        return sock, _identity(path)
    except BaseException:
        sock.close()
        raise


def _remove_stale_socket(path: str) -> None:
    """Make way for a bind: a socket file that nobody serves goes, anything else is an error."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is something else than a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        number = probe.connect_ex(path)
    if number == errno.ECONNREFUSED:
        os.unlink(path)
    elif number != errno.ENOENT:
        # Connected, or a live stream socket (EPROTOTYPE), or not for us to know (EACCES).
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def remove_own_socket(path: str, identity: tuple[int, int] | None) -> None:
    """Remove the file of a socket we closed, unless another process has bound the path since."""
    try:
        if identity is not None and _identity(path) == identity:
            os.unlink(path)
    except OSError:
        return
