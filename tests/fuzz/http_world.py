"""A session on HTTP in memory: requests as text, a negotiator that answers them, no sockets."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from refreeze.jsep import Description, JsepError
from refreeze.signaling import Envelope, EnvelopeKind
from refreeze.signaling.http.access import Access
from refreeze.signaling.http.carrier import HttpCarrier, HttpSignaling
from refreeze.signaling.http.life import Life
from refreeze.signaling.http.resources import Doorway
from refreeze.signaling.http.wire import BoundedSite
from tests.jsep.sides import ANSWER, OFFER, Side

SESSION = "link"
PAGE = "https://page.example"
_TURNS = (0.0, *[0.5] * 24)
"""Seconds that are let pass: more than a request may take to come, and an answer to be made."""
_STATUS = re.compile(rb"(?:^|\r\n\r\n|\r\n|\})HTTP/1\.[01] ([0-9]{3}) ")


class Wire(StringTransport):
    """As a socket is: closed a turn after it is told to, and without a word about producers."""

    def __init__(self, clock: Clock, channel: Any) -> None:
        super().__init__()
        self._clock, self._channel, self._closed = clock, channel, False

    def unregisterProducer(self) -> None:
        """Also when there is none."""
        self.producer = None

    def loseConnection(self) -> None:
        """What was written is gone by then."""
        if not self.disconnecting:
            self.disconnecting = True
            self._clock.callLater(0, self.close)

    def abortConnection(self) -> None:
        """Likewise, for in here."""
        self.loseConnection()

    def close(self) -> None:
        """Once."""
        if not self._closed:
            self._closed = True
            self._channel.connectionLost(Failure(ConnectionDone()))


@define(eq=False, repr=False)
class HttpWorld:
    """I am the session, and I play a browser whose offer has been answered."""

    clock: Clock = field(factory=Clock, init=False)
    ours: Side = field(factory=lambda: Side(1, accepts_media=False), init=False)
    browser: Side = field(init=False)
    epoch: int = field(default=0, init=False)
    """Of the client's life that the session knows."""
    failures: list[str] = field(factory=list, init=False)
    """Logged."""
    offered: Envelope | None = field(default=None, init=False)
    """By the session, on the event stream."""
    carrier: HttpCarrier = field(init=False)
    _site: BoundedSite = field(init=False)

    def __attrs_post_init__(self) -> None:
        signaling = HttpSignaling(
            name="daemon", clock=self.clock, wall=lambda: 1.0, random=random.Random(3)
        )
        self.carrier = signaling.attach(SESSION, "browser", self)  # type: ignore[assignment]  # it is
        doorway = Doorway(signaling=signaling, clock=self.clock, access=Access(origins=(PAGE,)))
        self._site = BoundedSite(doorway, self.clock)
        self.clock.advance(0)

    # The session

    def envelope_received(self, envelope: Envelope) -> None:
        """As a session does: what cannot be applied changes nothing."""
        if envelope.kind is EnvelopeKind.OFFER and envelope.epoch != self.epoch:
            self.ours, self.epoch = Side(1, accepts_media=False), envelope.epoch
        jsep = self.ours.jsep
        try:
            match envelope.kind:
                case EnvelopeKind.OFFER:
                    jsep.set_remote(Description(OFFER, envelope.sdp or ""))
                    jsep.set_local()
                    assert jsep.local_description is not None
                    self._say(EnvelopeKind.ANSWER, jsep.local_description.sdp, envelope.id)
                case EnvelopeKind.ANSWER:
                    jsep.set_remote(Description(ANSWER, envelope.sdp or ""))
                case EnvelopeKind.CANDIDATE | EnvelopeKind.END_OF_CANDIDATES:
                    init = envelope.candidate
                    assert init is not None
                    jsep.add_remote_candidate(
                        init.candidate, init.sdp_mid, None, init.username_fragment
                    )
        except (JsepError, TypeError) as error:
            if envelope.kind in {EnvelopeKind.OFFER, EnvelopeKind.ANSWER}:
                self.carrier.refused(str(envelope.kind), str(error))

    def peer_presence(self, peer: str, online: bool) -> None:
        """Not of interest."""

    def signaling_state(self, up: bool) -> None:
        """Not of interest."""

    def _say(self, kind: EnvelopeKind, sdp: str, about: str | None = None) -> Envelope:
        life = self.carrier.life
        envelope = Envelope(
            id=f"s{self.clock.seconds():g}-{kind}",
            from_="daemon",
            to="browser",
            session=SESSION,
            epoch=1,
            generation=1,
            kind=kind,
            sdp=sdp,
            offer=about,
        )
        if life is not None:
            self.carrier.send(envelope)
        return envelope

    # The story

    def connect(self) -> Life:
        """A browser comes; it offers, and we answer."""
        self.browser = Side(2)
        offer = self.browser.offer().sdp
        head = f"POST /sessions/{SESSION} HTTP/1.1\r\nContent-Type: application/sdp"
        answer = self.request(f"{head}\r\nHost: localhost\r\n\r\n{offer}", turns=(0.0,))
        assert statuses(answer) == [201], answer
        sdp = answer.partition(b"\r\n\r\n")[2].decode()
        self.browser.take(Description(ANSWER, sdp))
        life = self.carrier.life
        assert life is not None
        return life

    def offer(self) -> str:
        """We restart; what the browser answers."""
        offer = self.ours.offer(restart=True)
        self.offered = self._say(EnvelopeKind.OFFER, offer.sdp)
        self.browser.take(offer)
        return self.browser.answer().sdp

    def filled(self, text: str) -> str:
        """With what only the living world knows: {ID}, {ETAG}, {OFFER}, {ANSWER}."""
        life = self.carrier.life
        assert life is not None
        if "{OFFER}" in text or "{ANSWER}" in text:
            answer = json.dumps(self.offer())[1:-1]
            assert self.offered is not None
            text = text.replace("{OFFER}", self.offered.id).replace("{ANSWER}", answer)
        return text.replace("{ID}", life.id).replace("{ETAG}", life.etag)

    def request(self, text: str, turns: tuple[float, ...] = _TURNS) -> bytes:
        """Everything that comes back for one request; its length is added to its head."""
        head, _, body = text.partition("\r\n\r\n")
        data = body.encode("utf-8", "surrogatepass")
        head += f"\r\nContent-Length: {len(data)}\r\n\r\n"
        channel: Any = self._site.buildProtocol(None)
        wire = Wire(self.clock, channel)
        with self._watched():
            channel.makeConnection(wire)
            channel.dataReceived(head.encode("utf-8", "surrogatepass") + data)
            for seconds in turns:
                self.clock.advance(seconds)
            wire.close()
        return bytes(wire.value())

    @contextmanager
    def _watched(self) -> Iterator[None]:
        def look(event: LogEvent) -> None:
            if "log_failure" in event:
                self.failures.append(event["log_failure"].getTraceback()[-1500:])

        globalLogPublisher.addObserver(look)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(look)

    @property
    def state(self) -> object:
        """What a refused request leaves as it is; an offer whose answer is refused is over."""
        life, jsep = self.carrier.life, self.ours.jsep
        known = None
        if life is not None:
            known = life.id, life.etag, life.established
        descriptions = jsep.local_description, jsep.remote_description
        return known, jsep.signaling_state, descriptions


def statuses(said: bytes) -> list[int]:
    """Of the responses."""
    return [int(found) for found in _STATUS.findall(said)]
