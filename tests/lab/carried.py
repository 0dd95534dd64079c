"""The other end of a session when that is somebody else's ICE.

A session with ``signaling=control`` gives its envelopes to the application, which is the test:
it plays the other daemon, and its ICE is libnice or a browser.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field

from refreeze.ctl.wire import Connection, ReplyTimeout, quote_value
from refreeze.signaling import Envelope, EnvelopeKind, format_envelope, parse_envelope
from refreeze.signaling.conversation import Apply, Conversation, Reply
from tests.lab.commands import PATIENCE, LabError
from tests.lab.daemons import Daemon

SESSION = "link"


class Foreign(Protocol):
    """Somebody else's end of offers and answers; descriptions have all candidates of it."""

    def offer(self, *, restart: bool) -> str: ...

    def answer(self, sdp: str) -> str:
        """To an offer of ours."""
        ...

    def answered(self, sdp: str) -> None: ...

    def candidate(self, line: str, mid: str) -> None:
        """One that we trickled, and its section; empty: their end."""
        ...


@define(eq=False)
class Carried:
    """I carry the envelopes of one daemon's session to *other*, and what that says back."""

    daemon: Daemon
    name: str
    other: Foreign
    tells_addresses: bool = True
    """False: the other side gets to know no candidate of the daemon's but by its checks."""
    answers_after: float = 0.0
    """Seconds that an answer of the daemon's takes to the other side."""
    session: str = SESSION
    """Its name."""
    said: list[str] = field(factory=list, init=False)
    """Every description and candidate of the daemon's."""
    refused: list[str] = field(factory=list, init=False)
    """What the daemon said of descriptions of the other side's that it refused."""
    refusals: list[str] | None = field(default=None, init=False)
    """What the other side said of offers that it could not answer; None: that must not be."""
    _conversation: Conversation = field(init=False)
    _control: Connection = field(init=False)
    _epoch: int = field(default=0, init=False)
    _offers: bool = field(default=False, init=False)

    def open(self, **options: str) -> None:
        """Make the session; *options* are those of `open`."""
        self._offers = options.get("offerer") == self.name
        self.begin_again()
        self._control = self.daemon.connect()
        self._control.ask("watch signal")
        usual = {"peer": self.name, "signaling": "control", "protect": "none"}
        words = [f"{key}={quote_value(value)}" for key, value in (usual | options).items()]
        self.daemon.ask(f"open {self.session} {' '.join(words)}")

    def begin_again(self) -> None:
        """Another life of the other side's."""
        self._epoch += 1
        self._conversation = Conversation(
            me=self.name,
            peer=self.daemon.name,
            session=self.session,
            epoch=self._epoch,
            offerer=self._offers,
            new_id=lambda: secrets.token_hex(8),
        )

    def close(self) -> None:
        """Hear no more."""
        self._control.close()

    def offer(self, *, restart: bool = False) -> None:
        """The other side begins a round."""
        sdp = self.other.offer(restart=restart)
        self._tell(sdp, self._conversation.make_offer)

    def offer_again(self) -> None:
        """The offer that has no answer yet."""
        envelope = self._conversation.resend_offer()
        assert envelope is not None
        self._say(envelope)

    def until(self, found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Carry until *found*."""

        def looked() -> Any:
            self.carry()
            return found()

        self.daemon.wait(looked, what, seconds)

    def until_round(self, number: int, outcome: str = "succeeded") -> None:
        """Carry until round *number*, from 1, has come to its end, which must be that."""

        def over() -> bool:
            rounds = self.daemon.rounds(self.session)
            return len(rounds) >= number and "outcome" in rounds[number - 1]

        self.until(over, f"the end of round {number}")
        rounds = self.daemon.rounds(self.session)
        assert rounds[number - 1]["outcome"] == outcome, rounds

    def carry(self) -> None:
        """Everything that is there now."""
        while True:
            try:
                line = self._control.event(0.01)
            except ReplyTimeout:
                return
            *_, topic, fields = line.split(" ", 4)
            if topic == "signal.refused":
                self.refused.append(fields)
            if topic != "signal":  # but of the state of signaling
                continue
            envelope = parse_envelope(json.loads(fields)["envelope"])
            if envelope.session != self.session:
                continue
            for outcome in self._conversation.receive(envelope):
                if isinstance(outcome, Apply):
                    self._apply(outcome.envelope)
                elif isinstance(outcome, Reply):
                    self._say(outcome.envelope)

    def _apply(self, envelope: Envelope) -> None:
        sdp, candidate = envelope.sdp or "", envelope.candidate
        self.said.append(sdp if candidate is None else candidate.candidate)
        if not self.tells_addresses:
            sdp = "".join(line for line in sdp.splitlines(True) if "candidate" not in line)
        if envelope.kind is EnvelopeKind.OFFER:
            if self._conversation.in_glare() and self._conversation.glare_winner() == self.name:
                self._conversation.ignore(envelope)
                return
            self._answer(sdp, envelope.id)
        elif envelope.kind is EnvelopeKind.ANSWER:
            time.sleep(self.answers_after)
            self.other.answered(sdp)
        elif candidate is not None and self.tells_addresses:
            self.other.candidate(candidate.candidate, candidate.sdp_mid or "0")
        elif envelope.kind is EnvelopeKind.RESTART_PLEASE and not self._conversation.in_glare():
            self.offer(restart=True)

    def _answer(self, sdp: str, offer_id: str) -> None:
        try:
            answer = self.other.answer(sdp)
        except LabError as error:
            if self.refusals is None:
                raise
            self.refusals.append(str(error))
            return
        self._tell(answer, lambda sdp: self._conversation.make_answer(sdp, offer_id))

    def _tell(self, sdp: str, make: Callable[[str], Envelope | None]) -> None:
        """A description of the other side's."""
        envelope = make(sdp)
        assert envelope is not None
        self._say(envelope)

    def _say(self, envelope: Envelope) -> None:
        line = format_envelope(envelope).decode().rstrip("\n")
        self.daemon.ask(f"signal {json.dumps(line)}")
