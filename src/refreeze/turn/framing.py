"""TURN over TCP and TLS: where one message ends and the next begins (RFC 8656 section 12.5)."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from refreeze.stun.attributes import COOKIE_BYTES

STUN_HEADER: Final = 20
CHANNEL_HEADER: Final = 4
LONGEST_FRAME: Final = STUN_HEADER + 0xFFFC + 4
"""Bytes: nothing longer can be announced in 16 bits of length."""


class FramingError(ValueError):
    """These bytes begin no frame: the stream is lost. The text is a stable slug.

    ``frame-type`` ``frame-length`` ``frame-cookie``
    """


@define(eq=False, repr=False)
class StreamFramer:
    """I cut a stream of bytes into frames: STUN messages, and ChannelData with its padding.

    I hold less than one frame. After a FramingError I am of no more use.
    """

    _rest: bytearray = field(init=False, factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that *data* completes; FramingError for what is none.

        Frames of the same call before the bad one are lost with the stream.
        """
        rest, frames, at = self._rest, [], 0
        rest += data
        while (size := _frame_size(rest, at)) is not None and at + size <= len(rest):
            frames.append(bytes(rest[at : at + size]))
            at += size
        del rest[:at]
        return frames


def _frame_size(data: bytearray, at: int) -> int | None:
    """Bytes of the frame that begins at *at*, padding too; None when too little is known yet."""
    known = len(data) - at
    if known < 1:
        return None
    first = data[at]
    if first > 0x4F:
        raise FramingError("frame-type")
    if known < 4:
        return None
    length = data[at + 2] << 8 | data[at + 3]
    if first >= 0x40:
        return CHANNEL_HEADER + (length + 3 & ~3)
    if length & 3:
        raise FramingError("frame-length")
    cookie = bytes(data[at + 4 : at + 8])
    if not COOKIE_BYTES.startswith(cookie):
        raise FramingError("frame-cookie")
    return STUN_HEADER + length
