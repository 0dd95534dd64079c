"""Classes, methods, and how the type field holds both (RFC 8489 section 5)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class MessageClass(IntEnum):
    """The two class bits, where they stand in the type field."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


class Method(IntEnum):
    """RFC 8489 section 18.2 and RFC 8656 section 17."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9


HIGHEST_METHOD: Final = 0xFFF
_CLASSES: Final = {int(each): each for each in MessageClass}


def encode_type(method: int, message_class: MessageClass) -> int:
    """The 14-bit type with the class bits woven in (RFC 8489 figure 3)."""
    spread = (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2
    return spread | message_class


def decode_type(value: int) -> tuple[int, MessageClass]:
    """The inverse of :func:`encode_type`."""
    method = (value & 0x000F) | (value & 0x00E0) >> 1 | (value & 0x3E00) >> 2
    return method, _CLASSES[value & 0x0110]
