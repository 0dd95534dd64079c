"""When a request is sent again, and when it is given up (RFC 8489 section 6.2.1)."""

from __future__ import annotations

from attrs import frozen


@frozen
class RetransmissionSchedule:
    """*rto* in seconds, *rc* sends in all, and *rm* x rto of waiting after the last."""

    rto: float = 0.5
    rc: int = 7
    rm: int = 16

    def send_times(self) -> tuple[float, ...]:
        """Seconds from the first send: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 by default."""
        return tuple(self.rto * (2**n - 1) for n in range(self.rc))

    @property
    def timeout(self) -> float:
        """Seconds from the first send to the end: 39.5 by default."""
        return self.send_times()[-1] + self.rm * self.rto
