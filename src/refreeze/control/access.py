"""Who has which role: by the kernel's word, by the cookie on loopback, by a certificate on TLS."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

from attrs import field, frozen

_SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)
"""unix(7), Linux 4.13; the socket module does not name it. 59 on every architecture we run on."""

_MAX_GROUPS = 256
"""Python's getsockopt gives 1024 bytes at most; who is in more groups has only the first one."""


class Role(IntEnum):
    """Each may do what the lesser ones may."""

    NONE = 0
    OBSERVER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """As the protocol writes it."""
        return self.name.lower()


def _own_group() -> dict[int, Role]:
    return {os.getgid(): Role.OPERATOR}


@frozen(kw_only=True)
class Access:
    """Roles by uid and by gid. Root and the daemon's own user are admin, its group operates.

    Whoever else can open the socket observes: the socket's mode and its directory are the lock.
    *cookie*: the role of a TCP client. Members of the cookie file's group can read it, so it is
    no more than what that group has on the UNIX socket, unless set. *certificates*: roles of
    names in certificates, instead of what those say; ``none`` shuts somebody out.
    """

    uids: Mapping[int, Role] = field(factory=dict)
    gids: Mapping[int, Role] = field(factory=_own_group)
    others: Role = Role.OBSERVER
    cookie: Role = Role.OPERATOR
    certificates: Mapping[str, Role] = field(factory=dict)
    own_uid: int = field(factory=os.getuid)

    def role(self, uid: int, groups: Iterable[int]) -> Role:
        """The greatest role that *uid* or one of its *groups* has."""
        if uid in (0, self.own_uid):
            return Role.ADMIN
        roles = [self.others, self.uids.get(uid, Role.NONE)]
        roles += [self.gids.get(group, Role.NONE) for group in groups]
        return max(roles)

    def certified(self, word: str, name: str) -> Role:
        """The role of *name*, whose certificate says *word*."""
        return self.certificates.get(name, _role(word, "certificate"))


def access_by_names(
    users: Mapping[str, str],
    groups: Mapping[str, str],
    others: str,
    certificates: Mapping[str, str],
) -> Access:
    """Access from names or numbers of users and groups; ValueError begins with the key.

    The daemon's own group operates unless *groups* says otherwise.
    """
    return Access(
        uids=_roles(users, "users", lambda name: pwd.getpwnam(name).pw_uid),
        gids=_own_group() | _roles(groups, "groups", lambda name: grp.getgrnam(name).gr_gid),
        others=_role(others, "others"),
        certificates={name: _role(word, "certificates") for name, word in certificates.items()},
    )


def _roles(words: Mapping[str, str], key: str, find: Callable[[str], int]) -> dict[int, Role]:
    roles = {}
    for name, word in words.items():
        try:
            number = int(name) if name.isascii() and name.isdigit() else find(name)
        except (KeyError, ValueError):
            raise ValueError(f"{key}: this machine does not know {name!r}") from None
        roles[number] = _role(word, key)
    return roles


def _role(word: str, key: str) -> Role:
    for role in Role:
        if role.word == word:
            return role
    known = ", ".join(role.word for role in Role)
    raise ValueError(f"{key}: one of {known}, not {word!r}")


def peer_groups(transport: Any) -> tuple[int, ...]:
    """The supplementary groups of the process that connected; empty when the kernel won't say."""
    handle = transport.getHandle()
    item = struct.calcsize("=I")
    try:
        packed: bytes = handle.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS * item)
    except (OSError, AttributeError):
        return ()
    return struct.unpack(f"={len(packed) // item}I", packed[: len(packed) // item * item])
