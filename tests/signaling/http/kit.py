"""A listener on virtual streams, a client that speaks HTTP/1.1 to it, and a session by script."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import fragment_of
from refreeze.signaling import Envelope, EnvelopeKind
from refreeze.signaling.envelope import CandidateInit
from refreeze.signaling.http.access import Access
from refreeze.signaling.http.carrier import HttpCarrier, HttpSignaling
from refreeze.signaling.http.resources import FRAGMENT, JSON, SDP, Doorway
from refreeze.signaling.http.wire import BoundedSite
from refreeze.testing import SeededRandom, VirtualReactor

_DONE = Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # Twisted's
PLACE = "/virtual/http.sock"
SESSION = "screen"
PWD = "p" * 22
CANDIDATE = "candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host"
_LINES = (
    "v=0",
    "o=- 1 1 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=ice-ufrag:{ufrag}",
    "a=ice-pwd:{pwd}",
    "a=ice-options:trickle",
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    "a=setup:{setup}",
    "a=sctp-port:5000",
)


def sdp(ufrag: str = "client1", setup: str = "actpass", *more: str) -> str:
    """A description with one data section; *more* lines end it."""
    text = "\r\n".join([*_LINES, *more, ""])
    return text.format(ufrag=ufrag, setup=setup, pwd=PWD[len(ufrag) :] + ufrag)


def fragment(ufrag: str = "client1", *more: str) -> str:
    """The first section's credentials, and *more* lines of it."""
    return fragment_of(SessionDescription.parse(sdp(ufrag, "actpass", *more))).format()


@frozen
class Reply:
    """A response; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    @property
    def problem(self) -> dict[str, Any]:
        """A problem's members (RFC 9457), looked at on the way."""
        assert self.headers["content-type"] == "application/problem+json", self.headers
        found: dict[str, Any] = json.loads(self.body)
        assert set(found) == {"type", "title", "status", "detail"}, found
        assert found["status"] == self.status, found
        assert "\n" not in found["detail"], found
        return found


class Connection(Protocol):
    """One connection to the listener; what comes is kept."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = _DONE) -> None:
        self.lost = True

    def send(self, data: bytes) -> None:
        """As it is."""
        assert self.transport is not None
        self.transport.write(data)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """A whole one; ``_`` in names of headers is ``-``."""
        lines = [f"{method} {path} HTTP/1.1"]
        headers.setdefault("Host", "localhost")
        if body or method in {"POST", "PATCH"}:
            headers.setdefault("Content_Length", str(len(body)))
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    @property
    def head(self) -> tuple[int, dict[str, str]] | None:
        """The first response's status and headers, when they are whole."""
        head, end, _ = self.data.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}

    def take(self, bodiless: bool = False) -> Reply | None:
        """The first response, taken away; None while it is not whole."""
        if self.head is None:
            return None
        status, headers = self.head
        rest = self.data.partition(b"\r\n\r\n")[2]
        size = 0 if bodiless or status == 204 else int(headers.get("content-length", "0"))
        if len(rest) < size:
            return None
        self.data = rest[size:]
        return Reply(status, headers, rest[:size])

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Of an event stream: kinds and data, in order; numbers are looked at on the way."""
        body, found = self.data.partition(b"\r\n\r\n")[2], []
        text = b"".join(body.split(b"\r\n")[1::2]).decode()
        for block in text.split("\n\n")[:-1]:
            if not block.startswith(":"):
                kind, number, data = block.split("\n")
                found.append((kind.removeprefix("event: "), json.loads(data[len("data: ") :])))
                assert number == f"id: {len(found)}", number
        return found


@define(eq=False, repr=False)
class Client:
    """Opens connections to *place*."""

    reactor: Any
    world: VirtualReactor
    place: str = PLACE
    headers: dict[str, str] = field(factory=dict)
    """Of every request."""

    def connect(self) -> Connection:
        """A connection that is there."""
        made = Connection()
        factory = ClientFactory()
        factory.noisy = False
        factory.buildProtocol = lambda address: made  # type: ignore[method-assign]  # one's own
        self.reactor.connectUNIX(self.place, factory)
        self.world.run_until(lambda: made.transport is not None, 5.0)
        return made

    def ask(
        self, method: str, path: str, body: str | bytes = b"", limit: float = 20.0, **headers: str
    ) -> Reply:
        """A request on a connection of its own, and what comes back."""
        connection = self.start(method, path, body, **headers)
        replies: list[Reply] = []

        def there() -> bool:
            reply = connection.take(method == "HEAD")
            replies.extend([] if reply is None else [reply])
            return reply is not None

        self.world.run_until(there, limit)
        assert connection.transport is not None
        connection.transport.loseConnection()
        return replies[0]

    def start(self, method: str, path: str, body: str | bytes = b"", **headers: str) -> Connection:
        """A request; the response is looked for later."""
        connection = self.connect()
        raw = body.encode() if isinstance(body, str) else body
        connection.request(method, path, raw, **{**self.headers, **headers})
        return connection

    # RFC 9725's requests

    def post(self, text: str, session: str = SESSION, **headers: str) -> Reply:
        """An offer."""
        return self.ask("POST", f"/sessions/{session}", text, Content_Type=SDP, **headers)

    def patch(self, place: str, text: str, match: str | None = "*", **headers: str) -> Reply:
        """A fragment."""
        matched = {} if match is None else {"If_Match": match}
        return self.ask("PATCH", place, text, Content_Type=FRAGMENT, **matched, **headers)

    def say(self, place: str, offer: str, text: str) -> Reply:
        """The answer to an offer of the stream's."""
        body = json.dumps({"type": "answer", "offer": offer, "sdp": text})
        return self.ask("POST", f"{place}/events", body, Content_Type=JSON)

    def stream(self, place: str) -> Connection:
        """An event stream that has begun."""
        connection = self.start("GET", f"{place}/events")
        self.world.run_until(lambda: connection.head is not None, 5.0)
        return connection


