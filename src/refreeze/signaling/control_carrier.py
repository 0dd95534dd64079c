"""``signaling = "control"``: the application carries the envelopes itself.

They leave as ``signal`` events of the control port and come back in by its ``signal`` verb. Such
signaling is always up, and knows nothing of the peer's presence: it is taken to be there, until
the application says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from refreeze.signaling.attachment import Attachment, Attachments
from refreeze.signaling.carrier import Carrier, CarrierReceiver
from refreeze.signaling.envelope import (
    Envelope,
    EnvelopeError,
    format_envelope,
    parse_envelope,
)


@frozen(eq=False, repr=False)
class ControlCarrier:
    """One session's way through the control port."""

    _signaling: ControlSignaling
    _attachment: Attachment

    @property
    def up(self) -> bool:
        return True

    @property
    def problem(self) -> str:
        return ""

    def send(self, envelope: Envelope) -> bool:
        return self._signaling.send(envelope)

    def detach(self) -> None:
        self._signaling.detach(self._attachment)

    def deliver(self, envelope_json: str) -> None:
        """An envelope for this session; EnvelopeError when it is none, or is another's."""
        envelope = parse_envelope(envelope_json)
        if (envelope.session, envelope.from_) != (self._attachment.session, self._attachment.peer):
            raise EnvelopeError("session, from: not this session's")
        self._signaling.deliver(envelope_json)


@define(eq=False, repr=False, kw_only=True)
class ControlSignaling:
    """I hand the envelopes of a daemon's control-carried sessions to *emit*, and take others in.

    *emit* gets the session's name and the envelope as one line of JSON without its end. What
    comes in is believed to be from whom it says: whoever may use the control port decides.
    """

    name: str
    clock: IReactorTime
    emit: Callable[[str, str], None]
    counters: Counter[str] = field(factory=Counter, init=False)
    """sent, received, refused."""
    _attachments: Attachments = field(factory=Attachments, init=False)

    _log = Logger()

    def attach(self, session: str, peer: str, receiver: CarrierReceiver) -> Carrier:
        """A carrier for *session* with *peer*; ValueError when it is attached already."""
        attachment = self._attachments.add(session, peer, receiver)
        attachment.greet(self.clock, partial(self._greet, attachment))
        return ControlCarrier(self, attachment)

    def detach(self, attachment: Attachment) -> None:
        self._attachments.remove(attachment)

    def send(self, envelope: Envelope) -> bool:
        """False when *envelope* is too long or the control port would not take it."""
        try:
            line = format_envelope(envelope).decode().rstrip("\n")
            self.emit(envelope.session, line)
        except EnvelopeError as error:
            self._log.error("cannot be sent: {error}", error=error.reason)
        except Exception:
            self._log.failure("the control port failed to take an envelope")
        else:
            self.counters["sent"] += 1
            return True
        self.counters["refused"] += 1
        return False

    def deliver(self, envelope_json: str) -> Envelope:
        """Hand in what the application got from the peer; EnvelopeError says what is wrong."""
        envelope = parse_envelope(envelope_json)
        if envelope.to != self.name:
            raise EnvelopeError("to: another daemon's name")
        attachment = self._attachments.find(envelope)
        if attachment is None:
            raise EnvelopeError("session, from: no such session")
        self.counters["received"] += 1
        attachment.deliver(envelope)
        return envelope

    def presence(self, peer: str, online: bool) -> None:
        """The application knows whether *peer* is there."""
        for attachment in self._attachments.of_peer(peer):
            attachment.tell_presence(online)

    def _greet(self, attachment: Attachment) -> None:
        attachment.tell_up(True)
        attachment.tell_presence(True)
