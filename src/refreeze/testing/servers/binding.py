"""Binding requests, and NAT behaviour discovery where there are two addresses (RFC 5780)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define

from refreeze.basics import Address, is_ipv6
from refreeze.net.port import Port
from refreeze.stun import Attribute, Message
from refreeze.stun.attributes import encode_address
from refreeze.testing.servers.answers import Answer, unknown, xored
from refreeze.testing.servers.flows import Flow

CHANGE_IP: Final = 4
CHANGE_PORT: Final = 2


@define(eq=False, repr=False, kw_only=True)
class Binder:
    """I answer Binding requests. With two addresses of a family and two ports, from any of four."""

    ports: Mapping[Address, Port]
    software: bytes

    def answer(self, flow: Flow, message: Message) -> Answer:
        """Where the request came from; Refused (420) for a change that there is no address for."""
        said = [xored(Attribute.XOR_MAPPED_ADDRESS, flow.remote, message.transaction_id)]
        said.append((Attribute.MAPPED_ADDRESS, encode_address(flow.remote)))
        change = message.attribute(Attribute.CHANGE_REQUEST)
        flags = 0 if change is None else change[3]
        other = self.other(flow.local) if flow.kind == "udp" else None
        if other is None:
            if flags:
                raise unknown([Attribute.CHANGE_REQUEST])
            return Answer([*said, (int(Attribute.SOFTWARE), self.software)])
        origin = (
            other[0] if flags & CHANGE_IP else flow.local[0],
            other[1] if flags & CHANGE_PORT else flow.local[1],
        )
        said.append((Attribute.RESPONSE_ORIGIN, encode_address(origin)))
        said.append((Attribute.OTHER_ADDRESS, encode_address(other)))
        said.append((Attribute.SOFTWARE, self.software))
        wanted = message.attribute(Attribute.RESPONSE_PORT)
        port = flow.remote[1] if wanted is None else int.from_bytes(wanted[:2], "big")
        return Answer(said, via=self.ports[origin], to=(flow.remote[0], port))

    def other(self, local: Address) -> Address | None:
        """The address and port that both differ from *local*, if there are two of each."""
        six = is_ipv6(local[0])
        others = [
            each
            for each in self.ports
            if is_ipv6(each[0]) is six and each[0] != local[0] and each[1] != local[1]
        ]
        return others[0] if others else None
