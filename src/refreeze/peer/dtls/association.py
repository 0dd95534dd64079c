"""One DTLS association: one handshake, and the records under its keys (RFC 6347).

It has no second handshake in it; the next association is another object. OpenSSL does the
cryptography on memory, and its retransmission timer is asked, never replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from sys import intern
from typing import Final

from attrs import define, field
from OpenSSL import SSL

from refreeze.peer.dtls import problems
from refreeze.peer.dtls.context import DtlsContext, ExpectedPeer, der_of
from refreeze.peer.dtls.fingerprints import matches, usable
from refreeze.peer.dtls.guard import HandshakeGuard
from refreeze.peer.dtls.problems import DtlsProblem, from_openssl
from refreeze.peer.dtls.records import (
    APPLICATION,
    HEADER,
    MAX_FRAGMENT,
    MAX_PLAINTEXT,
    Record,
    cut,
    pack,
    split,
)

HANDSHAKE_MTU: Final = 1200
SMALL_MTU: Final = 548
"""When flights are lost: what every IPv4 path takes (RFC 791's 576 bytes less the headers)."""
PATIENCE: Final = 2
"""So many timeouts without an answer before smaller datagrams are tried."""
PAUSE: Final = 1.0
"""Seconds after which a flight is tried again that had no path."""
HANDSHAKE_SECONDS: Final = 30.0

_BATCH: Final = 8000
"""Bytes of records after which OpenSSL's memory is emptied: it never shrinks once it grew."""
_READ: Final = MAX_PLAINTEXT
_DATA: Final = b"\x17\xfe\xfd\x00\x01"
"""How application data begins: type, version, and the only epoch with keys."""
_LONGEST: Final = HEADER + MAX_FRAGMENT


def _fingerprints(given: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


class AssociationState(StrEnum):
    """NEW, then CONNECTING; CONNECTED ends in CLOSED by either side, or in FAILED."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


@define(eq=False, repr=False)
class Association:
    """After every call the owner takes :meth:`take_transmits` and asks :meth:`next_deadline`.

    *fingerprints* are the peer's as SDP has them, ``sha-256 AB:CD:...``; None when they are not
    known yet: then nothing is handed up nor sent before :meth:`authenticate`. Nothing that is
    received raises.
    """

    context: DtlsContext
    client: bool = field(kw_only=True)
    fingerprints: tuple[str, ...] | None = field(kw_only=True, converter=_fingerprints)
    mtu: int = field(default=HANDSHAKE_MTU, kw_only=True)
    """Of datagrams in the handshake, in bytes."""
    handshake_seconds: float = field(default=HANDSHAKE_SECONDS, kw_only=True)
    dropped: Counter[str] = field(factory=Counter, kw_only=True)
    """What was dropped of whatever came, by reason."""
    state: AssociationState = field(default=AssociationState.NEW, init=False)
    problem: DtlsProblem | None = field(default=None, init=False)
    """Why it is FAILED."""
    protocol: str | None = field(default=None, init=False)
    cipher: str | None = field(default=None, init=False)
    srtp_profile: str | None = field(default=None, init=False)
    overhead: int = field(default=37, init=False)
    """Bytes that protection adds to a datagram: header, explicit nonce and tag."""
    timeouts: int = field(default=0, init=False)
    """How often a flight was sent again because nothing came."""
    _expected: ExpectedPeer = field(init=False)
    _connection: SSL.Connection = field(init=False)
    _guard: HandshakeGuard = field(init=False)
    _finished: bool = field(default=False, init=False)
    """OpenSSL's handshake is over; the peer may still have to be believed."""
    _believed: bool = field(default=False, init=False)
    _deadline: float | None = field(default=None, init=False)
    _timer: float | None = field(default=None, init=False)
    _unanswered: int = field(default=0, init=False)
    _flight: Sequence[bytes] = field(default=(), init=False)
    _out: list[bytes] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._expected = ExpectedPeer(self.fingerprints)
        self._connection = self.context.connection(self._expected, client=self.client)
        self._connection.set_ciphertext_mtu(self.mtu)
        self._guard = HandshakeGuard(self.dropped)

    @property
    def peer_certificate(self) -> bytes | None:
        """In DER, once it was believed. OpenSSL keeps it."""
        return self._certificate() if self._believed else None

    # Life

    def start(self, now: float) -> None:
        """A client sends its first flight; a server waits for one."""
        if self.state is not AssociationState.NEW:
            return
        self.state = AssociationState.CONNECTING
        self._deadline = now + self.handshake_seconds
        if self.fingerprints is not None and not usable(self.fingerprints):
            self._fail(DtlsProblem(problems.FINGERPRINT, "no fingerprint of a hash we believe"))
        else:
            self._handshake(now)

    def authenticate(self, fingerprints: Iterable[str], now: float) -> list[bytes]:
        """The peer's description is known now; returns the data that waited for it."""
        self.fingerprints = self._expected.fingerprints = tuple(fingerprints)
        if self.state is AssociationState.CONNECTING and not usable(self.fingerprints):
            self._fail(DtlsProblem(problems.FINGERPRINT, "no fingerprint of a hash we believe"))
        if self.state is AssociationState.CONNECTING and self._finished:
            return self._believe(now)
        return []

    def repeat(self, now: float) -> None:
        """Send the latest flight once more as it was: the path is another one now.

        For the peer it is what was lost, or a duplicate such as networks make.
        """
        self._out += self._flight
        if self.state is AssociationState.CONNECTING:
            self._deadline = now + self.handshake_seconds

    def wait(self, now: float) -> None:
        """There is no path on which the peer could answer: nothing is sent, and nobody is late.

        OpenSSL gives up after a dozen timeouts, so they are for flights that may arrive.
        """
        if self.state is AssociationState.CONNECTING:
            self._deadline = now + self.handshake_seconds
            if self._timer is not None:
                self._timer = now + PAUSE

    def close(self, now: float) -> None:
        """Say close_notify, if there is somebody to say it to."""
        if self.state is AssociationState.CONNECTED:
            self._say_close()
        if self.state is not AssociationState.FAILED:
            self._end(AssociationState.CLOSED)

    def abandon(self) -> None:
        """Another one takes my place, or none: not a word about it."""
        if self.state not in {AssociationState.CLOSED, AssociationState.FAILED}:
            self._end(AssociationState.CLOSED)

    # Time

    def next_deadline(self) -> float | None:
        """The nearer of OpenSSL's timer and the end of our patience."""
        if self.state is not AssociationState.CONNECTING:
            return None
        assert self._deadline is not None
        return self._deadline if self._timer is None else min(self._timer, self._deadline)

    def handle_timeout(self, now: float) -> None:
        """Retransmit when OpenSSL thinks so, in smaller datagrams after a while; or give up."""
        if self.state is not AssociationState.CONNECTING:
            return
        assert self._deadline is not None
        if now >= self._deadline:
            what = "the handshake did not end" if self._flight else "the peer began no handshake"
            seconds = f"{self.handshake_seconds:g} s"
            self._fail(DtlsProblem(problems.TIMEOUT, f"{what} within {seconds}"))
        elif self._timer is not None and now >= self._timer:
            if self._unanswered >= PATIENCE:
                self.mtu = min(self.mtu, SMALL_MTU)
                self._connection.set_ciphertext_mtu(self.mtu)
            if self._try(self._connection.DTLSv1_handle_timeout):
                self.timeouts += 1
                self._unanswered += 1
            self._flush(now)

    # In

    def receive(self, datagrams: Sequence[bytes], now: float) -> list[bytes]:
        """What they held for us, in order. Whatever cannot be used is dropped and counted."""
        if self.state is AssociationState.CONNECTED:
            return self._receive_data(datagrams, now)
        if self.state is not AssociationState.CONNECTING:
            self.dropped["no-association"] += len(datagrams)
            return []
        plain: list[bytes] = []
        for at, datagram in enumerate(datagrams):
            self._receive_flight(datagram, now)
            if self._finished:
                plain += self._believe(now)
            if self._believed:
                return plain + self._receive_data(datagrams[at + 1 :], now)
        return plain

    def _receive_flight(self, datagram: bytes, now: float) -> None:
        fed = [each for each in self._records(datagram) if self._guard.in_handshake(each, now)]
        if not fed or self.problem is not None:
            return
        self._connection.bio_write(b"".join(each.data for each in fed))
        if self._finished:
            self._read_on(now)  # the peer may not have our last flight
        else:
            self._handshake(now)

    def _records(self, datagram: bytes) -> list[Record]:
        records, rest = split(datagram)
        if rest or not datagram:
            self.dropped["malformed"] += 1
        return records

    def _receive_data(self, datagrams: Sequence[bytes], now: float) -> list[bytes]:
        """In batches: one write to OpenSSL, and as many reads as there were records."""
        plain: list[bytes] = []
        batch: list[bytes] = []
        size = 0
        for datagram in datagrams:
            length = len(datagram)
            if (
                datagram[:5] == _DATA
                and HEADER < length <= _LONGEST
                and datagram[11] << 8 | datagram[12] == length - HEADER
            ):
                if batch and size + length > _BATCH:
                    self._decrypt(batch, plain)
                    batch, size = [], 0
                batch.append(datagram)
                size += length
            else:
                self._decrypt(batch, plain)
                batch, size = [], 0
                self._receive_other(datagram, plain, now)
        self._decrypt(batch, plain)
        return plain

    def _receive_other(self, datagram: bytes, plain: list[bytes], now: float) -> None:
        """Several records, alerts, a Finished that comes again, or nonsense."""
        for record in self._records(datagram):
            if record.type != APPLICATION:
                if self._guard.when_connected(record, now):
                    self._feed(record, now)
            elif record.epoch == 1:
                self._decrypt([record.data], plain)
            else:
                self.dropped["old-epoch"] += 1

    def _feed(self, record: Record, now: float) -> None:
        if self.state is AssociationState.CONNECTED:
            self._connection.bio_write(record.data)
            answered = self._read_on(now)
            if not answered and self.state is AssociationState.CONNECTED:
                self.dropped["undecryptable"] += 1

    def _decrypt(self, batch: list[bytes], plain: list[bytes]) -> None:
        if not batch:
            return
        before = len(plain)
        if self.state is AssociationState.CONNECTED:
            connection = self._connection
            recv, room = connection.recv, MAX_PLAINTEXT
            connection.bio_write(batch[0] if len(batch) == 1 else b"".join(batch))
            try:
                for _ in batch:
                    plain.append(recv(room))
            except SSL.WantReadError:
                pass  # OpenSSL passes over records that it does not believe, or has seen
            except SSL.Error as error:
                self._raised(error)
        got = len(plain) - before
        if got < len(batch):
            self.dropped["undecryptable"] += len(batch) - got
        if got and self._flight:
            self._flight = ()  # the peer has our last flight, or it could send nothing

    # Out

    def send(self, payloads: Sequence[bytes]) -> list[bytes]:
        """A datagram for each; none when the association is not CONNECTED.

        Payloads have 1 to 16384 bytes: others are the caller's to refuse.
        """
        if self.state is not AssociationState.CONNECTED:
            return []
        send = self._connection.send
        records: list[bytes] = []
        lengths: list[int] = []
        size = 0
        try:
            for payload in payloads:
                size += send(payload)
                lengths.append(len(payload))
                if size > _BATCH:
                    records += self._sealed(lengths, size)
                    lengths, size = [], 0
            if lengths:
                records += self._sealed(lengths, size)
        except SSL.Error as error:
            self._raised(error)
            return []
        return records

    def _sealed(self, lengths: list[int], size: int) -> list[bytes]:
        """The records that OpenSSL made of payloads of these lengths, *size* bytes together."""
        stream = self._connection.bio_read(size + 64 * len(lengths))
        return [stream] if len(lengths) == 1 else cut(stream, lengths, self.overhead)

    @property
    def restless(self) -> bool:
        """Whether the owner has something to do besides passing data on."""
        return bool(self._out) or self.state is not AssociationState.CONNECTED

    def take_transmits(self) -> list[bytes]:
        """Datagrams of the handshake and alerts, in order."""
        out, self._out = self._out, []
        return out

    def export_keying_material(
        self, label: bytes, length: int, context: bytes | None = None
    ) -> bytes:
        """RFC 5705, for what takes its keys from here (RFC 5764); ValueError before CONNECTED."""
        if self.state is not AssociationState.CONNECTED:
            raise ValueError("there are no keys before the association is connected")
        material: bytes = self._connection.export_keying_material(label, length, context)
        return material

    # Inside

    def _handshake(self, now: float) -> None:
        if self._try(self._connection.do_handshake, done=True):
            self._finished = True
            if self._guard.encrypted > 1:
                # A Finished that came more than once waits in OpenSSL, and is answered now.
                self._read_on(now)
            else:
                self._flush(now)  # reading for nothing would keep a buffer of 16 KiB
        elif self._flush(now):
            self._unanswered = 0  # another flight: what came was of use

    def _read_on(self, now: float) -> bool:
        """Let OpenSSL look at what is no data: data is never among it. Whether it answered."""
        self._try(lambda: self._connection.recv(_READ))
        return self._flush(now)

    def _believe(self, now: float) -> list[bytes]:
        """The handshake is over: is it with whom the description names?"""
        if self.fingerprints is None or self.state is not AssociationState.CONNECTING:
            return []
        connection = self._connection
        der = self._certificate()
        if der is None or not matches(der, self.fingerprints):
            self._say_close()
            self._fail(problems.MISMATCH)
            return []
        self._believed = True
        self.protocol = intern(connection.get_protocol_version_name())
        self.cipher = intern(connection.get_cipher_name() or "")
        self.srtp_profile = intern(connection.get_selected_srtp_profile().decode()) or None
        self.overhead = HEADER + 16 + (0 if "CHACHA20" in (self.cipher or "") else 8)
        self.state = AssociationState.CONNECTED
        return self._receive_data(self._guard.take_early(), now)

    def _certificate(self) -> bytes | None:
        certificate = self._connection.get_peer_certificate()
        return None if certificate is None else der_of(certificate)

    def _try(self, step: Callable[[], object], *, done: bool = False) -> bool:
        """Do one step of OpenSSL's; whether it did something. What it raises ends us."""
        try:
            result = step()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self._raised(error)
            return False
        return done or bool(result)

    def _say_close(self) -> None:
        with suppress(SSL.Error):  # it is over in any case
            self._connection.shutdown()
        self._out += self._written()

    def _raised(self, error: SSL.Error) -> None:
        if isinstance(error, SSL.ZeroReturnError):
            self._say_close()
            self._end(AssociationState.CLOSED)
        else:
            self._fail(self._expected.problem or from_openssl(error))

    def _fail(self, problem: DtlsProblem) -> None:
        self.problem = problem
        self._out += self._written()
        self._end(AssociationState.FAILED)

    def _end(self, state: AssociationState) -> None:
        self.state = state
        self._timer = self._deadline = None
        self._flight = ()
        if early := self._guard.take_early():
            self.dropped["early"] += len(early)

    def _flush(self, now: float) -> bool:
        """Take out what OpenSSL wrote, if anything, and ask when it wants to be woken."""
        flight = self._written()
        if flight:
            self._flight = flight
            self._out += flight
        if self.state is AssociationState.CONNECTING:
            timeout = self._connection.DTLSv1_get_timeout()
            self._timer = None if timeout is None else now + timeout
        return bool(flight)

    def _written(self) -> list[bytes]:
        stream = b""
        try:
            while True:
                stream += self._connection.bio_read(_READ)
        except SSL.Error:
            pass  # that was all
        return pack((record.data for record in split(stream)[0]), self.mtu)
