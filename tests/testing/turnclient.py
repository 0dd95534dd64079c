"""A TURN client as simple as can be, for tests of the fake server: it asks and looks."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.protocol import ClientFactory, Protocol

from refreeze.basics import Address
from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    PasswordAlgorithm,
    encode_algorithms,
    is_stun,
    long_term_key,
    parse,
    user_hash,
)
from refreeze.stun.attributes import encode_address, encode_family, xor_address
from refreeze.testing import VirtualClock
from tests.testing.desk import Ear

UDP = (int(Attribute.REQUESTED_TRANSPORT), bytes((17, 0, 0, 0)))
BOTH = (int(Attribute.ADDITIONAL_ADDRESS_FAMILY), encode_family(6))
SIX = (int(Attribute.REQUESTED_ADDRESS_FAMILY), encode_family(6))


def lifetime(seconds: int) -> tuple[int, bytes]:
    """The attribute."""
    return int(Attribute.LIFETIME), seconds.to_bytes(4, "big")


def channel(number: int) -> tuple[int, bytes]:
    """The attribute."""
    return int(Attribute.CHANNEL_NUMBER), number.to_bytes(2, "big") + bytes(2)


@define(eq=False)
class TurnClient:
    """I ask one question after another. :attr:`heard` is all that came, in order."""

    clock: VirtualClock
    username: str = "user"
    password: str = "secret"
    algorithm: PasswordAlgorithm | None = None
    realm: str = ""
    nonce: str = ""
    algorithms: bytes | None = None
    key: IntegrityKey | None = None
    heard: list[bytes] = field(factory=list)
    hashed: bool = False
    """Name the user by USERHASH."""
    _number: int = 0

    def transmit(self, data: bytes) -> None:
        """To the server."""
        raise NotImplementedError

    # Asking

    def ask(
        self, method: Method, *attributes: tuple[int, bytes], again: bool = False
    ) -> Message | None:
        """One request, signed if I can; the answer to it that came within a second."""
        if not again:
            self._number += 1
        identity = self._number.to_bytes(12, "big")
        before = len(self.heard)
        self.transmit(self._request(method, identity, attributes))
        self.clock.advance(1.0)
        answers = [parse(data) for data in self.heard[before:] if is_stun(data)]
        return next((each for each in answers if each.transaction_id == identity), None)

    def code(self, method: Method, *attributes: tuple[int, bytes]) -> int | None:
        """The error that :meth:`ask` gets; 0: it gets a success; None: nothing."""
        answer = self.ask(method, *attributes)
        if answer is None:
            return None
        return 0 if answer.error_code is None else answer.error_code[0]

    def challenge(self) -> Message:
        """Ask unsigned, and learn from the 401 how to sign."""
        self.key = None
        answer = self.ask(Method.ALLOCATE, UDP)
        assert answer is not None
        self.learn(answer)
        return answer

    def learn(self, answer: Message) -> None:
        """Realm, nonce and algorithms of a challenge."""
        self.realm, self.nonce = answer.realm or "", answer.nonce or ""
        self.algorithms = answer.attribute(Attribute.PASSWORD_ALGORITHMS)
        sha256 = self.algorithm is PasswordAlgorithm.SHA256
        key = long_term_key(self.username, self.realm, self.password, sha256=sha256)
        self.key = key if self.algorithm is None else IntegrityKey(key.key, sha256=True)

    def allocate(self, *attributes: tuple[int, bytes]) -> Message:
        """Challenge and allocation."""
        self.challenge()
        answer = self.ask(Method.ALLOCATE, UDP, *attributes)
        assert answer is not None
        assert answer.message_class is MessageClass.SUCCESS, answer.error_code
        return answer

    def peer(self, address: Address) -> tuple[int, bytes]:
        """XOR-PEER-ADDRESS in the next request; an IPv6 one depends on its number."""
        identity = (self._number + 1).to_bytes(12, "big")
        return int(Attribute.XOR_PEER_ADDRESS), xor_address(encode_address(address), identity)

    def permit(self, *hosts: str) -> int | None:
        """CreatePermission for these; the error or 0."""
        return self.code(Method.CREATE_PERMISSION, *(self.peer((host, 1)) for host in hosts))

    def bind(self, number: int, peer: Address) -> int | None:
        """ChannelBind; the error or 0."""
        return self.code(Method.CHANNEL_BIND, channel(number), self.peer(peer))

    def send_to(self, peer: Address, data: bytes) -> None:
        """A Send indication."""
        builder = MessageBuilder(Method.SEND, MessageClass.INDICATION, bytes(12))
        value = xor_address(encode_address(peer), bytes(12))
        builder.add(Attribute.XOR_PEER_ADDRESS, value).add(Attribute.DATA, data)
        self.transmit(builder.build(fingerprint=False))
        self.clock.advance(1.0)

    def relayed(self) -> list[tuple[Address, bytes]]:
        """What came in Data indications."""
        messages = [parse(data) for data in self.heard if is_stun(data)]
        data = [each for each in messages if each.method == Method.DATA]
        return [(each.xor_peer_address or ("", 0), each.data or b"") for each in data]

    def _request(
        self, method: Method, identity: bytes, attributes: tuple[tuple[int, bytes], ...]
    ) -> bytes:
        builder = MessageBuilder(method, MessageClass.REQUEST, identity)
        for kind, value in attributes:
            builder.add(kind, value)
        if self.key is not None and method != Method.BINDING:
            if self.hashed:
                builder.add(Attribute.USERHASH, user_hash(self.username, self.realm))
            else:
                builder.add(Attribute.USERNAME, self.username.encode())
            builder.add(Attribute.REALM, self.realm.encode())
            builder.add(Attribute.NONCE, self.nonce.encode())
            if self.algorithm is not None and self.algorithms is not None:
                builder.add(Attribute.PASSWORD_ALGORITHMS, self.algorithms)
                builder.add(Attribute.PASSWORD_ALGORITHM, encode_algorithms([self.algorithm]))
            return builder.build(self.key)
        return builder.build()


@define(eq=False)
class UdpClient(TurnClient):
    """On a port of the fake network."""

    ear: Ear = field(kw_only=True)
    server: Address = field(kw_only=True)
    sources: list[Address] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.ear.port.on_batch(self._received)

    def _received(self, _port: Any, batch: Any) -> None:
        for data, source, _tos in batch:
            self.heard.append(data)
            self.sources.append(source)

    def transmit(self, data: bytes) -> None:
        self.ear.send(self.server, data)


class _Connection(Protocol):
    def __init__(self, client: StreamClient) -> None:
        self.client = client

    def dataReceived(self, data: bytes) -> None:
        self.client.take(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.client.end = reason


@define(eq=False)
class StreamClient(TurnClient):
    """On a stream; make one with :meth:`connected`."""

    connection: Any = field(default=None, init=False)
    end: Any = field(default=None, init=False)
    _rest: bytes = field(default=b"", init=False)

    def factory(self) -> Any:
        """For connectTCP."""
        client = self

        class Connections(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                client.connection = _Connection(client)
                return client.connection

            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                client.end = reason

        return Connections()

    def take(self, data: bytes) -> None:
        """Split into messages."""
        self._rest += data
        while len(self._rest) >= 4:
            length = int.from_bytes(self._rest[2:4], "big")
            size = 20 + length if self._rest[0] < 4 else 4 + (length + 3 & ~3)
            if len(self._rest) < size:
                return
            self.heard.append(self._rest[:size])
            self._rest = self._rest[size:]

    def transmit(self, data: bytes) -> None:
        self.connection.transport.write(data)
