"""A browser as RFC 9725 has it: a peer connection of ours that speaks only HTTP, and a daemon."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from attrs import define, evolve, field

from refreeze.config import DaemonSettings
from refreeze.jsep import Description, DescriptionType
from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import Fragment, fragment_of
from refreeze.service import Daemon
from refreeze.sessions.forward import ForwardSettings
from refreeze.sessions.session import Session
from refreeze.sessions.settings import SessionSettings
from refreeze.sessions.supervisor import OperationError
from refreeze.signaling.http.life import restarted
from refreeze.signaling.http.settings import HttpSettings
from refreeze.testing import DatagramLog, FakeHost, VirtualWorld
from tests.peer.pair import ROLLBACK, Side, now
from tests.signaling.http.kit import PLACE, SESSION, Client, Connection, Reply

GOOD = ("connected", "completed")


@define(eq=False, repr=False)
class Browser:
    """Follows docs/http.md: posts, patches, and answers what the stream offers."""

    side: Side
    client: Client
    place: str = ""
    etag: str = ""
    stream: Connection | None = None
    replies: list[Reply] = field(factory=list)
    candidates: list[Any] = field(factory=list)
    """Of its own, that were not trickled yet."""
    _seen: int = 0

    def __attrs_post_init__(self) -> None:
        self.side.connection.addEventListener(
            "icecandidate", lambda event: self.candidates.append(event.candidate)
        )

    @property
    def connection(self) -> Any:
        return self.side.connection

    def now(self, deferred: Any) -> Any:
        """What it comes to in the tasks that are due."""
        self.client.world.advance(0)
        return now(deferred)

    def local(self, **options: bool) -> SessionDescription:
        """A new offer or answer of its own, applied."""
        if options:
            offer = self.now(self.connection.createOffer(**options))
            self.now(self.connection.setLocalDescription(offer))
        else:
            self.now(self.connection.setLocalDescription())
        return SessionDescription.parse(self.connection.localDescription.sdp)

    def remote(self, kind: DescriptionType, sdp: str) -> None:
        """One of the daemon's."""
        self.now(self.connection.setRemoteDescription(Description(kind, sdp)))

    def begin(self) -> Reply:
        """POST, and the stream."""
        reply = self.client.post(self.local().format())
        self.replies.append(reply)
        if reply.status == 201:
            self.place, self.etag = reply.headers["location"], reply.headers["etag"]
            self.remote(DescriptionType.ANSWER, reply.text)
            self.stream, self._seen = self.client.stream(self.place), 0
        return reply

    def restart(self) -> Reply:
        """PATCH with new credentials; an error is followed by a rollback."""
        mine = self.local(iceRestart=True)
        reply = self.client.patch(self.place, fragment_of(mine).format())
        self.replies.append(reply)
        if reply.status != 200:
            self.now(self.connection.setLocalDescription(ROLLBACK))
            return reply
        self.etag = reply.headers["etag"]
        theirs = SessionDescription.parse(self.connection.remoteDescription.sdp)
        answer = restarted(theirs, Fragment.parse(reply.text))
        self.remote(DescriptionType.ANSWER, answer.replace("actpass", self._role()))
        return reply

    def _role(self) -> str:
        """The daemon's in DTLS, as agreed with its first answer or with ours."""
        current = self.connection.currentLocalDescription
        if "a=setup:actpass" in current.sdp:
            current = self.connection.currentRemoteDescription
            return "active" if "a=setup:active" in current.sdp else "passive"
        return "passive" if "a=setup:active" in current.sdp else "active"

    def trickle(self) -> None:
        """What was gathered since."""
        mine = SessionDescription.parse(self.connection.localDescription.sdp)
        body = evolve(fragment_of(mine), bundle=())
        if self.candidates:
            self.candidates.clear()
            self.replies.append(self.client.patch(self.place, body.format(), self.etag))

    def heed(self) -> None:
        """Do what the stream says; polite, so an offer of its own gives way."""
        events = [] if self.stream is None else self.stream.events
        while self._seen < len(events):
            kind, data = events[self._seen]
            self._seen += 1
            if kind == "candidate":
                self.connection.addIceCandidate(data).addErrback(lambda _: None)
            elif kind == "offer":
                self.remote(DescriptionType.OFFER, data["sdp"])
                reply = self.client.say(self.place, data["id"], self.local().format())
                self.replies.append(reply)
                if reply.status != 200:  # what we have was given up: new credentials are wanted
                    self.candidates.clear()
                    self.restart()
                self.etag = reply.headers.get("etag", self.etag)

    def cut(self) -> None:
        """The stream breaks off."""
        if self.stream is not None and self.stream.transport is not None:
            self.stream.transport.abortConnection()

    def keep(self) -> bool:
        """See to the stream; False when the resource is gone."""
        if self.stream is None or not self.place:
            return False
        if self.stream.lost:
            self.stream, self._seen = self.client.stream(self.place), 0
        assert self.stream.head is not None
        return self.stream.head[0] == 200 and "gone" not in [k for k, _ in self.stream.events]

    def reload(self, side: Side) -> None:
        """The page is loaded again: nobody says good-bye."""
        self.side.connection.close()
        self.cut()
        self.place, self.stream = "", None
        self.side = side
        self.candidates.clear()
        self.__attrs_post_init__()


