"""The stage between ICE and the forward: its members look alike, and ``none`` adds nothing.

Payload that protects itself (WireGuard, QUIC, SRTP) needs no more; anything else can be injected
into by somebody who forges source addresses, so the configuration has to say it in so many words.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from refreeze.peer.door import DatagramDoor, DoorCounters, PayloadReceiver, Payloads


class Protect(DatagramDoor, Protocol):
    """A door with a name: ``none`` or ``dtls`` (:class:`~refreeze.peer.RTCDtlsTransport`)."""

    @property
    def name(self) -> str: ...


@define(eq=False, repr=False)
class RawProtect:
    """Hands datagrams through, in both directions, as they are."""

    door: DatagramDoor
    name: str = field(default="none", init=False)

    @property
    def counters(self) -> DoorCounters:
        """The door's own: nothing is dropped here."""
        return self.door.counters

    @property
    def max_payload(self) -> int | None:
        """As the path has it: this stage adds no byte."""
        return self.door.max_payload

    def send(self, payloads: Payloads) -> int:
        """See :class:`~refreeze.peer.door.DatagramDoor`."""
        return self.door.send(payloads)

    def on_batch(self, receiver: PayloadReceiver) -> None:
        """See :class:`~refreeze.peer.door.DatagramDoor`."""
        self.door.on_batch(receiver)
