"""What a hostile server does, one lie at a time."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from refreeze.stun.attributes import COOKIE_BYTES
from refreeze.testing.randomness import SeededRandom

LONG_FOR_EVER: Final = 0xFFFFFFFF
HUGE_NONCE: Final = b"n" * 4000
"""Longer than RFC 8489 section 14.10 allows; it fits no MTU either."""

JUNK_PER_ANSWER: Final = 50


class Lie(Enum):
    """Put into :attr:`FakeTurnServer.lies`; together they add up."""

    WRONG_TRANSACTION = auto()
    """Answers carry another transaction id; they are signed as if that was right."""
    WRONG_SIGNATURE = auto()
    """Answers are signed with a key that nobody has."""
    FOREIGN_SOURCE = auto()
    """Answers over UDP come from another of the host's addresses, or another port."""
    ENDLESS_LIFETIME = auto()
    """LIFETIME is 2^32 - 1 seconds, whatever the allocation's is."""
    NO_LIFETIME = auto()
    """LIFETIME is 0 in the answer to an Allocate and a Refresh that asked for more."""
    HUGE_NONCE = auto()
    """The nonce has 4,000 bytes."""
    STALE_FOR_EVER = auto()
    """Every signed request gets 438 and a fresh nonce."""
    BID_DOWN = auto()
    """PASSWORD-ALGORITHMS is missing although the nonce says that it is there."""
    FOREIGN_RELAY = auto()
    """XOR-RELAYED-ADDRESS is loopback."""
    JUNK = auto()
    """Before each answer there are 50 datagrams of noise."""
    MID_FRAME = auto()
    """A stream ends in the middle of the answer; a datagram is cut there."""
    BAD_LENGTH = auto()
    """In place of an answer there is a ChannelData header that has more than any datagram."""
    SILENCE = auto()
    """There are no answers; what was asked is carried out all the same."""


OVERLONG_FRAME: Final = bytes((0x40, 0x00, 0xFF, 0xFF)) + b"overlong"


def junk(random: SeededRandom) -> bytes:
    """Noise: any bytes, what begins like STUN, or data of a channel that nobody bound."""
    noise = random.randbytes(random.randrange(1, 200))
    kind = random.randrange(3)
    if kind == 0:
        return noise
    if kind == 1:
        return b"\x01\x01" + len(noise).to_bytes(2, "big") + COOKIE_BYTES + noise
    return b"\x4f\xff" + len(noise).to_bytes(2, "big") + noise
