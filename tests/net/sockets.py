"""A socket that fails as it is told, and a reactor that only remembers its readers."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Any

from attrs import define, field


def error(number: int) -> OSError:
    """What the kernel would say."""
    return OSError(number, os.strerror(number))


@define(eq=False)
class FakeSocket:
    """Each send and each read meets the next of what was prepared for it."""

    sending: deque[Exception | None] = field(factory=deque)
    reading: deque[OSError | tuple[bytes, Any]] = field(factory=deque)
    always: OSError | None = None
    """What every read meets when nothing is prepared; None: there is nothing to read."""
    sent: list[tuple[bytes, Any]] = field(factory=list)
    ancillary: list[tuple[int, int, bytes]] = field(factory=list)
    closed: bool = False
    reads: int = 0

    def sendto(self, data: bytes, target: Any) -> int:
        outcome = self.sending.popleft() if self.sending else None
        if outcome is not None:
            raise outcome
        self.sent.append((data, target))
        return len(data)

    def sendmsg(
        self, buffers: list[bytes], ancillary: list[tuple[int, int, bytes]], _flags: int, to: Any
    ) -> int:
        self.ancillary.extend(ancillary)
        return self.sendto(b"".join(buffers), to)

    def getsockopt(self, _level: int, _option: int) -> int:
        raise error(errno.ENOPROTOOPT)

    def recvfrom(self, room: int) -> tuple[bytes, Any]:
        self.reads += 1
        if not self.reading:
            raise self.always or error(errno.EAGAIN)
        outcome = self.reading.popleft()
        if isinstance(outcome, OSError):
            raise outcome
        data, source = outcome
        return data[:room], source

    def prepare(self, data: bytes, source: Any) -> None:
        """A datagram waits to be read."""
        self.reading.append((data, source))

    def fileno(self) -> int:
        return -1 if self.closed else 99

    def close(self) -> None:
        self.closed = True


@define(eq=False)
class FakeReactor:
    """Knows its readers."""

    readers: set[Any] = field(factory=set)

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)
