"""What a wire does with datagrams: each function here makes a ``Fate`` of a wire."""

from __future__ import annotations

from collections.abc import Sequence

from refreeze.testing import SeededRandom
from tests.peer.dtls.wire import DELAY, Fate, Wire

Which = tuple[str, int]
"""A datagram: whose, and which of that side's."""


def lose(*which: Which) -> Fate:
    """These datagrams never arrive."""
    return lambda sender, number, _: () if (sender, number) in which else (DELAY,)


def arrive(which: Which, *after: float) -> Fate:
    """Copies of that one arrive after so many seconds each, all else as it should."""
    return lambda sender, number, _: after if (sender, number) == which else (DELAY,)


def stall(side: str, at: int) -> Fate:
    """From that datagram of a side's on nothing of it arrives any more."""
    return lambda sender, number, _: () if sender == side and number >= at else (DELAY,)


def copied(copies: int) -> Fate:
    """Each datagram arrives so many times."""
    return lambda *_: (DELAY,) * copies


def lose_like(side: str, sample: bytes, times: int) -> Fate:
    """A side's first *times* datagrams that begin as *sample* does are lost."""
    wanted, left = beginning(sample), times

    def fate(sender: str, _number: int, datagram: bytes) -> Sequence[float]:
        nonlocal left
        if sender == side and beginning(datagram) == wanted and left > 0:
            left -= 1
            return ()
        return (DELAY,)

    return fate


def lose_from(at: int) -> Fate:
    """So many datagrams of both arrive, and nothing after them."""
    seen = 0

    def fate(_sender: str, _number: int, _datagram: bytes) -> Sequence[float]:
        nonlocal seen
        seen += 1
        return (DELAY,) if seen <= at else ()

    return fate


def bad_until(wire: Wire, calm: float, random: SeededRandom) -> Fate:
    """Loss, copies and jitter by chance until that time, then a good wire."""
    loss, twice, jitter = random.random() * 0.6, random.random() * 0.5, random.random() * 2.0

    def fate(_sender: str, _number: int, _datagram: bytes) -> Sequence[float]:
        if wire.now >= calm:
            return (DELAY,)
        copies = 0 if random.random() < loss else 1 + (random.random() < twice)
        return [DELAY + jitter * random.random() ** 2 for _ in range(copies)]

    return fate


def beginning(datagram: bytes) -> tuple[int, int]:
    """Type of its first record, and which handshake message that begins with (-1: under keys)."""
    return datagram[0], datagram[13] if datagram[3:5] == b"\0\0" else -1
