"""Two RTCDtlsTransports and the path between them, in virtual time; no ICE is made for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from attrs import define, evolve, field
from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import DtlsAgreed
from refreeze.net.scheduler import Scheduler
from refreeze.net.tasks import TaskQueue
from refreeze.peer.door import DoorCounters, PayloadReceiver
from refreeze.peer.dtls import Association, DtlsContext, DtlsEvent, RTCDtlsTransport
from refreeze.peer.events import Event
from refreeze.peer.icetransport import RTCIceTransport
from refreeze.testing import VirtualClock, openssl_time
from tests.peer.dtls.wire import CLIENT, DELAY, SERVER, context, fingerprints
from tests.virtualtime import need_openssl_time

FAR = 1500
"""Bytes that the path takes."""


@define(eq=False, repr=False)
class Path:
    """One end's door to the other, and all of an ICE transport that DTLS looks at."""

    clock: VirtualClock
    max_payload: int | None = None
    state: str = "connected"
    """ICE's, as W3C has it."""
    route_watcher: Callable[[], None] = lambda: None
    counters: DoorCounters = field(factory=DoorCounters)
    sent: list[bytes] = field(factory=list)
    lost: bool = False
    """Whether it loses all that is sent, from now on."""
    refuses: bool = False
    """Whether the port takes nothing, from now on."""
    other: Path = field(init=False)
    _receiver: PayloadReceiver = field(init=False)

    @property
    def datagrams(self) -> Path:
        """The door."""
        return self

    def on_batch(self, receiver: PayloadReceiver) -> None:
        """Set the receiver."""
        self._receiver = receiver

    def send(self, payloads: Sequence[bytes]) -> int:
        """All of a batch arrives as a batch."""
        if self.refuses or self.max_payload is None:
            return 0
        self.sent += payloads
        if not self.lost:
            self.clock.callLater(DELAY, self.other.take, list(payloads))
        return len(payloads)

    def take(self, payloads: list[bytes]) -> None:
        """Something comes."""
        self._receiver(payloads)

    def open(self, size: int | None = FAR) -> None:
        """There is a path from now on, or another one."""
        self.max_payload = size
        self.route_watcher()


@define(eq=False, repr=False)
class Speaker:
    """One transport; what it fires, tells and hands up is written down."""

    clock: VirtualClock
    path: Path
    name: str
    told: list[DtlsEvent] = field(factory=list)
    fired: list[str] = field(factory=list)
    received: list[bytes] = field(factory=list)
    batches: list[int] = field(factory=list)
    transport: RTCDtlsTransport = field(init=False)
    scheduler: Scheduler = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(self.clock)
        self.transport = RTCDtlsTransport(
            iceTransport=cast("RTCIceTransport", self.path),
            context=context(self.name),
            scheduler=self.scheduler,
            queue_task=TaskQueue(self.clock),
            watcher=self.told.append,
        )
        self.transport.on_batch(self._data)
        for kind in ("statechange", "error"):
            self.transport.addEventListener(kind, self._fired)

    def _data(self, payloads: list[bytes]) -> None:
        self.received += payloads
        self.batches.append(len(payloads))

    def _fired(self, event: Event) -> None:
        state = self.transport.state
        self.fired.append(state if event.type == "statechange" else f"{event.type} in {state}")

    @property
    def counters(self) -> DoorCounters:
        """Of the door."""
        return self.transport.counters

    @property
    def association(self) -> Association:
        """The one that carries the data."""
        usable = self.transport._associations.usable
        assert usable is not None
        return usable

    def send(self, *payloads: bytes) -> int:
        """Over the transport."""
        return self.transport.send(payloads)


@define(eq=False, repr=False)
class Talk:
    """Both, the one that is the client first."""

    clock: VirtualClock = field(factory=VirtualClock)
    client: Speaker = field(init=False)
    server: Speaker = field(init=False)

    def __attrs_post_init__(self) -> None:
        one, two = Path(self.clock), Path(self.clock)
        one.other, two.other = two, one
        self.client = Speaker(self.clock, one, CLIENT)
        self.server = Speaker(self.clock, two, SERVER)

    @property
    def speakers(self) -> tuple[Speaker, Speaker]:
        """Both."""
        return self.client, self.server

    def agree(
        self,
        *,
        contexts: tuple[DtlsContext, DtlsContext] | None = None,
        payload: str | None = "dtls",
        expected: tuple[str, ...] | None = None,
    ) -> None:
        """An answer was applied at both: a new association. *expected* is the client's belief."""
        for number, speaker in enumerate(self.speakers):
            theirs = self.speakers[1 - number].transport.context
            if contexts is not None:
                speaker.transport.context, theirs = contexts[number], contexts[1 - number]
            parameters = DtlsAgreed(
                client=number == 0,
                fingerprints=fingerprints(theirs),
                local_tls_id=None,
                remote_tls_id=None,
                payload=payload,
            )
            if expected is not None and number == 0:
                parameters = evolve(parameters, fingerprints=expected)
            speaker.transport.agreed(parameters)

    def open(self) -> None:
        """Both have a path, at once."""
        for speaker in self.speakers:
            speaker.path.open()

    def connect(self) -> None:
        """All of it."""
        self.agree()
        self.open()
        self.clock.advance(1.0)

    def story(self) -> str:
        """What a person needs who looks for the reason."""
        return "; ".join(
            f"{each.name} {each.transport.state} {each.told} {each.counters}"
            for each in self.speakers
        )


class TransportCase(SynchronousTestCase):
    """Two transports, and OpenSSL in their time."""

    def setUp(self) -> None:
        need_openssl_time()
        self.talk = Talk()
        self.clock = self.talk.clock
        self.client, self.server = self.talk.speakers
        time = openssl_time(self.clock)
        time.__enter__()
        self.addCleanup(time.__exit__, None, None, None)

    def flows(self) -> None:
        """Data gets through, both ways."""
        for speaker, other in ((self.client, self.server), (self.server, self.client)):
            before = len(other.received)
            payloads = [f"{speaker.name} {number}".encode() for number in range(3)]
            self.assertEqual(speaker.send(*payloads), 3, self.talk.story())
            self.clock.advance(2 * DELAY)
            self.assertEqual(other.received[before:], payloads, self.talk.story())

    def balanced(self) -> None:
        """Whatever was offered went, or was dropped with a reason."""
        for speaker in self.talk.speakers:
            counters = speaker.counters
            self.assertEqual(counters.offered, counters.handed + counters.dropped.total())
