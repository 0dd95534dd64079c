"""Why a datagram is no STUN message."""

from __future__ import annotations


class StunError(Exception):
    """A malformed message. *reason* is a stable slug, fit for a counter.

    ``truncated`` ``cookie`` ``type`` ``length`` ``attribute`` ``fingerprint`` ``too-many``; it
    never holds anything of the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
