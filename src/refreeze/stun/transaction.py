"""One request to a server, sent until it is answered or given up (RFC 8489 section 6.2)."""

from __future__ import annotations

from attrs import define, field

from refreeze.stun.retransmission import RetransmissionSchedule


@define(eq=False, repr=False, kw_only=True)
class ClientTransaction:
    """I am one request. My owner sends what :meth:`due` gives, matches the response by
    ``transaction_id``, and drops me when it came, or when I am :meth:`expired`.

    Each wait counts from the send before it, so a process that was stopped for a minute neither
    sends everything at once nor gives up what it never sent (T37). Over a *reliable* transport
    I am sent once and wait for as long (RFC 8489 section 6.2.2). Times are monotonic seconds.
    """

    transaction_id: bytes
    request: bytes
    reliable: bool = False
    schedule: RetransmissionSchedule = field(factory=RetransmissionSchedule)
    sends: int = field(init=False, default=0)
    """How often I was sent."""
    _sent_at: float = field(init=False, default=0.0)
    _deadline: float | None = field(init=False, default=None)

    def next_deadline(self) -> float | None:
        """When I am due or expired; None as long as I was never sent: I am due now."""
        return self._deadline

    def due(self, now: float) -> bytes | None:
        """The request if it is time to send it (again). It counts as sent."""
        if self._deadline is not None and (now < self._deadline or self._is_last()):
            return None
        self.sends += 1
        self._sent_at = now
        self._deadline = now + self._wait()
        return self.request

    def expired(self, now: float) -> bool:
        """Whether no answer came in time."""
        return self._deadline is not None and now >= self._deadline and self._is_last()

    def wait_until(self, at: float) -> None:
        """Do nothing more before *at*: the process was held up, an answer may lie unread."""
        self._deadline = at

    def rtt(self, now: float) -> float | None:
        """Seconds from the send to *now*; None when nobody can say which send is answered."""
        return now - self._sent_at if self.sends == 1 else None

    def _is_last(self) -> bool:
        return self.reliable or self.sends >= self.schedule.rc

    def _wait(self) -> float:
        if self.reliable:
            return self.schedule.timeout
        if self._is_last():
            return self.schedule.rm * self.schedule.rto
        return self.schedule.rto * (1 << (self.sends - 1))
