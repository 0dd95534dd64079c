"""DTLS records in datagrams, looked at before OpenSSL sees them (RFC 6347 section 4.1).

OpenSSL reads from a stream of bytes, and would take the start of the next datagram for the rest
of a record that lies about its length; so lengths are checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

HEADER: Final = 13
MAX_PLAINTEXT: Final = 16384
MAX_FRAGMENT: Final = MAX_PLAINTEXT + 256
"""What a record may carry: RFC 5246 allows 2048 more, AEAD suites need far less."""

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION: Final = 23
FATAL: Final = 2
_TYPES: Final = frozenset({CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION})
_VERSIONS: Final = frozenset({b"\xfe\xff", b"\xfe\xfd"})
"""DTLS 1.0, which first ClientHellos wear, and 1.2."""


@frozen
class Record:
    """One record: its bytes with the header, and what the header says."""

    type: int
    epoch: int
    data: bytes

    @property
    def message_length(self) -> int:
        """Of a plaintext handshake fragment: how long its whole message wants to be, in bytes."""
        return int.from_bytes(self.data[HEADER + 1 : HEADER + 4], "big")

    @property
    def is_fatal_alert(self) -> bool:
        """Of a plaintext alert: whether it is one alone, and fatal (RFC 5246 section 7.2)."""
        return len(self.data) == HEADER + 2 and self.data[HEADER] == FATAL


def split(datagram: bytes) -> tuple[list[Record], int]:
    """The records of a datagram in order, and how many bytes at its end are none."""
    found: list[Record] = []
    at, size = 0, len(datagram)
    while size - at > HEADER:
        length = int.from_bytes(datagram[at + 11 : at + 13], "big")
        end = at + HEADER + length
        if (
            datagram[at] not in _TYPES
            or datagram[at + 1 : at + 3] not in _VERSIONS
            or not 0 < length <= MAX_FRAGMENT
            or end > size
        ):
            break
        epoch = int.from_bytes(datagram[at + 3 : at + 5], "big")
        found.append(Record(datagram[at], epoch, datagram[at:end]))
        at = end
    return found, size - at


def pack(records: Iterable[bytes], mtu: int) -> list[bytes]:
    """Whole records in as few datagrams of at most *mtu* bytes as their order allows."""
    datagrams: list[bytes] = []
    for record in records:
        if datagrams and len(datagrams[-1]) + len(record) <= mtu:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


def cut(stream: bytes, lengths: Sequence[int], overhead: int) -> list[bytes]:
    """The records of what OpenSSL wrote for payloads of these *lengths*, each *overhead* longer."""
    if len(stream) != sum(lengths) + overhead * len(lengths):
        return [record.data for record in split(stream)[0]]
    found, at = [], 0
    for length in lengths:
        end = at + length + overhead
        found.append(stream[at:end])
        at = end
    return found
