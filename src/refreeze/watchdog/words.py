"""The words of the watchdog: causes, states, outcomes, and how an operator is refused."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Cause(StrEnum):
    """Why a restart is wanted. Budgets and queues are kept per cause."""

    FAILED = "failed"
    CONSENT = "consent"
    REBIND = "rebind"
    NETWORK = "network"
    OPERATOR = "operator"
    PEER = "peer"
    CLOCK = "clock"
    DTLS = "dtls"
    INITIAL = "initial"
    PROBE = "probe"


class WatchState(StrEnum):
    """What the watchdog of one session is doing. :mod:`.states` says how it follows from facts."""

    IDLE = "idle"
    """Not opened yet."""
    WATCHING = "watching"
    """The path is good (or heard again after a failure)."""
    SUSPECT = "suspect"
    """The path is `disconnected`; nobody offers yet."""
    QUEUED = "queued"
    """A restart waits for its delay, for the storm budget, or for the session to begin it."""
    ASKING = "asking"
    """We sent restart-please and wait for the peer's offer."""
    ROUND = "round"
    """One restart is under way."""
    WAITING = "waiting"
    """The network or the signaling is down; every timer of a restart stands still."""
    HELD = "held"
    """No automatic restart, for a reason: an operator, an absent peer, a close, never connected."""
    OPEN = "open"
    """The circuit is open: nothing but a rare probe."""
    CLOSED = "closed"
    """The session is over. Final."""


class NetworkChange(StrEnum):
    """What happened to the local network, as far as it touches one session."""

    MAJOR = "major"
    """Its selected base is gone, or the default route changed."""
    MINOR = "minor"
    """An address was added."""
    DOWN = "down"
    UP = "up"


class RoundOutcome(StrEnum):
    """How a round ended; every started round has exactly one, or is pending."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    ABANDONED = "abandoned"


class Circuit(StrEnum):
    """The breaker: closed lets restarts through, open lets none, half-open lets one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@frozen
class Refusal:
    """Why an operator's restart does not happen.

    *code* is a code of the control protocol; *after* is in seconds (rate-limited); *reason* is a
    slug with more detail, such as what holds the session.
    """

    code: str
    after: float | None = None
    reason: str | None = None


RANK: dict[Cause, int] = {
    Cause.OPERATOR: 0,
    Cause.PEER: 1,
    Cause.REBIND: 2,
    Cause.NETWORK: 3,
    Cause.CLOCK: 3,
    Cause.FAILED: 4,
    Cause.CONSENT: 4,
    Cause.DTLS: 4,
    Cause.INITIAL: 4,
    Cause.PROBE: 4,
}
"""The smaller goes first, in one session's single slot and in the queues of all sessions."""

WANTED_WHEN_CONNECTED = frozenset(
    {Cause.OPERATOR, Cause.PEER, Cause.REBIND, Cause.NETWORK, Cause.CLOCK}
)
"""A queued restart for one of these goes on although the path is (again) connected."""
