"""When a request is sent again, and when it is given up (RFC 8489 section 6.2.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from attrs import frozen

MIN_RTO: Final = 0.5
"""Seconds. No retransmission timeout is shorter (RFC 8489 section 6.2.1, RFC 8445 14.3)."""


@frozen
class RetransmissionSchedule:
    """*rto* in seconds, *rc* sends in all, and *rm* x rto of waiting after the last.

    ValueError for an rto below :data:`MIN_RTO`, or nothing to send or to wait for.
    """

    rto: float = MIN_RTO
    rc: int = 7
    rm: int = 16

    def __attrs_post_init__(self) -> None:
        if not MIN_RTO <= self.rto < float("inf"):
            raise ValueError("an RTO is at least 0.5 seconds")
        if not 1 <= self.rc <= 16 or self.rm < 1:
            raise ValueError("Rc is 1..16, Rm at least 1")

    def send_times(self) -> tuple[float, ...]:
        """Seconds from the first send: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 by default."""
        return _send_times(self.rto, self.rc)

    @property
    def timeout(self) -> float:
        """Seconds from the first send to the end: 39.5 by default."""
        return _send_times(self.rto, self.rc)[-1] + self.rm * self.rto


@lru_cache(maxsize=256)
def _send_times(rto: float, rc: int) -> tuple[float, ...]:
    return tuple(rto * (2**n - 1) for n in range(rc))


def check_rto(ta: float, pairs: int) -> float:
    """RTO of a check in seconds, *pairs* being those Waiting or In-Progress (RFC 8445 14.3)."""
    return max(MIN_RTO, ta * pairs)


def gathering_rto(ta: float, candidates: int) -> float:
    """RTO of a request for one of *candidates* that are being gathered (RFC 8445 section 14.3)."""
    return max(MIN_RTO, ta * candidates)
