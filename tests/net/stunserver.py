"""A server of RFC 5780 in the fake network, with two addresses and two ports, and its lies."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from refreeze.basics import Address
from refreeze.net.port import Batch, Port
from refreeze.stun import Attribute, MessageBuilder, MessageClass, Method, encode_error, parse
from refreeze.stun.attributes import encode_address, xor_address
from refreeze.stun.behavior import CHANGE_ADDRESS, CHANGE_PORT
from refreeze.testing import FakeHost

PORTS = (3478, 3479)


@define(eq=False, kw_only=True)
class BehaviorServer:
    """Answers Binding requests; what it says and whence it says it can be changed."""

    host: FakeHost
    addresses: tuple[str, str] = ("192.0.2.1", "192.0.2.2")
    offers_other: bool = True
    obeys_change: bool = True
    other: Address | None = None
    """What it says its other address is, when that is not true."""
    error: int | None = None
    answer_from: Callable[[Address], Address] | None = None
    """Whence it answers instead of where it was asked."""
    mangle: Callable[[bytes], bytes] = lambda data: data
    deaf: set[Address] = field(factory=set)
    """Addresses at which it does not answer."""
    asked: list[Address] = field(factory=list)
    ports: dict[Address, Port] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for host in self.addresses:
            for number in PORTS:
                port = self.host.factory.open_udp(host, number)
                port.on_batch(self._asked)
                self.ports[port.local] = port

    @property
    def address(self) -> Address:
        return self.addresses[0], PORTS[0]

    def _flipped(self, at: Address, change: int) -> Address:
        host, number = at
        if change & CHANGE_ADDRESS:
            host = self.addresses[1 - self.addresses.index(host)]
        if change & CHANGE_PORT:
            number = PORTS[1 - PORTS.index(number)]
        return host, number

    def _asked(self, port: Port, batch: Batch) -> None:
        for data, source, _tos in batch:
            self.asked.append(port.local)
            if port.local not in self.deaf:
                self._answer(port.local, data, source)

    def _answer(self, at: Address, data: bytes, source: Address) -> None:
        request = parse(data)
        value = request.attribute(Attribute.CHANGE_REQUEST)
        change = int.from_bytes(value or b"", "big") if self.obeys_change else 0
        sender = self._flipped(at, change)
        if self.answer_from is not None:
            sender = self.answer_from(sender)
        answer = self._message(request.transaction_id, at, source)
        self.ports[sender].send([(self.mangle(answer), source, 0)])

    def _message(self, transaction_id: bytes, at: Address, source: Address) -> bytes:
        if self.error is not None:
            return encode_error(transaction_id, self.error, "No\x1b[2J")
        builder = MessageBuilder(Method.BINDING, MessageClass.SUCCESS, transaction_id)
        mapped = xor_address(encode_address(source), transaction_id)
        builder.add(Attribute.XOR_MAPPED_ADDRESS, mapped)
        if self.offers_other:
            other = self.other or self._flipped(at, CHANGE_ADDRESS | CHANGE_PORT)
            builder.add(Attribute.OTHER_ADDRESS, encode_address(other))
        return builder.add(Attribute.SOFTWARE, b"model").build()
