"""One bucket for the checks of all agents, in place of RFC 8445's 5 ms between them."""

from __future__ import annotations

from attrs import define, field


@define(eq=False, repr=False)
class CheckBucket:
    """*rate* checks a second, *burst* at once."""

    rate: float = 2000.0
    burst: float = 64.0
    _tokens: float = field(init=False)
    _at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> bool:
        """Whether a check may leave now; if so it is paid for."""
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def next_at(self, now: float) -> float:
        """When the next check may leave."""
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self.rate
