"""What an Allocate asks for, and what its answer gives (RFC 8656 sections 7.1 to 7.3)."""

from __future__ import annotations

from typing import Final

from refreeze.basics import Address
from refreeze.stun import Attribute, Message, MessageBuilder
from refreeze.stun.attributes import encode_family
from refreeze.turn.data import family_of
from refreeze.turn.events import TurnProblem
from refreeze.turn.meanings import meaning
from refreeze.turn.redirection import is_usable

FAMILIES: Final = ((4,), (6,), (4, 6))
"""The versions of IP that can be asked for together."""

UDP: Final = bytes((17, 0, 0, 0))
"""REQUESTED-TRANSPORT: what the relay speaks to peers (RFC 8656 section 18.8)."""

DRAFT_ADDITIONAL_FAMILY: Final = 0x8032
"""ADDITIONAL-ADDRESS-FAMILY before it was 0x8000: what coturn 4.6 understands. Like the final
number it is one that others may ignore.
"""


def fill_allocate(builder: MessageBuilder, families: tuple[int, ...], lifetime: int) -> None:
    """Add what is asked for. IPv4 alone is not asked for by name: old servers answer 420."""
    builder.add(Attribute.REQUESTED_TRANSPORT, UDP)
    builder.add(Attribute.LIFETIME, lifetime.to_bytes(4, "big"))
    if families == (6,):
        builder.add(Attribute.REQUESTED_ADDRESS_FAMILY, encode_family(6))
    elif families == (4, 6):
        builder.add(Attribute.ADDITIONAL_ADDRESS_FAMILY, encode_family(6))
        builder.add(DRAFT_ADDITIONAL_FAMILY, encode_family(6))


def relayed_in(message: Message, families: tuple[int, ...]) -> dict[int, Address]:
    """The first address of each family that was asked for and can be somebody's."""
    relayed: dict[int, Address] = {}
    for address in message.xor_relayed_addresses:
        family = family_of(address[0])
        if family in families and is_usable(address):
            relayed.setdefault(family, address)
    return relayed


def why_missing(message: Message, family: int) -> TurnProblem:
    """Why *family* was not given (RFC 8656 section 7.3), as far as the server says."""
    error = message.address_error
    if error is None or error[0] != family:
        return TurnProblem(None, "not-relayed")
    return TurnProblem(error[1], meaning(error[1]).reason)
