"""RTCRtpTransceiver: a maker of m= sections (webrtc-pc section 5.4). Media is not ours."""

from __future__ import annotations

from attrs import define

from refreeze.jsep import Direction, Negotiator, Part
from refreeze.peer.dtls import RTCDtlsTransport


@define(eq=False, repr=False)
class RTCRtpTransceiver:
    """One audio or video section: what is wanted of it, and what was agreed.

    There are no senders, receivers or tracks: nothing here carries RTP.
    """

    _negotiator: Negotiator
    _part: Part
    _transport: RTCDtlsTransport | None

    @property
    def kind(self) -> str:
        """``audio`` or ``video``."""
        return self._part.kind

    @property
    def mid(self) -> str | None:
        """Of its section, once a description with it was applied."""
        return self._part.mid

    @property
    def direction(self) -> str:
        """What is wanted; ``stopped`` after :meth:`stop`."""
        return str(self._part.direction)

    @direction.setter
    def direction(self, wished: str) -> None:
        """InvalidStateError when it is stopped; TypeError for what is no direction."""
        self._negotiator.set_direction(self._part, read_direction(wished))

    @property
    def currentDirection(self) -> str | None:
        """What the last answer said, from our side."""
        current = self._part.current
        return None if current is None else str(current)

    @property
    def transport(self) -> RTCDtlsTransport | None:
        """What its sender and receiver would use."""
        return self._transport if self._part.mid is not None else None

    def stop(self) -> None:
        """The next exchange rejects the section; InvalidStateError on a closed connection."""
        self._negotiator.stop_transceiver(self._part)


def read_direction(word: str) -> Direction:
    """TypeError for what W3C's enumeration has not."""
    try:
        return Direction(word)
    except ValueError:
        raise TypeError(f"direction: not {word!r}") from None
