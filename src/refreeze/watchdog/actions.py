"""What the policy wants done. The session drains these after every input, in order."""

from __future__ import annotations

from typing import TypeAlias

from attrs import Factory, frozen

from .words import Cause, RoundOutcome

Field: TypeAlias = str | int | float | bool | None


@frozen
class RequestGrant:
    """Ask the storm budget for a restart; ``Policy.granted(ticket)`` is the answer."""

    ticket: int
    cause: Cause


@frozen
class WithdrawGrant:
    """The ticket is over without a round (cancelled, parked, or never begun): free its place."""

    ticket: int


@frozen
class StartRound:
    """Make a restart offer now and report it with ``Policy.round_started``.

    *attempt* counts from 1 in one run of failures. *relay_only* asks for relayed candidates alone
    if there are any (two rounds of a never connected session have failed).
    """

    cause: Cause
    attempt: int
    relay_only: bool = False


@frozen
class SendRestartPlease:
    """Ask the configured offerer for a restart."""

    cause: Cause


@frozen
class ResendOffer:
    """Send the very same offer (same ids) again."""

    round_id: int


@frozen
class AbandonRound:
    """Give the round up (rollback before the answer, a transport event after it), then call
    ``Policy.round_ended(round_id, outcome, reason, now)`` with what stands here."""

    round_id: int
    reason: str
    outcome: RoundOutcome


@frozen
class GatherMore:
    """A local address appeared: gather on it for the next generation (for this one only before
    its end-of-candidates, RFC 8838 section 13)."""


@frozen
class CheckNetwork:
    """Sending failed in a way that smells of a changed network: look at the interfaces now."""

    errno: str


@frozen
class Note:
    """A one-line event for people: topic and named fields."""

    topic: str
    fields: dict[str, Field] = Factory(dict)


Action: TypeAlias = (
    RequestGrant
    | WithdrawGrant
    | StartRound
    | SendRestartPlease
    | ResendOffer
    | AbandonRound
    | GatherMore
    | CheckNetwork
    | Note
)
