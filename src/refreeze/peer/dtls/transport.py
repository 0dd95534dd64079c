"""RTCDtlsTransport: the one object that lives through all associations of a session.

It is the ``dtls`` member of protect: a door whose datagrams are records on ICE's own door. An ICE
restart changes nothing here (rule 30); what an answer agreed about DTLS begins the next association
beside the one that carries the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

from attrs import define, field
from twisted.logger import Logger

from refreeze.jsep import DtlsAgreed
from refreeze.net.scheduler import Handle, Scheduler
from refreeze.peer.certificate import RTCCertificate
from refreeze.peer.door import DoorCounters, PayloadReceiver, Payloads
from refreeze.peer.dtls import problems
from refreeze.peer.dtls.association import HANDSHAKE_MTU, Association, AssociationState
from refreeze.peer.dtls.context import DtlsContext
from refreeze.peer.dtls.events import DtlsClosed, DtlsConnected, DtlsEvent, DtlsFailed
from refreeze.peer.dtls.fingerprints import fingerprint
from refreeze.peer.dtls.problems import DtlsProblem
from refreeze.peer.dtls.records import MAX_PLAINTEXT
from refreeze.peer.dtls.succession import Succession
from refreeze.peer.events import EventHandler, EventTarget
from refreeze.peer.icetransport import RTCIceTransport

QueueTask: TypeAlias = Callable[[Callable[[], None]], None]

OURS: Final = "dtls"
"""Value of ``a=refreeze``: the payload is datagrams as they are, in records of DTLS."""

_SCTP_HEADER: Final = 12
_WITH_PATH: Final = ("connected", "completed")


@define(eq=False, repr=False, kw_only=True)
class RTCDtlsTransport(EventTarget):
    """W3C's RTCDtlsTransport (webrtc-pc section 5.5), and a door for datagrams."""

    iceTransport: RTCIceTransport
    context: DtlsContext
    """Our identity in the next association."""
    scheduler: Scheduler
    queue_task: QueueTask
    watcher: Callable[[DtlsEvent], None]
    """Told at once, before any task."""

    derive: Callable[[], Callable[[], None]] = field(default=lambda: lambda: None, init=False)
    """What depends on our state changes with it; see RTCIceTransport."""
    name: str = field(default="dtls", init=False)
    state: str = field(default="new", init=False)
    problem: DtlsProblem | None = field(default=None, init=False)
    """Why there is no association; None while nothing is wrong."""
    counters: DoorCounters = field(factory=DoorCounters, init=False)
    _associations: Succession = field(init=False)
    _agreed: DtlsAgreed | None = field(default=None, init=False)
    _receiver: PayloadReceiver | None = field(default=None, init=False)
    _handle: Handle = field(init=False)
    _said: int = field(default=0, init=False)
    """Association of whose foreign payload the log knows."""
    _closed_by_peer: bool = field(default=False, init=False)
    _stopped: bool = field(default=False, init=False)

    _log: ClassVar[Logger] = Logger()

    onstatechange = EventHandler("statechange")
    onerror = EventHandler("error")

    def __attrs_post_init__(self) -> None:
        self._associations = Succession(self.counters.received_dropped)
        self._handle = self.scheduler.add(self)
        self.iceTransport.datagrams.on_batch(self._received)
        self.iceTransport.route_watcher = lambda: self.queue_task(self._route_changed)

    # W3C

    @property
    def certificate(self) -> RTCCertificate:
        """Ours in the association in use, or else in the next one."""
        usable = self._associations.usable
        return (self.context if usable is None else usable.context).certificate

    @property
    def association(self) -> Association | None:
        """The one in use."""
        return self._associations.usable

    def getRemoteCertificates(self) -> list[bytes]:
        """The peer's certificate in DER, once it was believed."""
        usable = self._associations.usable
        found = usable.peer_certificate if usable is not None else None
        return [] if found is None else [found]

    # What the connection asks for

    @property
    def failed(self) -> bool:
        """No association, and none is on its way."""
        return self.problem is not None

    @property
    def over(self) -> bool:
        """Only a new association helps: the last one failed, or the peer closed it."""
        return self.failed or self._closed_by_peer

    def agreed(self, parameters: DtlsAgreed) -> None:
        """An answer began a new association."""
        if self._stopped:
            return
        if parameters.payload == "none":
            self._agreed = parameters
            self._fail(DtlsProblem(problems.REFUSED, "the peer does not protect its payload"))
            return
        self._agreed = parameters
        self.problem, self._closed_by_peer = None, False
        route = self.iceTransport.datagrams.max_payload
        association = Association(
            self.context,
            client=parameters.client,
            fingerprints=parameters.fingerprints,
            mtu=HANDSHAKE_MTU if route is None else min(HANDSHAKE_MTU, route),
        )
        self._associations.replace(association)
        if self._associations.usable is None:
            self._show("connecting")
        self.queue_task(self._route_changed)

    def export_keying_material(
        self, label: bytes, length: int, context: bytes | None = None
    ) -> bytes:
        """Of the association in use; ValueError when there is none."""
        usable = self._associations.usable
        if usable is None:
            raise ValueError("there are no keys before the association is connected")
        return usable.export_keying_material(label, length, context)

    def stop(self) -> None:
        """Say close_notify over the path that there is, and end."""
        if self._stopped:
            return
        self._stopped = True
        for association in self._associations.associations():
            association.close(self.scheduler.now())
        self._send_out()
        self._associations.clear()
        self._handle.remove()
        self.state = "closed"

    def show(self) -> dict[str, object]:
        """For operators; no secret is in it."""
        usable = self._associations.usable
        certificate = None if usable is None else usable.peer_certificate
        return {
            "state": self.state,
            "association": self._associations.number,
            "role": None if usable is None else ("client" if usable.client else "server"),
            "protocol": None if usable is None else usable.protocol,
            "cipher": None if usable is None else usable.cipher,
            "local_fingerprint": " ".join(self.certificate.fingerprints[0]),
            "remote_fingerprint": None if certificate is None else fingerprint(certificate),
        }

    # The door

    @property
    def max_payload(self) -> int | None:
        """What one record holds and the path takes; None without an association or a path."""
        usable, path = self._associations.usable, self.iceTransport.datagrams.max_payload
        if usable is None or path is None:
            return None
        return min(MAX_PLAINTEXT, path - usable.overhead)

    def on_batch(self, receiver: PayloadReceiver) -> None:
        """See :class:`~refreeze.peer.door.DatagramDoor`."""
        self._receiver = receiver

    def send(self, payloads: Payloads) -> int:
        """See :class:`~refreeze.peer.door.DatagramDoor`; what is too long is refused (EMSGSIZE)."""
        counters, count = self.counters, len(payloads)
        counters.offered += count
        usable = self._associations.usable
        limit = self.max_payload
        if usable is None or limit is None:
            counters.dropped["no-association" if usable is None else "no-path"] += count
            return 0
        if self._agreed is None or self._agreed.payload != OURS:
            counters.dropped["not-datagrams"] += count
            return 0
        sizes = list(map(len, payloads))
        if not sizes or max(sizes) > limit or not min(sizes):
            payloads = self._sendable(payloads, limit)
        records = usable.send(payloads)
        handed = self.iceTransport.datagrams.send(records) if records else 0
        counters.handed += handed
        if handed < len(payloads):
            counters.dropped["path" if records else "no-association"] += len(payloads) - handed
            self._settle()
        return handed

    def _sendable(self, payloads: Payloads, limit: int) -> Payloads:
        """Those of a length that a record can have; an empty one is none."""
        dropped = self.counters.dropped
        fit = []
        for payload in payloads:
            if len(payload) > limit:
                dropped["too-long"] += 1
            elif not payload:
                dropped["empty"] += 1
            else:
                fit.append(payload)
        return fit

    def _received(self, datagrams: list[bytes]) -> None:
        if self._stopped:
            return
        associations = self._associations
        coming = associations.coming
        if coming is not None and coming.state is AssociationState.NEW and not coming.client:
            coming.start(self.scheduler.now())  # the peer's path was ready before ours
        plain = associations.receive(datagrams, self.scheduler.now())
        if associations.restless:
            self._settle()
        if plain:
            self._hand_up(plain)

    def _hand_up(self, plain: list[bytes]) -> None:
        ours = self._agreed is not None and self._agreed.payload == OURS
        if not ours or self._receiver is None:
            self._pass_over(plain, "no-receiver" if ours else "not-datagrams")
            return
        self.counters.received += len(plain)
        self._receiver(plain)

    def _pass_over(self, plain: list[bytes], why: str) -> None:
        dropped = self.counters.received_dropped
        for payload in plain:
            dropped["sctp" if why == "not-datagrams" and _is_sctp(payload) else why] += 1
        if self._said != self._associations.number:
            self._said = self._associations.number
            self._log.info("what the peer sends is dropped: {why}", why=why)

    # The scheduler

    def next_deadline(self) -> float | None:
        """See :class:`~refreeze.net.scheduler.Timed`."""
        return self._associations.next_deadline()

    def handle_timeout(self, now: float) -> None:
        """See :class:`~refreeze.net.scheduler.Timed`. Without a path nobody is late."""
        coming = self._associations.coming
        if coming is not None and self.iceTransport.state not in _WITH_PATH:
            coming.wait(now)
        self._associations.handle_timeout(now)
        self._settle()

    # Inside

    def _route_changed(self) -> None:
        """There is a path, or another one: begin, or send again what an old path may have lost."""
        coming = self._associations.coming
        if self._stopped or coming is None or self.iceTransport.datagrams.max_payload is None:
            return
        if coming.state is AssociationState.NEW:
            coming.start(self.scheduler.now())
        else:
            coming.repeat(self.scheduler.now())
        self._settle()

    def _settle(self) -> None:
        """Send what the associations want, and say what became of them."""
        self._send_out()
        associations, now = self._associations, self.scheduler.now()
        coming, current = associations.coming, associations.current
        latest = current if coming is None else coming
        if coming is not None and coming.state is AssociationState.CONNECTED:
            associations.promote(now)
            self._connected(coming)
        elif latest is not None and latest.problem is not None:
            self._fail(latest.problem)
        elif latest is not None and latest.state is AssociationState.CLOSED:
            self._closed_by()
        elif associations.usable is None and self.state == "connected":
            self._show("connecting")  # the old association ended before the new one is ready
        if not self._stopped:
            self._handle.update()

    def _send_out(self) -> None:
        transmits = self._associations.take_transmits()
        if transmits:
            self.iceTransport.datagrams.send(transmits)

    def _connected(self, association: Association) -> None:
        self._show("connected")
        self.watcher(
            DtlsConnected(
                self._associations.number, association.protocol or "", association.cipher or ""
            )
        )

    def _fail(self, problem: DtlsProblem) -> None:
        if self.problem is not None:
            return
        self.problem = problem
        self._associations.clear()
        self._show("failed")
        self.watcher(DtlsFailed(problem))

    def _closed_by(self) -> None:
        self._closed_by_peer = True
        self._associations.clear()
        self._show("closed")
        self.watcher(DtlsClosed())

    def _show(self, state: str) -> None:
        """What scripts see changes in a task, and a failure fires ``error`` before it."""

        def show() -> None:
            if self._stopped or self.state == state:
                return
            self.state = state
            fire_derived = self.derive()
            if state == "failed":
                self.dispatch("error", error=self.problem)
            self.dispatch("statechange")
            fire_derived()

        self.queue_task(show)


def _is_sctp(payload: bytes) -> bool:
    """A common header and a chunk that fits (RFC 9260 section 3)."""
    if len(payload) < _SCTP_HEADER + 4:
        return False
    length = int.from_bytes(payload[_SCTP_HEADER + 2 : _SCTP_HEADER + 4], "big")
    return 4 <= length <= len(payload) - _SCTP_HEADER
