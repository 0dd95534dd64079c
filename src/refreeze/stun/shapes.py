"""Shapes of messages: a peer's checks all look alike, so only the first is walked through.

A shape is what the walk over the attributes depends on: the size, the type, and type and length
of every attribute. Two messages of one shape have their attributes in the same places. Values,
fingerprint and signature are none of it: they are looked at in every message.

Only a message that was signed with the right key teaches its shape, so no flood can fill the
table; a full one forgets nothing and takes nothing more, and its size is bounded. It holds no
byte of a value, and no result depends on what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from attrs import frozen

from refreeze.stun.attributes import FIXED_LENGTHS, Attribute
from refreeze.stun.message_type import MessageClass

LARGEST: Final = 512
"""Bytes; checks and their answers are far smaller."""

PER_SIZE: Final = 4
SIZES: Final = 64

_CLOSING: Final = (int(Attribute.MESSAGE_INTEGRITY), int(Attribute.FINGERPRINT))


@frozen(eq=False, repr=False)
class Shape:
    """``heads`` reads the words that must equal ``words``: the header's first two and each
    attribute's first. ``variable`` are type, start and end of values that must be checked.
    """

    heads: Callable[[bytes], tuple[int, ...]]
    words: tuple[int, ...]
    type: tuple[int, MessageClass]
    places: dict[int, int]
    unknown_required: tuple[int, ...]
    variable: tuple[tuple[int, int, int], ...]


_known: dict[int, tuple[Shape, ...]] = {}

shapes_of_size: Final = _known.get
"""The shapes known for that many bytes, or None."""


def learn(
    raw: bytes,
    message_type: tuple[int, MessageClass],
    places: dict[int, int],
    unknown_required: tuple[int, ...],
) -> None:
    """Remember the shape of *raw*, which parsed so and whose signature was right.

    Does nothing for a message that does not end with MESSAGE-INTEGRITY and FINGERPRINT.
    """
    size = len(raw)
    known = _known.get(size, ())
    if size > LARGEST or len(known) >= PER_SIZE or (not known and len(_known) >= SIZES):
        return
    if tuple(map(places.get, _CLOSING)) != (size - 32, size - 8):
        return
    shape = _shape(raw, message_type, places, unknown_required)
    if all(shape.words != each.words for each in known):
        _known[size] = (*known, shape)


def _shape(
    raw: bytes,
    message_type: tuple[int, MessageClass],
    places: dict[int, int],
    unknown_required: tuple[int, ...],
) -> Shape:
    layout, at = "!II12x", 20
    variable = []
    while at < len(raw):
        kind, length = Struct("!HH").unpack_from(raw, at)
        layout += f"I{length + 3 & ~3}x"
        if places[kind] == at and kind not in FIXED_LENGTHS and kind not in _CLOSING:
            variable.append((kind, at + 4, at + 4 + length))
        at += 4 + (length + 3 & ~3)
    heads = Struct(layout).unpack
    return Shape(heads, heads(raw), message_type, dict(places), unknown_required, tuple(variable))
