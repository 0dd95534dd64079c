"""When something at the server is refreshed: well before its end, and not with everything else."""

from __future__ import annotations

from typing import Final

from refreeze.basics import Randomness, on_grid
from refreeze.turn.settings import TurnSettings

MARGIN: Final = 1.0
"""Seconds. For us everything ends so much earlier: what we send last is still on its way then."""


def end_of(started_at: float, lifetime: float) -> float:
    """Until when we may use what was asked for at *started_at* and granted since."""
    return started_at + lifetime - MARGIN


def refresh_time(asked_at: float, lifetime: float, random: Randomness) -> float:
    """Between 60 and 80 % of *lifetime* from when it was asked for, in monotonic seconds.

    The server may have begun to count long before its answer came through. At 80 % of a
    permission's 300 s there are 60 s left: a request that must be repeated to its 39.5th second
    is still in time.
    """
    return on_grid(asked_at + lifetime * random.uniform(0.6, 0.8))


def soon(now: float, random: Randomness) -> float:
    """When to ask again what failed for a moment: in 5 to 10 s."""
    return on_grid(now + random.uniform(5.0, 10.0))


def believed_lifetime(granted: int | None, settings: TurnSettings) -> float:
    """What a server granted, in seconds, within reason; None: it did not say."""
    if granted is None:
        return float(settings.lifetime)
    return min(max(float(granted), settings.shortest_lifetime), settings.longest_lifetime)