@define(eq=False, repr=False)
class Script:
    """A session that answers every offer in the next turn, or as *answering* says."""

    reactor: VirtualReactor
    carrier: Any = None
    heard: list[Envelope] = field(factory=list)
    told: list[object] = field(factory=list)
    """Presence and state, as they came."""
    answering: Callable[[Envelope], str | None] = lambda offer: sdp("daemon", "passive")
    judging: Callable[[Envelope], object] = lambda answer: None
    """What becomes of the client's answers."""
    fails: bool = False
    _made: int = 0

    def envelope_received(self, envelope: Envelope) -> None:
        if self.fails:
            raise RuntimeError("on purpose")
        self.heard.append(envelope)
        if envelope.kind is EnvelopeKind.OFFER:
            self.reactor.callLater(0, self._answer, envelope)
        elif envelope.kind is EnvelopeKind.ANSWER:
            self.reactor.callLater(0, self.judging, envelope)

    def peer_presence(self, peer: str, online: bool) -> None:
        self.told.append((peer, online))

    def signaling_state(self, up: bool) -> None:
        self.told.append(up)

    def of(self, kind: EnvelopeKind) -> list[Envelope]:
        """What was heard of that kind."""
        return [each for each in self.heard if each.kind is kind]

    def say(self, kind: EnvelopeKind, **members: Any) -> Envelope:
        """Send an envelope to the client."""
        self._made += 1
        envelope = Envelope(
            id=f"daemon-{self._made}",
            from_="gate",
            to="browser",
            session=SESSION,
            epoch=1,
            generation=self._made,
            kind=kind,
            **members,
        )
        self.carrier.send(envelope)
        return envelope

    def offer(self, text: str | None = None) -> Envelope:
        """The daemon's restart."""
        self._made += 1
        return self.say(EnvelopeKind.OFFER, sdp=text or sdp(f"daemon{self._made}"))

    def trickle(self, line: str = CANDIDATE, ufrag: str = "daemon1") -> Envelope:
        """A candidate of the daemon's; an empty line ends them."""
        kind = EnvelopeKind.CANDIDATE if line else EnvelopeKind.END_OF_CANDIDATES
        init = CandidateInit(line, sdp_mid="0", username_fragment=ufrag)
        return self.say(kind, candidate=init)

    def _answer(self, offer: Envelope) -> None:
        answer = self.answering(offer)
        if answer is not None:
            self.say(EnvelopeKind.ANSWER, sdp=answer, offer=offer.id)


@define(eq=False, repr=False)
class Kit:
    """A listener with one session, and a client."""

    access: Access = field(factory=Access)
    offers: bool = True
    stands: bool = True
    reactor: VirtualReactor = field(factory=VirtualReactor)
    signaling: HttpSignaling = field(init=False)
    doorway: Doorway = field(init=False)
    site: BoundedSite = field(init=False)
    script: Script = field(init=False)
    client: Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.signaling = HttpSignaling(
            name="gate",
            clock=self.reactor,
            wall=self.reactor.wall,
            random=SeededRandom(1),
            offers=lambda session: self.offers,
            stands=lambda session, offer: self.stands,
        )
        self.doorway = Doorway(
            signaling=self.signaling, clock=self.reactor, access=self.access, unix=True
        )
        self.site = BoundedSite(self.doorway, self.reactor)
        self.reactor.listenUNIX(PLACE, self.site)
        self.script = Script(self.reactor)
        self.script.judging = lambda answer: self.signaling.heed("round.answer", {"id": SESSION})
        self.script.carrier = self.signaling.attach(SESSION, "browser", self.script)
        self.client = Client(self.reactor, self.reactor)
        self.reactor.advance(0)

    def refuse(self, what: str, why: str) -> None:
        """The session does not take the client's offer or answer."""
        self.signaling.heed("signal.refused", {"id": SESSION, "what": what, "why": why})

    @property
    def carrier(self) -> HttpCarrier:
        """The session's."""
        found = self.signaling.find(SESSION)
        assert found is not None
        return found

    def begin(self) -> tuple[str, str]:
        """A client comes; its resource and its entity tag."""
        reply = self.client.post(sdp())
        assert reply.status == 201, reply
        return reply.headers["location"], reply.headers["etag"]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.reactor.advance(seconds)
