"""RTCDataChannel and RTCSctpTransport: makers of the data section (webrtc-pc section 6).

There is no SCTP here: a channel has the attributes that it was made with and never opens. What
goes between two refreezes are datagrams, through the connection's door.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from refreeze.jsep import InvalidStateError
from refreeze.peer.dtls import RTCDtlsTransport
from refreeze.peer.events import EventHandler, EventTarget

MAX_WORD: Final = 65535
"""Bytes of a label or a protocol, and the largest of lifetimes and ids."""
OUR_MESSAGE: Final = 262144
"""Bytes of ``max-message-size`` in our descriptions."""
_USUAL_MESSAGE: Final = 65536
"""Of a peer that says nothing (RFC 8841 section 6.1)."""


@define(eq=False, repr=False)
class RTCSctpTransport(EventTarget):
    """There from the first answer with a data section on; it stays ``connecting``."""

    transport: RTCDtlsTransport | None
    state: str = field(default="connecting", init=False)
    maxMessageSize: float = field(default=float(OUR_MESSAGE), init=False)
    maxChannels: int | None = field(default=None, init=False)
    onstatechange = EventHandler("statechange")


def message_size(said: str | None) -> float:
    """What both sides take (webrtc-pc section 6.1.1.2); the peer's 0 means that any length is."""
    if said is None or not said.isascii() or not said.isdigit() or len(said) > 10:
        return float(_USUAL_MESSAGE)
    return float(min(int(said) or OUR_MESSAGE, OUR_MESSAGE))


def _scalar(text: str) -> str:
    """Lone surrogates are none of Unicode's characters (WebIDL's USVString)."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@define(eq=False, repr=False, kw_only=True)
class RTCDataChannel(EventTarget):
    """One channel; TypeError for attributes that W3C refuses."""

    label: str
    ordered: bool = True
    maxPacketLifeTime: int | None = None
    maxRetransmits: int | None = None
    protocol: str = ""
    negotiated: bool = False
    id: int | None = None
    readyState: str = field(default="connecting", init=False)
    bufferedAmount: int = field(default=0, init=False)
    bufferedAmountLowThreshold: int = field(default=0, init=False)
    binaryType: str = field(default="arraybuffer", init=False)

    onopen = EventHandler("open")
    onclose = EventHandler("close")
    onmessage = EventHandler("message")

    def __attrs_post_init__(self) -> None:
        self.label, self.protocol = _scalar(self.label), _scalar(self.protocol)
        if max(len(self.label.encode()), len(self.protocol.encode())) > MAX_WORD:
            raise TypeError(f"label, protocol: at most {MAX_WORD} bytes")
        if self.maxPacketLifeTime is not None and self.maxRetransmits is not None:
            raise TypeError("maxPacketLifeTime, maxRetransmits: one of them")
        for number in (self.maxPacketLifeTime, self.maxRetransmits, self.id):
            if number is not None and not 0 <= number <= MAX_WORD:
                raise TypeError(f"numbers of a channel: 0 to {MAX_WORD}")
        if self.negotiated and self.id is None:
            raise TypeError("id: a negotiated channel needs one")
        if not self.negotiated:
            self.id = None
        elif self.id == MAX_WORD:
            raise TypeError(f"id: less than {MAX_WORD}")

    def send(self, _data: bytes | str) -> None:
        """InvalidStateError, for it is never open."""
        raise InvalidStateError("the channel is not open")

    def close(self) -> None:
        """It was never open, so nobody has to agree."""
        self.readyState = "closed"
