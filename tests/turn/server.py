"""A small TURN server in memory: one client, strict as RFC 8656, and as wrong as a test wants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from random import Random

from attrs import define, field

from refreeze.basics import Address
from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    PasswordAlgorithm,
    SecurityFeature,
    cookie_of,
    encode_algorithms,
    long_term_key,
    parse,
    user_hash,
)
from refreeze.stun.attributes import (
    encode_address,
    encode_address_error,
    encode_error_code,
    xor_address,
)
from refreeze.turn.data import decode_channel_data, encode_channel_data, is_channel_data

CLIENT: Address = ("198.51.100.7", 40000)
RELAYED = {4: ("192.0.2.15", 50000), 6: ("2001:db8::15", 50002)}


@define(eq=False, kw_only=True)
class ModelServer:
    """Times are those of the test. ``scripted`` are error codes that the next requests of a method
    get, before anything is looked at but their signature; ``challenge_with`` changes challenges.
    """

    user: str = "user"
    password: str = "secret"
    realm: str = "example.org"
    algorithms: tuple[int, ...] | None = None
    anonymous: bool = False
    authenticates: bool = True
    nonce_seconds: float = 1e9
    lifetime: int = 600
    families: tuple[int, ...] = (4, 6)
    forbidden: set[str] = field(factory=set)
    scripted: dict[int, list[int]] = field(factory=lambda: defaultdict(list))
    always: dict[int, int] = field(factory=dict)
    extra: list[tuple[int, bytes]] = field(factory=list)
    """Attributes added to every error."""
    spoil: Callable[[MessageBuilder, bytes], bytes] | None = None
    """Makes something else of a success response."""
    silent: set[int] = field(factory=set)

    expires_at: float | None = None
    permissions: dict[str, float] = field(factory=dict)
    channels: dict[int, tuple[Address, float]] = field(factory=dict)
    numbers: dict[int, tuple[Address, float]] = field(factory=dict)
    """Number to its last peer, and when it may be another's."""
    seen: list[tuple[float, Message]] = field(factory=list)
    relayed_to_peers: list[tuple[Address, bytes, str]] = field(factory=list)
    faults: list[str] = field(factory=list)
    """What a client must never do."""
    _nonce: str = ""
    _nonce_until: float = -1.0
    _answers: dict[bytes, bytes] = field(factory=dict)

    # What a test looks at

    def count(self, method: int) -> int:
        """Distinct transactions of that method, 401 and 438 included."""
        return len({m.transaction_id for _, m in self.seen if m.method == method})

    def times(self, method: int) -> list[float]:
        """When the first of each transaction arrived."""
        first: dict[bytes, float] = {}
        for at, message in self.seen:
            if message.method == method:
                first.setdefault(message.transaction_id, at)
        return list(first.values())

    # What arrives

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """What the server answers."""
        if self.expires_at is not None and now >= self.expires_at:
            self.forget()
        if is_channel_data(data):
            self._channel_data(data, now)
            return []
        message = parse(data)
        self.seen.append((now, message))
        if message.message_class is MessageClass.INDICATION:
            if message.method == Method.SEND:
                self._send(message, now)
            return []
        if message.method in self.silent:
            return []
        if message.transaction_id not in self._answers:
            self._answers[message.transaction_id] = self._answer(message, now)
        return [self._answers[message.transaction_id]]

    def forget(self) -> None:
        """Lose the allocation, as in a restart."""
        self.expires_at = None
        self.permissions.clear()
        self.channels.clear()
        self.numbers.clear()

    def new_nonce(self) -> None:
        self._nonce_until = -1.0

    def data_from(self, peer: Address, payload: bytes, now: float) -> list[bytes]:
        """What the client gets when *peer* sends to the relayed address."""
        if self.expires_at is None or self.permissions.get(peer[0], 0) <= now:
            return []
        for number, (bound, until) in self.channels.items():
            if bound == peer and now < until:
                return [encode_channel_data(number, payload, False)]
        return [data_indication(peer, payload)]

    def _channel_data(self, data: bytes, now: float) -> None:
        decoded = decode_channel_data(data)
        assert decoded is not None
        number, payload = decoded
        peer, until = self.channels.get(number, (("", 0), 0.0))
        if now >= until:
            self.faults.append("data on a channel that is not bound")
        elif self.permissions.get(peer[0], 0) <= now:
            self.faults.append("data on a channel without a permission")
        else:
            self.relayed_to_peers.append((peer, payload, "channel"))

    def _send(self, message: Message, now: float) -> None:
        peer, payload = message.xor_peer_address, message.data
        assert peer is not None
        assert payload is not None
        if self.permissions.get(peer[0], 0) <= now:
            self.faults.append("an indication to a peer without a permission")
        else:
            self.relayed_to_peers.append((peer, payload, "indication"))

    # Requests

    def key(self) -> IntegrityKey:
        if self.algorithms is None:
            return long_term_key(self.user, self.realm, self.password)
        sha256 = self.algorithms[0] == PasswordAlgorithm.SHA256
        key = long_term_key(self.user, self.realm, self.password, sha256=sha256)
        return IntegrityKey(key.key, sha256=True)

    def nonce(self, now: float) -> str:
        if now >= self._nonce_until:
            features = SecurityFeature.NONE
            if self.algorithms is not None:
                features |= SecurityFeature.PASSWORD_ALGORITHMS
            if self.anonymous:
                features |= SecurityFeature.USERNAME_ANONYMITY
            self._nonce = cookie_of(features) + Random(now).randbytes(6).hex()
            self._nonce_until = now + self.nonce_seconds
        return self._nonce

    def _answer(self, message: Message, now: float) -> bytes:
        if message.method in self.always:
            return self._error(message, self.always[message.method], now)
        refused = self._authenticate(message, now)
        if refused is not None:
            return self._error(message, refused, now)
        if self.scripted[message.method]:
            return self._error(message, self.scripted[message.method].pop(0), now)
        return {
            int(Method.ALLOCATE): self._allocate,
            int(Method.REFRESH): self._refresh,
            int(Method.CREATE_PERMISSION): self._permit,
            int(Method.CHANNEL_BIND): self._bind,
        }[message.method](message, now)

    def _authenticate(self, message: Message, now: float) -> int | None:
        if not self.authenticates:
            return None
        if not (message.has_integrity or message.has_integrity_sha256):
            return 401
        name = message.attribute(Attribute.USERNAME)
        if self.anonymous:
            if message.attribute(Attribute.USERHASH) != user_hash(self.user, self.realm):
                return 401
        elif name != self.user.encode():
            return 401
        if message.nonce != self._nonce or now >= self._nonce_until:
            return 438
        if self.algorithms is not None and (
            message.password_algorithms != self.algorithms
            or message.attribute(Attribute.PASSWORD_ALGORITHM)
            != encode_algorithms(self.algorithms[:1])
        ):
            return 400
        return None if message.verify(self.key()) else 401

    def _error(self, message: Message, code: int, now: float) -> bytes:
        builder = MessageBuilder(message.method, MessageClass.ERROR, message.transaction_id)
        builder.add(Attribute.ERROR_CODE, encode_error_code(code, "Because"))
        if code in (401, 438):
            builder.add(Attribute.REALM, self.realm.encode())
            builder.add(Attribute.NONCE, self.nonce(now).encode())
            if self.algorithms is not None:
                builder.add(Attribute.PASSWORD_ALGORITHMS, encode_algorithms(self.algorithms))
        for kind, value in self.extra:
            builder.add(kind, value)
        return builder.build(self.key() if code not in (401, 438) else None)

    def _success(self, message: Message, *attributes: tuple[int, bytes]) -> bytes:
        builder = MessageBuilder(message.method, MessageClass.SUCCESS, message.transaction_id)
        for kind, value in attributes:
            builder.add(kind, value)
        data = builder.build(self.key() if self.authenticates else None)
        return data if self.spoil is None else self.spoil(builder, data)

    def _allocate(self, message: Message, now: float) -> bytes:
        if self.expires_at is not None:
            return self._error(message, 437, now)
        wanted = [4]
        if message.attribute(Attribute.REQUESTED_ADDRESS_FAMILY) is not None:
            wanted = [6]
        if message.attribute(Attribute.ADDITIONAL_ADDRESS_FAMILY) is not None:
            wanted = [4, 6]
        given = [family for family in wanted if family in self.families]
        if not given:
            return self._error(message, 440, now)
        self.expires_at = now + max(self.lifetime, 10)
        tid = message.transaction_id
        attributes = [
            (Attribute.XOR_RELAYED_ADDRESS, xor_address(encode_address(RELAYED[each]), tid))
            for each in given
        ]
        attributes += [
            (Attribute.ADDRESS_ERROR_CODE, encode_address_error(each, 440, "No"))
            for each in wanted
            if each not in given
        ]
        return self._success(
            message,
            *attributes,
            (Attribute.XOR_MAPPED_ADDRESS, xor_address(encode_address(CLIENT), tid)),
            (Attribute.LIFETIME, self.lifetime.to_bytes(4, "big")),
            (Attribute.SOFTWARE, b"model"),
        )

    def _refresh(self, message: Message, now: float) -> bytes:
        if self.expires_at is None:
            return self._error(message, 437, now)
        if message.lifetime == 0:
            self.forget()
            return self._success(message, (Attribute.LIFETIME, bytes(4)))
        self.expires_at = now + max(self.lifetime, 10)
        return self._success(message, (Attribute.LIFETIME, self.lifetime.to_bytes(4, "big")))

    def _permit(self, message: Message, now: float) -> bytes:
        if self.expires_at is None:
            return self._error(message, 437, now)
        hosts = [host for host, _ in message.xor_peer_addresses]
        if any(host in self.forbidden for host in hosts):
            return self._error(message, 403, now)
        self.permissions.update(dict.fromkeys(hosts, now + 300))
        return self._success(message)

    def _bind(self, message: Message, now: float) -> bytes:
        if self.expires_at is None:
            return self._error(message, 437, now)
        number, peer = message.channel_number, message.xor_peer_address
        assert number is not None
        assert peer is not None
        if self.permissions.get(peer[0], 0) <= now:
            self.faults.append("a channel before its permission")
        last, free_at = self.numbers.get(number, (peer, 0.0))
        if not 0x4000 <= number <= 0x4FFF or (last != peer and now < free_at):
            self.faults.append("a channel number that is another peer's")
            return self._error(message, 400, now)
        if any(bound == peer and n != number for n, (bound, t) in self.channels.items() if now < t):
            self.faults.append("a second channel for a peer")
            return self._error(message, 400, now)
        self.channels[number] = peer, now + 600
        self.numbers[number] = peer, now + 900
        self.permissions[peer[0]] = now + 300
        return self._success(message)


def data_indication(peer: Address, payload: bytes) -> bytes:
    """What a server sends for data without a channel."""
    tid = bytes(12)
    builder = MessageBuilder(Method.DATA, MessageClass.INDICATION, tid)
    builder.add(Attribute.XOR_PEER_ADDRESS, xor_address(encode_address(peer), tid))
    return builder.add(Attribute.DATA, payload).build()
