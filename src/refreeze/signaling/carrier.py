"""What carries envelopes for a session, seen from the session. Every way has this one shape."""

from __future__ import annotations

from typing import Protocol

from refreeze.signaling.envelope import Envelope


class CarrierReceiver(Protocol):
    """A session's end of the signaling. What it raises is logged and harms nobody else."""

    def envelope_received(self, envelope: Envelope) -> None:
        """A valid envelope from the session's peer, for this session."""
        ...

    def peer_presence(self, peer: str, online: bool) -> None:
        """The peer's daemon came or went, as far as the signaling knows."""
        ...

    def signaling_state(self, up: bool) -> None:
        """Envelopes can be sent from now on, or no longer."""
        ...


class Carrier(Protocol):
    """One session's way to its peer."""

    @property
    def up(self) -> bool:
        """Whether :meth:`send` would take an envelope now."""
        ...

    @property
    def problem(self) -> str:
        """Why it is not up, in words; empty when it is, or when nobody knows."""
        ...

    def send(self, envelope: Envelope) -> bool:
        """Hand *envelope* over; False when the signaling is down or full.

        Nothing is kept to be sent later: what is worth sending again, the sender sends again.
        """
        ...

    def detach(self) -> None:
        """The receiver hears nothing more. Idempotent."""
        ...


class Signaling(Protocol):
    """Attaches sessions to carriers; HubLink and ControlSignaling are such."""

    def attach(self, session: str, peer: str, receiver: CarrierReceiver) -> Carrier:
        """A carrier for *session* with *peer*; ValueError when that session is attached.

        The receiver is told the state of things soon, but never before this returns.
        """
        ...
