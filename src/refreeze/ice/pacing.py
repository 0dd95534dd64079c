"""The pace of checks: Ta within an agent is in ``checks``; here is the one bucket of all agents."""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class CheckBucket:
    """*rate* checks a second, *burst* at once; stands in for RFC 8445's 5 ms between agents.

    One number is the whole state: the moment at which the bucket will be full again. Whoever
    finds it empty reserves a moment of its own, so a crowd of waiting agents is woken once each
    and not all at every token.
    """

    rate: float = 2000.0
    burst: float = 64.0
    _full_at: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        if not (self.rate > 0 and self.burst >= 1):
            raise ValueError("a bucket has a positive rate and a burst of at least 1")

    @classmethod
    def strict(cls) -> CheckBucket:
        """One transaction per 5 ms over all agents, no burst (RFC 8445 section 14.2)."""
        return cls(rate=200.0, burst=1.0)

    def next_at(self, now: float) -> float:
        """When the next check may leave; *now* when it may at once."""
        return max(now, self._full_at - (self.burst - 1) / self.rate)

    def take(self, now: float) -> bool:
        """Whether a check may leave now; if so it is paid for."""
        if self.next_at(now) > now + 1e-9:
            return False
        self.reserve(now)
        return True

    def reserve(self, now: float) -> float:
        """Pay for one check, and be told when it may leave: *now* or later."""
        at = self.next_at(now)
        self._full_at = max(now, self._full_at) + 1 / self.rate
        return at
