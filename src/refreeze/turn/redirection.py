"""Where a server may send us (RFC 8489 sections 10 and 14.15)."""

from __future__ import annotations

import ipaddress

from refreeze.basics import Address
from refreeze.stun import Message
from refreeze.turn.data import family_of
from refreeze.turn.events import TryAlternate


def is_usable(address: Address) -> bool:
    """Whether *address* can be somebody's: no port 0, nothing unspecified, multicast, reserved."""
    host, port = address
    ip = ipaddress.ip_address(host.partition("%")[0])
    broadcast = host == "255.255.255.255"
    return port > 0 and not (ip.is_unspecified or ip.is_multicast or broadcast)


def alternate_in(message: Message, server: Address) -> TryAlternate | None:
    """Where the 300 *message* of *server* sends us; None when that is nowhere.

    Not to itself, nor to another family (section 14.15), nor from the network into this machine.
    """
    address = message.alternate_server
    if address is None or address == server or not is_usable(address):
        return None
    if family_of(address[0]) != family_of(server[0]):
        return None
    if _is_loopback(address[0]) and not _is_loopback(server[0]):
        return None
    return TryAlternate(address, message.alternate_domain)


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