@define(eq=False, repr=False)
class Street:
    """A daemon with one session on HTTP, and a browser on another host."""

    offerer: str | None = None
    world: VirtualWorld = field(init=False)
    hosts: dict[str, FakeHost] = field(init=False)
    gate: Daemon = field(init=False)
    browser: Browser = field(init=False)
    sides: list[Side] = field(factory=list, init=False)
    events: list[tuple[str, dict[str, Any]]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        world = self.world = VirtualWorld(1, log=DatagramLog(None))
        self.hosts = {
            "gate": world.network.host("gate", ["192.0.2.1"]),
            "browser": world.network.host("browser", ["192.0.2.2"]),
        }
        self._start()
        client = Client(world.reactor.on("browser"), world.reactor)
        self.browser = Browser(self.side(), client)

    def _start(self) -> None:
        session = SessionSettings(
            peer="browser",
            signaling="http",
            offerer=self.offerer,
            forward=ForwardSettings(listen="127.0.0.1:7001"),
        )
        settings = DaemonSettings(
            name="gate",
            http=HttpSettings(listen=f"unix:{PLACE}"),
            sessions={SESSION: session},
        )
        self.gate = self.world.daemon(
            self.hosts["gate"], settings, [lambda *event: self.events.append(event)]
        )
        self.gate.startService()
        self.advance(0.1)

    def kill(self) -> None:
        """The daemon, as SIGKILL does; another one begins."""
        self.world.kill(self.hosts["gate"])
        self._start()

    def side(self) -> Side:
        """A new peer connection on the browser's host."""
        made = Side(self.world.reactor, self.hosts["browser"], len(self.sides), protect=True)
        made.as_service = False
        self.sides.append(made)
        return made

    @property
    def session(self) -> Session:
        """The daemon's."""
        return self.gate.supervisor.sessions[SESSION]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.world.reactor.advance(seconds)

    def connected(self) -> bool:
        """Whether both say so."""
        return self.session.state in GOOD and self.browser.side.state in GOOD

    def live(self, seconds: float) -> None:
        """Time passes, while the browser trickles and heeds its stream."""
        until = self.world.reactor.seconds() + seconds
        while self.world.reactor.seconds() < until:
            self.advance(0.05)
            self.browser.trickle()
            self.browser.heed()

    def settle(self, seconds: float) -> None:
        """Time passes for a browser that does all it can: it comes again when it has to."""
        until = self.world.reactor.seconds() + seconds
        while True:
            if not self.browser.keep() or self.browser.side.state == "closed":
                self.browser.reload(self.side())
                self.browser.begin()
            elif self.browser.side.state == "failed":
                self.browser.restart()
            if self.world.reactor.seconds() >= until:
                return
            self.live(min(0.2, until - self.world.reactor.seconds()))

    def agreed(self) -> bool:
        """Whether both are connected, in the same ICE session."""
        ours, theirs = self.session.connection, self.browser.connection
        return self.connected() and (
            ours.iceTransport.getRemoteParameters() == theirs.iceTransport.getLocalParameters()
            and ours.iceTransport.getLocalParameters() == theirs.iceTransport.getRemoteParameters()
        )

    def connect(self) -> None:
        """From nothing to a path."""
        reply = self.browser.begin()
        assert reply.status == 201, reply
        self.live(3.0)
        assert self.connected(), (self.session.state, self.browser.side.state)

    def operate(self) -> None:
        """The operator restarts."""
        with suppress(OperationError):  # a round is under way
            done = self.gate.supervisor.restart(SESSION, reason="", force=True)
            done.addErrback(lambda _: None)

    def of(self, topic: str) -> list[dict[str, Any]]:
        """The daemon's events."""
        return [fields for seen, fields in self.events if seen == topic]

    def end(self) -> Any:
        """Everything stops; returns the calls that somebody left behind."""
        for side in self.sides:
            side.connection.close()
            side.pool.close()
            side.scheduler.stop()
        return self.world.stop()
