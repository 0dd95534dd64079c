"""Files that the configuration names, read while the daemon runs."""

from __future__ import annotations

import os
import stat


def read_regular(path: str, limit: int) -> bytes:
    """At most *limit* bytes of a regular file; OSError.

    A pipe or a device could have the whole daemon wait for it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        return file.read(limit)
