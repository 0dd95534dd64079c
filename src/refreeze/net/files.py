"""Files that a daemon reads and writes while it runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial


def read_regular(path: str, limit: int) -> bytes:
    """At most *limit* bytes of a regular file; OSError.

    A pipe or a device could have the whole daemon wait for it.
    """
    return read_checked(path, limit, check_regular)


def read_private(path: str, limit: int) -> bytes:
    """At most *limit* bytes of a regular file that nobody but us can read or write; OSError.

    It may be the directory's owner's, who could put another there: a daemon that starts as root
    and becomes that user finds its own.
    """
    owners = os.geteuid(), os.stat(os.path.dirname(path) or ".").st_uid
    return read_checked(path, limit, partial(_private, owners), os.O_NOFOLLOW)


def read_checked(
    path: str, limit: int, check: Callable[[os.stat_result], None], more: int = 0
) -> bytes:
    """At most *limit* bytes of the file, opened with the flags *more*, that *check* allows.

    OSError, and whatever *check* raises.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | more)
    try:
        check(os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


def check_regular(status: os.stat_result) -> None:
    """OSError for a pipe, a device, a directory."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError("not a regular file")


def _private(owners: Container[int], status: os.stat_result) -> None:
    check_regular(status)
    if status.st_uid not in owners:
        raise OSError("another user's")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OSError("others than its owner may use it")


def write_private(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write the whole file or nothing of it; OSError.

    It is complete before it has its name, has its mode before its content, and is on the disk
    when this returns, so that a machine that loses its power has the old file or the new one.
    """
    temporary = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
