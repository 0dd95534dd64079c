"""From a request to its answer: who asks, what is carried out, what is said, and which lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Port
from refreeze.stun import (
    Attribute,
    IntegrityKey,
    Message,
    MessageBuilder,
    MessageClass,
    Method,
    StunError,
    parse,
)
from refreeze.stun.attributes import encode_address, encode_error_code
from refreeze.testing.randomness import SeededRandom
from refreeze.testing.servers.answers import Answer, Attributes, Refused, seconds, unknown, xored
from refreeze.testing.servers.binding import Binder
from refreeze.testing.servers.flows import DatagramFlow, Flow
from refreeze.testing.servers.gate import Gate, Visitor
from refreeze.testing.servers.journal import ServerJournal
from refreeze.testing.servers.lies import (
    HUGE_NONCE,
    JUNK_PER_ANSWER,
    LONG_FOR_EVER,
    OVERLONG_FRAME,
    Lie,
    junk,
)
from refreeze.testing.servers.relaying import Relaying

_METHODS: Final = {int(each): each.name.lower() for each in Method}
_NOBODY: Final = IntegrityKey(b"nobody has this key")


@define(eq=False)
class Refusal:
    """What a method gets instead, so many times; None: for ever."""

    code: int
    reason: str | None
    left: int | None


@define(eq=False, repr=False, kw_only=True)
class Desk:
    """Everything that a client sends comes to me."""

    gate: Gate
    binder: Binder
    relaying: Relaying
    journal: ServerJournal
    random: SeededRandom
    foreign: Callable[[Address], Port]
    """Another port of the host than the one at that address."""
    relays: bool
    """Whether it is a TURN server at all."""
    lies: set[Lie] = field(factory=set, init=False)
    refusals: dict[int, Refusal] = field(factory=dict, init=False)
    alternate: tuple[Address, str | None] | None = field(default=None, init=False)
    """Where who allocates is sent to, and the domain of that server."""

    def receive(self, flow: Flow, data: bytes) -> None:
        """One datagram, or one message of a stream."""
        if data[:1] >= b"\x40" and len(data) >= 4:
            self.relaying.channel_data(flow, data)
            return
        try:
            message = parse(data)
        except StunError as error:
            self._write("garbage", flow, str(error))
            return
        if message.message_class is MessageClass.REQUEST:
            self._request(flow, message)
        elif message.message_class is MessageClass.INDICATION and message.method == Method.SEND:
            self.relaying.send(flow, message)

    def junk_for(self, flow: Flow, count: int) -> None:
        """That many datagrams of noise."""
        for _ in range(count):
            flow.send(junk(self.random))

    # Requests

    def _request(self, flow: Flow, message: Message) -> None:
        visitor: Visitor | None = None
        try:
            if message.method == Method.BINDING:
                answer = self._bind(flow, message)
            else:
                self._redirect(message, signed=False)
                visitor = self._admit(message)
                answer = self._relay(flow, message, visitor)
        except Refused as refused:
            self._write("refused", flow, f"{_METHODS.get(message.method, '?')} {refused.code}")
            key = None if refused.challenge or visitor is None else visitor.key
            self._say(flow, message, MessageClass.ERROR, self._error(refused), key, Answer())
        else:
            key = None if visitor is None else visitor.key
            self._say(flow, message, MessageClass.SUCCESS, answer.attributes, key, answer)

    def _bind(self, flow: Flow, message: Message) -> Answer:
        if message.unknown_required:
            raise unknown(message.unknown_required)
        self._refuse(message.method)
        answer = self.binder.answer(flow, message)
        self._write("binding", flow)
        return answer

    def _admit(self, message: Message) -> Visitor:
        if not self.relays:
            raise Refused(400)
        now = self.relaying.now()
        visitor = self.gate.admit(message, now)
        if Lie.STALE_FOR_EVER in self.lies:
            self.gate.expire()
            raise Refused(438, challenge=True)
        return visitor

    def _relay(self, flow: Flow, message: Message, visitor: Visitor) -> Answer:
        self._redirect(message, signed=True)
        self._refuse(message.method)
        if message.unknown_required:
            raise unknown(message.unknown_required)
        try:
            return self.relaying.ask(flow, message, visitor)
        except StunError:
            raise Refused(400) from None

    def _refuse(self, method: int) -> None:
        refusal = self.refusals.get(method)
        if refusal is None:
            return
        if refusal.left is not None:
            refusal.left -= 1
            if refusal.left <= 0:
                del self.refusals[method]
        raise Refused(refusal.code, reason=refusal.reason, challenge=refusal.code in (401, 438))

    def _redirect(self, message: Message, *, signed: bool) -> None:
        """RFC 8489 section 10: signed when the request is."""
        has_signature = message.has_integrity or message.has_integrity_sha256
        if self.alternate is None or message.method != Method.ALLOCATE or has_signature != signed:
            return
        server, domain = self.alternate
        said: list[tuple[int, bytes]] = [(Attribute.ALTERNATE_SERVER, encode_address(server))]
        if domain is not None:
            said.append((Attribute.ALTERNATE_DOMAIN, domain.encode()))
        raise Refused(300, attributes=said)

    # Answers

    def _error(self, refused: Refused) -> Attributes:
        said: list[tuple[int, bytes]] = [
            (Attribute.ERROR_CODE, encode_error_code(refused.code, refused.reason))
        ]
        if refused.challenge:
            said += self.gate.challenge(self.relaying.now())
        return [*said, *refused.attributes]

    def _say(
        self,
        flow: Flow,
        request: Message,
        kind: MessageClass,
        attributes: Attributes,
        key: IntegrityKey | None,
        answer: Answer,
    ) -> None:
        identity = request.transaction_id
        if Lie.WRONG_TRANSACTION in self.lies:
            identity = self.random.randbytes(12)
        if Lie.WRONG_SIGNATURE in self.lies and key is not None:
            key = IntegrityKey(_NOBODY.key, sha256=key.sha256)
        builder = MessageBuilder(request.method, kind, identity)
        for name, value in attributes:
            said = self._twisted(name, value, identity)
            if said is not None:
                builder.add(name, said)
        self._send(flow, builder.build(key), answer)

    def _twisted(self, kind: int, value: bytes, identity: bytes) -> bytes | None:
        """What is said of an attribute instead; None: nothing."""
        lies = self.lies
        if kind == Attribute.LIFETIME and Lie.ENDLESS_LIFETIME in lies:
            return seconds(LONG_FOR_EVER)
        if kind == Attribute.LIFETIME and Lie.NO_LIFETIME in lies:
            return seconds(0)
        if kind == Attribute.NONCE and Lie.HUGE_NONCE in lies:
            return HUGE_NONCE
        if kind == Attribute.PASSWORD_ALGORITHMS and Lie.BID_DOWN in lies:
            return None
        if kind == Attribute.XOR_RELAYED_ADDRESS and Lie.FOREIGN_RELAY in lies:
            return xored(kind, ("::1" if len(value) > 8 else "127.0.0.1", 9), identity)[1]
        return value

    def _send(self, flow: Flow, data: bytes, answer: Answer) -> None:
        lies = self.lies
        if Lie.JUNK in lies:
            self.junk_for(flow, JUNK_PER_ANSWER)
        if Lie.SILENCE in lies:
            return
        if Lie.BAD_LENGTH in lies:
            flow.send(OVERLONG_FRAME)
        elif Lie.MID_FRAME in lies:
            flow.send(data[: len(data) // 2])
            flow.close()
        elif Lie.FOREIGN_SOURCE in lies and isinstance(flow, DatagramFlow):
            self.foreign(flow.local).send([(data, flow.remote, 0)])
        elif answer.via is not None:
            answer.via.send([(data, answer.to or flow.remote, 0)])
        else:
            flow.send(data)

    def _write(self, what: str, flow: Flow, detail: str = "") -> None:
        self.journal.write(self.relaying.now(), what, flow.remote, detail)
