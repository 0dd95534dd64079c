"""Who is at the other end of a UNIX socket (unix(7), SO_PEERCRED). Linux only, as the daemon is."""

from __future__ import annotations

import socket
import struct
from typing import Protocol

from attrs import frozen

_UCRED = struct.Struct("=iII")


@frozen
class Credentials:
    """Of the process that connected, as the kernel recorded them at that moment."""

    pid: int
    uid: int
    gid: int


class _Handle(Protocol):
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def peer_credentials(transport: object) -> Credentials | None:
    """The peer's credentials; None when *transport* is no connected UNIX socket.

    Asks ``transport.getHandle().getsockopt(SOL_SOCKET, SO_PEERCRED, 12)``: Twisted has no call
    for it.
    """
    get_handle = getattr(transport, "getHandle", None)
    if get_handle is None:
        return None
    handle: _Handle | None = get_handle()
    if handle is None:
        return None
    try:
        packed = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except (OSError, AttributeError):
        return None
    if len(packed) != _UCRED.size:
        return None
    pid, uid, gid = _UCRED.unpack(packed)
    # A TCP socket answers pid 0 and uid -1 instead of an error.
    return Credentials(pid, uid, gid) if pid > 0 else None
