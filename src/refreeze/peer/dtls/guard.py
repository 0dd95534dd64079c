"""How much of a handshake an association takes in: whatever is sent, one handshake's memory.

OpenSSL keeps what comes out of order, in whole buffers; so it is not given more than a peer needs.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import define, field

from refreeze.peer.dtls.records import (
    ALERT,
    APPLICATION,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Record,
)

MAX_MESSAGE: Final = 16 * 1024
"""Bytes of one handshake message: a certificate with its chain is the longest."""
RECORDS_A_SECOND: Final = 64
"""Two flights with retransmissions of fragments; a flood of ClientHellos is more."""
MAX_ENCRYPTED: Final = 24
"""Finished before its ChangeCipherSpec: each is a buffer of OpenSSL's until that comes."""
MAX_EARLY: Final = 64
MAX_EARLY_BYTES: Final = 64 * 1024


@define(eq=False, repr=False)
class HandshakeGuard:
    """I say which records OpenSSL gets before the association is connected, and after."""

    dropped: Counter[str]
    early: list[bytes] = field(factory=list, init=False)
    """Application data that overtook the peer's Finished."""
    _early_bytes: int = field(default=0, init=False)
    encrypted: int = field(default=0, init=False)
    """Records under keys that OpenSSL was given in the handshake."""
    _second: float = field(default=0.0, init=False)
    """When the second began of which the records are counted."""
    _in_second: int = field(default=0, init=False)

    def in_handshake(self, record: Record, now: float) -> bool:
        """Whether a record goes to OpenSSL now; False: it is kept, or dropped and counted."""
        if record.type == APPLICATION:
            self._keep(record)
            return False
        if record.epoch > 1:
            return self._drop("old-epoch")
        if record.epoch == 1:
            if self.encrypted >= MAX_ENCRYPTED:
                return self._drop("too-many")
            self.encrypted += 1
        elif record.type == HANDSHAKE and record.message_length > MAX_MESSAGE:
            return self._drop("oversized-handshake")
        elif record.type == ALERT and not record.is_fatal_alert:
            return self._drop("plaintext-alert")  # nobody closes what there is not yet
        return self._within_rate(now)

    def when_connected(self, record: Record, now: float) -> bool:
        """Of what is no application data: a Finished that comes again, and alerts."""
        if record.epoch != 1 or record.type == CHANGE_CIPHER_SPEC:
            return self._drop("old-epoch")
        assert record.type in {ALERT, HANDSHAKE}
        return self._within_rate(now)

    def take_early(self) -> list[bytes]:
        """What was kept, once."""
        early, self.early = self.early, []
        return early

    def _keep(self, record: Record) -> None:
        full = len(self.early) >= MAX_EARLY or self._early_bytes >= MAX_EARLY_BYTES
        if record.epoch != 1 or full:
            self._drop("old-epoch" if record.epoch != 1 else "early")
            return
        self.early.append(record.data)
        self._early_bytes += len(record.data)

    def _within_rate(self, now: float) -> bool:
        if now >= self._second + 1.0:
            self._second, self._in_second = now, 0
        if self._in_second >= RECORDS_A_SECOND:
            return self._drop("too-many")
        self._in_second += 1
        return True

    def _drop(self, why: str) -> bool:
        self.dropped[why] += 1
        return False
